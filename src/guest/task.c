/* SPDX-License-Identifier: Apache-2.0 */
/* Work that may block, in a forked child. It answers through a pipe; SIGCHLD reaps it like any. */
#include "guest/task.h"

#include "guest/guest.h"

#include "base/alloc.h"
#include "base/file.h"
#include "rpc/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

/* Small enough for one write to a pipe to be whole (PIPE_BUF). */
struct answer {
	int result;
	uint64_t value;
	struct cay_error err;
};
static_assert(sizeof(struct answer) <= 4096, "an answer is one write");

struct pending_task {
	struct watch *watch;
	void (*done)(int result, uint64_t value, const struct cay_error *err, void *user);
	void *user;
};

static void on_answer(struct watch *watch, int events, void *user)
{
	struct pending_task *task = user;
	struct answer answer;
	ssize_t n = read(watch_fd(watch), &answer, sizeof(answer));

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != (ssize_t)sizeof(answer))
		answer.result = cay_error_set(&answer.err, CAY_INTERNAL, ECHILD,
					      "the process that did the work died");
	watch_close(watch);
	task->done(answer.result, answer.value, &answer.err, task->user);
	free(task);
}

/* Child. Signals are vminitd's until they are reset, so they stay blocked till then. */
static _Noreturn void run_child(int fd,
				int (*run)(const void *input, uint64_t *ret_value,
					   struct cay_error *err),
				const void *input)
{
	struct answer answer = { 0 };
	sigset_t none;

	for (int i = 1; i < _NSIG; i++)
		(void)signal(i, SIG_DFL); /* fails for SIGKILL and SIGSTOP */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	answer.result = run(input, &answer.value, &answer.err);
	_exit(write_full(fd, &answer, sizeof(answer)) < 0);
}

int task_start(struct guest *guest,
	       int (*run)(const void *input, uint64_t *ret_value, struct cay_error *err),
	       const void *input,
	       void (*done)(int result, uint64_t value, const struct cay_error *err, void *user),
	       void *user, struct cay_error *err)
{
	_cleanup_free_ struct pending_task *task = xcalloc(1, sizeof(*task));
	sigset_t all, before;
	int fds[2], r;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return cay_error_errno(err, errno, "making a pipe");
	task->done = done;
	task->user = user;
	r = watch_new(&guest->loop, fds[0], on_answer, task, &task->watch);
	if (r < 0) {
		(void)close(fds[1]);
		return cay_error_errno(err, r, "watching a pipe");
	}
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		run_child(fds[1], run, input);
	r = errno;
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	(void)close(fds[1]);
	if (pid < 0) {
		watch_close(task->watch);
		return cay_error_errno(err, r, "forking");
	}
	watch_set(task->watch, UV_READABLE);
	TAKE_PTR(task);
	return 0;
}
