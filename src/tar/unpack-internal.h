/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of unpacking share: the place, and names resolved in it. */
#pragma once

#include "tar/unpack.h"

#include <sys/stat.h>

/* A directory whose mode and time are set when nothing more is made in it. */
struct unpack_directory {
	char *path;
	mode_t mode;
	struct timespec time;
};

struct unpack {
	int root;
	const struct tar_unpack_options *options;
	char parent_path[TAR_PATH_MAX + 1]; /* of `parent`, which is -1 at first */
	int parent;
	struct unpack_directory *directories;
	size_t directory_count;
};

/* An entry's place: a directory and a name in it. The descriptor is the unpack's. */
struct unpack_place {
	int parent;
	const char *name;
	const char *path; /* below the root, for errors */
};

/* "<shown>/<path>: <what>: <errno's text>" */
int unpack_failed(const struct unpack *unpack, const char *path, const char *what, int error,
		  struct cay_error *err);
/* A new descriptor of what is at the path; -errno. */
int unpack_open(const struct unpack *unpack, const char *path, int flags);
/* The place of a path, whose missing directories are made. */
int unpack_find(struct unpack *unpack, const char *path, struct unpack_place *ret_place,
		struct cay_error *err);

/* A regular file, whose contents the reader gives. */
int unpack_file(struct unpack *unpack, const struct unpack_place *place,
		const struct tar_entry *entry, struct tar_reader *reader, struct cay_error *err);
/* A directory, which may be there already. */
int unpack_directory(struct unpack *unpack, const struct unpack_place *place,
		     const struct tar_entry *entry, bool exists, struct cay_error *err);
/* A symbolic link, a FIFO or a device. */
int unpack_special(struct unpack *unpack, const struct unpack_place *place,
		   const struct tar_entry *entry, struct cay_error *err);
/* Sets what was put off, and forgets it. */
int unpack_finish_directories(struct unpack *unpack, struct cay_error *err);
