/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a tar stream: ustar headers, and before one of them a pax header for
 * what it has no room for: names that are long or not ASCII, sizes from 8 GiB
 * on, ids above 2097151, parts of seconds, times before 1970, extended
 * attributes. The same entries give the same bytes.
 *
 * Formats: POSIX.1-2017 pax; star(5) for SCHILY.xattr. Holes are written as
 * zeros: readers disagree about sparse entries.
 */
#pragma once

#include "base/error.h"
#include "tar/entry.h"

struct tar_writer;

/* Takes all of the bytes: 0, or -errno with err set, which ends the writing. */
typedef int tar_sink(void *user, const void *data, size_t size, struct cay_error *err);
/* One that writes to a descriptor; `user` points to its number. */
tar_sink tar_write_fd;

struct tar_writer *tar_writer_new(tar_sink *sink, void *user);
void tar_writer_free(struct tar_writer *writer);
DEFINE_CLEANUP(struct tar_writer *, tar_writer_free);

/*
 * Begins an entry, of whose contents `entry->size` bytes follow if it is a TAR_FILE; the last one's
 * must be complete. The path stands in the archive as it is, except that a directory's gets the
 * slash at its end; a path, link or attribute over Linux's limits is CAY_TOO_LARGE and nothing is
 * written. Attributes are written in the order they have.
 */
int tar_writer_add(struct tar_writer *writer, const struct tar_entry *entry, struct cay_error *err);
/* The next bytes of the contents; never more than the entry's size has left. */
int tar_writer_put(struct tar_writer *writer, const void *data, size_t size, struct cay_error *err);
/* As many zeros: a hole, or what a file lost while it was read. */
int tar_writer_put_zeros(struct tar_writer *writer, uint64_t size, struct cay_error *err);
/* What is left of the contents of the entry. */
uint64_t tar_writer_left(const struct tar_writer *writer);
/* The two blocks of zeros at the end. */
int tar_writer_finish(struct tar_writer *writer, struct cay_error *err);
