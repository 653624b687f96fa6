/* SPDX-License-Identifier: Apache-2.0 */
/* Sending blobs to registries that lie, stall, break off and want it otherwise. */
#include "image-push.h"

static int set_up_upload(void **state)
{
	int r = set_up(state);

	add_image(*state);
	add_config_answer(*state);
	return r;
}

static void test_no_location(void **state)
{
	struct fixture *fixture = *state;

	(void)add_method(fixture, "POST", UPLOADS, 202);
	add_taking_answers(fixture);
	assert_push_fails(fixture, CAY_INVALID, "without a Location");
}

static void test_malformed_location(void **state)
{
	static const char *const headers[] = {
		"Location: file:///etc/passwd\r\n",
		"Location: http://[\r\n",
		"Location: http://user:word@127.0.0.1/\r\n",
		"Location: ftp://x/\r\n",
	};
	struct fixture *fixture = *state;
	const size_t before = fixture->count;

	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		fixture->count = before;
		fixture->server.stop = false;
		add_method(fixture, "POST", UPLOADS, 202)->headers = headers[i];
		add_taking_answers(fixture);
		if (i + 1 < ARRAY_SIZE(headers)) {
			/* The listener is closed with the server's end: keep it for the next. */
			int copy = dup(fixture->server.listener);

			assert_push_fails(fixture, CAY_INVALID, "Location");
			fixture->server.listener = copy;
		} else {
			assert_push_fails(fixture, CAY_INVALID, "Location");
		}
	}
}

/* A registry elsewhere has no business with servers on this host or its link. */
static void test_location_leads_home(void **state)
{
	static const char *const locations[] = { "http://127.0.0.1:1/up/1",
						 "http://169.254.169.254/up/1",
						 "http://localhost/up/1" };
	struct fixture *fixture = *state;
	char address[INET_ADDRSTRLEN];

	if (!outer_address(address)) {
		print_message("this host has no address but loopback: NOT TESTED\n");
		skip();
	}
	_cleanup_free_ char *registry = xasprintf("%s:%u", address, fixture->server.port);
	_cleanup_free_ char *name = xasprintf("%s/x:latest", registry);
	_cleanup_free_ char *ours = xasprintf("127.0.0.1:%u/x:latest", fixture->server.port);
	struct answer *start = add_method(fixture, "POST", UPLOADS, 202);
	struct cay_error err = { 0 };

	strv_add(&fixture->store->insecure, registry);
	assert_ok(image_store_tag(fixture->store, ours, name, &err));
	(void)add_method(fixture, "PUT", "/up/1", 201);
	fixture->server.count = fixture->count;
	for (size_t i = 0; i < ARRAY_SIZE(locations); i++) {
		_cleanup_buf_ struct buf header = { 0 };
		struct image_pushed pushed;

		buf_printf(&header, "Location: %s\r\n", locations[i]);
		start->headers = header.data;
		fixture->server.stop = false;
		server_run(&fixture->server);
		assert_true(image_store_push(fixture->store, name, NULL, &login, NULL, &pushed,
					     &err) < 0);
		fixture->server.stop = true;
		assert_int_equal(pthread_join(fixture->server.thread, NULL), 0);
		assert_int_equal(err.code, CAY_FORBIDDEN);
	}
	assert_int_equal(count_asked(fixture, "PUT"), 0);
	(void)close(fixture->server.listener);
}

/* What the registry says of bytes that are not those of their digest. */
static void test_digest_mismatch(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf body = { 0 };

	buf_puts(&body, "{\"errors\":[{\"code\":\"DIGEST_INVALID\",\"message\":\"other\"}]}");
	add_method(fixture, "PUT", "/up/1", 400)->body = &body;
	add_taking_answers(fixture);
	assert_push_fails(fixture, CAY_CORRUPT, "DIGEST_INVALID: other");
}

static void test_damaged_here(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *path =
		content_blob_path(&fixture->store->content, fixture->layer_digest);
	_cleanup_buf_ struct buf body = { 0 };
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "other", 5, 1000), 5);
	buf_puts(&body, "{\"errors\":[{\"code\":\"DIGEST_INVALID\",\"message\":\"other\"}]}");
	add_method(fixture, "PUT", "/up/1", 400)->body = &body;
	add_taking_answers(fixture);
	assert_push_fails(fixture, CAY_CORRUPT, "is damaged");
}

static void test_stored_as_another(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *header =
		xasprintf("Docker-Content-Digest: %s\r\n", fixture->config_digest);

	add_method(fixture, "PUT", "/up/1", 201)->headers = header;
	add_taking_answers(fixture);
	assert_push_fails(fixture, CAY_CORRUPT, "another digest");
}

/* A reset in the middle: the registry says where it is, and gets the rest. */
static void test_resume(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *rest = NULL;
	struct answer *reset = add_method(fixture, "PUT", "/up/1", 201);
	struct cay_error err = { 0 };

	reset->take = 100000;
	reset->times = 1;
	add_answer(fixture, "/up/1", 204, NULL)->headers =
		"Range: 0-99999\r\nLocation: /up/1?state=b\r\n";
	add_method(fixture, "PATCH", "/up/1", 202)->headers = "Location: /up/1?state=c\r\n";
	add_taking_answers(fixture);
	assert_ok(push(fixture, &err));
	rest = xasprintf("PATCH /up/1?state=b %zu 100000-%zu", fixture->layer.length - 100000,
			 fixture->layer.length - 1);
	assert_asked(fixture, rest);
	assert_int_equal(fixture->server.taken.length, fixture->layer.length - 100000);
	assert_memory_equal(fixture->server.taken.data, fixture->layer.data + 100000,
			    fixture->server.taken.length);
	assert_int_equal(count_asked(fixture, "PUT /up/1?state=c&digest="), 1);
}

/* One that has forgotten the upload gets it from the start. */
static void test_forgotten(void **state)
{
	struct fixture *fixture = *state;
	struct answer *reset = add_method(fixture, "PUT", "/up/1", 201);
	struct cay_error err = { 0 };

	reset->take = 100000;
	reset->times = 1;
	add_taking_answers(fixture);
	assert_ok(push(fixture, &err));
	assert_int_equal(count_asked(fixture, "POST"), 2);
	assert_layer_taken(fixture);
}

/* The answer to the last request was lost, and the blob is there. */
static void test_lost_answer(void **state)
{
	struct fixture *fixture = *state;
	struct answer *absent = add_method(fixture, "HEAD", fixture->layer_path, 404);
	struct answer *reset;
	struct cay_error err = { 0 };

	absent->times = 1;
	add_method(fixture, "HEAD", fixture->layer_path, 200)->body = &fixture->layer;
	reset = add_method(fixture, "PUT", "/up/1", 201);
	reset->take = fixture->layer.length - 1;
	reset->times = 1;
	add_taking_answers(fixture);
	assert_ok(push(fixture, &err));
	assert_int_equal(count_asked(fixture, "PUT /up/"), 1);
}

static void test_reset_for_good(void **state)
{
	struct fixture *fixture = *state;

	add_method(fixture, "PUT", "/up/1", 201)->take = 1000;
	add_taking_answers(fixture);
	assert_push_fails(fixture, CAY_UNAVAILABLE, fixture->layer_digest);
	assert_true(count_asked(fixture, "PUT") < 10);
}

/* Too large in one piece, or not a way it knows. */
static void test_chunks_wanted(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *all = NULL, *header = NULL;
	struct cay_error err = { 0 };

	header =
		xasprintf("Location: /up/1?state=d\r\nRange: 0-%zu\r\n", fixture->layer.length - 1);
	add_method(fixture, "PUT", "/up/1", 413)->times = 1;
	add_method(fixture, "PATCH", "/up/1", 202)->headers = header;
	add_taking_answers(fixture);
	assert_ok(push(fixture, &err));
	all = xasprintf("PATCH /up/1?state=a %zu 0-%zu", fixture->layer.length,
			fixture->layer.length - 1);
	assert_asked(fixture, all);
	assert_layer_taken(fixture);
}

static void test_claims_too_much(void **state)
{
	struct fixture *fixture = *state;

	add_method(fixture, "PUT", "/up/1", 413)->times = 1;
	add_method(fixture, "PATCH", "/up/1", 202)->headers = "Range: 0-99999999\r\n";
	add_taking_answers(fixture);
	assert_push_fails(fixture, CAY_INVALID, "was not sent");
}

static void test_takes_nothing(void **state)
{
	struct fixture *fixture = *state;

	add_method(fixture, "PUT", "/up/1", 413)->times = 1;
	add_method(fixture, "PATCH", "/up/1", 202)->headers = "Range: 0-0\r\n";
	add_taking_answers(fixture);
	assert_push_fails(fixture, CAY_UNAVAILABLE, "takes no bytes");
}

/* It stands elsewhere than it said: the upload is begun again, but not for ever. */
static void test_range_not_satisfiable(void **state)
{
	struct fixture *fixture = *state;

	add_method(fixture, "PUT", "/up/1", 413)->times = 1;
	(void)add_method(fixture, "PATCH", "/up/1", 416);
	add_taking_answers(fixture);
	assert_push_fails(fixture, CAY_UNAVAILABLE, "HTTP status 416");
	assert_true(count_asked(fixture, "PATCH") < 10);
}

static void test_busy(void **state)
{
	struct fixture *fixture = *state;
	const int64_t start = clock_monotonic_ms();
	struct answer *busy = add_method(fixture, "POST", UPLOADS, 429);
	struct cay_error err = { 0 };

	busy->times = 1;
	busy->headers = "Retry-After: 1\r\n";
	add_method(fixture, "PUT", "/up/1", 503)->times = 2;
	add_taking_answers(fixture);
	assert_ok(push(fixture, &err));
	assert_true(clock_monotonic_ms() - start >= 1000);
	assert_true(fixture->server.taken.length >= fixture->layer.length);
}

static void test_broken_for_good(void **state)
{
	struct fixture *fixture = *state;

	(void)add_method(fixture, "PUT", "/up/1", 500);
	add_taking_answers(fixture);
	assert_push_fails(fixture, CAY_UNAVAILABLE, "HTTP status 500");
	assert_true(count_asked(fixture, "PUT") < 10);
}

static void test_silence(void **state)
{
	struct fixture *fixture = *state;

	add_method(fixture, "POST", UPLOADS, 202)->silent = true;
	assert_push_fails(fixture, CAY_TIMEOUT, "sends nothing");
}

static void test_cancel(void **state)
{
	struct fixture *fixture = *state;
	const int64_t start = clock_monotonic_ms();
	int64_t until = start + 200;
	const struct image_progress_sink sink = { .cancelled = cancelled_after, .user = &until };
	struct cay_error err = { 0 };

	fixture->store->idle_seconds = 60;
	add_method(fixture, "PUT", "/up/1", 201)->silent = true;
	add_taking_answers(fixture);
	assert_true(push_as(fixture, NULL, &sink, &err) < 0);
	assert_int_equal(err.code, CAY_CANCELLED);
	assert_true(clock_monotonic_ms() - start < 3000);
}

/* Only the two that keep method and body are followed. */
static void test_redirects(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	add_method(fixture, "POST", UPLOADS, 307)->headers = "Location: /elsewhere\r\n";
	add_method(fixture, "POST", "/elsewhere", 202)->headers = "Location: /up/1\r\n";
	add_method(fixture, "PUT", "/up/1", 308)->headers = "Location: /up/2\r\n";
	(void)add_method(fixture, "PUT", "/up/2", 201);
	add_taking_answers(fixture);
	assert_ok(push(fixture, &err));
	assert_layer_taken(fixture);
}

static void test_other_redirects(void **state)
{
	struct fixture *fixture = *state;

	add_method(fixture, "POST", UPLOADS, 301)->headers = "Location: /up/1\r\n";
	add_taking_answers(fixture);
	assert_push_fails(fixture, CAY_UNAVAILABLE, "HTTP status 301");
}

static void test_redirect_loop(void **state)
{
	struct fixture *fixture = *state;

	add_method(fixture, "POST", UPLOADS, 307)->headers = "Location: " UPLOADS "\r\n";
	add_taking_answers(fixture);
	assert_push_fails(fixture, CAY_UNAVAILABLE, "redirects");
	assert_true(count_asked(fixture, "POST") < 15);
}

#define UPLOAD_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_upload, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		UPLOAD_TEST(test_no_location),
		UPLOAD_TEST(test_malformed_location),
		UPLOAD_TEST(test_location_leads_home),
		UPLOAD_TEST(test_digest_mismatch),
		UPLOAD_TEST(test_damaged_here),
		UPLOAD_TEST(test_stored_as_another),
		UPLOAD_TEST(test_resume),
		UPLOAD_TEST(test_forgotten),
		UPLOAD_TEST(test_lost_answer),
		UPLOAD_TEST(test_reset_for_good),
		UPLOAD_TEST(test_chunks_wanted),
		UPLOAD_TEST(test_claims_too_much),
		UPLOAD_TEST(test_takes_nothing),
		UPLOAD_TEST(test_range_not_satisfiable),
		UPLOAD_TEST(test_busy),
		UPLOAD_TEST(test_broken_for_good),
		UPLOAD_TEST(test_silence),
		UPLOAD_TEST(test_cancel),
		UPLOAD_TEST(test_redirects),
		UPLOAD_TEST(test_other_redirects),
		UPLOAD_TEST(test_redirect_loop),
	};

	forget_proxies();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
