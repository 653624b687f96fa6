/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capabilities by name and as 64-bit sets, and giving a process its sets. libcap
 * would probe the kernel with half a dozen system calls at the start of every
 * program it is linked into, before main(); this is on the path of every boot.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>

/* "CAP_CHOWN" gives its number, -EINVAL for other words. */
int capability_from_name(const char *name);
/* The highest capability of the running kernel, from `proc_fd`, an open /proc. */
int capability_last(int proc_fd);

/* Drops from the bounding set of this process what `keep` has not. Before the change of user. */
int capability_bound(uint64_t keep, int last, struct cay_error *err);
/*
 * Sets the rest. After the change of user, which must have been made with PR_SET_KEEPCAPS. Ambient
 * capabilities that the other sets don't allow are left out, as with runc.
 */
int capability_apply(uint64_t effective, uint64_t permitted, uint64_t inheritable, uint64_t ambient,
		     struct cay_error *err);
