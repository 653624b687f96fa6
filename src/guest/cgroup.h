/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups, version 2: one for each container, its settings from the OCI
 * resources, its counters. The tree is mounted when the first is made.
 *
 * Source: Documentation/admin-guide/cgroup-v2.rst of Linux 6.1.
 */
#pragma once

#include "guest/oci.h"

#include "base/buf.h"

#define CGROUP_MOUNT "/sys/fs/cgroup"

struct cgroup {
	int fd;        /* its directory */
	char *path;    /* below CGROUP_MOUNT, beginning with '/' */
	int filter_fd; /* the program that decides about devices, or -1 */
};

/*
 * Makes the group and what is missing above it, with the controllers "memory" and "pids". A group
 * that is there already is an error: it is another container's.
 */
int cgroup_create(const char *path, struct cgroup *ret_cgroup, struct cay_error *err);
/*
 * Gives the group another controller ("cpu", "io"…) if it has it not yet. -ENOENT when the kernel
 * has no such controller.
 */
int cgroup_enable(const struct cgroup *cgroup, const char *controller);
/*
 * Writes what the resources give, but for the rules about devices. May block while the kernel
 * reclaims memory.
 */
int cgroup_apply(const struct cgroup *cgroup, const struct oci_resources *resources,
		 struct cay_error *err);
/* Removes the group, with groups its processes made in it: 0, -EBUSY while processes live, -errno.
 */
int cgroup_remove(const struct cgroup *cgroup);
/* Opens the group, this one or one below it, that the process is in: a descriptor or -errno. */
int cgroup_open_of(const struct cgroup *cgroup, int proc_fd, pid_t pid);
/* Frees the memory and closes the descriptors; the group itself stays. */
void cgroup_done(struct cgroup *cgroup);

/* Kills every process in it and below. */
int cgroup_kill(const struct cgroup *cgroup);
/* Asks for it to be frozen or thawed; "frozen" in cgroup.events tells when it is. */
int cgroup_freeze(const struct cgroup *cgroup, bool frozen);
/* Replaces *out by a file of the group (at most 64 KiB): 0 or -errno. */
int cgroup_read(const struct cgroup *cgroup, const char *file, struct buf *out);
/* How often the kernel has killed a process for lack of memory. 0 where it can't be told. */
uint64_t cgroup_oom_kills(const struct cgroup *cgroup);
/*
 * Calls `each` for the process ids in it and in the groups below, until it returns false; at most
 * 32768 in 1024 groups.
 */
int cgroup_each_pid(const struct cgroup *cgroup, bool (*each)(pid_t pid, void *user), void *user);

/* ---- texts ---- */

/* The number after `key` in lines of "key number"; false where there is none. */
bool cgroup_number(const char *text, const char *key, uint64_t *ret_value);
/* A file with one number or "max", which leaves *value alone. */
bool cgroup_single(const char *text, uint64_t *value);
/* The sum of `key=number` over the lines of io.stat. */
uint64_t cgroup_io_sum(const char *text, const char *key);

/*
 * Tells which files to write for these resources, in order. `optional` files are missing in kernels
 * without the feature, which is no error.
 */
void cgroup_settings(const struct oci_resources *resources,
		     void (*each)(const char *file, const char *value, bool optional, void *user),
		     void *user);
