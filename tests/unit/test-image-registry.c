/* SPDX-License-Identifier: Apache-2.0 */
/* Where credentials go and where they do not, and where a registry may lead to. */
#include "image-registry.h"

#include "image/registry-internal.h"

#include <netdb.h>

static void test_token(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf token = { 0 };
	_cleanup_free_ char *challenge = xasprintf(
		"WWW-Authenticate: Bearer realm=\"http://127.0.0.1:%u/token\",service=\"s\""
		"\r\n",
		fixture->server.port);
	struct cay_error err = { 0 };

	buf_puts(&token, "{\"token\":\"t0ken\"}");
	(void)add_answer(fixture, "/token", 200, &token);
	add_good_answers(fixture);
	for (size_t i = fixture->count - 3; i < fixture->count; i++) {
		fixture->answers[i].needs = "Authorization: Bearer t0ken\r\n";
		fixture->answers[i].headers = challenge;
	}
	assert_ok(pull(fixture, &err));
	/* One refused request, then a token for all three. */
	assert_int_equal(fixture->server.requests, 5);
	assert_int_equal(fixture->server.credentials, 3);
}

/* Whether this host's own name is one of loopback, as distributions write it into /etc/hosts. */
static bool own_name(char name[256])
{
	struct addrinfo hints = { .ai_family = AF_INET }, *list = NULL;
	bool found;

	if (gethostname(name, 256) < 0 || getaddrinfo(name, NULL, &hints, &list) != 0)
		return false;
	found = address_is_local(list->ai_addr);
	freeaddrinfo(list);
	return found && strcmp(name, "localhost") != 0;
}

/* A registry by this host's own name has its token server here too. */
static void test_token_by_own_name(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf token = { 0 };
	struct cay_error err = { 0 };
	char name[256];

	if (!own_name(name)) {
		print_message("this host's name does not lead to loopback: NOT TESTED\n");
		skip();
	}
	_cleanup_free_ char *challenge =
		xasprintf("WWW-Authenticate: Bearer realm=\"http://%s:%u/token\"\r\n", name,
			  fixture->server.port);
	_cleanup_free_ char *registry = xasprintf("%s:%u", name, fixture->server.port);

	strv_add(&fixture->store->insecure, registry);
	buf_puts(&token, "{\"token\":\"t0ken\"}");
	(void)add_answer(fixture, "/token", 200, &token);
	add_good_answers(fixture);
	for (size_t i = fixture->count - 3; i < fixture->count; i++) {
		fixture->answers[i].needs = "Authorization: Bearer t0ken\r\n";
		fixture->answers[i].headers = challenge;
	}
	assert_ok(pull_from(fixture, name, NULL, NULL, &err));
}

/* Which other servers may be at an address of this host, by the registry and its name alone. */
static void test_guarded(void **state)
{
	static const struct {
		const char *registry, *to;
		bool unverified, guarded;
	} rows[] = {
		{ "https://a:5050/", "https://a:5050/x", false, false },
		{ "http://a:5050/", "http://a:5050/x", false, false },
		{ "https://a:5050/", "https://a/x", false, false },
		{ "https://a:5050/", "https://a/x", true, true },
		{ "http://a:5050/", "http://a/x", false, true },
		{ "https://a/", "https://b/x", false, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct security security = { .unverified = rows[i].unverified };
		struct registry registry = { 0 };
		_cleanup_url_ struct url to = { 0 };
		struct cay_error err = { 0 };

		assert_ok(url_parse(rows[i].registry, &registry.url, &err));
		assert_ok(url_parse(rows[i].to, &to, &err));
		if (registry_is_guarded(&registry, &to, &security) != rows[i].guarded)
			fail_msg("%s to %s", rows[i].registry, rows[i].to);
		registry.local = true;
		assert_false(registry_is_guarded(&registry, &to, &security));
		url_done(&registry.url);
	}
}

/* A token server that fails for a moment is asked again, as the registry itself is. */
static void test_token_server_busy(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf token = { 0 };
	_cleanup_free_ char *challenge =
		xasprintf("WWW-Authenticate: Bearer realm=\"http://127.0.0.1:%u/token\"\r\n",
			  fixture->server.port);
	struct cay_error err = { 0 };

	buf_puts(&token, "{\"token\":\"t0ken\"}");
	add_answer(fixture, "/token", 503, NULL)->times = 1;
	add_answer(fixture, "/token", 429, NULL)->times = 1;
	(void)add_answer(fixture, "/token", 200, &token);
	add_good_answers(fixture);
	for (size_t i = fixture->count - 3; i < fixture->count; i++) {
		fixture->answers[i].needs = "Authorization: Bearer t0ken\r\n";
		fixture->answers[i].headers = challenge;
	}
	assert_ok(pull(fixture, &err));
}

static void test_token_server_broken(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *challenge =
		xasprintf("WWW-Authenticate: Bearer realm=\"http://127.0.0.1:%u/token\"\r\n",
			  fixture->server.port);

	(void)add_answer(fixture, "/token", 503, NULL);
	add_answer(fixture, "/v2/x/manifests/latest", 401, NULL)->headers = challenge;
	assert_fails(fixture, CAY_UNAVAILABLE, "for a token: HTTP status 503");
	assert_true(fixture->server.requests < 10);
}

static void test_basic(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	add_good_answers(fixture);
	for (size_t i = fixture->count - 3; i < fixture->count; i++) {
		fixture->answers[i].needs = "Authorization: Basic dXNlcjpzM2NyZXQtd29yZA==\r\n";
		fixture->answers[i].headers = "WWW-Authenticate: Basic realm=\"r\"\r\n";
	}
	assert_ok(pull_from(fixture, "127.0.0.1", &login, NULL, &err));
}

/* An error that holds the password is not repeated. */
static void test_secret_in_error(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf body = { 0 };
	struct cay_error err = { 0 };

	buf_puts(&body, "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"not " PASSWORD "\"}]}");
	(void)add_answer(fixture, "/v2/x/manifests/latest", 403, &body);
	assert_true(pull_from(fixture, "127.0.0.1", &login, NULL, &err) < 0);
	assert_int_equal(err.code, CAY_UNAUTHORIZED);
	assert_null(strstr(err.message, PASSWORD));
}

static void test_malformed_challenge(void **state)
{
	struct fixture *fixture = *state;

	add_answer(fixture, "/v2/x/manifests/latest", 401, NULL)->headers =
		"WWW-Authenticate: Bearer realm=\"unfinished\r\n";
	assert_fails(fixture, CAY_INVALID, "malformed");
}

/* Blobs may come from elsewhere; the credentials stay. */
static void test_redirect(void **state)
{
	struct fixture *fixture = *state;
	struct answer other_answers[1];
	struct server other;
	_cleanup_free_ char *location = NULL;
	struct cay_error err = { 0 };

	server_start(&other, other_answers, 1);
	other_answers[0] =
		(struct answer){ .path = "/elsewhere", .status = 200, .body = &fixture->layer };
	location = xasprintf("Location: http://127.0.0.1:%u/elsewhere?sig=x\r\n", other.port);
	add_answer(fixture, fixture->layer_path, 307, NULL)->headers = location;
	add_good_answers(fixture);
	for (size_t i = 2; i < fixture->count; i++) {
		fixture->answers[i].needs = "Authorization: Basic";
		if (!fixture->answers[i].headers)
			fixture->answers[i].headers = "WWW-Authenticate: Basic realm=\"r\"\r\n";
	}
	server_run(&other);
	assert_ok(pull_from(fixture, "127.0.0.1", &login, NULL, &err));
	server_stop(&other);
	assert_int_equal(other.requests, 1);
	assert_int_equal(other.credentials, 0);
	server_done(&other);
	assert_true(fixture->server.credentials > 0);
}

static void test_redirect_loop(void **state)
{
	struct fixture *fixture = *state;

	add_answer(fixture, "/v2/x/manifests/latest", 302, NULL)->headers =
		"Location: /v2/x/manifests/latest\r\n";
	assert_fails(fixture, CAY_UNAVAILABLE, "redirects");
	assert_true(fixture->server.requests < 15);
}

static void test_redirect_to_file(void **state)
{
	struct fixture *fixture = *state;

	add_answer(fixture, "/v2/x/manifests/latest", 302, NULL)->headers =
		"Location: file:///etc/passwd\r\n";
	assert_fails(fixture, CAY_INVALID, "redirect");
}

/* What a registry elsewhere may not lead to: this host, its link, by token or by redirect. */
static void test_leads_home(void **state)
{
	static const char *const headers[] = {
		"WWW-Authenticate: Bearer realm=\"http://127.0.0.1:%u/token\"\r\n",
		"WWW-Authenticate: Bearer realm=\"http://169.254.169.254/token?%u\"\r\n",
		"WWW-Authenticate: Bearer realm=\"http://2130706433:%u/token\"\r\n",
		"Location: http://127.0.0.1:%u/token\r\n",
		"Location: http://[::1]:%u/token\r\n",
	};
	struct fixture *fixture = *state;
	char address[INET_ADDRSTRLEN];

	if (!outer_address(address)) {
		print_message("this host has no address but loopback: NOT TESTED\n");
		skip();
	}
	_cleanup_free_ char *insecure = xasprintf("%s:%u", address, fixture->server.port);

	strv_add(&fixture->store->insecure, insecure);
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		struct buf text = { 0 };
		struct cay_error err = { 0 };
		const bool redirect = starts_with(headers[i], "Location");

		buf_puts(&text, headers[i]);
		char *number = strstr(text.data, "%u");

		assert_non_null(number);
		*number = '\0';
		_cleanup_free_ char *header =
			xasprintf("%s%u%s", text.data, fixture->server.port, number + 2);

		fixture->count = 1;
		add_answer(fixture, "/v2/x/manifests/latest", redirect ? 302 : 401, NULL)->headers =
			header;
		(void)add_answer(fixture, "/token", 200, &fixture->config);
		fixture->server.requests = 0;
		fixture->server.stop = false;
		_cleanup_free_ char *reference = xasprintf("%s/x", insecure);
		struct image *image = NULL;

		fixture->server.count = fixture->count;
		server_run(&fixture->server);
		assert_true(image_store_pull(fixture->store, reference, NULL, &login, NULL, &image,
					     &err) < 0);
		fixture->server.stop = true;
		assert_int_equal(pthread_join(fixture->server.thread, NULL), 0);
		assert_int_equal(err.code, CAY_FORBIDDEN);
		/* For the manifest. */
		assert_int_equal(fixture->server.requests, 1);
		assert_int_equal(fixture->server.credentials, 0);
		buf_done(&text);
	}
	(void)close(fixture->server.listener);
}

/* What a step may lead to, by whom it is taken. */
static void test_steps(void **state)
{
	static const struct {
		bool local;
		const char *from, *to;
		bool allowed;
	} rows[] = {
		{ false, "https://a/", "https://b/x", true },
		{ false, "http://a/", "https://b/x", true },
		{ false, "http://a/", "http://b/x", true },
		{ false, "https://a/", "http://a/x", false },
		{ false, "https://a/", "http://plain.example/x", true },
		{ false, "https://a/", "http://10.1.2.3:81/x", true },
		{ false, "https://a/", "https://127.0.0.1/", false },
		{ false, "https://a/", "https://169.254.169.254/latest", false },
		{ false, "https://a/", "https://[::ffff:127.0.0.1]/", false },
		{ true, "http://127.0.0.1/", "http://127.0.0.1:81/", true },
	};
	struct strv insecure = { 0 };
	struct registry registry = { .options.insecure = &insecure };

	strv_add(&insecure, "plain.example:80");
	strv_add(&insecure, "10.0.0.0/8");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_url_ struct url from = { 0 }, to = { 0 };
		struct cay_error err = { 0 };

		registry.local = rows[i].local;
		assert_ok(url_parse(rows[i].from, &from, &err));
		assert_ok(url_parse(rows[i].to, &to, &err));
		if ((registry_check_step(&registry, &from, &to, &err) == 0) != rows[i].allowed)
			fail_msg("%s to %s", rows[i].from, rows[i].to);
		assert_int_equal(err.code, rows[i].allowed ? CAY_OK : CAY_FORBIDDEN);
	}
	strv_done(&insecure);
}

static void test_malformed_redirect(void **state)
{
	struct fixture *fixture = *state;

	add_answer(fixture, "/v2/x/manifests/latest", 302, NULL)->headers =
		"Location: http://user:word@127.0.0.1/\r\n";
	assert_fails(fixture, CAY_INVALID, "malformed redirect");
}

static bool always(cay_unused void *user)
{
	return true;
}

/*
 * Only what can't leave this host is spoken to in the clear without a word of the user's. Nobody is
 * asked here, so the scheme is the one that would have been tried last.
 */
static void test_insecure_by_itself(void **state)
{
	static const struct {
		const char *name;
		bool insecure;
		const char *base;
	} rows[] = {
		{ "127.0.0.1:5000", true, "http://127.0.0.1:5000/v2" },
		{ "127.8.9.10:443", true, "http://127.8.9.10:443/v2" },
		{ "localhost", true, "http://localhost/v2" },
		{ "a.localhost:5000", true, "http://a.localhost:5000/v2" },
		{ "[::1]:5000", true, "http://[::1]:5000/v2" },
		{ "[::1]", true, "http://[::1]/v2" },
		{ "169.254.1.2:5000", false, "https://169.254.1.2:5000/v2" },
		{ "0.0.0.0:5000", false, "https://0.0.0.0:5000/v2" },
		{ "[fe80::1]:5000", false, "https://[fe80::1]:5000/v2" },
		{ "[::]:5000", false, "https://[::]:5000/v2" },
		{ "10.0.0.1", false, "https://10.0.0.1/v2" },
	};
	const struct worker_cancel cancel = { always, NULL };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct image_ref ref = { .registry = (char *)(uintptr_t)rows[i].name,
					 .repository = (char *)"x" };
		const struct registry_options options = { .ref = &ref, .cancel = &cancel };
		_cleanup_(registry_close_p) struct registry *registry = NULL;
		struct cay_error err = { 0 };

		assert_ok(registry_open(&options, &registry, &err));
		if (registry->insecure != rows[i].insecure)
			fail_msg("%s", rows[i].name);
		assert_string_equal(registry->base, rows[i].base);
	}
}

/* Whether a proxy is passed by is for our rules to say, which are not libcurl's. */
static void test_proxy_by_our_rules(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *here = xasprintf("http://127.0.0.1:%u", fixture->server.port);
	struct cay_error err = { 0 };

	strv_add(&fixture->store->insecure, "x.invalid");
	assert_int_equal(setenv("HTTP_PROXY", here, 1), 0);
	assert_int_equal(setenv("NO_PROXY", ".x.invalid", 1), 0);
	assert_true(pull_from(fixture, "x.invalid", NULL, NULL, &err) < 0);
	forget_proxies();
	assert_non_null(strstr(buf_text(&fixture->server.log), "GET http://x.invalid:"));
}

/* A network of insecure registries. */
static void test_insecure_network(void **state)
{
	struct fixture *fixture = *state;
	char address[INET_ADDRSTRLEN];
	_cleanup_free_ char *network = NULL;
	struct cay_error err = { 0 };

	if (!outer_address(address)) {
		print_message("this host has no address but loopback: NOT TESTED\n");
		skip();
	}
	network = xasprintf("%s/32", address);
	strv_add(&fixture->store->insecure, network);
	add_good_answers(fixture);
	assert_ok(pull_from(fixture, address, NULL, NULL, &err));
}

/* One elsewhere that was not called insecure is not spoken to in the clear. */
static void test_not_insecure(void **state)
{
	struct fixture *fixture = *state;
	char address[INET_ADDRSTRLEN];
	struct cay_error err = { 0 };

	if (!outer_address(address)) {
		print_message("this host has no address but loopback: NOT TESTED\n");
		skip();
	}
	add_good_answers(fixture);
	assert_true(pull_from(fixture, address, NULL, NULL, &err) < 0);
	assert_int_equal(fixture->server.requests, 0);
}

/* Docker Hub by way of mirrors, which are tried in their order and get no credentials. */
static void test_mirrors(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *mirror = xasprintf("http://127.0.0.1:%u", fixture->server.port);
	_cleanup_free_ char *layer = xasprintf("/v2/library/x/blobs/%s", fixture->layer_digest);
	_cleanup_free_ char *config = xasprintf("/v2/library/x/blobs/%s", fixture->config_digest);
	_cleanup_(image_free_p) struct image *image = NULL;
	struct cay_error err = { 0 };

	strv_add(&fixture->store->mirrors, "http://127.0.0.1:1/");
	strv_add(&fixture->store->mirrors, mirror);
	(void)add_answer(fixture, "/v2/library/x/manifests/latest", 200, &fixture->manifest);
	(void)add_answer(fixture, config, 200, &fixture->config);
	(void)add_answer(fixture, layer, 200, &fixture->layer);
	for (size_t i = 1; i < fixture->count; i++)
		fixture->answers[i].headers = "WWW-Authenticate: Basic realm=\"r\"\r\n";
	fixture->server.count = fixture->count;
	server_run(&fixture->server);
	assert_ok(image_store_pull(fixture->store, "x", "linux/amd64", &login, NULL, &image, &err));
	server_stop(&fixture->server);
	assert_int_equal(fixture->server.credentials, 0);
	assert_true(strv_contains(&image->names, "docker.io/library/x:latest"));
}

/* When no mirror has it, the registry itself is asked: by way of the proxy that is configured. */
static void test_mirror_fails(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *here = xasprintf("http://127.0.0.1:%u", fixture->server.port);
	struct cay_error err = { 0 };
	struct image *image = NULL;

	strv_add(&fixture->store->mirrors, here);
	(void)add_method(fixture, "CONNECT", "registry-1.docker.io:443", 403);
	fixture->server.count = fixture->count;
	assert_int_equal(setenv("HTTPS_PROXY", here, 1), 0);
	server_run(&fixture->server);
	assert_true(image_store_pull(fixture->store, "x", NULL, &login, NULL, &image, &err) < 0);
	server_stop(&fixture->server);
	forget_proxies();
	assert_non_null(strstr(buf_text(&fixture->server.log),
			       "GET /v2/library/x/manifests/latest 0\n"
			       "CONNECT registry-1.docker.io:443 0\n"));
	assert_int_equal(fixture->server.credentials, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_token),
		TEST(test_token_by_own_name),
		TEST(test_guarded),
		TEST(test_token_server_busy),
		TEST(test_token_server_broken),
		TEST(test_basic),
		TEST(test_secret_in_error),
		TEST(test_malformed_challenge),
		TEST(test_redirect),
		TEST(test_redirect_loop),
		TEST(test_redirect_to_file),
		TEST(test_leads_home),
		TEST(test_steps),
		TEST(test_malformed_redirect),
		TEST(test_insecure_by_itself),
		TEST(test_proxy_by_our_rules),
		TEST(test_insecure_network),
		TEST(test_not_insecure),
		TEST(test_mirrors),
		TEST(test_mirror_fails),
	};

	forget_proxies();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
