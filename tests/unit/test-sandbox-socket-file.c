/* SPDX-License-Identifier: Apache-2.0 */
/* Files of published sockets: stale ones give way, living ones and other files stay. */
#include "test.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/unix.h"
#include "sandbox/socket-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static char *directory, *path;

static int set_up(void **state)
{
	directory = xstrdup("/tmp/cay-test-socket-XXXXXX");
	assert_non_null(mkdtemp(directory));
	path = path_join(directory, "s.sock");
	return 0;
}

static int tear_down(void **state)
{
	struct cay_error err = { 0 };

	assert_ok(remove_tree(directory, &err));
	free(path);
	free(directory);
	return 0;
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	assert_int_equal(lstat(name, &st), 0);
	return st.st_mode;
}

static void test_made_and_removed(void **state)
{
	struct socket_file file;
	struct cay_error err = { 0 };
	int fd = socket_file_listen(path, &file, &err), client;

	assert_ok(fd);
	assert_int_equal(mode_of(path), S_IFSOCK | 0600);
	client = unix_try_connect(path);
	assert_true(client >= 0);
	close(client);
	socket_file_remove(&file);
	assert_false(file_exists(path));
	socket_file_remove(&file); /* nothing is left to do */
	close(fd);
}

/* The directory's owner is the socket's, though root makes it. */
static void test_owner(void **state)
{
	struct socket_file file;
	struct cay_error err = { 0 };
	struct stat st;
	int fd;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(directory, 1234, 2345), 0);
	fd = socket_file_listen(path, &file, &err);
	assert_ok(fd);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 2345);
	socket_file_remove(&file);
	close(fd);
	/* And so it is that owner who must be allowed to make it. */
	assert_int_equal(chmod(directory, 0500), 0);
	assert_int_equal(socket_file_listen(path, &file, &err), -EACCES);
	assert_int_equal(chmod(directory, 0700), 0);
	/* Afterwards root is root again. */
	fd = open("/etc/shadow", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 || errno == ENOENT);
	cay_close_p(&fd);
}

static void test_in_use_and_stale(void **state)
{
	struct socket_file file, second;
	struct cay_error err = { 0 };
	int fd = socket_file_listen(path, &file, &err), later;

	assert_ok(fd);
	assert_int_equal(socket_file_listen(path, &second, &err), -EADDRINUSE);
	assert_int_equal(err.code, CAY_EXISTS);
	assert_non_null(strstr(err.message, path));
	assert_non_null(strstr(err.message, "another program listens on it"));
	socket_file_sweep(path);
	assert_true(file_exists(path));
	/* The first one's end does not take the file of a second that came to be there. */
	assert_int_equal(unlink(path), 0);
	cay_error_clear(&err);
	later = socket_file_listen(path, &second, &err);
	assert_ok(later);
	socket_file_remove(&file);
	assert_true(file_exists(path));
	close(fd);
	close(later); /* its program dies */
	fd = socket_file_listen(path, &file, &err);
	assert_ok(fd);
	socket_file_remove(&file);
	assert_false(file_exists(path));
	close(fd);
	socket_file_remove(&second);
}

static void test_others_stay(void **state)
{
	struct socket_file file;
	struct cay_error err = { 0 };

	assert_ok(file_write_volatile(path, "x", 1, 0600, &err));
	assert_int_equal(socket_file_listen(path, &file, &err), -EEXIST);
	socket_file_sweep(path);
	assert_true(S_ISREG(mode_of(path)));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/nowhere", path), 0);
	assert_int_equal(socket_file_listen(path, &file, &err), -EEXIST);
	socket_file_sweep(path);
	assert_true(S_ISLNK(mode_of(path)));
	assert_int_equal(unlink(path), 0);
}

static void test_sweep(void **state)
{
	struct socket_file file;
	struct cay_error err = { 0 };
	int fd = socket_file_listen(path, &file, &err);

	assert_ok(fd);
	close(fd);
	socket_file_sweep(path);
	assert_false(file_exists(path));
	socket_file_sweep(path);
	socket_file_sweep("/nowhere/at/all");
	socket_file_remove(&file);
}

static void test_bad_paths(void **state)
{
	struct socket_file file;
	struct cay_error err = { 0 };

	assert_int_equal(socket_file_listen("/nowhere/s", &file, &err), -ENOENT);
	assert_non_null(strstr(err.message, "/nowhere/s"));
	assert_int_equal(socket_file_listen("relative", &file, &err), -EINVAL);
	assert_int_equal(socket_file_listen("/tmp/", &file, &err), -EINVAL);
}

/* Longer than sun_path holds. */
static void test_long_path(void **state)
{
	char name[201];
	_cleanup_free_ char *deep = NULL, *longer = NULL;
	struct socket_file file;
	struct cay_error err = { 0 };
	int fd, client;

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	deep = path_join(directory, name);
	assert_int_equal(mkdir(deep, 0700), 0);
	longer = path_join(deep, "s.sock");
	fd = socket_file_listen(longer, &file, &err);
	assert_ok(fd);
	client = unix_try_connect(longer);
	assert_true(client >= 0);
	close(client);
	socket_file_remove(&file);
	assert_false(file_exists(longer));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_made_and_removed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_owner, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_in_use_and_stale, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_others_stay, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sweep, set_up, tear_down),
		cmocka_unit_test(test_bad_paths),
		cmocka_unit_test_setup_teardown(test_long_path, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
