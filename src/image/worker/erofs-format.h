/* SPDX-License-Identifier: Apache-2.0 */
/* The structures of EROFS on disk that we write, little-endian; names as in fs/erofs/erofs_fs.h. */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define EROFS_MAGIC UINT32_C(0xe0f5e1e2)

enum {
	EROFS_SUPER_OFFSET = 1024,
	EROFS_SLOT = 32, /* inodes are numbered by their place in these */
	EROFS_FEATURE_COMPAT_MTIME = 2,
	EROFS_LAYOUT_EXTENDED = 1, /* bit 0 of i_format */
	EROFS_FLAT_PLAIN = 0 << 1, /* bits 1 to 3 */
	EROFS_FLAT_INLINE = 2 << 1,
};

struct erofs_super {
	uint32_t magic, checksum, feature_compat;
	uint8_t block_bits, extension_slots;
	uint16_t root_nid;
	uint64_t inode_count, build_time;
	uint32_t build_time_nsec, blocks, meta_block, xattr_block;
	uint8_t uuid[16];
	char volume_name[16];
	uint32_t feature_incompat;
	uint16_t compression, extra_devices, device_slot;
	uint8_t directory_block_bits, reserved[5];
	uint64_t packed_nid;
	uint8_t reserved2[24];
};
static_assert(sizeof(struct erofs_super) == 128, "as in fs/erofs/erofs_fs.h");

/* The extended inode. */
struct erofs_inode {
	uint16_t format, xattr_count, mode, reserved;
	uint64_t size;
	uint32_t place; /* first block, or a device's number */
	uint32_t ino, uid, gid;
	uint64_t mtime;
	uint32_t mtime_nsec, links;
	uint8_t reserved2[16];
};
static_assert(sizeof(struct erofs_inode) == 64, "as in fs/erofs/erofs_fs.h");

struct erofs_xattr_header {
	uint32_t reserved;
	uint8_t shared_count, reserved2[7];
};
static_assert(sizeof(struct erofs_xattr_header) == 12, "as in fs/erofs/erofs_fs.h");

struct erofs_dirent {
	uint64_t nid;
	uint16_t name_offset;
	uint8_t type, reserved;
} __attribute__((packed));
static_assert(sizeof(struct erofs_dirent) == 12, "as in fs/erofs/erofs_fs.h");

/* Bytes of an inode with its attributes, which are encoded already; its inline data follows. */
static inline size_t erofs_inode_size(size_t xattrs)
{
	return sizeof(struct erofs_inode) +
		(xattrs ? sizeof(struct erofs_xattr_header) + xattrs : 0);
}
