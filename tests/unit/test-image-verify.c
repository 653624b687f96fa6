/* SPDX-License-Identifier: Apache-2.0 */
/* Checking an image: whatever byte is changed is found, told, and mended by the next load. */
#include "image-store.h"

static void load(struct fixture *fixture)
{
	static const char *const layers[] = { "f:a=1 f:small=2", "f:b=2", NULL };
	_cleanup_buf_ struct buf archive = { 0 };
	_cleanup_strv_ struct strv loaded = { 0 };
	struct cay_error err = { 0 };

	archive_docker(&archive, "\"app:1\"", layers, false);
	assert_ok(archive_load(fixture->store, &archive, &loaded, &err));
}

static int set_up_loaded(void **state)
{
	int r = set_up(state);

	load(*state);
	return r;
}

/* The kinds of what was looked at, in order; those that are damaged in brackets. */
static void assert_verdict(struct fixture *fixture, const char *expected)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct image_verdict verdict;
	struct cay_error err = { 0 };
	bool ok = true;

	assert_ok(image_store_verify(fixture->store, "app:1", NULL, &verdict, &err));
	for (size_t i = 0; i < verdict.count; i++) {
		const struct image_check *check = &verdict.checks[i];

		buf_printf(&text, check->problem ? "%s[%s]" : "%s%s", i ? " " : "", check->kind);
		ok &= !check->problem;
	}
	assert_int_equal(verdict.ok, ok);
	image_verdict_done(&verdict);
	assert_string_equal(buf_text(&text), expected);
}

/* Changes one bit in the middle, which neither size nor header tells. */
static void flip(char *path)
{
	_cleanup_free_ char *taken = path;
	_cleanup_close_ int fd = open(taken, O_RDWR | O_CLOEXEC);
	struct stat st;
	char byte;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pread(fd, &byte, 1, st.st_size / 2), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, st.st_size / 2), 1);
}

static void assert_runs(struct fixture *fixture)
{
	struct image_disk disk = { 0 };
	struct image *image = NULL;
	struct cay_error err = { 0 };

	assert_ok(image_store_find(fixture->store, "app:1", &image, &err));
	assert_ok(image_store_disk(fixture->store, image->id, &disk, &err));
	image_disk_done(&disk);
	image_free(image);
}

#define WHOLE "manifest config layer disk layer disk disk"

static void test_every_part(void **state)
{
	struct fixture *fixture = *state;
	const struct content *content = &fixture->store->content;
	_cleanup_export_ struct export export = { 0 };
	struct cay_error err = { 0 };
	const struct export_manifest *manifest;

	assert_ok(export_open(fixture->store, "app:1", NULL, &export, &err));
	manifest = &export.manifests[0];
	assert_verdict(fixture, WHOLE);

	flip(content_data_path(content, manifest->parts[1].digest));
	assert_verdict(fixture, "manifest config layer [disk] layer disk");
	assert_runs(fixture);
	assert_verdict(fixture, WHOLE);

	flip(content_index_path(content, manifest->parts[2].digest));
	assert_verdict(fixture, "manifest config layer disk layer [disk]");
	assert_runs(fixture);
	assert_verdict(fixture, WHOLE);

	flip(content_metadata_path(content, manifest->blob.digest));
	assert_verdict(fixture, "manifest config layer disk layer disk [disk]");
	assert_runs(fixture);
	assert_verdict(fixture, WHOLE);

	flip(content_blob_path(content, manifest->parts[1].digest));
	assert_verdict(fixture, "manifest config [layer] layer disk disk");
	assert_runs(fixture); /* from what was made of it before */
	assert_verdict(fixture, "manifest config [layer] layer disk disk");
	load(fixture);
	assert_verdict(fixture, WHOLE);

	flip(content_blob_path(content, manifest->parts[0].digest));
	assert_verdict(fixture, "manifest [config] layer disk layer disk disk");
	load(fixture);
	assert_verdict(fixture, WHOLE);

	flip(content_blob_path(content, manifest->blob.digest));
	assert_verdict(fixture, "[manifest]");
	load(fixture);
	assert_verdict(fixture, WHOLE);
}

/* A load replaces what is damaged without being told that it is. */
static void test_load_mends(void **state)
{
	struct fixture *fixture = *state;
	const struct content *content = &fixture->store->content;
	_cleanup_export_ struct export export = { 0 };
	const struct export_manifest *manifest;
	struct cay_error err = { 0 };

	assert_ok(export_open(fixture->store, "app:1", NULL, &export, &err));
	manifest = &export.manifests[0];
	flip(content_blob_path(content, manifest->blob.digest));
	flip(content_blob_path(content, manifest->parts[0].digest));
	flip(content_blob_path(content, manifest->parts[1].digest));
	load(fixture);
	assert_verdict(fixture, WHOLE);
}

static bool yes(void *user)
{
	return true;
}

static void test_cancel_and_names(void **state)
{
	const struct image_progress_sink sink = { .cancelled = yes };
	struct fixture *fixture = *state;
	struct image_verdict verdict;
	struct cay_error err = { 0 };

	assert_true(image_store_verify(fixture->store, "app:1", &sink, &verdict, &err) < 0);
	assert_int_equal(err.code, CAY_CANCELLED);
	assert_true(image_store_verify(fixture->store, "nosuch", NULL, &verdict, &err) < 0);
	assert_int_equal(err.code, CAY_NOT_FOUND);
	assert_verdict(fixture, WHOLE);
}

/* A worker that ends otherwise than by itself has said nothing about what it was to check. */
static void test_worker_killed(void **state)
{
	static const char *const scripts[] = {
		"#!/bin/sh\nkill -9 $$\n",
		"#!/bin/sh\nexec 3>&-\nexec sleep 1000\n", /* it lets nobody wait for it */
	};
	struct fixture *fixture = *state;
	_cleanup_free_ char *program = path_join(fixture->directory, "worker");
	const struct image_store_options options = { .root = fixture->root, .worker = program };

	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		struct image_verdict verdict;
		struct cay_error err = { 0 };

		assert_ok(file_write_atomic(program, scripts[i], strlen(scripts[i]), 0700, &err));
		image_store_close(fixture->store);
		assert_ok(image_store_open(&options, &fixture->store, &err));
		assert_true(image_store_verify(fixture->store, "app:1", NULL, &verdict, &err) < 0);
		assert_int_equal(err.code, CAY_NO_SPACE);
	}
	image_store_close(fixture->store);
	fixture->store = open_test_store(fixture->root);
	assert_verdict(fixture, WHOLE);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_part, set_up_loaded, tear_down),
		cmocka_unit_test_setup_teardown(test_load_mends, set_up_loaded, tear_down),
		cmocka_unit_test_setup_teardown(test_cancel_and_names, set_up_loaded, tear_down),
		cmocka_unit_test_setup_teardown(test_worker_killed, set_up_loaded, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
