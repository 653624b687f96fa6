/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of a layer, "layers/<blob>.index": what a tar stream said, one
 * record an entry in the stream's order, so that images are merged from their
 * layers without reading any tar again. The regular files' contents stand in
 * "layers/<blob>.data": large ones each from a block's start on, small ones
 * packed, several to a block, each behind an EROFS inode of its own. Such an
 * inode says nothing about where it stands or what else the image holds, so
 * that all images with the layer share it, and a name in any of them may lead
 * straight to it.
 *
 * Written by cay-layer and read by it, and its header by the daemon. It is a
 * file of this host alone, so numbers are in the host's order; all are
 * little-endian. A reader trusts nothing in it: it was written by a process
 * that had foreign bytes to parse.
 */
#pragma once

#include "image/digest.h"
#include "tar/entry.h"

#include <stdint.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "EROFS and the index are little-endian");

#define LAYER_MAGIC "CAYLAYER"
enum {
	LAYER_VERSION = 4, /* raised whenever the same blobs would give other files */
	LAYER_BLOCK = 4096,
	LAYER_SLOT = 32, /* packed files start at multiples of this, as EROFS's inodes do */
};

struct layer_header {
	char magic[8];
	uint32_t version;
	uint32_t body_crc32; /* of everything after the header */
	uint64_t body_size;
	uint64_t entry_count;
	uint64_t data_blocks;   /* the data file's size in blocks */
	uint64_t content_bytes; /* sum of the regular files' sizes */
	uint64_t tar_bytes;     /* size of the decompressed stream */
	uint8_t diff_id[DIGEST_BYTES];
	uint8_t reserved[40];
};
static_assert(sizeof(struct layer_header) == 128, "as written");

enum layer_kind {
	LAYER_FILE = 1,
	LAYER_DIRECTORY,
	LAYER_SYMLINK,
	LAYER_HARDLINK, /* link names the other path, from the root, as clean as path */
	LAYER_CHARACTER,
	LAYER_BLOCK_DEVICE,
	LAYER_FIFO,
	LAYER_WHITEOUT, /* path is what goes, without ".wh." */
	LAYER_OPAQUE,   /* path is the directory whose lower contents go */
	LAYER_PACKED,   /* a small regular file: inode, attributes and contents in one block */
	LAYER_KIND_COUNT,
};

/*
 * One entry; after it its path, its link and its extended attributes, then zeros up to record_size.
 * The path is relative, has no empty, "." or ".." component, and is "" for the root itself. The
 * extended attributes are as EROFS has them behind an inode: for each a header of 4 bytes (length
 * of the name, index of its prefix, 16 bits of value size), the name, the value, zeros to 4 bytes.
 */
struct layer_record {
	uint32_t record_size; /* a multiple of 8 */
	uint16_t kind;
	uint16_t mode; /* 07777, no type */
	uint32_t uid, gid;
	int64_t mtime;
	uint32_t mtime_ns;
	uint32_t device; /* as Linux encodes it: new_encode_dev() */
	uint64_t size;   /* of a regular file */
	uint64_t
		place; /* in the data file: its first block, or of a packed file the inode's byte */
	uint16_t path_length;
	uint16_t link_length;
	uint32_t xattr_length;
};
static_assert(sizeof(struct layer_record) == 56, "as written");

/* What both ends of the format hold to. */
enum {
	LAYER_PATH_MAX = TAR_PATH_MAX,
	LAYER_NAME_MAX = TAR_NAME_MAX,     /* EROFS's too */
	LAYER_XATTRS_MAX = TAR_XATTRS_MAX, /* all of one inode */
	LAYER_ENTRIES_MAX = 2 << 20,
};
#define LAYER_DATA_MAX ((uint64_t)256 << 30) /* of a data file, holes counted */
