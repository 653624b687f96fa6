/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wall around a program that handles what a guest wrote: QEMU, e2fsck.
 * Started as root, the program runs as a uid and
 * gid of its own, with no other groups, no capabilities (none can come back:
 * the bounding set is empty and no_new_privs is set), in mount, pid, network,
 * ipc, uts and cgroup namespaces of its own. Its root is a read-only tmpfs
 * that shows the program, the system's libraries, QEMU's firmware and the
 * named files, all read-only, and nothing else; no /proc. It has the listed
 * descriptors and dies with the process that started it. Core dumps are off.
 *
 * Started by an ordinary user there is no way to most of that: the program
 * then keeps the user's uid and root directory and has the rest: no_new_privs,
 * limits, descriptors, death with its parent, and the system call filter.
 */
#pragma once

#include "base/error.h"
#include "base/strv.h"

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct jail {
	const char *directory;   /* an existing directory; only the jail's namespace sees the
				    tmpfs that is mounted on it */
	const struct strv *argv; /* the program's absolute path first */
	const char *const
		*files; /* host paths shown under the same path; all users may read them */
	size_t file_count;
	const char *preload; /* a library of ours that is loaded into the program; NULL: none */
	const char *disk;    /* the one host path that may be written, by its owner's rights;
				shown under the same path. NULL: none */
	const struct strv
		*environment;   /* "NAME=value", all there is beside LD_PRELOAD; NULL: none */
	bool kvm;               /* /dev/kvm is there, and the jail's uid may use it */
	uid_t uid;              /* 0: stays the caller's */
	uint64_t file_size_max; /* no file may be written beyond this; 0: not at all */
	uint64_t memory_max;    /* of its address space, in bytes; 0: no limit */
	uint64_t cpu_max;       /* seconds; 0: no limit */
	const struct sock_fprog *filter; /* system calls; NULL: the program has its own */
	const int *fds;                  /* become 3, 4, … */
	size_t fd_count;
	int output_fd;       /* standard output and error; input is /dev/null */
	bool shares_session; /* stays in the caller's session, in a process group of its own */
};

enum { JAIL_FIRST_FD = 3 };

/*
 * Starts the program and returns once it was executed. The caller owns the pidfd and reaps the
 * process. Any step that fails is an error that names it, and no process is left.
 */
int jail_spawn(const struct jail *jail, pid_t *ret_pid, int *ret_pidfd, struct cay_error *err);
