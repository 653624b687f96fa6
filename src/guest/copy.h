/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls that copy a container's files. Each of these runs in a child of
 * its own (guest/copy-job.h), once it has gone to where it works; what it has
 * to say it writes to child->out.
 */
#pragma once

#include "guest/copy-child.h"

struct copy_request {
	const char *path;
	const char *as;   /* copy_out: what the tar's root entry is called, "" for its name */
	const char *user; /* copy_in: whose files they are to be, docker's form; or NULL */
	bool no_overwrite_dir_nondir; /* copy_in */
	const char *upper, *lower; /* copy_changes, copy_layer: the overlay's, the guest's paths */
};

typedef int copy_function(struct copy_child *child, const struct copy_request *request,
			  struct cay_error *err);

/* One struct copy_stat. */
copy_function copy_stat;
/* A tar of what is at the path. */
copy_function copy_out;
/* Unpacks the tar from child->in into the directory at the path; reads it to its end. */
copy_function copy_in;
/* For each file that differs from the image its kind ('0' + docker's number), its path, a NUL. */
copy_function copy_changes;
/* The whole root as a tar, or what differs from the image as a layer. */
copy_function copy_root;
copy_function copy_layer;

enum { COPY_PATH_SIZE = 4096 };
struct copy_stat {
	char name[256];
	char link_target[COPY_PATH_SIZE];
	int64_t size, mtime_ns;
	uint32_t mode;
};

/* What copy_changes() writes for a file. */
enum { COPY_CHANGE_MAX = 1 + COPY_PATH_SIZE + 1 };
