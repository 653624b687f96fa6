/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container costs this host: the memory of its shim and of all that the
 * shim has started (QEMU, cay-files, passt), as the host's kernel counts it.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct usage {
	/*
	 * Proportional: a page that n processes map counts a nth for each, so that the containers'
	 * sums add up. Where the kernel does not let it be read, as `resident`.
	 */
	uint64_t memory_bytes;
	uint64_t resident_bytes; /* with all that is shared counted whole */
	unsigned int processes;  /* 0: there is none, or none any more */
};

/* Of a process and all its descendants. Blocks for some milliseconds a gigabyte. */
struct usage usage_of(pid_t pid);
