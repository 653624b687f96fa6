/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small init. It is already the container's user, with the container's
 * capabilities and filter, in the session and on the terminal of the
 * container: it only forks, passes on, reaps and ends.
 */
#include "guest/init.h"

#include "guest/launch.h"

#include "base/file.h"
#include "base/process.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

/* Signals that are about init itself and are not passed on. */
static const int own_signals[] = { SIGCHLD, SIGTTIN, SIGTTOU, SIGFPE,  SIGILL,
				   SIGSEGV, SIGBUS,  SIGABRT, SIGTRAP, SIGSYS };

/* Child: a process group of its own, in the terminal's foreground where there is one. */
static _Noreturn void run_command(int report, char **argv, const sigset_t *before)
{
	struct launch_message message = { .kind = LAUNCH_FAILED };
	const char *text;

	(void)setpgid(0, 0); /* a new child of a session's leader can */
	if (isatty(STDIN_FILENO)) {
		(void)signal(SIGTTOU, SIG_IGN); /* which the next call would bring */
		(void)tcsetpgrp(STDIN_FILENO, getpid());
		(void)signal(SIGTTOU, SIG_DFL);
	}
	(void)sigprocmask(SIG_SETMASK, before, NULL);
	(void)execv(argv[0], argv + 1);
	text = errno_text(errno);
	message.err = errno;
	message.code = errno == ENOENT ? CAY_NO_COMMAND : CAY_NOT_EXEC;
	(void)snprintf(message.message, sizeof(message.message), "exec: \"%.200s\": %c%s", argv[1],
		       tolower((unsigned char)text[0]), text + 1);
	(void)write_full(report, &message, sizeof(message)); /* vminitd has gone if it fails */
	_exit(cay_code_exit_status((enum cay_code)message.code));
}

/* Reaps all that has ended; true once the command has, with its status. */
static bool reap(pid_t command, int *ret_status)
{
	bool ended = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != command)
			continue;
		*ret_status = process_exit_code(status);
		ended = true;
	}
	return ended;
}

int init_main(int argc, char **argv)
{
	uint64_t report;
	sigset_t waited, before;
	int status = cay_code_exit_status(CAY_INTERNAL);
	pid_t command;

	if (argc < 4 || parse_u64(argv[1], INT32_MAX, &report) < 0)
		return status;
	(void)fcntl((int)report, F_SETFD, FD_CLOEXEC);
	(void)sigfillset(&waited);
	for (size_t i = 0; i < ARRAY_SIZE(own_signals); i++)
		if (own_signals[i] != SIGCHLD)
			(void)sigdelset(&waited, own_signals[i]);
	(void)sigprocmask(SIG_BLOCK, &waited, &before);
	/* Job control of the command's group must not stop init. */
	(void)signal(SIGTTIN, SIG_IGN);
	(void)signal(SIGTTOU, SIG_IGN);
	command = fork();
	if (command == 0) {
		(void)signal(SIGTTIN, SIG_DFL);
		(void)signal(SIGTTOU, SIG_DFL);
		run_command((int)report, argv + 2, &before);
	}
	if (command < 0)
		return status;
	(void)close((int)report);
	for (;;) {
		int number = sigwaitinfo(&waited, NULL);

		if (number == SIGCHLD) {
			if (reap(command, &status))
				return status;
		} else if (number > 0) {
			(void)kill(command, number); /* it may have ended just now */
		}
	}
}
