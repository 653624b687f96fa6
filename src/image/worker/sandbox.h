/* SPDX-License-Identifier: Apache-2.0 */
/* What cay-layer gives up before it reads the first foreign byte. */
#pragma once

#include "base/error.h"

#include <sys/resource.h>

struct sandbox_limits {
	rlim_t data;      /* bytes of memory it may write to */
	rlim_t addresses; /* bytes of address space */
	rlim_t file_size; /* bytes of any file it writes */
	rlim_t cpu;       /* seconds */
};

/*
 * Closes every descriptor from `fd_count` on, takes limits, gives up root for a uid that nothing
 * else has (a caller that is not root keeps its own), all capabilities and groups, the way to new
 * privileges, and every system call but the few it needs. There is no way back.
 */
int sandbox_enter(const struct sandbox_limits *limits, unsigned int fd_count,
		  struct cay_error *err);
