/* SPDX-License-Identifier: Apache-2.0 */
/* Multi-platform images: what a name shows, what its index keeps, and what goes with it. */
#include "image-store.h"

/*
 * An archive with an index of amd64, s390x, an attachment, and one that is not in it. `more` goes
 * into the index's descriptor.
 */
static void make_archive(struct buf *archive, const char *more, char ret_index[DIGEST_SIZE])
{
	static const char *const amd64[] = { "f:base=1", "f:machine=amd64", NULL };
	static const char *const s390x[] = { "f:base=1", "f:machine=s390x", NULL };
	static const char *const origin[] = { "f:origin=here", NULL };
	_cleanup_buf_ struct buf members = { 0 }, top = { 0 }, absent = { 0 }, elsewhere = { 0 };
	static const char *const other[] = { "f:machine=arm64", NULL };

	archive_image(archive, "linux", "s390x", s390x, &members);
	buf_putc(&members, ',');
	archive_image(archive, "linux", "amd64", amd64, &members);
	buf_putc(&members, ',');
	archive_image(archive, "unknown", "unknown", origin, &members);
	archive_image(&elsewhere, "linux", "arm64", other, &absent);
	buf_printf(&members, ",%s", buf_text(&absent));
	archive_index(archive, buf_text(&members), more, &top, ret_index);
	archive_end(archive, buf_text(&top));
}

static void load(struct fixture *fixture, const char *name, const char *expected)
{
	_cleanup_free_ char *more = name
		? xasprintf(",\"annotations\":{\"" ANNOTATION_REF_NAME "\":\"%s\"}", name)
		: xstrdup("");
	_cleanup_buf_ struct buf archive = { 0 };
	_cleanup_strv_ struct strv loaded = { 0 };
	struct cay_error err = { 0 };

	make_archive(&archive, more, fixture->loaded);
	assert_ok(archive_load(fixture->store, &archive, &loaded, &err));
	assert_int_equal(loaded.count, 1);
	if (expected)
		assert_string_equal(loaded.items[0], expected);
	else
		assert_true(starts_with(loaded.items[0], "sha256:"));
}

/* "architecture:names" of all that is listed, in brackets what an index alone keeps. */
static void assert_listed(struct fixture *fixture, const char *expected)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct cay_error err = { 0 };
	struct image **images;
	size_t count;

	assert_ok(image_store_list(fixture->store, &images, &count, &err));
	for (size_t i = 0; i < count; i++) {
		buf_printf(&text, "%s%s%s", i ? " " : "", images[i]->is_member ? "[" : "",
			   images[i]->architecture);
		for (size_t j = 0; j < images[i]->names.count; j++) {
			_cleanup_free_ char *name =
				image_reference_familiar(images[i]->names.items[j]);

			buf_printf(&text, ",%s", name);
		}
		buf_puts(&text, images[i]->is_member ? "]" : "");
		image_free(images[i]);
	}
	free(images);
	assert_string_equal(buf_text(&text), expected);
}

static size_t count_blobs(struct fixture *fixture)
{
	_cleanup_free_ char *path = path_join(fixture->root, "content/blobs/sha256");
	DIR *directory = opendir(path);
	size_t count = 0;

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	(void)closedir(directory);
	return count - 2;
}

static void assert_export(struct fixture *fixture, const char *reference, const char *platform,
			  const char *expected)
{
	_cleanup_export_ struct export export = { 0 };
	_cleanup_buf_ struct buf text = { 0 };
	struct cay_error err = { 0 };
	int r = export_open(fixture->store, reference, platform, &export, &err);

	if (r < 0) {
		assert_string_equal(cay_code_name(err.code), expected);
		return;
	}
	buf_printf(&text, "%s%s", export.is_index ? "index" : "manifest",
		   export.is_whole ? "" : " in part");
	assert_true(!export.is_index || strcmp(export.top.digest, fixture->loaded) == 0);
	for (size_t i = 0; i < export.manifest_count; i++) {
		const struct export_manifest *manifest = &export.manifests[i];

		buf_printf(&text, " %s%s:%zu", i == export.shown ? "*" : "",
			   manifest->is_attachment ? "attachment" : manifest->platform.architecture,
			   manifest->part_count);
		for (size_t j = 0; j < manifest->part_count; j++)
			assert_true(content_has_blob(&fixture->store->content,
						     manifest->parts[j].digest,
						     manifest->parts[j].size));
	}
	assert_string_equal(buf_text(&text), expected);
}

static void remove_image(struct fixture *fixture, const char *name, const char *expected)
{
	_cleanup_image_removal_ struct image_removal removal = { 0 };
	_cleanup_buf_ struct buf text = { 0 };
	struct cay_error err = { 0 };

	assert_ok(image_store_remove(fixture->store, name, false, NULL, &removal, &err));
	for (size_t i = 0; i < removal.untagged.count; i++)
		buf_printf(&text, "%s ", removal.untagged.items[i]);
	buf_printf(&text, "%zu", removal.deleted.count);
	assert_string_equal(buf_text(&text), expected);
}

static void test_a_name_of_an_index(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };
	_cleanup_free_ char *by_digest = NULL;
	struct image *image;

	load(fixture, "app:1", "app:1");
	by_digest = xasprintf("app@%s", fixture->loaded);
	for (unsigned int round = 0; round < 2; round++) {
		assert_listed(fixture, "amd64,app:1 [s390x]");
		assert_export(fixture, "app:1", NULL,
			      "index in part s390x:3 *amd64:3 attachment:2");
		assert_export(fixture, by_digest, NULL,
			      "index in part s390x:3 *amd64:3 attachment:2");
		assert_export(fixture, "app:1", "linux/s390x", "manifest *s390x:3");
		assert_export(fixture, "app:1", "linux/arm64", "not found");
		assert_int_equal(count_blobs(fixture), 11);
		reopen(fixture);
	}
	assert_ok(image_store_find(fixture->store, by_digest, &image, &err));
	assert_string_equal(image->architecture, "amd64");
	/* An image that a name shows is known by the digest of its manifest too. */
	_cleanup_free_ char *by_manifest = xasprintf("app@%s", image->manifest_digest);
	_cleanup_free_ char *id = xstrdup(image->id);

	image_free(image);
	assert_export(fixture, by_manifest, NULL, "manifest *amd64:3");
	/* A tag takes the index along, unless it is given to the image's own digest. */
	assert_ok(image_store_tag(fixture->store, "app:1", "copy:1", &err));
	assert_ok(image_store_tag(fixture->store, id, "single:1", &err));
	assert_export(fixture, "copy:1", NULL, "index in part s390x:3 *amd64:3 attachment:2");
	assert_export(fixture, "single:1", NULL, "manifest *amd64:3");
	remove_image(fixture, "app:1", "app:1 0");
	reopen(fixture);
	assert_listed(fixture, "amd64,copy:1,single:1 [s390x]");
	/* The index's last name takes along what it alone kept. */
	remove_image(fixture, "copy:1", "copy:1 2");
	assert_listed(fixture, "amd64,single:1");
	assert_int_equal(count_blobs(fixture), 4);
	remove_image(fixture, "single:1", "single:1 3");
	assert_int_equal(count_blobs(fixture), 0);
}

static void test_a_name_that_moves(void **state)
{
	static const char *const layers[] = { "f:new=1", NULL };
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf archive = { 0 };
	_cleanup_strv_ struct strv loaded = { 0 };
	struct cay_error err = { 0 };

	load(fixture, "app:1", "app:1");
	archive_docker(&archive, "\"app:1\"", layers, false);
	assert_ok(archive_load(fixture->store, &archive, &loaded, &err));
	/* Nothing is deleted that nobody asked to: they have no name now. */
	assert_listed(fixture, "amd64 s390x amd64,app:1");
	assert_export(fixture, "app:1", NULL, "manifest *amd64:2");
	reopen(fixture);
	assert_listed(fixture, "amd64 s390x amd64,app:1");
}

static void test_an_index_without_a_name(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };
	struct image **images;
	size_t count;

	load(fixture, NULL, NULL);
	reopen(fixture);
	assert_listed(fixture, "amd64 [s390x]");
	assert_ok(image_store_list(fixture->store, &images, &count, &err));
	_cleanup_free_ char *id = xstrdup(images[0]->id);

	for (size_t i = 0; i < count; i++)
		image_free(images[i]);
	free(images);
	assert_export(fixture, id, NULL, "index in part s390x:3 *amd64:3 attachment:2");
	assert_ok(image_store_tag(fixture->store, id, "app:1", &err));
	load(fixture, NULL, NULL); /* changes nothing */
	assert_listed(fixture, "amd64,app:1 [s390x]");
	assert_export(fixture, "app:1", NULL, "index in part s390x:3 *amd64:3 attachment:2");
	remove_image(fixture, "app:1", "app:1 5");
	assert_int_equal(count_blobs(fixture), 0);
}

static void test_a_member_in_use(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };
	struct image **images;
	size_t count;

	load(fixture, "app:1", "app:1");
	assert_ok(image_store_list(fixture->store, &images, &count, &err));
	assert_int_equal(count, 2);
	image_store_hold(fixture->store, images[1]->id, "c1");
	for (size_t i = 0; i < count; i++)
		image_free(images[i]);
	free(images);
	remove_image(fixture, "app:1", "app:1 2");
	assert_listed(fixture, "s390x");
	reopen(fixture);
	assert_listed(fixture, "s390x");
}

/* Removing the image of another platform by its id leaves the name and the rest of the index. */
static void test_a_member_removed(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };
	struct image **images;
	size_t count;

	load(fixture, "app:1", "app:1");
	assert_ok(image_store_list(fixture->store, &images, &count, &err));
	remove_image(fixture, images[1]->id, "2");
	for (size_t i = 0; i < count; i++)
		image_free(images[i]);
	free(images);
	for (unsigned int round = 0; round < 2; round++) {
		assert_listed(fixture, "amd64,app:1");
		assert_export(fixture, "app:1", NULL, "index in part *amd64:3 attachment:2");
		reopen(fixture);
	}
	load(fixture, "app:1", "app:1"); /* and it is back */
	assert_listed(fixture, "amd64,app:1 [s390x]");
}

static void assert_refused(struct fixture *fixture, const struct buf *archive, const char *why)
{
	_cleanup_strv_ struct strv loaded = { 0 };
	struct cay_error err = { 0 };

	assert_true(archive_load(fixture->store, archive, &loaded, &err) < 0);
	assert_says(&err, why);
	assert_int_equal(loaded.count, 0);
	assert_listed(fixture, "");
	assert_int_equal(count_blobs(fixture), 0);
}

static void test_hostile_indexes(void **state)
{
	static const char *const layers[] = { "f:a=1", NULL };
	struct fixture *fixture = *state;
	char digest[DIGEST_SIZE];

	{ /* an index in an index */
		_cleanup_buf_ struct buf archive = { 0 }, image = { 0 }, inner = { 0 },
					 outer = { 0 };

		archive_image(&archive, "linux", "amd64", layers, &image);
		archive_index(&archive, buf_text(&image), "", &inner, digest);
		archive_index(&archive, buf_text(&inner), "", &outer, digest);
		archive_end(&archive, buf_text(&outer));
		assert_refused(fixture, &archive, "none of the images of its index");
	}
	{ /* one that claims to be what it is not */
		_cleanup_buf_ struct buf archive = { 0 }, image = { 0 }, top = { 0 };

		archive_image(&archive, "linux", "amd64", layers, &image);
		buf_puts(&top, "{\"mediaType\":\"" MEDIA_OCI_INDEX "\"");
		buf_puts(&top, strstr(image.data, ",\"digest\""));
		archive_end(&archive, buf_text(&top));
		assert_refused(fixture, &archive, "not of its media type");
	}
	{ /* both manifests and layers */
		static const char both[] =
			"{\"schemaVersion\":2,\"manifests\":[],\"layers\":[],\"config\":{}}";
		_cleanup_buf_ struct buf archive = { 0 }, top = { 0 };

		archive_blob(&archive, both, strlen(both), digest);
		archive_descriptor(&top, MEDIA_OCI_INDEX, digest, strlen(both), "");
		archive_end(&archive, buf_text(&top));
		assert_refused(fixture, &archive, "both");
	}
	{ /* none of its images is here */
		_cleanup_buf_ struct buf archive = { 0 }, other = { 0 }, image = { 0 }, top = { 0 };

		archive_image(&other, "linux", "amd64", layers, &image);
		archive_index(&archive, buf_text(&image), "", &top, digest);
		archive_end(&archive, buf_text(&top));
		assert_refused(fixture, &archive, "none of the images of its index");
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_name_of_an_index, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_name_that_moves, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_an_index_without_a_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_member_in_use, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_member_removed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hostile_indexes, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
