/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cayd. SIGTERM and SIGINT end the daemon; containers run on, and the next
 * daemon with the same root finds them.
 */
#include "base/log.h"
#include "daemon/daemon.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Attached clients and waiters hold a few descriptors each. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warning("raising the limit of open files: %s", errno_text(errno));
}

/* Before any thread is made, so that all inherit the mask. */
static void block_signals(sigset_t *ends)
{
	(void)sigemptyset(ends);
	(void)sigaddset(ends, SIGTERM);
	(void)sigaddset(ends, SIGINT);
	(void)sigprocmask(SIG_BLOCK, ends, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	struct daemon_options options = { 0 };
	struct daemon *daemon = NULL;
	struct cay_error err = { 0 };
	enum log_level level = LOG_LEVEL_INFO;
	sigset_t ends;
	int signal_number;

	log_init("cayd", level);
	if (daemon_options_parse(&options, argc, argv, &err) < 0)
		die("%s", err.message);
	if (options.help || options.version) {
		if (options.help)
			daemon_options_help();
		else
			printf("cayd %s\n", CAY_VERSION);
		daemon_options_done(&options);
		return 0;
	}
	(void)log_level_parse(options.log_level, &level); /* was checked */
	log_init("cayd", level);
	/* A thread a connection would else get an arena each, which keeps what it once had. */
	(void)mallopt(M_ARENA_MAX, 2);
	(void)umask(022);
	block_signals(&ends);
	raise_descriptor_limit();
	if (daemon_open(&options, &daemon, &err) < 0)
		die("%s", err.message);
	if (daemon_serve(daemon, &err) < 0)
		die("%s", err.message);
	(void)sigwait(&ends, &signal_number);
	log_info("ending; containers run on");
	daemon_close(daemon);
	return 0;
}
