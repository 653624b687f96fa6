/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writable layer's disk: a sparse copy of an empty ext4 file system that
 * was made once, so that no mkfs runs when a container is created.
 */
#pragma once

#include "base/error.h"

#include <sys/types.h>

/* The virtual size of every scratch; only what is written takes space. */
#define SCRATCH_SIZE (UINT64_C(64) * 1024 * 1024 * 1024)

/* Makes <root>/images/scratch.ext4 if it is not there, by mke2fs. Blocks for about 50 ms. */
int scratch_prepare(const char *root, struct cay_error *err);
/* Copies it sparsely to `path`, owned by `owner`, mode 0600. The copy is not synced. */
int scratch_create(const char *root, const char *path, uid_t owner, struct cay_error *err);
