/* SPDX-License-Identifier: Apache-2.0 */
/* Filling empty volumes: what is copied, when not, and what a crash leaves. */
#include "test.h"

#include "guest/fill.h"

#include "base/alloc.h"
#include "base/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

struct place {
	char directory[64];
	int root; /* of the container */
	char *volume;
};

static char *below(const struct place *place, const char *path)
{
	return path_join(place->directory, path);
}

static void write_text(const struct place *place, const char *path, const char *text)
{
	_cleanup_free_ char *whole = below(place, path);
	struct cay_error err = { 0 };

	assert_ok(file_write_volatile(whole, text, strlen(text), 0644, &err));
}

static void expect_text(const struct place *place, const char *path, const char *text)
{
	_cleanup_free_ char *whole = below(place, path);
	_cleanup_buf_ struct buf read = { 0 };
	struct cay_error err = { 0 };

	assert_ok(file_read(whole, 4096, &read, &err));
	assert_string_equal(buf_text(&read), text);
}

static void make_directory(const struct place *place, const char *path)
{
	_cleanup_free_ char *whole = below(place, path);

	assert_int_equal(mkdir(whole, 0755), 0);
}

static size_t count_entries(const struct place *place, const char *path)
{
	_cleanup_free_ char *whole = below(place, path);
	DIR *directory = opendir(whole);
	size_t count = 0;

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	(void)closedir(directory);
	return count - 2;
}

static bool is_there(const struct place *place, const char *path)
{
	_cleanup_free_ char *whole = below(place, path);
	struct stat st;

	return lstat(whole, &st) == 0;
}

/* An image with /data in it and an empty volume. */
static int set_up(void **state)
{
	struct place *place = xcalloc(1, sizeof(*place));
	_cleanup_free_ char *root = NULL;

	make_test_directory(place->directory);
	make_directory(place, "root");
	make_directory(place, "root/data");
	make_directory(place, "volume");
	root = below(place, "root");
	place->root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	place->volume = below(place, "volume");
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;

	(void)close(place->root);
	(void)remove_tree(place->directory, NULL);
	free(place->volume);
	free(place);
	return 0;
}

static void test_everything(void **state)
{
	struct place *place = *state;
	_cleanup_free_ char *file = below(place, "root/data/file"), *twin = NULL, *link = NULL,
			    *sparse = NULL, *copied = NULL, *data = below(place, "root/data");
	const struct timespec times[2] = { { 1000, 0 }, { 2000, 500000000 } };
	struct cay_error err = { 0 };
	struct stat first, second;
	char text[8] = { 0 };

	write_text(place, "root/data/file", "text");
	assert_int_equal(chmod(file, 02751), 0);
	assert_int_equal(setxattr(file, "user.word", "value", 5, 0), 0);
	assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
	twin = below(place, "root/data/twin");
	assert_int_equal(linkat(AT_FDCWD, file, AT_FDCWD, twin, 0), 0);
	make_directory(place, "root/data/sub");
	write_text(place, "root/data/sub/deep", "deep");
	link = below(place, "root/data/sub/link");
	assert_int_equal(symlink("/etc/passwd", link), 0);
	sparse = below(place, "root/data/sparse");
	write_text(place, "root/data/sparse", "x");
	assert_int_equal(truncate(sparse, 10 << 20), 0);
	assert_int_equal(chmod(data, 01777), 0);

	assert_ok(fill_volume(place->root, "/data", place->volume, &err));
	assert_int_equal(count_entries(place, "volume"), 4);
	expect_text(place, "volume/file", "text");
	expect_text(place, "volume/sub/deep", "deep");
	copied = below(place, "volume/file");
	assert_int_equal(lstat(copied, &first), 0);
	assert_int_equal(first.st_mode & 07777, 02751);
	assert_int_equal(first.st_mtim.tv_sec, 2000);
	assert_int_equal(first.st_mtim.tv_nsec, 500000000);
	assert_int_equal(getxattr(copied, "user.word", text, sizeof(text)), 5);
	assert_string_equal(text, "value");
	free(copied);
	copied = below(place, "volume/twin");
	assert_int_equal(lstat(copied, &second), 0);
	assert_int_equal(first.st_ino, second.st_ino);
	free(copied);
	copied = below(place, "volume/sub/link");
	assert_int_equal(lstat(copied, &first), 0);
	assert_true(S_ISLNK(first.st_mode));
	free(copied);
	copied = below(place, "volume/sparse");
	assert_int_equal(lstat(copied, &first), 0);
	assert_int_equal(first.st_size, 10 << 20);
	assert_in_range(first.st_blocks, 0, 64);
	assert_int_equal(lstat(place->volume, &first), 0);
	assert_int_equal(first.st_mode & 07777, 01777);
}

static void test_special_files_and_owners(void **state)
{
	struct place *place = *state;
	_cleanup_free_ char *fifo = below(place, "root/data/fifo"),
			    *null = below(place, "root/data/null"),
			    *copied_fifo = below(place, "volume/fifo"),
			    *copied_null = below(place, "volume/null"),
			    *data = below(place, "root/data");
	struct cay_error err = { 0 };
	struct stat st;

	if (geteuid() != 0)
		skip();
	assert_int_equal(mkfifo(fifo, 0640), 0);
	assert_int_equal(mknod(null, S_IFCHR | 0666, makedev(1, 3)), 0);
	assert_int_equal(lchown(fifo, 1234, 70000), 0);
	assert_int_equal(chown(data, 999, 998), 0);
	assert_ok(fill_volume(place->root, "/data", place->volume, &err));
	assert_int_equal(lstat(copied_fifo, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 70000);
	assert_int_equal(lstat(copied_null, &st), 0);
	assert_int_equal(st.st_rdev, makedev(1, 3));
	assert_int_equal(lstat(place->volume, &st), 0);
	assert_int_equal(st.st_uid, 999);
	assert_int_equal(st.st_gid, 998);
}

/* A directory without entries gives its owner and mode, as a database's does. */
static void test_empty_directory(void **state)
{
	struct place *place = *state;
	_cleanup_free_ char *data = below(place, "root/data");
	struct cay_error err = { 0 };
	struct stat st;

	assert_int_equal(chmod(data, 0700), 0);
	assert_ok(fill_volume(place->root, "/data", place->volume, &err));
	assert_int_equal(count_entries(place, "volume"), 0);
	assert_int_equal(lstat(place->volume, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

static void test_not_filled(void **state)
{
	struct place *place = *state;
	struct cay_error err = { 0 };

	write_text(place, "root/data/file", "image");
	write_text(place, "root/plain", "x");
	/* Nothing there, and what only a way out of the root would find. */
	assert_ok(fill_volume(place->root, "/missing", place->volume, &err));
	assert_ok(fill_volume(place->root, "/../volume", place->volume, &err));
	assert_int_equal(count_entries(place, "volume"), 0);
	assert_true(fill_volume(place->root, "/plain", place->volume, &err) < 0);
	assert_non_null(strstr(err.message, "the image has no directory there"));
	/* A volume in use keeps what it has; "lost+found" alone is none of a user's. */
	write_text(place, "volume/mine", "x");
	assert_ok(fill_volume(place->root, "/data", place->volume, &err));
	assert_int_equal(count_entries(place, "volume"), 1);
}

static void test_lost_and_found(void **state)
{
	struct place *place = *state;
	struct cay_error err = { 0 };

	write_text(place, "root/data/file", "image");
	make_directory(place, "volume/lost+found");
	assert_ok(fill_volume(place->root, "/data", place->volume, &err));
	expect_text(place, "volume/file", "image");
}

/* A link in the image is resolved inside its root. */
static void test_link_in_the_image(void **state)
{
	struct place *place = *state;
	_cleanup_free_ char *link = below(place, "root/link");
	struct cay_error err = { 0 };

	write_text(place, "root/data/file", "image");
	assert_int_equal(symlink("/data", link), 0);
	assert_ok(fill_volume(place->root, "/link", place->volume, &err));
	expect_text(place, "volume/file", "image");
}

/* Broken off in the first step: all of it is done again. */
static void test_crash_while_copying(void **state)
{
	struct place *place = *state;
	struct cay_error err = { 0 };

	write_text(place, "root/data/file", "image");
	make_directory(place, "volume/.cay-filling");
	write_text(place, "volume/.cay-filling/half", "ha");
	write_text(place, "volume/.cay-fill.lock", "");
	assert_ok(fill_volume(place->root, "/data", place->volume, &err));
	assert_int_equal(count_entries(place, "volume"), 1);
	expect_text(place, "volume/file", "image");
}

/* Broken off in the second: what was copied is moved, and nothing is copied again. */
static void test_crash_while_moving(void **state)
{
	struct place *place = *state;
	_cleanup_free_ char *data = below(place, "root/data");
	struct cay_error err = { 0 };
	struct stat st;

	write_text(place, "root/data/first", "new");
	write_text(place, "root/data/second", "new");
	assert_int_equal(chmod(data, 0711), 0);
	make_directory(place, "volume/.cay-filled");
	write_text(place, "volume/.cay-filled/second", "copied");
	write_text(place, "volume/first", "moved");
	assert_ok(fill_volume(place->root, "/data", place->volume, &err));
	assert_int_equal(count_entries(place, "volume"), 2);
	expect_text(place, "volume/first", "moved");
	expect_text(place, "volume/second", "copied");
	assert_int_equal(lstat(place->volume, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
}

/* At the very end: only the lock's file is left. */
static void test_crash_before_unlocking(void **state)
{
	struct place *place = *state;
	struct cay_error err = { 0 };

	write_text(place, "root/data/file", "image");
	write_text(place, "volume/mine", "x");
	write_text(place, "volume/.cay-fill.lock", "");
	assert_ok(fill_volume(place->root, "/data", place->volume, &err));
	assert_int_equal(count_entries(place, "volume"), 1);
}

/* Two at once: one fills, the other waits and finds it filled. */
static void test_two_at_once(void **state)
{
	struct place *place = *state;
	struct cay_error err = { 0 };
	pid_t pids[4];

	for (int i = 0; i < 200; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "root/data/file-%d", i);
		write_text(place, name, "image");
	}
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(fill_volume(place->root, "/data", place->volume, &err) < 0 ||
			      count_entries(place, "volume") < 200);
	}
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		int status;

		assert_int_equal(process_wait(pids[i], &status), 0);
		assert_int_equal(process_exit_code(status), 0);
	}
	assert_int_equal(count_entries(place, "volume"), 200);
}

/* A failure leaves a volume that counts as empty, and says what failed. */
static void test_failure(void **state)
{
	struct place *place = *state;
	struct cay_error err = { 0 };
	pid_t pid;
	int status;

	if (geteuid() != 0)
		skip();
	write_text(place, "root/data/file", "image");
	assert_int_equal(chmod(place->directory, 0755), 0);
	assert_int_equal(chmod(place->volume, 0777), 0);
	{
		_cleanup_free_ char *file = below(place, "root/data/file");

		assert_int_equal(chmod(file, 0600), 0);
	}
	pid = fork();
	if (pid == 0) {
		/* As someone who may not read the file. */
		if (setgid(65534) < 0 || setuid(65534) < 0 ||
		    fill_volume(place->root, "/data", place->volume, &err) >= 0 ||
		    !strstr(err.message, "filling the volume on /data: copying /file: "))
			_exit(1);
		_exit(0);
	}
	assert_int_equal(process_wait(pid, &status), 0);
	assert_int_equal(process_exit_code(status), 0);
	assert_int_equal(count_entries(place, "volume"), 0);
	assert_ok(fill_volume(place->root, "/data", place->volume, &err));
	assert_true(is_there(place, "volume/file"));
}

#define fill_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		fill_test(test_everything),
		fill_test(test_special_files_and_owners),
		fill_test(test_empty_directory),
		fill_test(test_not_filled),
		fill_test(test_lost_and_found),
		fill_test(test_link_in_the_image),
		fill_test(test_crash_while_copying),
		fill_test(test_crash_while_moving),
		fill_test(test_crash_before_unlocking),
		fill_test(test_two_at_once),
		fill_test(test_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
