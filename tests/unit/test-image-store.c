/* SPDX-License-Identifier: Apache-2.0 */
/* The store: archives in, names, removal and what it gives back, holds, repair. */
#include "image-store.h"

#include <dlfcn.h>
#include <stdarg.h>

#define SOME_DIGEST "sha256:" SOME_HEX SOME_HEX SOME_HEX SOME_HEX
#define SOME_HEX    "0123456789abcdef"

static void load_image(struct fixture *fixture, const char *tags, const char *layer)
{
	const char *const layers[] = { "f:base=1", layer, NULL };
	_cleanup_buf_ struct buf archive = { 0 };
	_cleanup_strv_ struct strv loaded = { 0 };
	struct cay_error err = { 0 };

	archive_docker(&archive, tags, layers, false);
	assert_ok(archive_load(fixture->store, &archive, &loaded, &err));
	assert_int_equal(loaded.count, 1);
}

static char *files_of(struct fixture *fixture)
{
	struct buf out = { 0 };
	static const char *const folders[] = { "content/blobs/sha256", "layers", "images" };

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		_cleanup_free_ char *path = path_join(fixture->root, folders[i]);
		DIR *directory = opendir(path);
		unsigned int count = 0;

		assert_non_null(directory);
		while (readdir(directory))
			count++;
		(void)closedir(directory);
		buf_printf(&out, "%u ", count - 2);
	}
	return buf_steal(&out);
}

static void assert_files(struct fixture *fixture, const char *counts)
{
	_cleanup_free_ char *actual = files_of(fixture);

	assert_string_equal(actual, counts);
}

static void test_load_and_find(void **state)
{
	struct fixture *fixture = *state;
	struct image *image = NULL, *same = NULL;
	struct image_disk disk = { 0 };
	_cleanup_free_ char *tree = path_join(fixture->directory, "tree");
	_cleanup_buf_ struct buf described = { 0 };
	struct cay_error err = { 0 };
	char prefix[6];

	load_image(fixture, "\"app:1\"", "f:top=2");
	for (unsigned int round = 0; round < 2; round++) {
		assert_ok(image_store_find(fixture->store, "app:1", &image, &err));
		assert_int_equal(image->names.count, 1);
		assert_string_equal(image->names.items[0], "docker.io/library/app:1");
		assert_int_equal(image->layer_count, 2);
		(void)snprintf(prefix, sizeof(prefix), "%s", image->id + 7);
		assert_ok(image_store_find(fixture->store, prefix, &same, &err));
		assert_string_equal(same->id, image->id);
		image_free(same);
		assert_ok(image_store_find(fixture->store, image->id, &same, &err));
		image_free(same);
		assert_ok(image_store_disk(fixture->store, image->id, &disk, &err));
		assert_int_equal(disk.count, 3);
		image_disk_done(&disk);
		image_free(image);
		reopen(fixture); /* and all of it again, from what is on disk */
	}
	assert_true(image_store_find(fixture->store, "app:2", &image, &err) < 0);
	assert_int_equal(err.code, CAY_NOT_FOUND);
	assert_string_equal(err.message, "No such image: app:2");
	assert_true(image_store_find(fixture->store, "../../x", &image, &err) < 0);
	if (!have_judge())
		return;
	assert_ok(image_store_find(fixture->store, "app:1", &image, &err));
	assert_ok(image_store_disk(fixture->store, image->id, &disk, &err));
	judge_disk(fixture->directory, &disk, tree);
	describe_tree(tree, "", &described);
	assert_string_equal(buf_text(&described), "base=1 top=2");
	image_disk_done(&disk);
	image_free(image);
}

static void remove_name(struct fixture *fixture, const char *name, bool force, const char *expected)
{
	_cleanup_image_removal_ struct image_removal removal = { 0 };
	_cleanup_buf_ struct buf text = { 0 };
	struct cay_error err = { 0 };
	int r = image_store_remove(fixture->store, name, force, NULL, &removal, &err);

	if (r < 0) {
		buf_puts(&text, cay_code_name(err.code));
	} else {
		for (size_t i = 0; i < removal.untagged.count; i++)
			buf_printf(&text, "%s ", removal.untagged.items[i]);
		buf_printf(&text, "%zu", removal.deleted.count);
	}
	assert_string_equal(buf_text(&text), expected);
}

/* What was listed as unused is not removed once it has another meaning. */
static void test_unchanged(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_image_removal_ struct image_removal removal = { 0 };
	struct image *old = NULL, *new = NULL;
	struct cay_error err = { 0 };

	load_image(fixture, "\"app:1\"", "f:top=2");
	assert_ok(image_store_find(fixture->store, "app:1", &old, &err));
	load_image(fixture, "\"app:1\"", "f:top=3"); /* the old one loses its name */
	assert_ok(image_store_find(fixture->store, "app:1", &new, &err));
	/* A name that is another image's now. */
	assert_true(image_store_remove_unchanged(fixture->store, "app:1", old->id, &removal, &err) <
		    0);
	assert_int_equal(err.code, CAY_CONFLICT);
	cay_error_clear(&err);
	/* An image that has a name now. */
	assert_ok(image_store_tag(fixture->store, old->id, "app:old", &err));
	assert_true(image_store_remove_unchanged(fixture->store, old->id, old->id, &removal, &err) <
		    0);
	assert_int_equal(err.code, CAY_CONFLICT);
	cay_error_clear(&err);
	assert_int_equal(removal.untagged.count + removal.deleted.count, 0);
	load_image(fixture, "\"app:old\"", "f:top=3");
	assert_ok(image_store_remove_unchanged(fixture->store, old->id, old->id, &removal, &err));
	assert_ok(image_store_remove_unchanged(fixture->store, "app:old", new->id, &removal, &err));
	assert_ok(image_store_remove_unchanged(fixture->store, "app:1", new->id, &removal, &err));
	assert_files(fixture, "0 0 1 ");
	image_free(old);
	image_free(new);
}

static void test_names_and_removal(void **state)
{
	struct fixture *fixture = *state;
	struct image *image = NULL;
	struct cay_error err = { 0 };

	load_image(fixture, "\"app:1\"", "f:top=2");
	load_image(fixture, "\"other:1\"", "f:top=3");
	assert_files(fixture, "7 6 3 "); /* the base layer is there once; tmp counts */
	assert_ok(image_store_tag(fixture->store, "app:1", "host:5000/x/y:z", &err));
	assert_ok(image_store_find(fixture->store, "app:1", &image, &err));
	remove_name(fixture, image->id, false, "conflict");
	remove_name(fixture, "app:1", false, "app:1 0");
	remove_name(fixture, "app:1", false, "not found");
	image_store_hold(fixture->store, image->id, "c1");
	image_store_hold(fixture->store, image->id, "c2");
	remove_name(fixture, "host:5000/x/y:z", false, "conflict");
	remove_name(fixture, image->id, false, "conflict");
	remove_name(fixture, "host:5000/x/y:z", true, "host:5000/x/y:z 0");
	image_store_release(fixture->store, image->id, "c1");
	remove_name(fixture, image->id, false, "conflict");
	image_store_release(fixture->store, image->id, "c2");
	assert_files(fixture, "7 6 3 ");
	remove_name(fixture, image->id, false, "2"); /* the image and its own layer */
	assert_files(fixture, "4 4 2 ");
	/* A tag that moves leaves the image it had without a name, but there. */
	load_image(fixture, "\"other:1\"", "f:top=4");
	assert_files(fixture, "7 6 3 ");
	remove_name(fixture, "other:1", false, "other:1 2");
	image_free(image);
	reopen(fixture);
	assert_files(fixture, "4 4 2 ");
}

static void test_bad_archives(void **state)
{
	static const char *const layers[] = { "f:a=1", "f:b=2", NULL };
	static const char *const hostile[] = { "f:../a=1", NULL };
	static const char *const stolen[] = {
		"\"a@" SOME_DIGEST "\"",
		"\"a:1@" SOME_DIGEST "\"",
		"\"" SOME_DIGEST "\"",
	};
	struct fixture *fixture = *state;
	_cleanup_strv_ struct strv loaded = { 0 };
	_cleanup_buf_ struct buf archive = { 0 }, empty = { 0 };
	struct cay_error err = { 0 };

	archive_docker(&archive, "\"a:1\"", layers, true);
	assert_true(archive_load(fixture->store, &archive, &loaded, &err) < 0);
	assert_non_null(strstr(err.message, "decompressed it is"));
	buf_clear(&archive);
	archive_docker(&archive, "\"a:1\"", hostile, false);
	assert_true(archive_load(fixture->store, &archive, &loaded, &err) < 0);
	assert_non_null(strstr(err.message, "\"..\""));
	buf_clear(&archive);
	archive_docker(&archive, "\"A:1\"", layers, false);
	assert_true(archive_load(fixture->store, &archive, &loaded, &err) < 0);
	buf_clear(&archive);
	/* Else an archive could put itself in the place of what is asked for by digest, or by id.
	 */
	for (size_t i = 0; i < ARRAY_SIZE(stolen); i++) {
		archive_docker(&archive, stolen[i], layers, false);
		assert_true(archive_load(fixture->store, &archive, &loaded, &err) < 0);
		assert_int_equal(err.code, CAY_INVALID);
		buf_clear(&archive);
	}
	archive_docker(&archive, "\"a:1\"", layers, false);
	archive.length -= 3000;
	assert_true(archive_load(fixture->store, &archive, &loaded, &err) < 0);
	assert_true(archive_load(fixture->store, &empty, &loaded, &err) < 0);
	assert_non_null(strstr(err.message, "neither"));
	assert_int_equal(loaded.count, 0);
	assert_files(fixture, "0 0 1 ");
}

/* As when a tar is unpacked. */
static void test_file_twice(void **state)
{
	static const char *const layers[] = { "f:a=1", NULL };
	struct fixture *fixture = *state;
	_cleanup_strv_ struct strv loaded = { 0 };
	_cleanup_buf_ struct buf archive = { 0 };
	struct cay_error err = { 0 };

	archive_file(&archive, "manifest.json", "[]", 2);
	archive_docker(&archive, "\"a:1\"", layers, false);
	assert_ok(archive_load(fixture->store, &archive, &loaded, &err));
	assert_int_equal(loaded.count, 1);
}

/* An image is found by its digest in a repository where it has a tag; that is no name of it. */
static void test_remove_by_digest(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *reference = NULL;
	struct image *image;
	struct cay_error err = { 0 };

	load_image(fixture, "\"app:1\"", "f:top=2");
	assert_ok(image_store_find(fixture->store, "app:1", &image, &err));
	reference = xasprintf("app@%s", image->manifest_digest);
	image_free(image);
	assert_ok(image_store_find(fixture->store, reference, &image, &err));
	image_free(image);
	remove_name(fixture, reference, false, "not found");
	remove_name(fixture, "app:1", false, "app:1 3");
}

/* One image by two manifests, which share a layer with another image. */
static void test_shared_size(void **state)
{
	static const char *const layers[] = { "f:base=1", "f:top=2", NULL };
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf archive = { 0 }, top = { 0 };
	_cleanup_strv_ struct strv loaded = { 0 };
	struct image **images;
	size_t count;
	struct cay_error err = { 0 };

	load_image(fixture, "\"app:1\"", "f:top=2");
	archive_image(&archive, "linux", "amd64", layers, &top);
	archive_end(&archive, buf_text(&top));
	assert_ok(archive_load(fixture->store, &archive, &loaded, &err));
	assert_int_equal(fixture->store->catalog.count, 2);
	load_image(fixture, "\"other:1\"", "f:top=3");
	assert_ok(image_store_list(fixture->store, &images, &count, &err));
	assert_int_equal(count, 2);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(images[i]->shared_size, images[i]->layer_sizes[0]);
		image_free(images[i]);
	}
	free(images);
}

/* ---- a process without a free descriptor ---- */

static bool scarce; /* no blob can be opened, and nothing be renamed */

int open(const char *path, int flags, ...)
{
	int (*real)(const char *path, int flags, ...) = dlsym(RTLD_NEXT, "open");
	mode_t mode = 0;
	va_list args;

	if (scarce && strstr(path, "/blobs/")) {
		errno = EMFILE;
		return -1;
	}
	va_start(args, flags);
	if (flags & (O_CREAT | O_TMPFILE))
		mode = va_arg(args, mode_t);
	va_end(args);
	return real(path, flags, mode);
}

int rename(const char *from, const char *to)
{
	int (*real)(const char *from, const char *to) = dlsym(RTLD_NEXT, "rename");

	if (scarce) {
		errno = EIO;
		return -1;
	}
	return real(from, to);
}

/* Images that can't be read just now are not damaged: their files stay. */
static void test_scarcity(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *before = NULL;
	struct image_store_options options = { .root = fixture->root, .worker = "none" };
	struct image_store *store;
	struct image *image;
	struct cay_error err = { 0 };

	load_image(fixture, "\"app:1\"", "f:top=2");
	before = files_of(fixture);
	scarce = true;
	assert_true(image_store_tag(fixture->store, "app:1", "app:2", &err) < 0);
	scarce = false;
	(void)pthread_mutex_lock(&fixture->store->lock);
	store_collect(fixture->store);
	(void)pthread_mutex_unlock(&fixture->store->lock);
	assert_files(fixture, before);
	assert_ok(image_store_find(fixture->store, "app:1", &image, &err));
	image_free(image);

	scarce = true;
	assert_true(image_store_open(&options, &store, &err) < 0);
	scarce = false;
	assert_int_equal(err.code, CAY_NO_SPACE);
	assert_files(fixture, before);
	reopen(fixture);
	assert_ok(image_store_find(fixture->store, "app:1", &image, &err));
	image_free(image);
}

/* A catalog too large to be read again is not written. */
static void test_catalog_limit(void **state)
{
	enum { NAMES = 40 };
	struct fixture *fixture = *state;
	_cleanup_free_ char *name = xcalloc(1, MIB + 1);
	struct catalog *catalog = &fixture->store->catalog;
	struct image *image;
	struct cay_error err = { 0 };

	load_image(fixture, "\"app:1\"", "f:top=2");
	memset(name, 'x', MIB);
	for (unsigned int i = 0; i < NAMES; i++)
		strv_add(&catalog->records[0]->names, name);
	assert_true(image_store_tag(fixture->store, "app:1", "app:2", &err) < 0);
	assert_int_equal(err.code, CAY_TOO_LARGE);
	reopen(fixture);
	assert_ok(image_store_find(fixture->store, "app:1", &image, &err));
	image_free(image);
}

static void test_repair(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *temporary = path_join(fixture->root, "images/tmp/half");
	_cleanup_free_ char *layer = xasprintf("%s/layers/%064d.data", fixture->root, 7);
	_cleanup_free_ char *blob = xasprintf("%s/content/blobs/sha256/%064d", fixture->root, 7);
	struct image *image = NULL;
	struct cay_error err = { 0 };

	load_image(fixture, "\"app:1\"", "f:top=2");
	assert_ok(file_write_volatile(temporary, "x", 1, 0600, &err));
	assert_ok(file_write_volatile(layer, "x", 1, 0600, &err));
	assert_ok(file_write_volatile(blob, "x", 1, 0600, &err));
	reopen(fixture);
	assert_false(file_exists(temporary) || file_exists(layer) || file_exists(blob));
	assert_ok(image_store_find(fixture->store, "app:1", &image, &err));
	/* A damaged configuration takes its image with it, and no other. */
	load_image(fixture, "\"other:1\"", "f:top=3");
	_cleanup_free_ char *config = content_blob_path(&fixture->store->content, image->id);

	image_free(image);
	assert_int_equal(unlink(config), 0);
	assert_ok(file_write_volatile(config, "{}", 2, 0600, &err));
	reopen(fixture);
	assert_true(image_store_find(fixture->store, "app:1", &image, &err) < 0);
	assert_ok(image_store_find(fixture->store, "other:1", &image, &err));
	image_free(image);
}

static void change_file(const char *path, off_t offset, const void *data, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite_full(fd, data, size, offset), 0);
}

/* Spoils one of the files that were made from an image's blobs. */
static void spoil(struct fixture *fixture, const struct image *image, const char *blob,
		  unsigned int how)
{
	const struct content *content = &fixture->store->content;
	_cleanup_free_ char *data = content_data_path(content, blob);
	_cleanup_free_ char *index = content_index_path(content, blob);
	_cleanup_free_ char *metadata = content_metadata_path(content, image->manifest_digest);
	_cleanup_free_ char *old = xasprintf("%s/images/%s.1.erofs", fixture->root,
					     digest_hex(image->manifest_digest));
	const uint32_t version = LAYER_VERSION - 1;

	switch (how) {
	case 0:
		assert_int_equal(unlink(data), 0);
		break;
	case 1:
		assert_int_equal(unlink(index), 0);
		break;
	case 2:
		assert_int_equal(unlink(metadata), 0);
		break;
	case 3: /* as another version of cay leaves them */
		change_file(index, offsetof(struct layer_header, version), &version,
			    sizeof(version));
		assert_int_equal(rename(metadata, old), 0);
		break;
	case 4:
		assert_int_equal(truncate(index, 20), 0);
		break;
	case 5:
		assert_int_equal(truncate(data, 1), 0);
		break;
	default:
		fail();
	}
}

/* Whatever is gone of what was made from the blobs, no image is lost, and it is made again. */
static void test_made_again(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *tree = path_join(fixture->directory, "tree");
	struct image *image = NULL;
	struct cay_error err = { 0 };

	load_image(fixture, "\"app:1\"", "f:top=2");
	load_image(fixture, "\"other:1\"", "f:top=3");
	for (unsigned int how = 0; how < 6; how++) {
		struct image_disk disk = { 0 };
		struct export export = { 0 };
		uint64_t size;

		assert_ok(image_store_find(fixture->store, "app:1", &image, &err));
		size = image->size;
		assert_ok(export_open(fixture->store, "app:1", NULL, &export, &err));
		spoil(fixture, image, export.manifests[0].parts[1].digest, how);
		export_done(&export);
		if (how % 2)
			reopen(fixture);
		image_free(image);
		assert_ok(image_store_find(fixture->store, "app:1", &image, &err));
		assert_ok(image_store_disk(fixture->store, image->id, &disk, &err));
		assert_int_equal(disk.count, 3);
		if (have_judge()) {
			_cleanup_buf_ struct buf described = { 0 };

			assert_ok(remove_tree(tree, &err));
			judge_disk(fixture->directory, &disk, tree);
			describe_tree(tree, "", &described);
			assert_string_equal(buf_text(&described), "base=1 top=2");
		}
		image_disk_done(&disk);
		image_free(image);
		assert_ok(image_store_find(fixture->store, "app:1", &image, &err));
		assert_int_equal(image->size, size);
		image_free(image);
		reopen(fixture);
		assert_files(fixture, "7 6 3 "); /* what another version made is gone */
	}
	/* Without the blob there is nothing to make it of: the image is told apart, the other
	 * stays. */
	struct export export = { 0 };
	struct image_disk disk = { 0 };

	assert_ok(export_open(fixture->store, "app:1", NULL, &export, &err));
	assert_ok(image_store_find(fixture->store, "app:1", &image, &err));
	_cleanup_free_ char *blob =
		content_blob_path(&fixture->store->content, export.manifests[0].parts[2].digest);

	spoil(fixture, image, export.manifests[0].parts[2].digest, 1);
	export_done(&export);
	assert_int_equal(unlink(blob), 0);
	assert_true(image_store_disk(fixture->store, image->id, &disk, &err) < 0);
	assert_non_null(strstr(err.message, "pull or load it again"));
	image_free(image);
	reopen(fixture);
	assert_true(image_store_find(fixture->store, "app:1", &image, &err) < 0);
	assert_ok(image_store_find(fixture->store, "other:1", &image, &err));
	image_free(image);
}

static bool yes(void *user)
{
	return true;
}

static void test_cancel(void **state)
{
	static const char *const layers[] = { "f:a=1", NULL };
	const struct image_progress_sink sink = { .cancelled = yes };
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf archive = { 0 };
	_cleanup_strv_ struct strv loaded = { 0 };
	struct cay_error err = { 0 };
	int pipe_fds[2];

	archive_docker(&archive, "\"a:1\"", layers, false);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0); /* from which nothing ever comes */
	assert_true(image_store_load(fixture->store, pipe_fds[0], &sink, &loaded, &err) < 0);
	assert_int_equal(err.code, CAY_CANCELLED);
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
	assert_files(fixture, "0 0 1 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_load_and_find, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_names_and_removal, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unchanged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad_archives, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_file_twice, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_remove_by_digest, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_shared_size, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_scarcity, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_catalog_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_repair, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_made_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cancel, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
