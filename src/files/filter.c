/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of system calls for cay-files. None of them names another process,
 * executes a program, mounts, or opens a socket.
 */
#include "files/filter.h"

#include "base/macros.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef CAY_SANITIZED
static const int allowed_calls[] = {
	/* QEMU's socket, and eventfds */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(poll),
	SCMP_SYS(shutdown),
	SCMP_SYS(eventfd2),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_ctl),
	/* files */
	SCMP_SYS(openat),
	SCMP_SYS(close),
	SCMP_SYS(fcntl),
	SCMP_SYS(statx),
	SCMP_SYS(fstatfs),
	SCMP_SYS(readlinkat),
	SCMP_SYS(getdents64),
	SCMP_SYS(lseek),
	SCMP_SYS(preadv2),
	SCMP_SYS(pwritev2),
	SCMP_SYS(ftruncate),
	SCMP_SYS(truncate),
	SCMP_SYS(fallocate),
	SCMP_SYS(copy_file_range),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(syncfs),
	SCMP_SYS(fchmodat),
	SCMP_SYS(fchownat),
	SCMP_SYS(utimensat),
	SCMP_SYS(symlinkat),
	SCMP_SYS(mknodat),
	SCMP_SYS(mkdirat),
	SCMP_SYS(unlinkat),
	SCMP_SYS(renameat), /* what renameat2() becomes without flags */
	SCMP_SYS(renameat2),
	SCMP_SYS(linkat),
	SCMP_SYS(getxattr),
	SCMP_SYS(setxattr),
	SCMP_SYS(listxattr),
	SCMP_SYS(removexattr),
	SCMP_SYS(flock),
	/* whose files */
	SCMP_SYS(umask),
	SCMP_SYS(setfsuid),
	SCMP_SYS(setfsgid),
	SCMP_SYS(capset),
	/* memory, threads, time */
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(brk),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(sched_yield),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(gettid),
	SCMP_SYS(getpid),
	SCMP_SYS(getrandom),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

static int add_rules(scmp_filter_ctx filter)
{
	const struct rule {
		int call;
		struct scmp_arg_cmp argument;
	} rules[] = {
		/* Memory may be mapped, but never to be executed. */
		{ SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0) },
		{ SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0) },
		/* Threads of this process; and a working directory and umask for each. */
		{ SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD) },
		{ SCMP_SYS(unshare), SCMP_A0(SCMP_CMP_EQ, CLONE_FS) },
		/* To ask for a limit, not to set one. */
		{ SCMP_SYS(prlimit64), SCMP_A2(SCMP_CMP_EQ, 0) },
		/* Signals to them. */
		{ SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()) },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(allowed_calls); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed_calls[i], 0);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rules); i++)
		r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rules[i].call, 1,
					   &rules[i].argument);
	/* What it would make can't be seen from here; the C library takes clone() then. */
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return r;
}

int filter_enter(struct cay_error *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = filter ? add_rules(filter) : -ENOMEM;

	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r < 0 ? cay_error_errno(err, r, "limiting system calls") : 0;
}
#else
int filter_enter(struct cay_error *err)
{
	return 0; /* the sanitizers' own calls would not fit */
}
#endif
