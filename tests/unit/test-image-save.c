/* SPDX-License-Identifier: Apache-2.0 */
/* Saving: the same bytes again, a way back in, and failures before and after the first byte. */
#include "image-store.h"

static int set_up_loaded(void **state)
{
	static const char *const layers[] = { "f:a=1", "f:b=2", NULL };
	_cleanup_buf_ struct buf archive = { 0 };
	_cleanup_strv_ struct strv loaded = { 0 };
	struct cay_error err = { 0 };
	struct fixture *fixture;
	int r = set_up(state);

	fixture = *state;
	archive_docker(&archive, "\"app:1\",\"app:2\"", layers, false);
	assert_ok(archive_load(fixture->store, &archive, &loaded, &err));
	return r;
}

/* Takes the archive; `left` bytes at most where it is set. */
struct taker {
	struct buf taken;
	size_t limit;
};

static int take(const void *data, size_t size, void *user, struct cay_error *err)
{
	struct taker *taker = user;

	if (taker->limit > 0 && taker->taken.length + size > taker->limit)
		return cay_error_set(err, CAY_NO_SPACE, ENOSPC, "full");
	buf_append(&taker->taken, data, size);
	return 0;
}

static int save(struct fixture *fixture, const char *name, struct taker *taker,
		const struct image_progress_sink *sink, struct cay_error *err)
{
	const struct image_writer writer = { take, taker };
	_cleanup_strv_ struct strv names = { 0 };

	if (name)
		strv_add(&names, name);
	return image_store_save(fixture->store, &names, NULL, &writer, sink, err);
}

static void test_round_trip(void **state)
{
	struct fixture *fixture = *state;
	struct taker first = { 0 }, second = { 0 };
	_cleanup_image_removal_ struct image_removal removal = { 0 };
	_cleanup_strv_ struct strv loaded = { 0 };
	struct cay_error err = { 0 };

	assert_ok(save(fixture, "app", &first, NULL, &err));
	assert_ok(save(fixture, "docker.io/library/app", &second, NULL, &err));
	assert_int_equal(first.taken.length, second.taken.length);
	assert_int_equal(first.taken.length % 512, 0);
	assert_memory_equal(first.taken.data, second.taken.data, first.taken.length);
	assert_ok(image_store_remove(fixture->store, "app:1", false, NULL, &removal, &err));
	assert_ok(image_store_remove(fixture->store, "app:2", false, NULL, &removal, &err));
	assert_ok(archive_load(fixture->store, &first.taken, &loaded, &err));
	assert_int_equal(loaded.count, 2);
	assert_string_equal(loaded.items[0], "app:1");
	assert_string_equal(loaded.items[1], "app:2");
	buf_done(&first.taken);
	buf_done(&second.taken);
}

static bool yes(void *user)
{
	return true;
}

static void test_failures(void **state)
{
	const struct image_progress_sink sink = { .cancelled = yes };
	struct fixture *fixture = *state;
	struct taker taker = { 0 };
	_cleanup_free_ char *blob = NULL;
	struct export export = { 0 };
	struct cay_error err = { 0 };

	assert_true(save(fixture, NULL, &taker, NULL, &err) < 0);
	assert_int_equal(err.code, CAY_INVALID);
	assert_true(save(fixture, "nosuch", &taker, NULL, &err) < 0);
	assert_int_equal(err.code, CAY_NOT_FOUND);
	assert_int_equal(taker.taken.length, 0);
	assert_true(save(fixture, "app:1", &taker, &sink, &err) < 0);
	assert_int_equal(err.code, CAY_CANCELLED);
	for (size_t limit = 512; limit < 5 * 1024; limit += 512) {
		buf_clear(&taker.taken);
		taker.limit = limit;
		assert_true(save(fixture, "app:1", &taker, NULL, &err) < 0);
		assert_int_equal(err.code, CAY_NO_SPACE);
	}
	assert_ok(export_open(fixture->store, "app:1", NULL, &export, &err));
	blob = content_blob_path(&fixture->store->content, export.manifests[0].parts[1].digest);
	export_done(&export);
	assert_int_equal(truncate(blob, 10), 0);
	buf_clear(&taker.taken);
	assert_true(save(fixture, "app:1", &taker, NULL, &err) < 0);
	assert_int_equal(err.code, CAY_CORRUPT);
	assert_non_null(strstr(err.message, "pull or load"));
	assert_int_equal(taker.taken.length, 0);
	assert_int_equal(fixture->store->pins.count, 0);
	buf_done(&taker.taken);
}

/* What is being saved stays, whoever removes it. */
static int take_and_remove(const void *data, size_t size, void *user, struct cay_error *err)
{
	struct fixture *fixture = user;
	_cleanup_image_removal_ struct image_removal removal = { 0 };

	(void)image_store_remove(fixture->store, "app:1", true, NULL, &removal, NULL);
	(void)image_store_remove(fixture->store, "app:2", true, NULL, &removal, NULL);
	return 0;
}

static void test_removal_meanwhile(void **state)
{
	struct fixture *fixture = *state;
	const struct image_writer writer = { take_and_remove, fixture };
	_cleanup_free_ char *blobs = path_join(fixture->root, "content/blobs/sha256");
	_cleanup_strv_ struct strv names = { 0 };
	struct cay_error err = { 0 };

	strv_add(&names, "app:1");
	assert_ok(image_store_save(fixture->store, &names, NULL, &writer, NULL, &err));
	assert_int_equal(rmdir(blobs), 0); /* and then it goes */
	assert_int_equal(mkdir(blobs, 0700), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, set_up_loaded, tear_down),
		cmocka_unit_test_setup_teardown(test_failures, set_up_loaded, tear_down),
		cmocka_unit_test_setup_teardown(test_removal_meanwhile, set_up_loaded, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
