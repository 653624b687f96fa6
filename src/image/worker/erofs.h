/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the EROFS metadata of an image: superblock, inodes, directories,
 * symbolic links and extended attributes. The contents of regular files are
 * not in it: their inodes point behind it, to where the layers' data files
 * stand when metadata and data files are read as one disk, in the layers'
 * order. Small files have their inodes there too (image/layer-format.h), and
 * only names here. One that has several names is the exception: the number of
 * its links stands in its inode and depends on the image, so it gets an inode
 * of the image's own, with a copy of its contents.
 *
 * Format: Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h of
 * Linux 6.1. Only features that every EROFS of Linux 5.4 and later has are
 * used. The same tree gives the same bytes.
 */
#pragma once

#include "image/worker/merge.h"

enum { EROFS_BLOCK = 4096 };
static_assert((int)EROFS_BLOCK == (int)LAYER_BLOCK, "data files are addressed in EROFS's blocks");

/* A layer of the tree: its index, and its data file for reading. */
struct erofs_layer {
	struct index_map index;
	int data_fd;
};

/* The tree must be sorted; its layers lowest first. Written from the file's start on. */
int erofs_write(struct merge_tree *tree, const struct erofs_layer *layers, size_t count, int fd,
		struct cay_error *err);
