/* SPDX-License-Identifier: Apache-2.0 */
/* Signals by name. The numbers are Linux's, the same in every guest of this architecture. */
#include "daemon/signals.h"

#include "base/buf.h"

#include <errno.h>
#include <signal.h>
#include <strings.h>

static const struct {
	const char *name;
	int number;
} table[] = {
	{ "ABRT", SIGABRT }, { "ALRM", SIGALRM }, { "BUS", SIGBUS },       { "CHLD", SIGCHLD },
	{ "CLD", SIGCHLD },  { "CONT", SIGCONT }, { "FPE", SIGFPE },       { "HUP", SIGHUP },
	{ "ILL", SIGILL },   { "INT", SIGINT },   { "IO", SIGIO },         { "IOT", SIGABRT },
	{ "KILL", SIGKILL }, { "PIPE", SIGPIPE }, { "POLL", SIGIO },       { "PROF", SIGPROF },
	{ "PWR", SIGPWR },   { "QUIT", SIGQUIT }, { "SEGV", SIGSEGV },     { "STKFLT", SIGSTKFLT },
	{ "STOP", SIGSTOP }, { "SYS", SIGSYS },   { "TERM", SIGTERM },     { "TRAP", SIGTRAP },
	{ "TSTP", SIGTSTP }, { "TTIN", SIGTTIN }, { "TTOU", SIGTTOU },     { "URG", SIGURG },
	{ "USR1", SIGUSR1 }, { "USR2", SIGUSR2 }, { "VTALRM", SIGVTALRM }, { "WINCH", SIGWINCH },
	{ "XCPU", SIGXCPU }, { "XFSZ", SIGXFSZ },
};

/* As the C library and Go number them: the kernel's 32 and 33 belong to the thread library. */
enum { REALTIME_MIN = 34, REALTIME_MAX = 64 };

static int parse_realtime(const char *name)
{
	uint64_t offset = 0;
	bool from_end = strncasecmp(name, "RTMAX", 5) == 0;

	if (!from_end && strncasecmp(name, "RTMIN", 5) != 0)
		return -EINVAL;
	name += 5;
	if (*name != '\0' &&
	    (*name != (from_end ? '-' : '+') ||
	     parse_u64(name + 1, REALTIME_MAX - REALTIME_MIN, &offset) < 0))
		return -EINVAL;
	return from_end ? REALTIME_MAX - (int)offset : REALTIME_MIN + (int)offset;
}

int signal_parse(const char *text)
{
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	uint64_t number;

	if (parse_u64(text, REALTIME_MAX, &number) == 0)
		return number == 0 ? -EINVAL : (int)number;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (strcasecmp(name, table[i].name) == 0)
			return table[i].number;
	return parse_realtime(name);
}
