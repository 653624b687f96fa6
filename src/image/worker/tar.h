/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a tar stream: v7, ustar, GNU and pax formats, with long names, large
 * numbers, extended attributes and all forms of sparse files.
 *
 * It stands here instead of libarchive because names must arrive byte for
 * byte: that library passes them through the locale, where "e" with a
 * combining accent becomes one character and two files become one, and loads
 * iconv modules to do so, which the sandbox forbids.
 *
 * Formats: POSIX.1-2017 pax, "pax Interchange Format" and "ustar Interchange
 * Format"; the GNU tar manual, "Basic Tar Format" and "Storing Sparse Files";
 * star(5) for SCHILY.xattr.
 */
#pragma once

#include "base/buf.h"
#include "image/worker/stream.h"

enum tar_type {
	TAR_FILE,
	TAR_HARDLINK,
	TAR_SYMLINK,
	TAR_CHARACTER,
	TAR_BLOCK_DEVICE,
	TAR_DIRECTORY,
	TAR_FIFO,
};

/* A run of a sparse file that is not a hole. */
struct tar_run {
	uint64_t offset, size;
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
	bool sparse;
	struct buf xattrs; /* for each: "<name>\0", the value's size as uint32_t, the value */
};

struct tar;

/* The stream stays the caller's. */
struct tar *tar_new(struct stream *stream);
void tar_free(struct tar *tar);
DEFINE_CLEANUP(struct tar *, tar_free);

/*
 * Goes to the next entry, past what is unread of the last one's contents: 1, or 0 at the archive's
 * end, or -errno. The entry and its strings are good until the next call.
 */
int tar_next(struct tar *tar, const struct tar_entry **ret_entry, struct cay_error *err);

/*
 * The next piece of the entry's contents: its offset in the file and its bytes, which are good
 * until the next call. Pieces come in order; what they skip is a hole. 1, or 0 at the end, or
 * -errno. Except for the last piece of a run, pieces end at multiples of 4096 of the file.
 */
int tar_read(struct tar *tar, uint64_t *ret_offset, struct str *ret_data, struct cay_error *err);
