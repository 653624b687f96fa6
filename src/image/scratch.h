/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writable layer's disk: a sparse copy of an empty ext4 file system that
 * was made once for each size, so that no mkfs runs when a container is
 * created. The empty ones are <root>/images/scratch.ext4, of the default size,
 * and <root>/images/scratch-<bytes>.ext4; of these the SCRATCH_SIZES_MAX that
 * were used last are kept.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

/* The size of the file system where nobody asks for another; its disk has EXT4_DISK_SIZE. */
#define SCRATCH_SIZE_DEFAULT (UINT64_C(64) * 1024 * 1024 * 1024)
enum { SCRATCH_SIZES_MAX = 16 };

/* Makes the empty one of the default size if it is not there, by mke2fs. Blocks for about 50 ms.
   Clears away what a crash left half-made: no other process may use the root. */
int scratch_prepare(const char *root, struct cay_error *err);
/*
 * Copies the empty one of `size` bytes (0: the default) sparsely to `path`, owned by `owner`, mode
 * 0600. The copy is not synced. One of a size that was not used of late is made first.
 */
int scratch_create(const char *root, const char *path, uint64_t size, uid_t owner,
		   struct cay_error *err);
/* What a scratch of that size takes on the host's disk beyond what it took when it was made, as
   far as that is known. 0 where there is none. */
uint64_t scratch_used(const char *root, const char *path, uint64_t size);
