/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The paths that clients name for copying, read as docker reads them: made
 * absolute and clean by their text alone, where a slash or "/." at the end asks
 * for the directory itself, which a link may lead to.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>

struct copy_path {
	char *clean; /* absolute, without ".", ".." or a slash at its end; "/" for the root */
	const char
		*name;  /* its last part as it was asked for, "." or "/"; points into the others */
	bool directory; /* it ended in a slash or "/." */
};

/* More than PATH_MAX bytes are CAY_TOO_LARGE. */
int copy_path_parse(const char *text, struct copy_path *ret_path, struct cay_error *err);
void copy_path_done(struct copy_path *path);
#define _cleanup_copy_path_ _cleanup_(copy_path_done)

/*
 * Opens (O_PATH) what it names inside the root. Its last part is not followed unless `directory`. A
 * missing file is CAY_NOT_FOUND, a file in place of a directory CAY_INVALID.
 */
int copy_path_open(int root_fd, const struct copy_path *path, struct cay_error *err);
/*
 * The directory that holds it and, in *ret_name, its name there, "." where it is itself a directory
 * that was asked for. It exists.
 */
int copy_path_open_parent(int root_fd, const struct copy_path *path, const char **ret_name,
			  struct cay_error *err);
/* The same with every link followed. */
int copy_path_follow(int root_fd, const struct copy_path *path, struct cay_error *err);

/*
 * Where an absolute path leads in the root once every link is followed; what is missing stays as it
 * is named. The caller frees. Only a name: by the time it is used it may mean something else.
 */
int copy_path_resolve(int root_fd, const char *path, char **ret_resolved, struct cay_error *err);
