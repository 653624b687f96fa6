/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting other programs: an argument list, the descriptors they get, and
 * nothing else of ours: every other descriptor is CLOEXEC from birth.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"

#include <stdbool.h>
#include <sys/types.h>

struct process_fd {
	int ours;   /* a descriptor of this process */
	int theirs; /* its number in the child */
};

struct process_spec {
	const struct strv *argv;
	const struct strv *environment; /* NULL: this process's own */
	const struct process_fd *fds;   /* standard streams not named here are /dev/null */
	size_t fd_count;
	bool new_session; /* setsid(): signals of our terminal don't reach it */
	bool background;  /* at the lowest priority: what people wait for comes first */
};

/*
 * Starts argv[0] (a path, or a name looked up in PATH). Returns the pid in *ret_pid; the caller
 * reaps it with process_wait(). An unstartable program is an error here, not a child that exits.
 * Blocks until the child has executed the program.
 */
int process_spawn(const struct process_spec *spec, pid_t *ret_pid, struct cay_error *err);

/*
 * The same for a program that is to outlive this one: it is started by an intermediate child that
 * ends at once, so that it belongs to init (or a subreaper) and never becomes our zombie.
 */
int process_spawn_detached(const struct process_spec *spec, pid_t *ret_pid, struct cay_error *err);

/* Waits until it ends; the wait status as from waitpid(), or -errno. */
int process_wait(pid_t pid, int *ret_status);

/* Exit code as shells tell it: the status, or 128 + the signal. */
int process_exit_code(int wait_status);

/*
 * The path of a part of ours: beside this process's own program, as in a build folder, or where an
 * installation puts it. The caller frees; nothing says that it is there.
 */
char *process_find_part(const char *name);

/*
 * Runs a program to its end with standard input from /dev/null and returns its exit code (0..255)
 * or -errno. Its output and errors, up to `limit` bytes, are appended to `output` (NULL: dropped).
 */
int process_run(const struct strv *argv, size_t limit, struct buf *output, struct cay_error *err);
