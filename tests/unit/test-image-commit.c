/* SPDX-License-Identifier: Apache-2.0 */
/* Images made of layers that stream in: on top of others, on top of nothing, and not at all. */
#include "image-store.h"

#include "base/json.h"
#include "image/commit.h"

/* A tar in pieces of this size; `fault` breaks it off behind half of it. */
struct source {
	struct buf tar;
	size_t piece;
	bool fault;
};

static int produce(const struct image_writer *writer, void *user, struct cay_error *err)
{
	const struct source *source = user;
	const size_t end = source->fault ? source->tar.length / 2 : source->tar.length;
	int r = 0;

	for (size_t at = 0; r == 0 && at < end; at += source->piece)
		r = writer->write(source->tar.data + at, MIN(source->piece, end - at), writer->user,
				  err);
	if (r == 0 && source->fault)
		r = cay_error_set(err, CAY_UNAVAILABLE, EIO, "the guest is gone");
	return r;
}

static int commit(struct image_store *store, const char *parent, const char *name,
		  struct source *source, struct image **ret_image, struct cay_error *err)
{
	_cleanup_json_ json_t *config = json_pack("{s:[s]}", "Cmd", "run");
	const struct image_commit what = {
		.parent = parent,
		.name = name,
		.author = "me",
		.comment = "why",
		.created_by = "run",
		.config = config,
		.produce = produce,
		.user = source,
	};

	return image_store_commit(store, &what, NULL, ret_image, err);
}

static unsigned int count_files(const struct fixture *fixture, const char *folder)
{
	_cleanup_free_ char *path = path_join(fixture->root, folder);
	DIR *directory = opendir(path);
	const struct dirent *entry;
	unsigned int count = 0;

	assert_non_null(directory);
	while ((entry = readdir(directory)))
		count += entry->d_name[0] != '.';
	(void)closedir(directory);
	return count;
}

static void test_on_top(void **state)
{
	struct fixture *fixture = *state;
	const char *layers[] = { "f:base=1", NULL };
	_cleanup_buf_ struct buf archive = { 0 };
	_cleanup_strv_ struct strv loaded = { 0 };
	struct image *base, *made;
	struct image_verdict verdict;
	struct cay_error err = { 0 };
	const json_t *history;

	archive_docker(&archive, "\"base:1\"", layers, false);
	assert_ok(archive_load(fixture->store, &archive, &loaded, &err));
	assert_ok(image_store_find(fixture->store, "base:1", &base, &err));
	for (size_t piece = 1; piece < 9000; piece = piece * 9 + 7) {
		struct source source = { .piece = piece };

		tar_script(&source.tar, "f:new=2");
		assert_ok(commit(fixture->store, base->id, "docker.io/library/made:1", &source,
				 &made, &err));
		assert_int_equal(made->diff_ids.count, 2);
		assert_string_equal(made->diff_ids.items[0], base->diff_ids.items[0]);
		history = json_object_get(made->config, "history");
		assert_string_equal(
			json_string_value(json_object_get(
				json_array_get(history, json_array_size(history) - 1), "comment")),
			"why");
		image_free(made);
		buf_done(&source.tar);
	}
	assert_ok(image_store_verify(fixture->store, "made:1", NULL, &verdict, &err));
	assert_true(verdict.ok);
	image_verdict_done(&verdict);
	reopen(fixture);
	assert_ok(image_store_find(fixture->store, "made:1", &made, &err));
	assert_string_equal(json_string_value(json_object_get(made->config, "author")), "me");
	image_free(made);
	image_free(base);
}

/* A tar of nothing adds a line to the history; of nothing's image it is the one layer. */
static void test_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct source source = { .piece = 512 };
	struct image *first, *second;
	struct cay_error err = { 0 };

	tar_end(&source.tar);
	assert_ok(commit(fixture->store, NULL, "docker.io/library/empty:1", &source, &first, &err));
	assert_int_equal(first->diff_ids.count, 1);
	assert_ok(commit(fixture->store, first->id, NULL, &source, &second, &err));
	assert_int_equal(second->diff_ids.count, 1);
	assert_true(json_is_true(json_object_get(
		json_array_get(json_object_get(second->config, "history"), 1), "empty_layer")));
	image_free(first);
	image_free(second);
	buf_done(&source.tar);
}

static void test_failures(void **state)
{
	struct fixture *fixture = *state;
	struct source source = { .piece = 700, .fault = true }, none = { .piece = 1 },
		      junk = { .piece = 100 };
	struct image *image;
	struct cay_error err = { 0 };

	tar_script(&source.tar, "f:new=2");
	for (unsigned int i = 0; i < 128; i++)
		buf_puts(&junk.tar, "this is no tar, however long it goes on");
	assert_true(commit(fixture->store, NULL, "docker.io/library/x:1", &source, &image, &err) <
		    0);
	assert_int_equal(err.code, CAY_UNAVAILABLE);
	cay_error_clear(&err);
	assert_true(commit(fixture->store, NULL, "docker.io/library/x:1", &none, &image, &err) < 0);
	assert_int_equal(err.code, CAY_INVALID);
	cay_error_clear(&err);
	assert_true(commit(fixture->store, NULL, "docker.io/library/x:1", &junk, &image, &err) < 0);
	assert_int_equal(err.code, CAY_INVALID);
	cay_error_clear(&err);
	assert_true(commit(fixture->store, "sha256:none", NULL, &source, &image, &err) < 0);
	assert_int_equal(count_files(fixture, "content/blobs/sha256"), 0);
	assert_int_equal(count_files(fixture, "images/tmp"), 0);
	assert_int_equal(count_files(fixture, "layers"), 0);
	buf_done(&source.tar);
	buf_done(&junk.tar);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_on_top, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_failures, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
