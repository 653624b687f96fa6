/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's sandbox. What is left to a program that a hostile layer has
 * taken over: to read its input, to write to its own output files, to use its
 * memory, and to exit.
 */
#include "image/worker/sandbox.h"

#include "base/macros.h"

#include <errno.h>
#include <grp.h>
#include <linux/close_range.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Beyond the ranges that distributions and container engines hand out to users. */
enum { WORKER_UID = 2147480001 };

static int drop_root(void)
{
	if (geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(WORKER_UID, WORKER_UID, WORKER_UID) < 0 ||
	    setresuid(WORKER_UID, WORKER_UID, WORKER_UID) < 0)
		return -errno;
	return 0;
}

#ifndef CAY_SANITIZED
/* Kept up with what the code behind sandbox_enter() calls; sysinfo is qsort()'s, the rest malloc's.
 */
static const int allowed_calls[] = {
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(pwrite64),
	SCMP_SYS(pread64),
	SCMP_SYS(sync_file_range),
	SCMP_SYS(lseek),
	SCMP_SYS(ftruncate),
	SCMP_SYS(close),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(brk),
	SCMP_SYS(madvise),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(futex),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(sysinfo),
};

static int set_limit(__rlimit_resource_t resource, rlim_t value)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		return -errno;
	value = MIN(value, limit.rlim_max);
	limit = (struct rlimit){ value, value };
	return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

static int take_limits(const struct sandbox_limits *limits)
{
	int r = set_limit(RLIMIT_DATA, limits->data);

	if (r == 0)
		r = set_limit(RLIMIT_AS, limits->addresses);
	if (r == 0)
		r = set_limit(RLIMIT_FSIZE, limits->file_size);
	if (r == 0)
		r = set_limit(RLIMIT_CPU, limits->cpu);
	if (r == 0)
		r = set_limit(RLIMIT_CORE, 0);
	if (r == 0)
		r = set_limit(RLIMIT_NOFILE, 0); /* those that are open stay */
	return r;
}

/* Memory may be mapped, but never to be executed. */
static int allow_mapping(scmp_filter_ctx filter, int call)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
				SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

static int filter_calls(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = filter ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(allowed_calls); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed_calls[i], 0);
	if (r == 0)
		r = allow_mapping(filter, SCMP_SYS(mmap));
	if (r == 0)
		r = allow_mapping(filter, SCMP_SYS(mprotect));
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}
#else
/* The sanitizers' own memory and calls would not fit. */
static int take_limits(const struct sandbox_limits *limits)
{
	return 0;
}

static int filter_calls(void)
{
	return 0;
}
#endif

int sandbox_enter(const struct sandbox_limits *limits, unsigned int fd_count, struct cay_error *err)
{
	int r;

	(void)signal(SIGPIPE, SIG_IGN); /* a reader that went away is an error of write() */
	if (close_range(fd_count, ~0U, 0) < 0)
		return cay_error_errno(err, errno, "closing descriptors");
	r = drop_root();
	if (r < 0)
		return cay_error_errno(err, r, "giving up root");
	/* After setresuid(), which clears both. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return cay_error_errno(err, errno, "giving up privileges");
	r = take_limits(limits);
	if (r < 0)
		return cay_error_errno(err, r, "limiting resources");
	r = filter_calls();
	if (r < 0)
		return cay_error_errno(err, r, "limiting system calls");
	return 0;
}
