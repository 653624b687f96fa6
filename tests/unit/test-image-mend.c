/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a pull finds of an image that is here in part or damaged, and workers
 * that do not come to an end: none of it needs more than another pull.
 */
#include "image-registry.h"

#include "base/file.h"

/* Pulls from the server that runs all through the test. */
static int get(struct fixture *fixture, const struct image_progress_sink *sink,
	       struct cay_error *err)
{
	_cleanup_free_ char *reference = xasprintf("127.0.0.1:%u/x", fixture->server.port);

	cay_error_clear(err);
	return image_store_pull(fixture->store, reference, "linux/amd64", NULL, sink, NULL, err);
}

static void serve_good_answers(struct fixture *fixture)
{
	add_good_answers(fixture);
	fixture->server.count = fixture->count;
	server_run(&fixture->server);
}

static bool cancelled_after(void *user)
{
	return clock_monotonic_ms() > *(int64_t *)user;
}

/* Workers that sleep, as one could that a layer has taken over: the limit on computing is no use.
 */
static void test_sleeping_workers(void **state)
{
	static const char *const lines[] = {
		"[ \"$1\" = merge ] && exec sleep 1000",
		"[ \"$1\" = layer ] && cat >/dev/null && exec sleep 1000",
		"[ \"$1\" = layer ] && exec sleep 1000", /* without taking its input */
	};
	struct fixture *fixture = *state;
	struct worker_program *worker = &fixture->store->worker;
	_cleanup_free_ char *script = path_join(fixture->directory, "worker");
	_cleanup_free_ char *real = worker->path;
	struct cay_error err = { 0 };

	serve_good_answers(fixture);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		_cleanup_free_ char *text =
			xasprintf("#!/bin/sh\n%s\nexec %s \"$@\"\n", lines[i], real);
		const int64_t start = clock_monotonic_ms();
		int64_t until = start + 300;
		const struct image_progress_sink sink = { .cancelled = cancelled_after,
							  .user = &until };

		assert_ok(file_write_atomic(script, text, strlen(text), 0700, &err));
		worker->path = script;
		worker->stall_ms = 500;
		assert_true(get(fixture, NULL, &err) < 0);
		assert_int_equal(err.code, CAY_TIMEOUT);
		assert_non_null(strstr(err.message, "stood still"));
		worker->stall_ms = 0;
		until = clock_monotonic_ms() + 300;
		assert_true(get(fixture, &sink, &err) < 0);
		assert_int_equal(err.code, CAY_CANCELLED);
		assert_true(clock_monotonic_ms() - start < 30000);
	}
	/* Nothing is claimed any more. */
	worker->path = xstrdup(real);
	assert_ok(get(fixture, NULL, &err));
	server_stop(&fixture->server);
}

/* The folders are read only when there is something to be cleared away. */
static void test_collection(void **state)
{
	struct fixture *fixture = *state;
	struct pins pins = { .store = fixture->store };
	_cleanup_free_ char *stray = NULL, *name = NULL;
	struct image_verdict verdict;
	char digest[DIGEST_SIZE];
	struct cay_error err = { 0 };

	name = xasprintf("127.0.0.1:%u/x", fixture->server.port);
	serve_good_answers(fixture);
	assert_ok(get(fixture, NULL, &err));
	digest_of("stray", 5, digest);
	stray = content_blob_path(&fixture->store->content, digest);
	assert_ok(content_write_blob(&fixture->store->content, "stray", 5, &err));

	assert_ok(image_store_verify(fixture->store, name, NULL, &verdict, &err));
	image_verdict_done(&verdict);
	assert_true(image_store_verify(fixture->store, "nosuch", NULL, &verdict, NULL) < 0);
	assert_ok(get(fixture, NULL, &err));
	assert_true(file_exists(stray));

	digest[10] = digest[10] == '0' ? '1' : '0'; /* of which nobody knows */
	pins_add(&pins, digest);
	pins_done(&pins);
	assert_false(file_exists(stray));
	server_stop(&fixture->server);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_sleeping_workers),
		TEST(test_collection),
	};

	forget_proxies();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
