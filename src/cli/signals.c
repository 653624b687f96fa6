/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signals of a session. Not among them are those the kernel raises for a
 * fault, those that can't be caught, and those that concern this process
 * alone: SIGCHLD, SIGPIPE, SIGURG, SIGCONT, and stopping from the terminal.
 */
#include "cli/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>

static const int ending[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
static const int passed_on[] = { SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF,
				 SIGIO,   SIGPWR,  SIGXCPU, SIGXFSZ };

/* What cay was started to ignore (by nohup, or a shell for its background jobs) stays ignored. */
static void add_signal(sigset_t *set, int number)
{
	struct sigaction action;

	if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
		(void)sigaddset(set, number);
}

static void fill_set(sigset_t *set, bool all, bool tty)
{
	(void)sigemptyset(set);
	for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
		add_signal(set, ending[i]);
	if (all) {
		for (size_t i = 0; i < ARRAY_SIZE(passed_on); i++)
			add_signal(set, passed_on[i]);
		for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
			add_signal(set, number);
	}
	if (tty) {
		add_signal(set, SIGWINCH);
		add_signal(set, SIGTSTP);
	}
}

int signals_catch(bool all, bool tty, struct cay_error *err)
{
	sigset_t set;
	int fd;

	fill_set(&set, all, tty);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return cay_error_errno(err, errno, "catching signals");
	return fd;
}

void signals_release(void)
{
	sigset_t set;

	fill_set(&set, true, true);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
}

bool signal_ends_client(int number)
{
	for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
		if (ending[i] == number)
			return true;
	return false;
}
