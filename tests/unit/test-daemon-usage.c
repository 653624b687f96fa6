/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of a process and of its children, which are made here with a known size. */
#include "test.h"

#include "daemon/usage.h"

#include "base/macros.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIECE = 32 * 1024 * 1024 };

static char *touch(int flags)
{
	char *memory = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	memset(memory, 1, PIECE);
	return memory;
}

/*
 * A child that has touched a piece of its own and waits; and with `below` one more under it. They
 * must not keep the writing end of `hold`: then no end of the test would end them, and what reads
 * their output would wait for ever.
 */
static pid_t start(int ready, const int hold[2], bool below)
{
	pid_t pid = fork();
	char byte = 0;

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	(void)close(hold[1]);
	(void)touch(MAP_PRIVATE);
	if (below)
		(void)start(ready, hold, false);
	(void)!write(ready, &byte, 1);
	(void)!read(hold[0], &byte, 1); /* until the test's end of it is closed */
	_exit(0);
}

static void test_a_tree_of_processes(void **state)
{
	char *shared = touch(MAP_SHARED);
	struct usage before = usage_of(getpid()), after;
	int ready[2], hold[2];
	char byte;
	pid_t pid;

	assert_int_equal(before.processes, 1);
	assert_true(before.memory_bytes > PIECE);
	assert_true(before.resident_bytes >= before.memory_bytes);
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(hold), 0);
	pid = start(ready[1], hold, true);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(read(ready[0], &byte, 1), 1);
	after = usage_of(getpid());
	assert_int_equal(after.processes, 3);
	/* Two pieces more; what is shared with us is counted once, in parts. */
	assert_in_range(after.memory_bytes - before.memory_bytes, 2 * PIECE, 3 * PIECE);
	assert_int_equal(usage_of(pid).processes, 2);
	assert_int_equal(kill(pid, SIGKILL), 0);
	(void)close(hold[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(usage_of(pid).processes, 0);
	assert_int_equal(usage_of(0).processes, 0);
	(void)close(hold[0]);
	(void)close(ready[0]);
	(void)close(ready[1]);
	(void)munmap(shared, PIECE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_tree_of_processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
