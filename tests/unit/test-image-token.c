/* SPDX-License-Identifier: Apache-2.0 */
/* Token servers that lead elsewhere: where that is followed, and what goes along. */
#include "image-registry.h"

#define BASIC "Authorization: Basic dXNlcjpzM2NyZXQtd29yZA==\r\n"

static const struct image_credentials identity = { .identity_token = "id3ntity" };

/* A registry whose token server is itself, at /token; what /token says is the test's. */
static void add_registry(struct fixture *fixture, const char *challenge)
{
	add_good_answers(fixture);
	for (size_t i = fixture->count - 3; i < fixture->count; i++) {
		fixture->answers[i].needs = "Authorization: Bearer t0ken\r\n";
		fixture->answers[i].headers = challenge;
	}
}

static char *own_challenge(const struct fixture *fixture)
{
	return xasprintf("WWW-Authenticate: Bearer realm=\"http://127.0.0.1:%u/token\"\r\n",
			 fixture->server.port);
}

static void test_same_server(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *challenge = own_challenge(fixture);
	_cleanup_buf_ struct buf token = { 0 };
	struct cay_error err = { 0 };

	buf_puts(&token, "{\"token\":\"t0ken\"}");
	add_answer(fixture, "/token", 302, NULL)->headers = "Location: /token/?scope=x\r\n";
	add_answer(fixture, "/token/", 200, &token)->needs = BASIC;
	add_registry(fixture, challenge);
	assert_ok(pull_from(fixture, "127.0.0.1", &login, NULL, &err));
}

/* What answers `path` at another server, which is told of by *ret_location. */
static void open_other(struct server *other, struct answer *answer, const char *path,
		       const struct buf *body, char **ret_location)
{
	*answer = (struct answer){ .path = path, .status = 200, .body = body };
	server_start(other, answer, 1);
	*ret_location = xasprintf("Location: http://127.0.0.1:%u%s\r\n", other->port, path);
}

/* It is asked, without the password. */
static void test_another_server(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *challenge = own_challenge(fixture), *location = NULL;
	_cleanup_buf_ struct buf token = { 0 };
	struct cay_error err = { 0 };
	struct answer answer;
	struct server other;

	buf_puts(&token, "{\"token\":\"t0ken\"}");
	open_other(&other, &answer, "/other", &token, &location);
	add_answer(fixture, "/token", 307, NULL)->headers = location;
	add_registry(fixture, challenge);
	server_run(&other);
	assert_ok(pull_from(fixture, "127.0.0.1", &login, NULL, &err));
	server_stop(&other);
	assert_int_equal(other.requests, 1);
	assert_int_equal(other.credentials, 0);
	server_done(&other);
}

/* An identity token goes along on the same server, and nowhere else. */
static void test_identity_token(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *challenge = own_challenge(fixture);
	_cleanup_buf_ struct buf token = { 0 };
	struct cay_error err = { 0 };
	struct answer *answer;

	buf_puts(&token, "{\"token\":\"t0ken\"}");
	add_method(fixture, "POST", "/token", 308)->headers = "Location: /up/token\r\n";
	answer = add_method(fixture, "POST", "/up/token", 200);
	answer->body = &token;
	add_registry(fixture, challenge);
	assert_ok(pull_from(fixture, "127.0.0.1", &identity, NULL, &err));
	assert_non_null(strstr(buf_text(&fixture->server.taken), "refresh_token=id3ntity"));
}

static void test_identity_token_elsewhere(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *challenge = own_challenge(fixture), *location = NULL;
	_cleanup_buf_ struct buf token = { 0 };
	struct cay_error err = { 0 };
	struct answer answer;
	struct server other;

	buf_puts(&token, "{\"token\":\"t0ken\"}");
	open_other(&other, &answer, "/other", &token, &location);
	add_method(fixture, "POST", "/token", 307)->headers = location;
	add_registry(fixture, challenge);
	server_run(&other);
	assert_true(pull_from(fixture, "127.0.0.1", &identity, NULL, &err) < 0);
	server_stop(&other);
	assert_int_equal(err.code, CAY_FORBIDDEN);
	assert_int_equal(other.requests, 0);
	assert_null(strstr(err.message, "id3ntity"));
	server_done(&other);
}

static void test_loop(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *challenge = own_challenge(fixture);

	add_answer(fixture, "/token", 302, NULL)->headers = "Location: /token\r\n";
	add_answer(fixture, "/v2/x/manifests/latest", 401, NULL)->headers = challenge;
	assert_fails(fixture, CAY_UNAVAILABLE, "redirects");
	assert_true(fixture->server.requests < 15);
}

static void test_malformed(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *challenge = own_challenge(fixture);

	add_answer(fixture, "/token", 302, NULL)->headers = "Location: file:///etc/passwd\r\n";
	add_answer(fixture, "/v2/x/manifests/latest", 401, NULL)->headers = challenge;
	assert_fails(fixture, CAY_INVALID, "malformed redirect");
}

/* A registry elsewhere does not lead home by way of its token server either. */
static void test_leads_home(void **state)
{
	struct fixture *fixture = *state;
	char address[INET_ADDRSTRLEN];
	struct cay_error err = { 0 };

	if (!outer_address(address)) {
		print_message("this host has no address but loopback: NOT TESTED\n");
		skip();
	}
	_cleanup_free_ char *insecure = xasprintf("%s:%u", address, fixture->server.port);
	_cleanup_free_ char *challenge =
		xasprintf("WWW-Authenticate: Bearer realm=\"http://%s/token\"\r\n", insecure);
	_cleanup_free_ char *location =
		xasprintf("Location: http://127.0.0.1:%u/home\r\n", fixture->server.port);

	strv_add(&fixture->store->insecure, insecure);
	add_answer(fixture, "/token", 302, NULL)->headers = location;
	add_registry(fixture, challenge);
	assert_true(pull_from(fixture, address, NULL, NULL, &err) < 0);
	assert_int_equal(err.code, CAY_FORBIDDEN);
	assert_null(strstr(buf_text(&fixture->server.log), "/home"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_same_server),    TEST(test_another_server),
		TEST(test_identity_token), TEST(test_identity_token_elsewhere),
		TEST(test_loop),           TEST(test_malformed),
		TEST(test_leads_home),
	};

	forget_proxies();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
