/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pulling from registries that lie, stall and break off: a server in this
 * program answers each path as its script says.
 */
#include "image-registry.h"

#include <dlfcn.h>
#include <netdb.h>

#define DEAF_NAME "deaf.invalid"

/* In place of the C library's, for libcurl too: one name is asked of a server that is silent. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
		struct addrinfo **list)
{
	int (*real)(const char *name, const char *service, const struct addrinfo *hints,
		    struct addrinfo **list) = NULL;
	void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");

	memcpy(&real, &symbol, sizeof(symbol));
	if (!name || strcmp(name, DEAF_NAME) != 0)
		return real(name, service, hints, list);
	(void)poll(NULL, 0, 5000);
	return EAI_AGAIN;
}

static void test_good(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	add_good_answers(fixture);
	assert_ok(pull(fixture, &err));
	assert_int_equal(fixture->server.requests, 3);
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
	assert_int_equal(fixture->server.requests, 7);
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

/* Where the last of all tries is one that would have been followed by another from the start. */
static void test_range_refused_at_last(void **state)
{
	struct fixture *fixture = *state;
	struct answer *answer = add_answer(fixture, fixture->layer_path, 200, &fixture->layer);

	answer->cut = 100000;
	answer->times = 1;
	add_answer(fixture, fixture->layer_path, 503, NULL)->times = 4;
	(void)add_answer(fixture, fixture->layer_path, 416, NULL);
	add_good_answers(fixture);
	assert_fails(fixture, CAY_UNAVAILABLE, "refuses to go on");
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

/* Not even a name server that says nothing is waited for. */
static void test_cancel_name(void **state)
{
	struct fixture *fixture = *state;
	const int64_t start = clock_monotonic_ms();
	int64_t until = start + 200;
	const struct image_progress_sink sink = { .cancelled = cancelled_after, .user = &until };
	struct cay_error err = { 0 };

	assert_true(pull_from(fixture, DEAF_NAME, NULL, &sink, &err) < 0);
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

/* A byte at a time is as good as silence. */
static void test_slow(void **state)
{
	struct fixture *fixture = *state;
	const int64_t start = clock_monotonic_ms();

	add_answer(fixture, "/v2/x/manifests/latest", 200, &fixture->manifest)->slow = true;
	assert_fails(fixture, CAY_TIMEOUT, "sends nothing");
	assert_true(clock_monotonic_ms() - start < 10000);
}

/* An error's body is no way to fill the memory, or to keep us. */
static void test_endless_error(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf body = { 0 };
	struct cay_error err = { 0 };

	buf_puts(&body, "{\"errors\":[{\"code\":\"X\",\"message\":\"");
	memset(buf_reserve(&body, 8 << 20), 'a', 8 << 20);
	body.length += 8 << 20;
	(void)add_answer(fixture, "/v2/x/manifests/latest", 404, &body);
	assert_true(pull(fixture, &err) < 0);
	assert_int_equal(err.code, CAY_NOT_FOUND);
	assert_true(strlen(err.message) < 1000);
}

/* Long texts of a registry are cut, and what would confuse a terminal is taken out. */
static void test_error_text(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf body = { 0 };
	struct cay_error err = { 0 };

	buf_puts(&body, "{\"errors\":[{\"code\":\"X\",\"message\":\"\\u001b[2J\\n");
	for (int i = 0; i < 1000; i++)
		buf_puts(&body, "word ");
	buf_puts(&body, "\"}]}");
	(void)add_answer(fixture, "/v2/x/manifests/latest", 404, &body);
	assert_true(pull(fixture, &err) < 0);
	assert_null(strpbrk(err.message, "\033\n"));
	assert_non_null(strstr(err.message, "X: ?[2J?word word"));
	assert_true(strlen(err.message) < 600);
}

/* One blob, wanted by two at once, comes once. */
struct second_pull {
	struct fixture *fixture;
	int result;
};

static void *pull_again(void *data)
{
	struct second_pull *second = data;
	_cleanup_free_ char *reference =
		xasprintf("127.0.0.1:%u/x:other", second->fixture->server.port);
	_cleanup_(image_free_p) struct image *image = NULL;

	second->result = image_store_pull(second->fixture->store, reference, "linux/amd64", NULL,
					  NULL, &image, NULL);
	return NULL;
}

static void test_joined(void **state)
{
	struct fixture *fixture = *state;
	struct second_pull second = { .fixture = fixture };
	_cleanup_free_ char *reference = xasprintf("127.0.0.1:%u/x", fixture->server.port);
	_cleanup_free_ char *asked = xasprintf("GET %s 0\n", fixture->layer_path);
	_cleanup_(image_free_p) struct image *image = NULL;
	struct cay_error err = { 0 };
	const char *first;
	pthread_t thread;

	add_good_answers(fixture);
	(void)add_answer(fixture, "/v2/x/manifests/other", 200, &fixture->manifest);
	fixture->server.count = fixture->count;
	server_run(&fixture->server);
	assert_int_equal(pthread_create(&thread, NULL, pull_again, &second), 0);
	assert_ok(image_store_pull(fixture->store, reference, "linux/amd64", NULL, NULL, &image,
				   &err));
	assert_int_equal(pthread_join(thread, NULL), 0);
	server_stop(&fixture->server);
	assert_int_equal(second.result, 0);
	first = strstr(buf_text(&fixture->server.log), asked);
	assert_non_null(first);
	assert_null(strstr(first + 1, asked));
}

/* Nothing but the manifest is asked for when all of it is here. */
static void test_again(void **state)
{
	struct fixture *fixture = *state;
	int listener = dup(fixture->server.listener);
	struct cay_error err = { 0 };

	add_good_answers(fixture);
	assert_ok(pull(fixture, &err));
	fixture->server.listener = listener;
	fixture->server.stop = false;
	buf_clear(&fixture->server.log);
	assert_ok(pull(fixture, &err));
	assert_string_equal(buf_text(&fixture->server.log), "GET /v2/x/manifests/latest 0\n");
}

/* A header without a value says nothing: the document itself tells. */
static void test_empty_content_type(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	add_answer(fixture, "/v2/x/manifests/latest", 200, &fixture->manifest)->headers =
		"Content-Type: \r\n";
	add_good_answers(fixture);
	assert_ok(pull(fixture, &err));
}

/* A layer that the manifest has a URL for, at `other`. */
static void make_foreign(struct fixture *fixture, unsigned int port)
{
	buf_clear(&fixture->manifest);
	buf_printf(&fixture->manifest,
		   "{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\",\"size\":%zu},\"layers\":[{"
		   "\"digest\":\"%s\",\"size\":%zu,\"urls\":[\"file:///etc/passwd\","
		   "\"http://127.0.0.1:%u/foreign\"]}]}",
		   fixture->config_digest, fixture->config.length, fixture->layer_digest,
		   fixture->layer.length, port);
}

/* It comes from there if the registry does not have it, without credentials whatever is asked. */
static void test_foreign(void **state)
{
	struct fixture *fixture = *state;
	struct answer other_answers[2];
	struct server other;
	struct cay_error err = { 0 };

	server_start(&other, other_answers, 1);
	other_answers[0] =
		(struct answer){ .path = "/foreign", .status = 200, .body = &fixture->layer };
	make_foreign(fixture, other.port);
	(void)add_answer(fixture, fixture->layer_path, 404, NULL);
	add_good_answers(fixture);
	fixture->answers[fixture->count - 3].needs = "Authorization: Basic";
	fixture->answers[fixture->count - 3].headers = "WWW-Authenticate: Basic realm=\"r\"\r\n";
	server_run(&other);
	assert_ok(pull_from(fixture, "127.0.0.1", &login, NULL, &err));
	server_stop(&other);
	assert_true(fixture->server.credentials > 0);
	assert_int_equal(other.requests, 1);
	assert_int_equal(other.credentials, 0);
	server_done(&other);
}

static void test_foreign_asks(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	/* Even at the registry's own address: a URL in a manifest is anybody's. */
	make_foreign(fixture, fixture->server.port);
	add_answer(fixture, "/foreign", 401, NULL)->headers =
		"WWW-Authenticate: Basic realm=\"r\"\r\n";
	(void)add_answer(fixture, fixture->layer_path, 404, NULL);
	add_good_answers(fixture);
	assert_true(pull_from(fixture, "127.0.0.1", &login, NULL, &err) < 0);
	assert_int_equal(err.code, CAY_UNAUTHORIZED);
	assert_int_equal(fixture->server.credentials, 0);
}

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
		TEST(test_empty_content_type),
		TEST(test_range_ignored),
		TEST(test_range_refused),
		TEST(test_range_refused_at_last),
		TEST(test_busy),
		TEST(test_broken_for_good),
		TEST(test_silence),
		TEST(test_cancel),
		TEST(test_cancel_name),
		TEST(test_missing),
		TEST(test_slow),
		TEST(test_endless_error),
		TEST(test_error_text),
		TEST(test_joined),
		TEST(test_again),
		TEST(test_foreign),
		TEST(test_foreign_asks),
	};

	forget_proxies();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
