/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cgroup of one VM on the host, "cay/<id>": in the unified hierarchy where
 * that has the controllers, else in the version 1 hierarchies that are
 * mounted. Everything is found again from the id alone, so that whoever comes
 * after a crash can remove it.
 *
 * A host without usable cgroups is no reason not to start: callers log the
 * error and go on.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

struct cgroup_limits {
	uint64_t memory_bytes; /* guest memory and what QEMU itself needs */
	unsigned int pids;     /* threads count */
};

/* Makes it and sets its limits. CAY_UNSUPPORTED where no controller is there. */
int cgroup_create(const char *id, const struct cgroup_limits *limits, struct cay_error *err);
/* Moves a process into it. The kernel may take some 20 ms over this (an RCU grace period). */
int cgroup_attach(const char *id, pid_t pid, struct cay_error *err);
/*
 * Gives the cgroup of the process another name, with these limits: under version 1 the group itself
 * is renamed, with all that it has counted; under version 2, where that can't be done, the process
 * is moved into a new one, and the old one removed. May take as long as cgroup_attach().
 */
int cgroup_rename(const char *from, const char *to, const struct cgroup_limits *limits, pid_t pid,
		  struct cay_error *err);
/* Removes it once its last process is gone; retries for at most 100 ms. Nothing there is success.
 */
int cgroup_remove(const char *id, struct cay_error *err);
