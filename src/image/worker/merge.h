/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of an image: its layers' entries applied one layer after the other.
 *
 * In each layer whiteouts and opaque markers go first, whatever their place in
 * the stream, and so touch lower layers only; then the entries in their order,
 * the last of two with one name staying. A path whose parent is a symbolic
 * link of the image leads where the link does, seen from the image's root and
 * never out of it. A hard link is to what its target names at that moment, in
 * this layer or a lower one.
 */
#pragma once

#include "image/worker/index.h"

/* An inode: what a record says, or a directory that no record spoke of (NULL). */
struct merge_inode {
	const struct layer_record *record;
	uint32_t layer;
	uint32_t links; /* these three belong to the EROFS writer */
	uint32_t nid;   /* 0: not placed yet, or in the layer's data */
	bool written;
	bool is_directory;
};

/* A name in a directory. Numbers are indexes in the tree's arrays; 0 is no node. */
struct merge_node {
	const char *name; /* not ended by a NUL */
	uint32_t parent, inode;
	uint32_t first_child, next_sibling;
	uint32_t next_in_bucket;
	uint8_t name_length;
	bool gone;
};

struct merge_tree {
	struct merge_node *nodes; /* nodes[1] is the root */
	size_t node_count, node_room;
	struct merge_inode *inodes;
	size_t inode_count, inode_room;
	uint32_t *buckets;
	size_t bucket_count;
	struct buf *names; /* pieces of memory for names that stand in no record */
	size_t names_count;
};

enum { MERGE_ROOT = 1 };

void merge_init(struct merge_tree *tree);
void merge_done(struct merge_tree *tree);

/* The map must stay open as long as the tree. `layer` counts from 0, the lowest. */
int merge_apply(struct merge_tree *tree, const struct index_map *map, uint32_t layer,
		struct cay_error *err);

/*
 * Adds, empty, what every container has mounted over and the image lacks: /dev, /proc, /sys and
 * three files of /etc, as docker's own layer below a container's has them. What is there stays, of
 * whatever kind.
 */
int merge_add_mount_points(struct merge_tree *tree, struct cay_error *err);

/* Drops what is gone and puts each directory's names into the order of their bytes. */
void merge_sort(struct merge_tree *tree);
