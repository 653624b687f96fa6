/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's cgroup, on the host that the tests run on: made, entered, removed. */
#include "test.h"

#include "vmm/cgroup.h"

#include "base/alloc.h"
#include "base/process.h"

#include <signal.h>
#include <sys/wait.h>

static void assert_in_group(pid_t pid, const char *id)
{
	_cleanup_free_ char *file = xasprintf("/proc/%d/cgroup", (int)pid);
	_cleanup_free_ char *where = xasprintf("/cay/%s\n", id);
	_cleanup_buf_ struct buf text = { 0 };
	struct cay_error err = { 0 };

	assert_ok(file_read(file, 65536, &text, &err));
	assert_non_null(strstr(buf_text(&text), where));
}

static void test_life(void **state)
{
	const struct cgroup_limits limits = { .memory_bytes = 64 * MIB, .pids = 16 };
	_cleanup_free_ char *id = xasprintf("test-%d", (int)getpid());
	_cleanup_free_ char *other = xasprintf("%s-other", id);
	struct cay_error err = { 0 };
	int status;
	pid_t pid;

	if (cgroup_create(id, &limits, &err) < 0) {
		(void)cgroup_remove(id, &err);
		skip(); /* not root, or a host without controllers */
	}
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)pause();
		_exit(0);
	}
	assert_ok(cgroup_attach(id, pid, &err));
	assert_in_group(pid, id);
	/* The same group, or another one, under the new name, and nothing under the old. */
	assert_ok(cgroup_create(other, &limits, &err)); /* what an earlier run has left */
	assert_ok(cgroup_rename(id, other, &limits, pid, &err));
	assert_in_group(pid, other);
	assert_ok(cgroup_rename(other, id, &limits, pid, &err));
	assert_in_group(pid, id);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(process_wait(pid, &status), 0);
	assert_ok(cgroup_remove(id, &err));
	assert_ok(cgroup_remove(other, &err));
	assert_ok(cgroup_remove(id, &err)); /* nothing there is fine */
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_life) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
