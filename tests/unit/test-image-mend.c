/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a pull finds of an image that is here in part or damaged, and workers
 * that do not come to an end: none of it needs more than another pull.
 */
#include "image-registry.h"

#include "base/file.h"

/* Inverts a byte in the middle. Takes the path. */
static void flip(char *path)
{
	_cleanup_buf_ struct buf bytes = { 0 };
	struct cay_error err = { 0 };

	assert_ok(file_read(path, MIB, &bytes, &err));
	bytes.data[bytes.length / 2] ^= 1;
	assert_ok(file_write_atomic(path, bytes.data, bytes.length, 0444, &err));
	free(path);
}

static void assert_readable(const struct fixture *fixture, const char *digest)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct cay_error err = { 0 };

	assert_ok(content_read_blob(&fixture->store->content, digest, MIB, &text, &err));
}

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

static void test_documents(void **state)
{
	struct fixture *fixture = *state;
	const struct content *content = &fixture->store->content;
	char manifest[DIGEST_SIZE];
	struct cay_error err = { 0 };

	digest_of(fixture->manifest.data, fixture->manifest.length, manifest);
	serve_good_answers(fixture);
	assert_ok(get(fixture, NULL, &err));
	flip(content_blob_path(content, fixture->config_digest));
	assert_ok(get(fixture, NULL, &err));
	assert_readable(fixture, fixture->config_digest);
	flip(content_blob_path(content, manifest));
	assert_ok(get(fixture, NULL, &err));
	assert_readable(fixture, manifest);
	server_stop(&fixture->server);
}

static void test_index(void **state)
{
	struct fixture *fixture = *state;
	const struct content *content = &fixture->store->content;
	char manifest[DIGEST_SIZE], digest[DIGEST_SIZE], path[128];
	_cleanup_buf_ struct buf index = { 0 };
	struct cay_error err = { 0 };

	digest_of(fixture->manifest.data, fixture->manifest.length, manifest);
	buf_printf(&index,
		   "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"manifests\":[{"
		   "\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":\"linux\","
		   "\"architecture\":\"amd64\"}}]}",
		   manifest, fixture->manifest.length);
	digest_of(index.data, index.length, digest);
	(void)snprintf(path, sizeof(path), "/v2/x/manifests/%s", manifest);
	add_answer(fixture, "/v2/x/manifests/latest", 200, &index)->headers =
		"Content-Type: " MEDIA_OCI_INDEX "\r\n";
	(void)add_answer(fixture, path, 200, &fixture->manifest);
	serve_good_answers(fixture);
	assert_ok(get(fixture, NULL, &err));
	flip(content_blob_path(content, manifest));
	assert_ok(get(fixture, NULL, &err));
	assert_readable(fixture, manifest);
	flip(content_blob_path(content, digest));
	assert_ok(get(fixture, NULL, &err));
	assert_readable(fixture, digest);
	server_stop(&fixture->server);
}

/* Only converting a layer shows that its blob is damaged: the person is told what to do. */
static void test_layer(void **state)
{
	struct fixture *fixture = *state;
	const struct content *content = &fixture->store->content;
	_cleanup_free_ char *index = content_index_path(content, fixture->layer_digest);
	_cleanup_free_ char *name = NULL;
	struct image_verdict verdict;
	struct cay_error err = { 0 };

	name = xasprintf("127.0.0.1:%u/x", fixture->server.port);
	serve_good_answers(fixture);
	assert_ok(get(fixture, NULL, &err));
	flip(content_blob_path(content, fixture->layer_digest));
	assert_int_equal(unlink(index), 0);
	assert_true(get(fixture, NULL, &err) < 0);
	assert_int_equal(err.code, CAY_CORRUPT);
	assert_non_null(strstr(err.message, "`cay image verify NAME`"));
	cay_error_clear(&err);
	assert_ok(image_store_verify(fixture->store, name, NULL, &verdict, &err));
	assert_false(verdict.ok);
	image_verdict_done(&verdict);
	assert_ok(get(fixture, NULL, &err));
	assert_readable(fixture, fixture->layer_digest);
	server_stop(&fixture->server);
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
		TEST(test_documents),        TEST(test_index),      TEST(test_layer),
		TEST(test_sleeping_workers), TEST(test_collection),
	};

	forget_proxies();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
