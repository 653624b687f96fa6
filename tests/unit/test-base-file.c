/* SPDX-License-Identifier: Apache-2.0 */
/* Files: limits, atomic replacement, and that removing a tree stays inside it. */
#include "test.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_write_read_limit(void **state)
{
	char directory[64];
	struct cay_error err = { 0 };
	_cleanup_buf_ struct buf text = { 0 };

	make_test_directory(directory);
	_cleanup_free_ char *path = path_join(directory, "f");
	assert_ok(file_write_atomic(path, "hello", 5, 0640, &err));
	assert_ok(file_read(path, 5, &text, &err));
	assert_string_equal(text.data, "hello");
	buf_clear(&text);
	assert_true(file_read(path, 4, &text, &err) < 0);
	assert_int_equal(err.code, CAY_TOO_LARGE);

	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_ok(remove_tree(directory, &err));
	assert_false(file_exists(directory));
}

static void test_remove_tree_does_not_follow_links(void **state)
{
	char inside[64], outside[64];
	struct cay_error err = { 0 };

	make_test_directory(inside);
	make_test_directory(outside);
	_cleanup_free_ char *precious = path_join(outside, "precious");
	_cleanup_free_ char *link = path_join(inside, "link");
	_cleanup_free_ char *deep = path_join(inside, "a/b/c");
	assert_ok(file_write_volatile(precious, "x", 1, 0600, &err));
	assert_int_equal(symlink(outside, link), 0);
	assert_ok(make_dirs(deep, 0700, &err));
	assert_ok(remove_tree(inside, &err));
	assert_false(file_exists(inside));
	assert_true(file_exists(precious));
	assert_ok(remove_tree(inside, &err));
	assert_ok(remove_tree(outside, &err));
}

/* Deeper than any path can be, as a guest makes them in a volume; directories beside each level. */
static void test_remove_tree_is_not_stopped_by_depth(void **state)
{
	enum { DEPTH = 3000 };
	char directory[64];
	struct cay_error err = { 0 };
	int fd;

	make_test_directory(directory);
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < DEPTH; i++) {
		int next;

		assert_true(fd >= 0);
		assert_int_equal(mkdirat(fd, "d", 0700) | mkdirat(fd, "e", 0700), 0);
		next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		(void)close(fd);
		fd = next;
	}
	(void)close(fd);
	assert_ok(remove_tree(directory, &err));
	assert_false(file_exists(directory));
}

static void test_make_dirs_over_a_file(void **state)
{
	char directory[64];
	struct cay_error err = { 0 };

	make_test_directory(directory);
	_cleanup_free_ char *file = path_join(directory, "f");
	_cleanup_free_ char *below = path_join(directory, "f/x");
	assert_ok(file_write_volatile(file, "", 0, 0600, &err));
	assert_int_equal(make_dirs(below, 0700, &err), -ENOTDIR);
	assert_non_null(strstr(err.message, file));
	assert_ok(remove_tree(directory, &err));
}

/* As a guest that can write to a directory on the way would have it. */
static void test_make_dirs_canonical_follows_no_link(void **state)
{
	char directory[64];
	struct cay_error err = { 0 };

	make_test_directory(directory);
	_cleanup_free_ char *real = realpath(directory, NULL);
	_cleanup_free_ char *deep = path_join(real, "a/b/c");
	_cleanup_free_ char *outside = path_join(real, "outside");
	_cleanup_free_ char *link = path_join(real, "a/link");
	_cleanup_free_ char *dangling = path_join(real, "a/dangling");
	_cleanup_free_ char *nowhere = path_join(real, "nowhere");
	assert_ok(make_dirs_canonical(deep, 0700, &err));
	assert_ok(make_dirs_canonical(deep, 0700, &err));
	assert_true(file_exists(deep));
	assert_ok(make_dirs(outside, 0700, &err));
	assert_int_equal(symlink(outside, link), 0);
	assert_int_equal(symlink(nowhere, dangling), 0);
	_cleanup_free_ char *below = path_join(link, "x/y");
	_cleanup_free_ char *through = path_join(outside, "x");
	assert_int_equal(make_dirs_canonical(below, 0700, &err), -ELOOP);
	assert_false(file_exists(through));
	assert_int_equal(make_dirs_canonical(dangling, 0700, &err), -ELOOP);
	assert_false(file_exists(nowhere));
	assert_ok(remove_tree(directory, &err));
}

/* What a directory is replaced by, after it was opened, leads nobody elsewhere. */
static void test_paths_that_change_meanwhile(void **state)
{
	char directory[64];
	struct cay_error err = { 0 };

	make_test_directory(directory);
	_cleanup_free_ char *inside = path_join(directory, "a/b");
	_cleanup_free_ char *moved = path_join(directory, "a/moved");
	_cleanup_free_ char *outside = path_join(directory, "outside");
	assert_ok(make_dirs(inside, 0700, &err));
	assert_ok(make_dirs(outside, 0700, &err));
	_cleanup_free_ char *real = realpath(inside, NULL);
	_cleanup_close_ int fd = open_canonical(real);
	assert_true(fd >= 0);
	_cleanup_free_ char *before = open_path_of(fd);
	assert_string_equal(before, real);
	assert_int_equal(rename(inside, moved), 0);
	assert_int_equal(symlink(outside, inside), 0);
	_cleanup_free_ char *after = open_path_of(fd);
	assert_string_equal(after, moved);
	assert_int_equal(open_canonical(real), -ELOOP);
	_cleanup_free_ char *below = path_join(inside, "x");
	assert_int_equal(open_canonical(below), -ELOOP);
	assert_ok(remove_tree(directory, &err));
}

static void test_wake(void **state)
{
	_cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	const uint64_t rest = UINT64_MAX - 2; /* one less than it holds */
	uint64_t count;

	assert_int_equal(read(fd, &count, sizeof(count)), -1);
	fd_wake(fd);
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	assert_true(count == 1);
	assert_int_equal(write(fd, &rest, sizeof(rest)), sizeof(rest));
	fd_wake(fd);
	fd_wake(fd); /* one too many */
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	assert_true(count == rest + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_read_limit),
		cmocka_unit_test(test_wake),
		cmocka_unit_test(test_remove_tree_does_not_follow_links),
		cmocka_unit_test(test_remove_tree_is_not_stopped_by_depth),
		cmocka_unit_test(test_make_dirs_over_a_file),
		cmocka_unit_test(test_make_dirs_canonical_follows_no_link),
		cmocka_unit_test(test_paths_that_change_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
