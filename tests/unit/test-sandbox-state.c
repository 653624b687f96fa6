/* SPDX-License-Identifier: Apache-2.0 */
/* State files: what is written is read; what is damaged is said to be. */
#include "test.h"

#include "sandbox/state.h"

#include "base/alloc.h"

#include <string.h>

static void test_round_trip(void **state)
{
	const struct sandbox_state written = {
		.status = SANDBOX_EXITED,
		.shim_pid = 10,
		.vm_pid = 11,
		.started_ns = 1700000000123456789,
		.finished_ns = 1700000001000000001,
		.exit_code = 137,
		.oom_killed = true,
		.error = "the \"VM\" ended",
	};
	struct sandbox_state noted = written, read = { 0 };
	char directory[64];
	_cleanup_free_ char *path = NULL;
	struct cay_error err = { 0 };

	make_test_directory(directory);
	path = path_join(directory, "state.json");
	assert_ok(sandbox_state_save(path, &written, &err));
	assert_ok(sandbox_state_load(path, &read, &err));
	assert_int_equal(read.status, SANDBOX_EXITED);
	assert_int_equal(read.shim_pid, 10);
	assert_int_equal(read.vm_pid, 11);
	assert_int_equal(read.started_ns, written.started_ns);
	assert_int_equal(read.finished_ns, written.finished_ns);
	assert_int_equal(read.exit_code, 137);
	assert_true(read.oom_killed);
	assert_string_equal(read.error, written.error);
	noted.status = SANDBOX_RUNNING;
	assert_ok(sandbox_state_note(path, &noted, &err));
	assert_ok(sandbox_state_load(path, &read, &err));
	assert_int_equal(read.status, SANDBOX_RUNNING);
	assert_ok(remove_tree(directory, &err));
}

static void test_damaged(void **state)
{
	static const char *const texts[] = {
		"",
		"{",
		"[]",
		"{}",
		"{\"status\":\"gone\",\"shim_pid\":1,\"vm_pid\":1,\"started_ns\":0,"
		"\"finished_ns\":0,\"exit_code\":0}",
		"{\"status\":\"exited\",\"shim_pid\":1,\"vm_pid\":1,\"started_ns\":0,"
		"\"finished_ns\":0,\"exit_code\":256}",
		"{\"status\":\"exited\",\"shim_pid\":-1,\"vm_pid\":1,\"started_ns\":0,"
		"\"finished_ns\":0,\"exit_code\":0}",
		"{\"status\":\"exited\",\"shim_pid\":1,\"vm_pid\":1,\"started_ns\":0,"
		"\"finished_ns\":0}",
	};
	struct sandbox_state read = { .exit_code = 42 };
	char directory[64];
	_cleanup_free_ char *path = NULL;
	struct cay_error err = { 0 };

	make_test_directory(directory);
	path = path_join(directory, "state.json");
	assert_true(sandbox_state_load(path, &read, &err) < 0);
	assert_int_equal(err.code, CAY_NOT_FOUND);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_ok(file_write_volatile(path, texts[i], strlen(texts[i]), 0600, &err));
		assert_true(sandbox_state_load(path, &read, &err) < 0);
		assert_int_equal(err.code, CAY_CORRUPT);
	}
	assert_int_equal(read.exit_code, 42); /* untouched */
	assert_ok(remove_tree(directory, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
