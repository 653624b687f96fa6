/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and descriptors: whole reads and writes, atomic replacement,
 * directories made and removed. Paths here are cay's own; nothing that a
 * guest, an image or a client names is opened through this file.
 *
 * All of these may block on the disk. Errors name the path.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <sys/types.h>

/* Reads until `size` bytes or end of file; the count read, or -errno. Retries EINTR. */
ssize_t read_full(int fd, void *data, size_t size);
/* Writes all of it; 0 or -errno. Retries EINTR; on a non-blocking descriptor waits by poll(). */
int write_full(int fd, const void *data, size_t size);
/* The same two at an offset. */
ssize_t pread_full(int fd, void *data, size_t size, off_t offset);
int pwrite_full(int fd, const void *data, size_t size, off_t offset);

/*
 * For a file that is written from its start to its end, `size` bytes so far, and synced then: from
 * time to time tells the kernel to begin with it, so that the disk does not idle until the end.
 * *begun is the caller's, 0 at first.
 */
void fd_write_behind(int fd, uint64_t size, uint64_t *begun);

/*
 * For paths that others may write to as well. Opens one by O_PATH that has been made canonical
 * before: a symbolic link in it was put there since, and is -ELOOP. The descriptor, or -errno.
 */
int open_canonical(const char *path);
/* Where the kernel has what is open, not followed anew; the caller frees, NULL is errno's. */
char *open_path_of(int fd);

/*
 * Makes an eventfd readable. One whose counter is full is readable already: nothing is done where
 * the descriptor does not block.
 */
void fd_wake(int eventfd);

int fd_set_nonblocking(int fd, bool on);
int fd_set_cloexec(int fd, bool on);
/* A sealed-able memory file holding `data`, positioned at 0, CLOEXEC; -errno. */
int memfd_with(const char *name, const void *data, size_t size);

/* Appends a whole file to `out`; over `limit` bytes is CAY_TOO_LARGE. */
int file_read(const char *path, size_t limit, struct buf *out, struct cay_error *err);
/* The same from an open descriptor, from its position on; `name` is for the error. */
int fd_read(int fd, const char *name, size_t limit, struct buf *out, struct cay_error *err);

/*
 * Replaces `path` by a file with this contents: written beside it to a temporary name, fsynced,
 * renamed over it, the directory fsynced. After a power cut the old or the new file is there whole.
 */
int file_write_atomic(const char *path, const void *data, size_t size, mode_t mode,
		      struct cay_error *err);
/* The same without the two fsyncs, for files under --run, which do not survive a boot. */
int file_write_volatile(const char *path, const void *data, size_t size, mode_t mode,
			struct cay_error *err);
/* Opens the directory that holds `path` and fsyncs it. */
int file_sync_parent(const char *path, struct cay_error *err);

/* Makes the directory and its missing parents. An existing directory is left as it is. */
int make_dirs(const char *path, mode_t mode, struct cay_error *err);
/*
 * The same for a path as open_canonical() wants it: a link in it, also where a directory would have
 * to be made, fails, and nothing is made where it leads.
 */
int make_dirs_canonical(const char *path, mode_t mode, struct cay_error *err);
/*
 * Removes a file or a whole tree without following symbolic links or crossing into other file
 * systems. Nothing there is success.
 */
int remove_tree(const char *path, struct cay_error *err);

/* The same for a name in an open directory; -errno. */
int remove_tree_at(int directory, const char *name);

bool file_exists(const char *path);
/* "a/b" from "a" and "b"; the caller frees. */
char *path_join(const char *directory, const char *name);
/* What stands after the last '/', a pointer into path. */
const char *path_last(const char *path);
