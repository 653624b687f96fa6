/* SPDX-License-Identifier: Apache-2.0 */
/* One entry of a tar archive, as the reader gives it and the writer takes it. */
#pragma once

#include "base/buf.h"

enum tar_type {
	TAR_FILE,
	TAR_HARDLINK,
	TAR_SYMLINK,
	TAR_CHARACTER,
	TAR_BLOCK_DEVICE,
	TAR_DIRECTORY,
	TAR_FIFO,
};

/* What Linux could hold; names are checked against these by path_clean(), not by the reader. */
enum {
	TAR_PATH_MAX = 4095,       /* PATH_MAX without its NUL */
	TAR_NAME_MAX = 255,        /* NAME_MAX */
	TAR_XATTRS_MAX = 64 << 10, /* all of one entry; XATTR_LIST_MAX */
};

struct tar_entry {
	enum tar_type type;
	struct str path; /* as the archive has it; not clean */
	struct str link;
	uint32_t mode; /* 07777 */
	uint64_t uid, gid;
	int64_t mtime;
	uint32_t mtime_ns;
	uint64_t size; /* of the file, holes counted */
	uint64_t device_major, device_minor;
	bool sparse;       /* read only */
	struct buf xattrs; /* see tar_xattr_add() */
};

/* Extended attributes in one buffer, for each: "<name>\0", the value's size as uint32_t, the value.
 */
void tar_xattr_add(struct buf *xattrs, struct str name, struct str value);
/* The attribute that begins at *at, which moves on to the next; false at the end. */
bool tar_xattr_next(const struct buf *xattrs, size_t *at, struct str *ret_name,
		    struct str *ret_value);
