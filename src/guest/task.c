/* SPDX-License-Identifier: Apache-2.0 */
/* Work that may block, in a forked child. It answers by a socket; SIGCHLD reaps it like any. */
#include "guest/task.h"

#include "guest/guest.h"

#include "base/alloc.h"
#include "base/unix.h"
#include "rpc/watch.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

/* One message of the socket. */
struct answer {
	int result;
	uint64_t value;
	struct cay_error err;
};

struct pending_task {
	struct watch *watch;
	bool opens; /* the value is a descriptor */
	void (*done)(int result, uint64_t value, const struct cay_error *err, void *user);
	void *user;
};

static void on_answer(struct watch *watch, int events, void *user)
{
	struct pending_task *task = user;
	struct answer answer = { 0 };
	int fd = -1;
	ssize_t n = unix_receive_fd(watch_fd(watch), &answer, sizeof(answer), &fd);

	(void)events;
	if (n == -EAGAIN)
		return;
	if (n != (ssize_t)sizeof(answer))
		answer.result = cay_error_set(&answer.err, CAY_INTERNAL, ECHILD,
					      "the process that did the work died");
	else if (task->opens && answer.result >= 0 && fd < 0)
		answer.result = cay_error_set(&answer.err, CAY_NO_SPACE, EMFILE,
					      "no descriptor is left for what was opened");
	if (task->opens)
		answer.value = (uint64_t)fd;
	watch_close(watch);
	task->done(answer.result, answer.value, &answer.err, task->user);
	free(task);
}

pid_t task_fork(void)
{
	sigset_t all, none, before;
	pid_t pid;
	int error;

	/* Signals are vminitd's until they are reset, so they stay blocked till then. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0) {
		for (int i = 1; i < _NSIG; i++)
			(void)signal(i, SIG_DFL); /* fails for SIGKILL and SIGSTOP */
		(void)sigemptyset(&none);
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
		return 0;
	}
	error = errno;
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	errno = error;
	return pid;
}

static _Noreturn void run_child(int fd, bool opens,
				int (*run)(const void *input, uint64_t *ret_value,
					   struct cay_error *err),
				const void *input)
{
	struct answer answer = { 0 };

	answer.result = run(input, &answer.value, &answer.err);
	_exit(unix_send_fd(fd, &answer, sizeof(answer),
			   opens && answer.result >= 0 ? (int)answer.value : -1) < 0);
}

static int start(struct guest *guest, bool opens,
		 int (*run)(const void *input, uint64_t *ret_value, struct cay_error *err),
		 const void *input,
		 void (*done)(int result, uint64_t value, const struct cay_error *err, void *user),
		 void *user, struct cay_error *err)
{
	_cleanup_free_ struct pending_task *task = xcalloc(1, sizeof(*task));
	int fds[2], r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return cay_error_errno(err, errno, "making a pair of sockets");
	task->opens = opens;
	task->done = done;
	task->user = user;
	r = watch_new(&guest->loop, fds[0], on_answer, task, &task->watch);
	if (r < 0) {
		(void)close(fds[1]);
		return cay_error_errno(err, r, "watching a socket");
	}
	pid = task_fork();
	if (pid == 0)
		run_child(fds[1], opens, run, input);
	r = errno;
	(void)close(fds[1]);
	if (pid < 0) {
		watch_close(task->watch);
		return cay_error_errno(err, r, "forking");
	}
	watch_set(task->watch, UV_READABLE);
	TAKE_PTR(task);
	return 0;
}

int task_start(struct guest *guest,
	       int (*run)(const void *input, uint64_t *ret_value, struct cay_error *err),
	       const void *input,
	       void (*done)(int result, uint64_t value, const struct cay_error *err, void *user),
	       void *user, struct cay_error *err)
{
	return start(guest, false, run, input, done, user, err);
}

int task_open(struct guest *guest,
	      int (*run)(const void *input, uint64_t *ret_value, struct cay_error *err),
	      const void *input,
	      void (*done)(int result, uint64_t value, const struct cay_error *err, void *user),
	      void *user, struct cay_error *err)
{
	return start(guest, true, run, input, done, user, err);
}
