/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes of the kind "block": an ext4 disk in a file, <volume>/disk.ext4,
 * that one VM at a time has to itself, at the speed of its root disk. What a
 * container sees is the directory "data" of its file system: the root, with
 * lost+found, is out of the way of programs that want an empty directory.
 */
#pragma once

#include "daemon/volumes.h"

#define VOLUME_BLOCK_TYPE "block"

/*
 * Checks the options, of which "type" is VOLUME_BLOCK_TYPE: there is one more, "size", in docker's
 * spelling, VOLUME_BLOCK_SIZE_DEFAULT where it is left out.
 */
#define VOLUME_BLOCK_SIZE_DEFAULT (UINT64_C(10) * 1024 * 1024 * 1024)
int volume_block_check(const json_t *options, uint64_t *ret_size, struct cay_error *err);

/* Makes the disk, synced. Blocks for some 100 ms. What a failure leaves goes with the directory. */
int volume_block_make(const char *path, uint64_t size, struct cay_error *err);

/* Options that say what a disk is that was found; the caller owns them. */
json_t *volume_block_options_of(const char *path);

/* What the disk takes on the host, in bytes. */
int64_t volume_block_usage(const struct volume *volume);
/* inspect's "Status". */
json_t *volume_block_status(const struct volume *volume);
