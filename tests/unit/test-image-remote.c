/* SPDX-License-Identifier: Apache-2.0 */
/* Logins, lists of tags, and what a reference leads to. */
#include "image-registry.h"

#include "image/registry.h"

#define CHALLENGE "WWW-Authenticate: Basic realm=\"r\"\r\n"

static int log_in(struct fixture *fixture, const struct image_credentials *credentials,
		  char **ret_token, struct cay_error *err)
{
	_cleanup_free_ char *address = xasprintf("127.0.0.1:%u", fixture->server.port);
	int r;

	fixture->server.count = fixture->count;
	server_run(&fixture->server);
	r = image_store_login(fixture->store, address, credentials, NULL, ret_token, err);
	server_stop(&fixture->server);
	return r;
}

static void test_basic_login(void **state)
{
	struct fixture *fixture = *state;
	char *token = NULL;
	struct cay_error err = { 0 };

	fixture->answers[0].needs = "Authorization: Basic dXNlcjpzM2NyZXQtd29yZA==\r\n";
	fixture->answers[0].headers = CHALLENGE;
	assert_ok(log_in(fixture, &login, &token, &err));
	assert_null(token);
}

static void test_wrong_login(void **state)
{
	static const struct image_credentials wrong = { .username = "user", .password = "other" };
	struct fixture *fixture = *state;
	char *token = NULL;
	struct cay_error err = { 0 };

	fixture->answers[0].needs = "Authorization: Basic dXNlcjpzM2NyZXQtd29yZA==\r\n";
	fixture->answers[0].headers = CHALLENGE;
	assert_true(log_in(fixture, &wrong, &token, &err) < 0);
	assert_int_equal(err.code, CAY_UNAUTHORIZED);
	assert_null(strstr(err.message, "other"));
}

/* A token server may give a token for later in exchange for the password. */
static void test_token_login(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf answer = { 0 };
	_cleanup_free_ char *challenge =
		xasprintf("WWW-Authenticate: Bearer realm=\"http://127.0.0.1:%u/token\","
			  "service=\"s\",scope=\"registry:catalog:*\"\r\n",
			  fixture->server.port);
	_cleanup_free_ char *token = NULL;
	struct cay_error err = { 0 };

	buf_puts(&answer, "{\"token\":\"t0ken\",\"refresh_token\":\"for-later\"}");
	fixture->answers[0].needs = "Authorization: Bearer t0ken\r\n";
	fixture->answers[0].headers = challenge;
	add_answer(fixture, "/token", 200, &answer)->needs =
		"Authorization: Basic dXNlcjpzM2NyZXQtd29yZA==\r\n";
	assert_ok(log_in(fixture, &login, &token, &err));
	assert_string_equal(token, "for-later");
	assert_non_null(strstr(buf_text(&fixture->server.log),
			       "GET /token?service=s&account=user&client_id=cay&offline_token=true "
			       "0\n"));
}

static void test_identity_token(void **state)
{
	static const struct image_credentials later = { .identity_token = "for-later" };
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf answer = { 0 };
	_cleanup_free_ char *challenge = xasprintf(
		"WWW-Authenticate: Bearer realm=\"http://127.0.0.1:%u/token\",service=\"s\"\r\n",
		fixture->server.port);
	struct cay_error err = { 0 };

	buf_puts(&answer, "{\"access_token\":\"t0ken\"}");
	(void)add_answer(fixture, "/token", 200, &answer);
	fixture->answers[fixture->count - 1].method = "POST";
	add_good_answers(fixture);
	for (size_t i = 2; i < fixture->count; i++) {
		fixture->answers[i].needs = "Authorization: Bearer t0ken\r\n";
		fixture->answers[i].headers = challenge;
	}
	assert_ok(pull_from(fixture, "127.0.0.1", &later, NULL, &err));
	/* It stands in the body, where no log of a server has it. */
	assert_null(strstr(buf_text(&fixture->server.log), "for-later"));
	assert_non_null(strstr(buf_text(&fixture->server.log), "POST /token "));
}

/* A token that the client got by itself is sent as it is, and no other is asked for. */
static void test_registry_token(void **state)
{
	static const struct image_credentials mine = { .registry_token = "my-own" };
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	add_good_answers(fixture);
	for (size_t i = 1; i < fixture->count; i++)
		fixture->answers[i].needs = "Authorization: Bearer my-own\r\n";
	assert_ok(pull_from(fixture, "127.0.0.1", &mine, NULL, &err));
}

static void test_refused_token(void **state)
{
	static const struct image_credentials mine = { .registry_token = "my-own" };
	struct fixture *fixture = *state;
	_cleanup_free_ char *challenge = xasprintf(
		"WWW-Authenticate: Bearer realm=\"http://127.0.0.1:%u/token\",service=\"s\"\r\n",
		fixture->server.port);
	struct cay_error err = { 0 };

	add_answer(fixture, "/v2/x/manifests/latest", 401, NULL)->headers = challenge;
	assert_true(pull_from(fixture, "127.0.0.1", &mine, NULL, &err) < 0);
	assert_int_equal(err.code, CAY_UNAUTHORIZED);
	assert_null(strstr(err.message, "my-own"));
	assert_null(strstr(buf_text(&fixture->server.log), "/token"));
}

static void test_token_with_a_header(void **state)
{
	static const struct image_credentials mine = { .registry_token = "a\r\nX-Other: b" };
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	assert_true(pull_from(fixture, "127.0.0.1", &mine, NULL, &err) < 0);
	assert_int_equal(err.code, CAY_INVALID);
	assert_int_equal(fixture->server.requests, 0);
}

static void test_bad_addresses(void **state)
{
	static const char *const rows[] = { "../..", "a b", "host:port", "[", "https://user@host" };
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *token = NULL;
		struct cay_error err = { 0 };

		assert_true(image_store_login(fixture->store, rows[i], &login, NULL, &token, &err) <
			    0);
		if (err.code != CAY_INVALID)
			fail_msg("\"%s\": %s", rows[i], err.message);
	}
	(void)close(fixture->server.listener);
}

static int get_tags(struct fixture *fixture, struct strv *tags, struct cay_error *err)
{
	_cleanup_free_ char *reference = xasprintf("127.0.0.1:%u/x", fixture->server.port);
	int r;

	fixture->server.count = fixture->count;
	server_run(&fixture->server);
	r = image_store_remote_tags(fixture->store, reference, NULL, NULL, tags, err);
	server_stop(&fixture->server);
	return r;
}

static void test_tags(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf first = { 0 }, second = { 0 };
	_cleanup_strv_ struct strv tags = { 0 };
	struct cay_error err = { 0 };

	buf_puts(&first, "{\"name\":\"x\",\"tags\":[\"a\",\"b\"]}");
	buf_puts(&second, "{\"tags\":[\"c\"]}");
	add_answer(fixture, "/v2/x/tags/list", 200, &first)->headers =
		"Link: </v2/x/tags/list/2?last=b>; rel=\"next\"\r\n";
	(void)add_answer(fixture, "/v2/x/tags/list/2", 200, &second);
	assert_ok(get_tags(fixture, &tags, &err));
	assert_int_equal(tags.count, 3);
	assert_string_equal(tags.items[2], "c");
}

static void assert_no_tags(struct fixture *fixture, const char *link, enum cay_code code)
{
	_cleanup_buf_ struct buf page = { 0 };
	struct strv tags = { 0 };
	struct cay_error err = { 0 };

	buf_puts(&page, "{\"tags\":[\"a\"]}");
	add_answer(fixture, "/v2/x/tags/list", 200, &page)->headers = link;
	assert_true(get_tags(fixture, &tags, &err) < 0);
	if (err.code != code)
		fail_msg("%s: %s", link, err.message);
	assert_int_equal(tags.count, 0);
}

static void test_malformed_link(void **state)
{
	assert_no_tags(*state, "Link: </v2/x; rel=\"next\"\r\n", CAY_INVALID);
}

static void test_link_elsewhere(void **state)
{
	assert_no_tags(*state, "Link: <http://127.0.0.1:1/v2/>; rel=\"next\"\r\n", CAY_FORBIDDEN);
}

static void test_endless_tags(void **state)
{
	assert_no_tags(*state, "Link: <list>; rel=\"next\"\r\n", CAY_TOO_LARGE);
}

static void test_inspect(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *reference = xasprintf("127.0.0.1:%u/x", fixture->server.port);
	struct image_remote remote = { 0 };
	struct cay_error err = { 0 };
	char digest[DIGEST_SIZE];

	add_good_answers(fixture);
	fixture->server.count = fixture->count;
	server_run(&fixture->server);
	assert_ok(image_store_inspect_remote(fixture->store, reference, NULL, NULL, &remote, &err));
	server_stop(&fixture->server);
	digest_of(fixture->manifest.data, fixture->manifest.length, digest);
	assert_string_equal(remote.digest, digest);
	assert_int_equal(remote.size, fixture->manifest.length);
	assert_int_equal(remote.platform_count, 1);
	assert_string_equal(remote.platforms[0].architecture, "amd64");
	/* Nothing came to stay. */
	assert_false(content_has_blob(&fixture->store->content, fixture->config_digest,
				      fixture->config.length));
	image_remote_done(&remote);
}

static void test_mirror_urls(void **state)
{
	static const char *const good[] = { "https://m.example", "http://m.example:5000/" };
	static const char *const bad[] = { "m.example",
					   "ftp://m.example",
					   "https://m.example/path",
					   "https://u:p@m.example",
					   "https://m.example/?x",
					   "" };
	struct cay_error err = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_ok(registry_check_mirror(good[i], &err));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (registry_check_mirror(bad[i], &err) >= 0)
			fail_msg("taken: %s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_basic_login),
		TEST(test_wrong_login),
		TEST(test_token_login),
		TEST(test_identity_token),
		TEST(test_registry_token),
		TEST(test_refused_token),
		TEST(test_token_with_a_header),
		TEST(test_bad_addresses),
		TEST(test_tags),
		TEST(test_malformed_link),
		TEST(test_link_elsewhere),
		TEST(test_endless_tags),
		TEST(test_inspect),
		cmocka_unit_test(test_mirror_urls),
	};

	forget_proxies();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
