/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A full disk: a tmpfs of this test's own, in a mount namespace of its own.
 * Whatever does not fit is a clear error that leaves nothing behind, and images
 * can be removed when not a byte is free.
 */
#include "image-archive.h"

#include "base/json.h"
#include "image/commit.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

enum { SKIPPED = 77 };

static uint64_t free_bytes(const char *path)
{
	struct statvfs fs;

	assert_int_equal(statvfs(path, &fs), 0);
	return fs.f_bfree * fs.f_frsize;
}

/* A file that takes what is left but for `spare` bytes. */
static void fill(const char *directory, uint64_t spare)
{
	_cleanup_free_ char *path = path_join(directory, "filler");
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	const uint64_t left = free_bytes(directory);

	assert_true(fd >= 0);
	assert_true(left >= spare);
	assert_int_equal(posix_fallocate(fd, 0, (off_t)(left - spare)), 0);
}

static void empty(const char *directory)
{
	_cleanup_free_ char *path = path_join(directory, "filler");

	assert_int_equal(unlink(path), 0);
}

static void make_archive(struct buf *archive, const char *tag, size_t size)
{
	_cleanup_free_ char *tags = xasprintf("\"%s\"", tag), *layer = xmalloc(size + 32);
	const char *layers[] = { "f:base=1", layer, NULL };
	int n = snprintf(layer, 32, "f:%s=", tag);

	assert_true(n > 0);
	memset(layer + n, 'x', size);
	layer[(size_t)n + size] = '\0';
	archive_docker(archive, tags, layers, false);
}

static void assert_whole(struct image_store *store, const char *name)
{
	struct image_verdict verdict;
	struct cay_error err = { 0 };

	assert_ok(image_store_verify(store, name, NULL, &verdict, &err));
	assert_true(verdict.ok);
	image_verdict_done(&verdict);
}

static void remove_image(struct image_store *store, const char *name)
{
	_cleanup_image_removal_ struct image_removal removal = { 0 };
	struct cay_error err = { 0 };

	assert_ok(image_store_remove(store, name, false, NULL, &removal, &err));
}

/* As much as before, soon: the kernel closes the files of a killed worker in its own time. */
static void assert_free(const char *directory, uint64_t bytes)
{
	for (unsigned int i = 0; i < 5000 && free_bytes(directory) != bytes; i++)
		(void)usleep(1000);
	assert_int_equal(free_bytes(directory), bytes);
}

/* Loads with ever more space, until it fits. */
static void test_load(const char *directory, struct image_store *store)
{
	_cleanup_buf_ struct buf archive = { 0 };
	unsigned int failures = 0;
	bool fits = false;

	make_archive(&archive, "big", 600 * KIB);
	for (uint64_t spare = 0; !fits; spare += 48 * KIB) {
		_cleanup_strv_ struct strv loaded = { 0 };
		struct cay_error err = { 0 };
		uint64_t before;

		fill(directory, spare);
		before = free_bytes(directory);
		fits = archive_load(store, &archive, &loaded, &err) == 0;
		if (!fits) {
			struct image *image;

			failures++;
			if (err.code != CAY_NO_SPACE)
				fail_msg("with %ju bytes: %s", (uintmax_t)spare, err.message);
			assert_non_null(strstr(err.message, "No space left"));
			assert_free(directory, before);
			assert_true(image_store_find(store, "big", &image, NULL) < 0);
		}
		empty(directory);
		assert_whole(store, "small");
	}
	assert_true(failures > 5);
	assert_whole(store, "big");
	print_message("it failed with %u sizes\n", failures);
}

static int produce_big(const struct image_writer *writer, void *user, struct cay_error *err)
{
	const struct buf *layer = user;

	return writer->write(layer->data, layer->length, writer->user, err);
}

/* The same of a layer that streams in. */
static void test_commit(const char *directory, struct image_store *store)
{
	_cleanup_free_ char *script = xmalloc(600 * KIB + 32);
	_cleanup_json_ json_t *config = json_object();
	_cleanup_buf_ struct buf layer = { 0 };
	const struct image_commit commit = {
		.name = "docker.io/library/made:latest",
		.config = config,
		.produce = produce_big,
		.user = &layer,
	};
	unsigned int failures = 0, state = 1;
	bool fits = false;

	memcpy(script, "f:made=", 7);
	for (size_t i = 7; i < 600 * KIB; i++) {
		state = state * 1664525 + 1013904223;
		script[i] = (char)('a' + (state >> 24) % 16);
	}
	script[600 * KIB] = '\0';
	tar_script(&layer, script);
	for (uint64_t spare = 0; !fits; spare += 96 * KIB) {
		struct cay_error err = { 0 };
		struct image *image = NULL;
		uint64_t before;

		fill(directory, spare);
		before = free_bytes(directory);
		fits = image_store_commit(store, &commit, NULL, &image, &err) == 0;
		if (!fits) {
			failures++;
			if (err.code != CAY_NO_SPACE)
				fail_msg("with %ju bytes: %s", (uintmax_t)spare, err.message);
			assert_free(directory, before);
			assert_true(image_store_find(store, "made", &image, NULL) < 0);
		}
		image_free(image);
		empty(directory);
		assert_whole(store, "small");
	}
	assert_true(failures > 3);
	assert_whole(store, "made");
	remove_image(store, "made");
}

static void test_remove(const char *directory, struct image_store *store)
{
	const uint64_t before = free_bytes(directory);

	fill(directory, 0);
	assert_int_equal(free_bytes(directory), 0);
	remove_image(store, "big");
	empty(directory);
	assert_true(free_bytes(directory) > before + MIB);
	assert_whole(store, "small");
}

/* What is made again does not fit either; nothing is lost by that. */
static void test_disk(const char *directory, struct image_store *store)
{
	struct image_disk disk = { 0 };
	struct image *image;
	struct cay_error err = { 0 };

	assert_ok(image_store_find(store, "small", &image, &err));
	assert_ok(image_store_disk(store, image->id, &disk, &err));
	for (size_t i = 0; i < disk.count; i++)
		assert_int_equal(unlink(disk.extents[i].path), 0);
	image_disk_done(&disk);
	fill(directory, 0);
	assert_true(image_store_disk(store, image->id, &disk, &err) < 0);
	assert_int_equal(err.code, CAY_NO_SPACE);
	empty(directory);
	assert_ok(image_store_disk(store, image->id, &disk, &err));
	image_disk_done(&disk);
	image_free(image);
	assert_whole(store, "small");
}

static void run(const char *directory)
{
	_cleanup_free_ char *root = path_join(directory, "root");
	_cleanup_buf_ struct buf archive = { 0 };
	_cleanup_strv_ struct strv loaded = { 0 };
	struct image_store *store = open_test_store(root);
	struct cay_error err = { 0 };

	make_archive(&archive, "small", 64 * KIB);
	assert_ok(archive_load(store, &archive, &loaded, &err));
	test_load(directory, store);
	test_remove(directory, store);
	test_commit(directory, store);
	test_disk(directory, store);
	image_store_close(store);
	store = open_test_store(root);
	assert_whole(store, "small");
	image_store_close(store);
}

static void test_full_disk(void **state)
{
	char directory[64];
	struct cay_error err = { 0 };
	int status;
	pid_t pid;

	make_test_directory(directory);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("tmpfs", directory, "tmpfs", 0, "size=4m") < 0)
			_exit(SKIPPED);
		run(directory);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_ok(remove_tree(directory, &err));
	if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
		print_message("no mount namespace here: NOT TESTED\n");
		skip();
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
