/* SPDX-License-Identifier: Apache-2.0 */
/* Writable layers' disks: their sizes, what making one costs, and how many empty ones are kept. */
#include "test.h"

#include "image/ext4.h"
#include "image/scratch.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

struct fixture {
	char root[64];
	char *path;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct cay_error err = { 0 };

	make_test_directory(fixture->root);
	fixture->path = path_join(fixture->root, "disk");
	assert_ok(scratch_prepare(fixture->root, &err));
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	assert_ok(remove_tree(fixture->root, &err));
	free(fixture->path);
	free(fixture);
	return 0;
}

/* What a tool of e2fsprogs says of the disk. */
static void ask(const char *tool, const char *option, const char *path, struct buf *output)
{
	_cleanup_strv_ struct strv argv = { 0 };
	struct cay_error err = { 0 };

	strv_add(&argv, tool);
	strv_add(&argv, option);
	strv_add(&argv, path);
	assert_int_equal(process_run(&argv, 65536, output, &err), 0);
}

static void assert_file_system(const char *path, uint64_t size)
{
	_cleanup_buf_ struct buf output = { 0 };
	_cleanup_free_ char *blocks = NULL;

	ask("e2fsck", "-fn", path, &output);
	buf_clear(&output);
	ask("dumpe2fs", "-h", path, &output);
	if (asprintf(&blocks, "Block count:              %" PRIu64 "\n", size / 4096) < 0)
		abort();
	assert_non_null(strstr(buf_text(&output), blocks));
}

static void test_default(void **state)
{
	const struct fixture *fixture = *state;
	struct cay_error err = { 0 };
	struct stat st;

	assert_ok(scratch_create(fixture->root, fixture->path, 0, geteuid() == 0 ? 4711 : geteuid(),
				 &err));
	assert_int_equal(stat(fixture->path, &st), 0);
	assert_true((uint64_t)st.st_size == EXT4_DISK_SIZE);
	assert_true(st.st_blocks * 512 < (off_t)MIB);
	assert_int_equal(st.st_mode & 07777, 0600);
	if (geteuid() == 0)
		assert_int_equal(st.st_uid, 4711);
	assert_file_system(fixture->path, SCRATCH_SIZE_DEFAULT);
	assert_true(scratch_create(fixture->root, fixture->path, 0, 0, &err) < 0);
	assert_int_equal(err.code, CAY_EXISTS);
}

/* Every disk looks the same from outside; the file system in it differs. */
static void test_sizes(void **state)
{
	const struct fixture *fixture = *state;
	const uint64_t sizes[] = { EXT4_SIZE_MIN, 100 * 1000 * 1000, 10 * GIB, EXT4_DISK_SIZE };
	struct cay_error err = { 0 };
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		assert_ok(scratch_create(fixture->root, fixture->path, sizes[i], geteuid(), &err));
		assert_int_equal(stat(fixture->path, &st), 0);
		assert_true((uint64_t)st.st_size == EXT4_DISK_SIZE);
		assert_file_system(fixture->path, sizes[i]);
		assert_int_equal(unlink(fixture->path), 0);
	}
}

static size_t count_empty(const struct fixture *fixture)
{
	_cleanup_free_ char *folder = path_join(fixture->root, "images");
	DIR *directory = opendir(folder);
	size_t count = 0;

	assert_non_null(directory);
	for (const struct dirent *entry; (entry = readdir(directory));)
		count += starts_with(entry->d_name, "scratch");
	(void)closedir(directory);
	return count;
}

/* Sizes nobody uses any more go; what is in use, and the default, stay. */
static void test_bounded(void **state)
{
	const struct fixture *fixture = *state;
	struct cay_error err = { 0 };
	_cleanup_free_ char *used = path_join(fixture->root, "images/scratch-16777216.ext4");

	for (unsigned int i = 0; i < 2 * SCRATCH_SIZES_MAX; i++) {
		assert_ok(scratch_create(fixture->root, fixture->path, 16 * MIB, geteuid(), &err));
		assert_int_equal(unlink(fixture->path), 0);
		assert_ok(scratch_create(fixture->root, fixture->path, (20 + i) * MIB, geteuid(),
					 &err));
		assert_int_equal(unlink(fixture->path), 0);
	}
	assert_int_equal(count_empty(fixture), SCRATCH_SIZES_MAX + 1);
	assert_true(file_exists(used));
}

/* What a crash left beside the empty ones is cleared away, and nothing else. */
static void test_half_made(void **state)
{
	const struct fixture *fixture = *state;
	struct cay_error err = { 0 };
	_cleanup_free_ char *half = path_join(fixture->root, "images/scratch-4096.ext4.aB3xYz");
	_cleanup_free_ char *other = path_join(fixture->root, "images/0123.1.erofs");

	assert_ok(file_write_atomic(half, "x", 1, 0600, &err));
	assert_ok(file_write_atomic(other, "x", 1, 0600, &err));
	assert_ok(scratch_create(fixture->root, fixture->path, 16 * MIB, geteuid(), &err));
	assert_ok(scratch_prepare(fixture->root, &err));
	assert_false(file_exists(half));
	assert_true(file_exists(other));
	assert_int_equal(count_empty(fixture), 2);
}

static void test_used(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_close_ int fd = -1;
	struct cay_error err = { 0 };
	static char data[MIB];
	uint64_t used;

	assert_int_equal(scratch_used(fixture->root, fixture->path, 0), 0);
	assert_ok(scratch_create(fixture->root, fixture->path, 32 * MIB, geteuid(), &err));
	assert_true(scratch_used(fixture->root, fixture->path, 32 * MIB) <= 64 * KIB);
	memset(data, 'x', sizeof(data));
	fd = open(fixture->path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, data, sizeof(data), 20 * MIB), (ssize_t)sizeof(data));
	assert_int_equal(fsync(fd), 0); /* the file's own map takes blocks as well, from then on */
	used = scratch_used(fixture->root, fixture->path, 32 * MIB);
	assert_in_range(used, MIB, MIB + 128 * KIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_default, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sizes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_half_made, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_used, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
