/* SPDX-License-Identifier: Apache-2.0 */
/* The boot log: bounded however much the guest says, with its last lines at hand. */
#include "test.h"

#include "sandbox/boot-log.h"

#include "base/alloc.h"

#include <string.h>
#include <sys/stat.h>

static void test_last_lines(void **state)
{
	char directory[64];
	_cleanup_free_ char *path = NULL, *lines = NULL;
	struct boot_log log;
	struct cay_error err;

	make_test_directory(directory);
	path = path_join(directory, "boot.log");
	boot_log_init(&log, path);
	lines = boot_log_last_lines(&log);
	assert_string_equal(lines, "");
	free(lines);
	boot_log_append(&log, "1\n2\n3\n4\n", 8);
	boot_log_append(&log, "\x1b[1m5\r\n6\n\n", 10);
	lines = boot_log_last_lines(&log);
	assert_string_equal(lines, "2 | 3 | 4 | [1m5 | 6");
	boot_log_done(&log);
	assert_ok(remove_tree(directory, &err));
}

static void test_flood(void **state)
{
	char directory[64], block[10000];
	_cleanup_free_ char *path = NULL, *old = NULL, *older = NULL;
	struct boot_log log;
	struct stat st;
	struct cay_error err;

	make_test_directory(directory);
	path = path_join(directory, "boot.log");
	old = path_join(directory, "boot.log.1");
	older = path_join(directory, "boot.log.1.1");
	memset(block, 'x', sizeof(block));
	boot_log_init(&log, path);
	for (unsigned int i = 0; i < 500; i++)
		boot_log_append(&log, block, sizeof(block));
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size <= BOOT_LOG_MAX);
	assert_int_equal(stat(old, &st), 0);
	assert_true(st.st_size <= BOOT_LOG_MAX);
	assert_false(file_exists(older));
	assert_true(log.tail.length <= BOOT_LOG_TAIL);
	boot_log_done(&log);
	assert_ok(remove_tree(directory, &err));
}

static void test_no_file(void **state)
{
	struct boot_log log;
	_cleanup_free_ char *lines = NULL;

	boot_log_init(&log, "/no/such/directory/boot.log");
	boot_log_append(&log, "still here", 10);
	lines = boot_log_last_lines(&log);
	assert_string_equal(lines, "still here");
	boot_log_done(&log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last_lines),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
