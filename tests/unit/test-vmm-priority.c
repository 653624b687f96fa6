/* SPDX-License-Identifier: Apache-2.0 */
/* A process with several threads, lowered and restored. */
#include "test.h"

#include "vmm/priority.h"

#include "base/process.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static void *report_thread(void *user)
{
	const pid_t id = (pid_t)syscall(SYS_gettid);

	(void)!write(*(int *)user, &id, sizeof(id));
	(void)pause();
	return NULL;
}

/* Child: makes one thread before and one after a byte arrives, and tells their ids. */
static _Noreturn void run_child(int in, int out)
{
	pthread_t thread;
	char go;

	(void)pthread_create(&thread, NULL, report_thread, &out);
	(void)!read(in, &go, 1);
	(void)pthread_create(&thread, NULL, report_thread, &out);
	(void)pause();
	_exit(0);
}

static pid_t next_thread(int fd)
{
	pid_t id = 0;

	assert_int_equal(read(fd, &id, sizeof(id)), sizeof(id));
	return id;
}

static void test_threads(void **state)
{
	const int normal = getpriority(PRIO_PROCESS, 0);
	int to[2], from[2], status;
	pid_t pid, first, second;

	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		run_child(to[0], from[1]);
	first = next_thread(from[0]);
	if (priority_lower(pid)) {
		assert_int_equal(getpriority(PRIO_PROCESS, (id_t)first), normal + 10);
		assert_int_equal(write(to[1], "g", 1), 1);
		second = next_thread(from[0]);
		assert_int_equal(getpriority(PRIO_PROCESS, (id_t)second), normal + 10);
		priority_restore(pid);
		assert_int_equal(getpriority(PRIO_PROCESS, (id_t)second), normal);
	} /* else an ordinary user, for whom nothing changes */
	assert_int_equal(getpriority(PRIO_PROCESS, (id_t)pid), normal);
	assert_int_equal(getpriority(PRIO_PROCESS, (id_t)first), normal);
	assert_int_equal(getpriority(PRIO_PROCESS, 0), normal);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(process_wait(pid, &status), 0);
	priority_restore(pid); /* it is gone */
	for (unsigned int i = 0; i < 2; i++) {
		(void)close(to[i]);
		(void)close(from[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_threads) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
