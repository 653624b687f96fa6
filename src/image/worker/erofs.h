/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the EROFS metadata of an image: superblock, inodes, directories,
 * symbolic links and extended attributes. The contents of regular files are
 * not in it: their inodes point behind it, to where the layers' data files
 * stand when metadata and data files are read as one disk, in the layers'
 * order.
 *
 * Format: Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h of
 * Linux 6.1. Only features that every EROFS of Linux 5.4 and later has are
 * used. The same tree gives the same bytes.
 */
#pragma once

#include "image/worker/merge.h"

enum { EROFS_BLOCK = 4096 };
static_assert((int)EROFS_BLOCK == (int)LAYER_BLOCK, "data files are addressed in EROFS's blocks");

/* The tree must be sorted; maps are its layers, lowest first. Written from the file's start on. */
int erofs_write(struct merge_tree *tree, const struct index_map *maps, size_t count, int fd,
		struct cay_error *err);
