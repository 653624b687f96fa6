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

#include "base/error.h"
#include "tar/entry.h"

#include <sys/types.h>

struct tar_reader;

/* Reads `size` bytes of the archive, fewer only at its end; the count, or -errno with err set. */
typedef ssize_t tar_source(void *user, void *data, size_t size, struct cay_error *err);
/* One that reads a descriptor; `user` points to its number. */
tar_source tar_read_fd;

struct tar_reader *tar_reader_new(tar_source *source, void *user);
void tar_reader_free(struct tar_reader *reader);
DEFINE_CLEANUP(struct tar_reader *, tar_reader_free);

/*
 * Goes to the next entry, past what is unread of the last one's contents: 1, or 0 at the archive's
 * end, or -errno. The entry and its strings are good until the next call.
 */
int tar_reader_next(struct tar_reader *reader, const struct tar_entry **ret_entry,
		    struct cay_error *err);

/*
 * The next piece of the entry's contents: its offset in the file and its bytes, which are good
 * until the next call. Pieces come in order; what they skip is a hole. 1, or 0 at the end, or
 * -errno. Except for the last piece of a run, pieces end at multiples of 4096 of the file.
 */
int tar_reader_read(struct tar_reader *reader, uint64_t *ret_offset, struct str *ret_data,
		    struct cay_error *err);
