/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pulling from registries that lie, stall, break off and redirect: a server in
 * this program answers each path as its script says.
 */
#include "image-fixture.h"
#include "image-server.h"

#include "base/clock.h"
#include "image/manifest.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>

/* An image of one layer, in the server's form; and a store to pull it to. */
struct fixture {
	char directory[64];
	struct image_store *store;
	struct buf layer, config, manifest;
	char layer_path[128], config_path[128];
	struct answer answers[16];
	size_t count;
	struct server server;
};

static struct answer *add_answer(struct fixture *fixture, const char *path, int status,
				 const struct buf *body)
{
	struct answer *answer = &fixture->answers[fixture->count++];

	*answer = (struct answer){ .path = path, .status = status, .body = body };
	return answer;
}

static int set_up(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));
	char layer[DIGEST_SIZE], config[DIGEST_SIZE];
	struct tar_item item = { .type = '0', .name = "file" };
	_cleanup_free_ char *contents = xmalloc(300001);

	for (size_t i = 0; i < 300000; i++)
		contents[i] = (char)('a' + i * 7 % 26);
	contents[300000] = '\0';
	item.contents = contents;
	make_test_directory(fixture->directory);
	_cleanup_free_ char *root = path_join(fixture->directory, "root");

	fixture->store = open_test_store(root);
	fixture->store->idle_seconds = 1;
	tar_add(&fixture->layer, &item);
	tar_end(&fixture->layer);
	digest_of(fixture->layer.data, fixture->layer.length, layer);
	buf_printf(&fixture->config,
		   "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\","
		   "\"diff_ids\":[\"%s\"]}}",
		   layer);
	digest_of(fixture->config.data, fixture->config.length, config);
	buf_printf(&fixture->manifest,
		   "{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\",\"size\":%zu},\"layers\":[{"
		   "\"digest\":\"%s\",\"size\":%zu}]}",
		   config, fixture->config.length, layer, fixture->layer.length);
	(void)snprintf(fixture->layer_path, 128, "/v2/x/blobs/%s", layer);
	(void)snprintf(fixture->config_path, 128, "/v2/x/blobs/%s", config);
	server_start(&fixture->server, fixture->answers, 0);
	(void)add_answer(fixture, "/v2/", 200, NULL);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	image_store_close(fixture->store);
	assert_ok(remove_tree(fixture->directory, &err));
	buf_done(&fixture->layer);
	buf_done(&fixture->config);
	buf_done(&fixture->manifest);
	free(fixture);
	return 0;
}

/* The rest of a good registry's answers, behind what the test has put in front. */
static void add_good_answers(struct fixture *fixture)
{
	(void)add_answer(fixture, "/v2/x/manifests/latest", 200, &fixture->manifest);
	(void)add_answer(fixture, fixture->config_path, 200, &fixture->config);
	(void)add_answer(fixture, fixture->layer_path, 200, &fixture->layer);
}

static int pull_from(struct fixture *fixture, const char *host,
		     const struct image_credentials *credentials,
		     const struct image_progress_sink *sink, struct cay_error *err)
{
	_cleanup_free_ char *reference = xasprintf("%s:%u/x", host, fixture->server.port);
	struct image *image = NULL;
	int r;

	fixture->server.count = fixture->count;
	server_run(&fixture->server);
	r = image_store_pull(fixture->store, reference, "linux/amd64", credentials, sink, &image,
			     err);
	server_stop(&fixture->server);
	if (r == 0)
		assert_int_equal(image->layer_count, 1);
	image_free(image);
	return r;
}

static int pull(struct fixture *fixture, struct cay_error *err)
{
	return pull_from(fixture, "127.0.0.1", NULL, NULL, err);
}

/* A failed pull must leave nothing: no image, no file. */
static void assert_fails(struct fixture *fixture, enum cay_code code, const char *part)
{
	_cleanup_free_ char *blobs =
		path_join(fixture->store->content.root, "content/blobs/sha256");
	_cleanup_free_ char *layers = path_join(fixture->store->content.root, "layers");
	_cleanup_free_ char *temporary = path_join(fixture->store->content.root, "images/tmp");
	_cleanup_buf_ struct buf left = { 0 };
	struct cay_error err = { 0 };
	struct image **images;
	size_t count;

	if (pull(fixture, &err) >= 0)
		fail_msg("pulled instead of: %s", part);
	if (err.code != code || !strstr(err.message, part))
		fail_msg("\"%s\" (%s) instead of \"%s\"", err.message, cay_code_name(err.code),
			 part);
	assert_ok(image_store_list(fixture->store, &images, &count, &err));
	free(images);
	assert_int_equal(count, 0);
	describe_tree(blobs, "", &left);
	describe_tree(layers, "", &left);
	describe_tree(temporary, "", &left);
	assert_string_equal(buf_text(&left), "");
}

static void test_good(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	add_good_answers(fixture);
	assert_ok(pull(fixture, &err));
	assert_int_equal(fixture->server.requests, 4);
	assert_int_equal(fixture->server.credentials, 0);
}

static void test_wrong_bytes(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf wrong = { 0 };

	buf_append(&wrong, fixture->layer.data, fixture->layer.length);
	wrong.data[1000] ^= 1;
	(void)add_answer(fixture, fixture->layer_path, 200, &wrong);
	add_good_answers(fixture);
	assert_fails(fixture, CAY_CORRUPT, "another digest");
}

static void test_too_long(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf wrong = { 0 };

	buf_append(&wrong, fixture->layer.data, fixture->layer.length);
	buf_puts(&wrong, "more");
	(void)add_answer(fixture, fixture->layer_path, 200, &wrong);
	add_good_answers(fixture);
	assert_fails(fixture, CAY_CORRUPT, "longer than");
}

static void test_wrong_config(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf wrong = { 0 };

	buf_append(&wrong, fixture->config.data, fixture->config.length);
	wrong.data[5] ^= 1;
	(void)add_answer(fixture, fixture->config_path, 200, &wrong);
	add_good_answers(fixture);
	assert_fails(fixture, CAY_CORRUPT, "another digest");
}

static void test_content_type(void **state)
{
	struct fixture *fixture = *state;

	add_answer(fixture, "/v2/x/manifests/latest", 200, &fixture->manifest)->headers =
		"Content-Type: " MEDIA_OCI_INDEX "\r\n";
	add_good_answers(fixture);
	assert_fails(fixture, CAY_INVALID, "media type");
}

static void test_told_digest(void **state)
{
	struct fixture *fixture = *state;

	add_answer(fixture, "/v2/x/manifests/latest", 200, &fixture->manifest)->headers =
		"Docker-Content-Digest: sha256:0123456789012345678901234567890123456789012345678901"
		"234567890123\r\n";
	add_good_answers(fixture);
	assert_fails(fixture, CAY_CORRUPT, "digest");
}

static void test_huge_manifest(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf huge = { 0 };

	memset(buf_reserve(&huge, DOCUMENT_MAX + 1), ' ', DOCUMENT_MAX + 1);
	huge.length = DOCUMENT_MAX + 1;
	(void)add_answer(fixture, "/v2/x/manifests/latest", 200, &huge);
	assert_fails(fixture, CAY_TOO_LARGE, "larger");
}

static void test_resume(void **state)
{
	struct fixture *fixture = *state;
	struct answer *answer;
	struct cay_error err = { 0 };

	answer = add_answer(fixture, fixture->layer_path, 200, &fixture->layer);
	answer->cut = 70000;
	answer->times = 4;
	answer->ranges = true;
	add_good_answers(fixture);
	fixture->answers[fixture->count - 1].ranges = true;
	assert_ok(pull(fixture, &err));
	assert_int_equal(fixture->server.requests, 8);
}

/* The whole comes again where a part was asked for: what is there already is passed over. */
static void test_range_ignored(void **state)
{
	struct fixture *fixture = *state;
	struct answer *answer = add_answer(fixture, fixture->layer_path, 200, &fixture->layer);
	struct cay_error err = { 0 };

	answer->cut = 100000;
	answer->times = 2;
	add_good_answers(fixture);
	assert_ok(pull(fixture, &err));
}

static void test_range_refused(void **state)
{
	struct fixture *fixture = *state;
	struct answer *answer = add_answer(fixture, fixture->layer_path, 200, &fixture->layer);
	struct cay_error err = { 0 };

	answer->cut = 100000;
	answer->times = 1;
	add_answer(fixture, fixture->layer_path, 416, NULL)->times = 1;
	add_good_answers(fixture);
	assert_ok(pull(fixture, &err));
}

static void test_busy(void **state)
{
	struct fixture *fixture = *state;
	struct answer *answer;
	const int64_t start = clock_monotonic_ms();
	struct cay_error err = { 0 };

	answer = add_answer(fixture, "/v2/x/manifests/latest", 429, NULL);
	answer->times = 1;
	answer->headers = "Retry-After: 1\r\n";
	add_answer(fixture, fixture->layer_path, 503, NULL)->times = 3;
	add_good_answers(fixture);
	assert_ok(pull(fixture, &err));
	assert_true(clock_monotonic_ms() - start >= 1000);
}

static void test_broken_for_good(void **state)
{
	struct fixture *fixture = *state;

	(void)add_answer(fixture, fixture->layer_path, 500, NULL);
	add_good_answers(fixture);
	assert_fails(fixture, CAY_UNAVAILABLE, "HTTP status 500");
	assert_true(fixture->server.requests < 15);
}

static void test_silence(void **state)
{
	struct fixture *fixture = *state;

	add_answer(fixture, "/v2/x/manifests/latest", 200, NULL)->silent = true;
	assert_fails(fixture, CAY_TIMEOUT, "sends nothing");
}

static bool cancelled_after(void *user)
{
	return clock_monotonic_ms() > *(int64_t *)user;
}

static void test_cancel(void **state)
{
	struct fixture *fixture = *state;
	const int64_t start = clock_monotonic_ms();
	int64_t until = start + 200;
	const struct image_progress_sink sink = { .cancelled = cancelled_after, .user = &until };
	struct cay_error err = { 0 };

	fixture->store->idle_seconds = 60;
	add_answer(fixture, fixture->layer_path, 200, NULL)->silent = true;
	add_good_answers(fixture);
	assert_true(pull_from(fixture, "127.0.0.1", NULL, &sink, &err) < 0);
	assert_int_equal(err.code, CAY_CANCELLED);
	assert_true(clock_monotonic_ms() - start < 3000);
}

static void test_missing(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf body = { 0 };

	buf_puts(&body, "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"gone\"}]}");
	(void)add_answer(fixture, "/v2/x/manifests/latest", 404, &body);
	assert_fails(fixture, CAY_NOT_FOUND, "MANIFEST_UNKNOWN: gone");
}

#define PASSWORD "s3cret-word"

static const struct image_credentials login = { .username = "user", .password = PASSWORD };

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
	/* One refused request, then a token for all three: four with it or for it, none before. */
	assert_int_equal(fixture->server.requests, 6);
	assert_int_equal(fixture->server.credentials, 3);
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

/* An address of this host that is not loopback, as a registry elsewhere would have. */
static bool outer_address(char text[INET_ADDRSTRLEN])
{
	struct ifaddrs *list = NULL;
	bool found = false;

	assert_int_equal(getifaddrs(&list), 0);
	for (struct ifaddrs *at = list; at && !found; at = at->ifa_next) {
		if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET ||
		    (at->ifa_flags & IFF_LOOPBACK) || !(at->ifa_flags & IFF_UP))
			continue;
		found = inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)at->ifa_addr)->sin_addr,
				  text, INET_ADDRSTRLEN) != NULL;
	}
	freeifaddrs(list);
	return found;
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
		/* It was asked what it speaks, and then for the manifest. */
		assert_int_equal(fixture->server.requests, 2);
		assert_int_equal(fixture->server.credentials, 0);
		buf_done(&text);
	}
	(void)close(fixture->server.listener);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good),
		TEST(test_wrong_bytes),
		TEST(test_too_long),
		TEST(test_wrong_config),
		TEST(test_content_type),
		TEST(test_told_digest),
		TEST(test_huge_manifest),
		TEST(test_resume),
		TEST(test_range_ignored),
		TEST(test_range_refused),
		TEST(test_busy),
		TEST(test_broken_for_good),
		TEST(test_silence),
		TEST(test_cancel),
		TEST(test_missing),
		TEST(test_token),
		TEST(test_basic),
		TEST(test_secret_in_error),
		TEST(test_malformed_challenge),
		TEST(test_redirect),
		TEST(test_redirect_loop),
		TEST(test_redirect_to_file),
		TEST(test_leads_home),
	};

	/* The servers are on this host: a proxy of its environment would stand in between. */
	static const char *const proxies[] = { "http_proxy", "https_proxy", "HTTPS_PROXY",
					       "all_proxy",  "ALL_PROXY",   "no_proxy" };

	for (size_t i = 0; i < ARRAY_SIZE(proxies); i++)
		(void)unsetenv(proxies[i]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
