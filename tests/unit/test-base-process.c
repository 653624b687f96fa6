/* SPDX-License-Identifier: Apache-2.0 */
/* Starting programs: exit codes, failures to start, descriptors handed over and kept back. */
#include "test.h"

#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

static int run(const char *script, struct buf *output)
{
	_cleanup_strv_ struct strv argv = { 0 };
	struct cay_error err = { 0 };

	strv_add(&argv, "sh");
	strv_add(&argv, "-c");
	strv_add(&argv, script);
	return process_run(&argv, 4096, output, &err);
}

static void test_exit_codes_and_output(void **state)
{
	_cleanup_buf_ struct buf output = { 0 };

	assert_int_equal(run("echo out; echo err >&2; exit 7", &output), 7);
	assert_string_equal(output.data, "out\nerr\n");
	assert_int_equal(run("kill -TERM $$", NULL), 128 + SIGTERM);
	buf_clear(&output);
	assert_int_equal(run("yes | head -c 100000", &output), 0);
	assert_int_equal(output.length, 4096);
}

static void test_a_missing_program_is_an_error(void **state)
{
	_cleanup_strv_ struct strv argv = { 0 };
	struct cay_error err = { 0 };
	pid_t pid = -7;

	strv_add(&argv, "/nonexistent/program");
	const struct process_spec spec = { .argv = &argv };
	assert_int_equal(process_spawn(&spec, &pid, &err), -ENOENT);
	assert_string_equal(err.message,
			    "starting /nonexistent/program: No such file or directory");
	assert_int_equal(process_spawn_detached(&spec, &pid, &err), -ENOENT);
	assert_int_equal(pid, -7);
}

static void test_descriptors(void **state)
{
	_cleanup_strv_ struct strv argv = { 0 };
	struct cay_error err = { 0 };
	int pipe_fds[2], status;
	char text[16] = "";
	pid_t pid;

	/* What this program itself was started with is not what is tested. */
	assert_int_equal(close_range(3, ~0U, CLOSE_RANGE_CLOEXEC), 0);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	strv_add(&argv, "sh");
	strv_add(&argv, "-c");
	strv_add(&argv, "echo hi >&9; ls /proc/self/fd | wc -l >&9");
	const struct process_fd fds[] = { { pipe_fds[1], 9 } };
	const struct process_spec spec = { .argv = &argv, .fds = fds, .fd_count = 1 };
	assert_ok(process_spawn(&spec, &pid, &err));
	(void)close(pipe_fds[1]);
	assert_true(read_full(pipe_fds[0], text, sizeof(text) - 1) > 0);
	/* 0, 1, 2, 9 and the one that lists the directory. */
	assert_string_equal(text, "hi\n5\n");
	assert_int_equal(process_wait(pid, &status), 0);
	assert_int_equal(process_exit_code(status), 0);
	(void)close(pipe_fds[0]);
}

static void test_detached_has_another_parent(void **state)
{
	_cleanup_strv_ struct strv argv = { 0 };
	struct cay_error err = { 0 };
	int pipe_fds[2], status;
	char text[32] = "";
	pid_t pid;

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	strv_add(&argv, "sh");
	strv_add(&argv, "-c");
	strv_add(&argv, "echo $$ >&9");
	const struct process_fd fds[] = { { pipe_fds[1], 9 } };
	const struct process_spec spec = {
		.argv = &argv, .fds = fds, .fd_count = 1, .new_session = true
	};
	assert_ok(process_spawn_detached(&spec, &pid, &err));
	(void)close(pipe_fds[1]);
	assert_true(read_full(pipe_fds[0], text, sizeof(text) - 1) > 0);
	assert_int_equal(strtol(text, NULL, 10), pid);
	assert_int_equal(process_wait(pid, &status), -ECHILD);
	(void)close(pipe_fds[0]);
}

static void test_background(void **state)
{
	_cleanup_strv_ struct strv argv = { 0 };
	struct cay_error err = { 0 };
	int status;
	pid_t pid;

	strv_add(&argv, "sh");
	strv_add(&argv, "-c");
	strv_add(&argv, "exit $(nice)");
	const struct process_spec spec = { .argv = &argv, .background = true };
	assert_ok(process_spawn(&spec, &pid, &err));
	assert_int_equal(process_wait(pid, &status), 0);
	assert_int_equal(process_exit_code(status), 19);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exit_codes_and_output),
		cmocka_unit_test(test_a_missing_program_is_an_error),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_background),
		cmocka_unit_test(test_detached_has_another_parent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
