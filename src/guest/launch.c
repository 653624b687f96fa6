/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forking the child that becomes a container's process, and its frame: first
 * its descriptors, then launch_prepare(), the report, the wait, and
 * launch_execute(). The fork is clone3(), so that the child is born in its
 * cgroup and, for a container's first process, in its pid namespace.
 *
 * The child holds a copy of vminitd's memory in the container's pid namespace.
 * vminitd is not "dumpable" (PR_SET_DUMPABLE), which the child inherits until
 * it executes: processes of the container can neither trace it nor read its
 * memory, descriptors or program through /proc.
 */
#include "guest/launch-internal.h"

#include "guest/descriptors.h"
#include "guest/guest.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/unix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { CHILD_FDS_MAX = 5 };

/* Each is read at its first and written at its second end. */
struct pipes {
	int stdin_pipe[2], output[2], error[2];
	int report[2], word[2];
};

static void close_pipe(int fds[2])
{
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
}

static void pipes_done(struct pipes *pipes)
{
	close_pipe(pipes->stdin_pipe);
	close_pipe(pipes->output);
	close_pipe(pipes->error);
	close_pipe(pipes->report);
	close_pipe(pipes->word);
}

bool launch_attaches(const struct launch *launch)
{
	return launch->process->terminal || launch->files_only;
}

/* Report and word as one socket, of which both have a descriptor at each end. */
static int make_socket(struct pipes *pipes)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	pipes->report[0] = pair[0];
	pipes->report[1] = pair[1];
	pipes->word[0] = fcntl(pair[1], F_DUPFD_CLOEXEC, 3);
	pipes->word[1] = fcntl(pair[0], F_DUPFD_CLOEXEC, 3);
	return pipes->word[0] < 0 || pipes->word[1] < 0 ? -1 : 0;
}

static int pipes_make(const struct launch *launch, struct pipes *pipes, struct cay_error *err)
{
	if (launch_attaches(launch)
		    ? make_socket(pipes) < 0
		    : pipe2(pipes->report, O_CLOEXEC) < 0 || pipe2(pipes->word, O_CLOEXEC) < 0)
		return cay_error_errno(err, errno, "making a way to hear of the child");
	if (launch_attaches(launch))
		return 0;
	if ((launch->stdin_pipe && pipe2(pipes->stdin_pipe, O_CLOEXEC) < 0) ||
	    pipe2(pipes->output, O_CLOEXEC) < 0 || pipe2(pipes->error, O_CLOEXEC) < 0)
		return cay_error_errno(err, errno, "making the standard streams");
	return 0;
}

/* Child: standard streams in place, everything of vminitd's that the child needs not closed. */
static int arrange_fds(struct child *child, const struct pipes *pipes, struct cay_error *err)
{
	int input = pipes->stdin_pipe[0], keep[CHILD_FDS_MAX], r = 0;

	if (input < 0) {
		input = open("/dev/null", O_RDWR | O_CLOEXEC); /* closed with the others */
		if (input < 0)
			return cay_error_errno(err, errno, "opening /dev/null");
	}
	if (dup2(input, STDIN_FILENO) < 0 ||
	    dup2(pipes->output[1] >= 0 ? pipes->output[1] : input, STDOUT_FILENO) < 0 ||
	    dup2(pipes->error[1] >= 0 ? pipes->error[1] : input, STDERR_FILENO) < 0)
		r = cay_error_errno(err, errno, "placing the standard streams");
	keep[0] = child->report;
	keep[1] = child->word;
	keep[2] = child->proc_fd;
	keep[3] = child->self_fd;
	keep[4] = child->launch->pidfd;
	descriptors_close_others(keep, CHILD_FDS_MAX);
	return r;
}

/* Child: CLONE_CLEAR_SIGHAND has taken vminitd's handlers, but leaves alone what is ignored. */
static void reset_signals(void)
{
	sigset_t none;

	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void send_message(int report, enum launch_kind kind, const struct cay_error *err, int fd)
{
	struct launch_message message = { .kind = kind };
	size_t size = offsetof(struct launch_message, message);

	if (kind == LAUNCH_FAILED) {
		message.code = (int32_t)err->code;
		message.err = err->err;
		memcpy(message.message, err->message, sizeof(message.message));
		size = sizeof(message);
	}
	/* vminitd has gone if these fail. */
	if (fd >= 0)
		(void)unix_send_fd(report, &message, size, fd);
	else
		(void)write_full(report, &message, size);
}

int launch_receive(int report, bool attaches, struct launch_message *ret_message, int *ret_fd)
{
	ssize_t n;

	*ret_message = (struct launch_message){ 0 };
	*ret_fd = -1;
	if (attaches) {
		n = unix_receive_fd(report, ret_message, sizeof(*ret_message), ret_fd);
	} else {
		n = read(report, ret_message, sizeof(*ret_message));
		if (n < 0)
			n = -errno;
	}
	if (n <= 0)
		return n == -EAGAIN ? -EAGAIN : 0;
	ret_message->message[sizeof(ret_message->message) - 1] = '\0';
	return 1;
}

/* Child: false when vminitd closed its end instead. */
static bool wait_for_start(int word)
{
	char byte;

	return read_full(word, &byte, 1) == 1;
}

/* Child, as root, in the guest's namespaces but for a new pid namespace. */
static _Noreturn void run_child(struct child *child, const struct pipes *pipes)
{
	struct cay_error err = { 0 };
	int master = -1, r;

	reset_signals();
	r = arrange_fds(child, pipes, &err);
	if (r >= 0)
		r = child->launch->files_only ? launch_prepare_files(child, &master, &err)
					      : launch_prepare(child, &master, &err);
	if (r < 0) {
		send_message(child->report, LAUNCH_FAILED, &err, -1);
		_exit(cay_code_exit_status(CAY_INTERNAL));
	}
	send_message(child->report, LAUNCH_READY, NULL, master);
	if (child->launch->files_only)
		_exit(0);
	if (master >= 0)
		(void)close(master);
	if (!wait_for_start(child->word))
		_exit(cay_code_exit_status(CAY_INTERNAL));
	(void)launch_execute(child, &err);
	send_message(child->report, LAUNCH_FAILED, &err, -1);
	_exit(cay_code_exit_status(err.code));
}

static pid_t clone_child(const struct launch *launch, int *ret_pidfd)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uintptr_t)ret_pidfd,
		.exit_signal = SIGCHLD,
	};

	if (launch->config && !launch->files_only)
		args.flags |= (uint64_t)(oci_new_namespaces(launch->config) & CLONE_NEWPID);
	if (launch->cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)launch->cgroup_fd;
	}
	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* The pid namespace a child is to be born in, if not ours or a new one: a descriptor that
 * setns() takes, or -1. */
static int open_pid_namespace(const struct launch *launch, struct cay_error *err)
{
	if (!launch->config) {
		int fd;

		if (!(launch->namespaces & CLONE_NEWPID))
			return -1;
		fd = fcntl(launch->pidfd, F_DUPFD_CLOEXEC, 3);
		return fd < 0 ? cay_error_errno(err, errno, "joining the container") : fd;
	}
	for (size_t i = 0; !launch->files_only && i < launch->config->namespace_count; i++) {
		const struct oci_namespace *ns = &launch->config->namespaces[i];
		int fd;

		if (ns->flag != CLONE_NEWPID || !ns->path)
			continue;
		fd = open(ns->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		return fd < 0 ? cay_error_errno(err, errno, "opening the namespace %s", ns->path)
			      : fd;
	}
	return -1;
}

static pid_t fork_child(const struct launch *launch, struct child *child, const struct pipes *pipes,
			int *ret_pidfd, struct cay_error *err)
{
	_cleanup_close_ int ns = -1;
	sigset_t all, before;
	int error;
	pid_t pid;

	ns = open_pid_namespace(launch, err);
	if (ns < -1)
		return ns;
	if (ns >= 0 && setns(ns, CLONE_NEWPID) < 0)
		return cay_error_set(err, errno == ESRCH ? CAY_CONFLICT : CAY_INTERNAL, errno,
				     "joining the container's pid namespace: %s",
				     errno_text(errno));
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	pid = clone_child(launch, ret_pidfd);
	error = errno;
	if (pid == 0)
		run_child(child, pipes);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (ns >= 0 && setns(launch->guest->pid_ns_fd, CLONE_NEWPID) < 0)
		abort(); /* one's own namespace can always be entered */
	if (pid < 0 && error == ENOMEM && ns >= 0)
		return cay_error_set(err, CAY_CONFLICT, error, "the container is not running");
	return pid < 0 ? cay_error_errno(err, error, "forking") : pid;
}

int launch(const struct launch *launch, struct launched *ret_launched, struct cay_error *err)
{
	_cleanup_(pipes_done) struct pipes pipes = {
		{ -1, -1 }, { -1, -1 }, { -1, -1 }, { -1, -1 }, { -1, -1 }
	};
	struct child child = { .launch = launch, .self_fd = -1, .terminal = -1 };
	_cleanup_close_ int self = -1;
	int pidfd = -1, r;
	pid_t pid;

	r = pipes_make(launch, &pipes, err);
	if (r < 0)
		return r;
	if (launch->use_init) {
		self = openat(launch->guest->proc_fd, "self/exe", O_RDONLY | O_CLOEXEC);
		if (self < 0)
			return cay_error_errno(err, errno, "opening vminitd");
	}
	child.report = pipes.report[1];
	child.word = pipes.word[0];
	child.proc_fd = launch->guest->proc_fd;
	child.self_fd = self;
	pid = fork_child(launch, &child, &pipes, &pidfd, err);
	if (pid < 0)
		return pid;
	*ret_launched = (struct launched){ .pid = pid,
					   .pidfd = pidfd,
					   .report = TAKE_FD(pipes.report[0]),
					   .word = TAKE_FD(pipes.word[1]),
					   .input = TAKE_FD(pipes.stdin_pipe[1]),
					   .output = TAKE_FD(pipes.output[0]),
					   .error = TAKE_FD(pipes.error[0]) };
	return 0;
}
