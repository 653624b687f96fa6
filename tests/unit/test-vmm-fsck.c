/* SPDX-License-Identifier: Apache-2.0 */
/* Disks with the faults a guest or a power cut can leave, checked by e2fsck in its jail. */
#include "test.h"

#include "vmm/fsck.h"

#include "base/file.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { SUPERBLOCK = 1024, STATE = SUPERBLOCK + 0x3a, ERRORS = 2, UID = 223345 };
#define DISK_SIZE (64 * MIB)

struct fixture {
	char directory[64];
	char *disk, *jail;
};

static void run(struct strv *argv)
{
	_cleanup_buf_ struct buf output = { 0 };
	struct cay_error err = { 0 };

	assert_int_equal(process_run(argv, 4096, &output, &err), 0);
	strv_done(argv);
	*argv = (struct strv){ 0 };
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct strv argv = { 0 };

	make_test_directory(fixture->directory);
	fixture->disk = path_join(fixture->directory, "disk");
	fixture->jail = path_join(fixture->directory, "jail");
	assert_int_equal(mkdir(fixture->jail, 0700), 0);
	strv_add(&argv, "mke2fs");
	strv_add(&argv, "-qFt");
	strv_add(&argv, "ext4");
	strv_add(&argv, fixture->disk);
	strv_addf(&argv, "%dk", (int)(DISK_SIZE / KIB));
	run(&argv);
	assert_int_equal(chmod(fixture->disk, 0600), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(fixture->disk, UID, UID), 0);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	/* Nothing of the jail is left on the host's side. */
	assert_int_equal(rmdir(fixture->jail), 0);
	assert_ok(remove_tree(fixture->directory, &err));
	free(fixture->disk);
	free(fixture->jail);
	free(fixture);
	return 0;
}

static int check(const struct fixture *fixture, struct buf *report, struct cay_error *err)
{
	const struct fsck fsck = {
		.disk = fixture->disk,
		.jail_directory = fixture->jail,
		.uid = geteuid() == 0 ? UID : 0,
		.disk_size = DISK_SIZE,
	};

	return fsck_run(&fsck, report, err);
}

/* Changes the file system behind the kernel's back. */
static void debug(const struct fixture *fixture, const char *command)
{
	struct strv argv = { 0 };

	strv_add(&argv, "debugfs");
	strv_add(&argv, "-w");
	strv_add(&argv, "-R");
	strv_add(&argv, command);
	strv_add(&argv, fixture->disk);
	run(&argv);
}

static void test_sound(void **state)
{
	_cleanup_buf_ struct buf report = { 0 };
	struct cay_error err = { 0 };

	assert_int_equal(check(*state, &report, &err), 0);
	assert_non_null(strstr(buf_text(&report), "/disk: 11/"));
}

/* The mark by which the kernel asks for a check is gone after it. */
static void test_flag(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_buf_ struct buf report = { 0 };
	_cleanup_close_ int fd = open(fixture->disk, O_RDWR | O_CLOEXEC);
	struct cay_error err = { 0 };
	uint8_t flags = 0;

	debug(fixture, "set_super_value state 3");
	assert_int_equal(pread(fd, &flags, 1, STATE), 1);
	assert_int_equal(flags & ERRORS, ERRORS);
	assert_true(check(fixture, &report, &err) >= 0);
	assert_int_equal(pread(fd, &flags, 1, STATE), 1);
	assert_int_equal(flags & ERRORS, 0);
}

/* Wrong counts are mended without asking. */
static void test_mended(void **state)
{
	_cleanup_buf_ struct buf report = { 0 }, again = { 0 };
	struct cay_error err = { 0 };

	debug(*state, "set_super_value free_blocks_count 17");
	assert_int_equal(check(*state, &report, &err), 1);
	assert_int_equal(check(*state, &again, &err), 0);
}

/* A root that is no directory takes a person to decide. */
static void test_left(void **state)
{
	_cleanup_buf_ struct buf report = { 0 };
	struct cay_error err = { 0 };

	debug(*state, "set_inode_field <2> mode 0100644");
	assert_true(check(*state, &report, &err) < 0);
	assert_int_equal(err.code, CAY_CORRUPT);
	assert_non_null(strstr(err.message, "left errors in"));
	assert_non_null(strstr(err.message, "Root inode is not a directory"));
	assert_null(strchr(err.message, '\n'));
}

static void test_garbage(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_buf_ struct buf report = { 0 };
	_cleanup_close_ int fd = open(fixture->disk, O_RDWR | O_CLOEXEC);
	struct cay_error err = { 0 };
	char noise[65536];

	memset(noise, 0x5a, sizeof(noise));
	for (off_t at = 0; at < (off_t)DISK_SIZE; at += (off_t)sizeof(noise))
		assert_int_equal(pwrite(fd, noise, sizeof(noise), at), (ssize_t)sizeof(noise));
	assert_true(check(fixture, &report, &err) < 0);
	assert_int_equal(err.code, CAY_CORRUPT);
	assert_non_null(strstr(err.message, "could not check"));
}

/* The jail gives it the rights of the disk's owner and no others. */
static void test_foreign_owner(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_buf_ struct buf report = { 0 };
	struct cay_error err = { 0 };

	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(fixture->disk, 0, 0), 0);
	assert_true(check(fixture, &report, &err) < 0);
	assert_non_null(strstr(err.message, "Permission denied"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sound, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_flag, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_mended, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_left, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_garbage, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_foreign_owner, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
