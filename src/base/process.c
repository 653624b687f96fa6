/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting other programs by fork and exec. A pipe that closes on exec tells
 * the parent whether the program started and, if not, why.
 */
#include "base/process.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { NICE_BACKGROUND = 19 };

/* What the child tells the parent. */
struct spawn_report {
	pid_t pid; /* of the program itself, for the detached form */
	int err;
};

/* Child: moves one descriptor out of the way of the numbers that are to be given out. */
static int lift_fd(int fd, int above)
{
	int lifted = fcntl(fd, F_DUPFD_CLOEXEC, above);

	return lifted < 0 ? -errno : lifted;
}

/* Child: gives out the descriptors of the specification. */
static int arrange_fds(const struct process_spec *spec, int *report_fd)
{
	_cleanup_free_ int *lifted = xcalloc(spec->fd_count, sizeof(*lifted));
	bool given[3] = { false };
	int above = 3, null;

	for (size_t i = 0; i < spec->fd_count; i++)
		above = MAX(above, spec->fds[i].theirs + 1);
	*report_fd = lift_fd(*report_fd, above);
	if (*report_fd < 0)
		return *report_fd;
	for (size_t i = 0; i < spec->fd_count; i++) {
		lifted[i] = lift_fd(spec->fds[i].ours, above);
		if (lifted[i] < 0)
			return lifted[i];
	}
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return -errno;
	for (size_t i = 0; i < spec->fd_count; i++) {
		if (dup2(lifted[i], spec->fds[i].theirs) < 0)
			return -errno;
		if (spec->fds[i].theirs < 3)
			given[spec->fds[i].theirs] = true;
	}
	for (int fd = 0; fd < 3; fd++)
		if (!given[fd] && dup2(null, fd) < 0)
			return -errno;
	return 0;
}

/* Child: never returns. */
static _Noreturn void exec_child(const struct process_spec *spec, int report_fd, bool detached)
{
	struct spawn_report report = { 0 };
	sigset_t none;

	report.err = -arrange_fds(spec, &report_fd);
	if (report.err == 0 && spec->new_session)
		(void)setsid(); /* fails only for a group leader, which this child is not */
	if (report.err == 0 && spec->background)
		(void)setpriority(PRIO_PROCESS, 0, NICE_BACKGROUND); /* down is always allowed */
	if (detached) {
		pid_t pid = report.err == 0 ? fork() : 0;

		if (pid < 0)
			report.err = errno;
		if (pid > 0)
			_exit(0);
	}
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	report.pid = getpid();
	if (report.err == 0 && write_full(report_fd, &report, sizeof(report)) == 0) {
		execvpe(spec->argv->items[0], spec->argv->items,
			spec->environment ? spec->environment->items : environ);
		report.err = errno;
	}
	(void)write_full(report_fd, &report, sizeof(report)); /* a closed pipe says the same */
	_exit(127);
}

/* Parent: the pid that was announced, and the failure that may follow it. */
static int read_report(int fd, pid_t *ret_pid)
{
	struct spawn_report report = { 0 };
	pid_t pid = 0;

	for (;;) {
		ssize_t n = read_full(fd, &report, sizeof(report));

		if (n < 0)
			return (int)n;
		if (n != (ssize_t)sizeof(report))
			break;
		if (report.err != 0)
			return -report.err;
		pid = report.pid;
	}
	if (pid == 0)
		return -ECHILD;
	*ret_pid = pid;
	return 0;
}

static int spawn(const struct process_spec *spec, bool detached, pid_t *ret_pid,
		 struct cay_error *err)
{
	_cleanup_close_ int reader = -1, writer = -1;
	int pipe_fds[2], r;
	pid_t child, pid = -1;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return cay_error_errno(err, errno, "starting %s", spec->argv->items[0]);
	reader = pipe_fds[0];
	writer = pipe_fds[1];
	child = fork();
	if (child < 0)
		return cay_error_errno(err, errno, "starting %s", spec->argv->items[0]);
	if (child == 0)
		exec_child(spec, writer, detached);
	cay_close_p(&writer);
	writer = -1;
	r = read_report(reader, &pid);
	if (detached || r < 0) {
		int status;

		(void)process_wait(child, &status); /* it has ended, or is about to */
	}
	if (r < 0)
		return cay_error_errno(err, r, "starting %s", spec->argv->items[0]);
	*ret_pid = pid;
	return 0;
}

int process_spawn(const struct process_spec *spec, pid_t *ret_pid, struct cay_error *err)
{
	return spawn(spec, false, ret_pid, err);
}

int process_spawn_detached(const struct process_spec *spec, pid_t *ret_pid, struct cay_error *err)
{
	return spawn(spec, true, ret_pid, err);
}

int process_wait(pid_t pid, int *ret_status)
{
	while (waitpid(pid, ret_status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int process_exit_code(int wait_status)
{
	return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

int process_run(const struct strv *argv, size_t limit, struct buf *output, struct cay_error *err)
{
	_cleanup_close_ int reader = -1, writer = -1;
	int pipe_fds[2], status, r;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return cay_error_errno(err, errno, "running %s", argv->items[0]);
	reader = pipe_fds[0];
	writer = pipe_fds[1];
	const struct process_fd fds[] = { { writer, 1 }, { writer, 2 } };
	const struct process_spec spec = { .argv = argv, .fds = fds, .fd_count = ARRAY_SIZE(fds) };

	r = process_spawn(&spec, &pid, err);
	if (r < 0)
		return r;
	cay_close_p(&writer);
	writer = -1;
	for (size_t kept = 0;;) {
		char chunk[4096];
		ssize_t n = read_full(reader, chunk, sizeof(chunk));

		if (n <= 0)
			break;
		if (output && kept < limit) {
			buf_append(output, chunk, MIN((size_t)n, limit - kept));
			kept += MIN((size_t)n, limit - kept);
		}
	}
	r = process_wait(pid, &status);
	if (r < 0)
		return cay_error_errno(err, r, "waiting for %s", argv->items[0]);
	return process_exit_code(status);
}

char *process_find_part(const char *name)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash, *path;

	self[MAX(n, 0)] = '\0';
	slash = strrchr(self, '/');
	if (slash) {
		*slash = '\0';
		path = path_join(self, name);
		if (file_exists(path))
			return path;
		free(path);
		path = xasprintf("%s/../libexec/cay/%s", self, name);
		if (file_exists(path))
			return path;
		free(path);
	}
	return path_join("/usr/libexec/cay", name);
}
