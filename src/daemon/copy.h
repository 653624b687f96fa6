/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done with a container's files through its guest: looked at, taken
 * out and put in as tar streams. The guest resolves the paths. What it sends is
 * held against the rules of tar/pass.h on its way to a client; what goes in is
 * not looked at. Streams are held up on one side when the other is slow, and
 * end on both when `gone_fd` becomes readable.
 */
#pragma once

#include "daemon/files-vm.h"
#include "image/store.h"
#include "vminitd.pb-c.h"

#include <jansson.h>

struct copy_stat {
	char *name; /* the last part of the path as it was asked for */
	int64_t size;
	uint32_t mode; /* st_mode */
	int64_t mtime_ns;
	char *link_target; /* "" for what is no symbolic link */
};
void copy_stat_done(struct copy_stat *stat);
#define _cleanup_copy_stat_ _cleanup_(copy_stat_done)

/* docker's X-Docker-Container-Path-Stat: base64 of JSON; the caller frees. */
char *copy_stat_header(const struct copy_stat *stat);
/* Go's os.FileMode of a st_mode, as docker's clients read it. */
uint32_t copy_go_mode(uint32_t mode);

/* What is at a path. What is not there is CAY_NOT_FOUND. */
int copy_look(struct files_use *use, const char *path, struct copy_stat *ret_stat,
	      struct cay_error *err);

/*
 * Whether a call for a container's files failed since the container has ended beside it, which is
 * waited for a moment. Done again, it is done in the VM for files.
 */
bool copy_was_cut(const struct files_use *use, const struct cay_error *err);

/*
 * What is at the path is called so in its tar: by the path's last part, "." where that was asked
 * for, "/" for the root. The caller frees.
 */
char *copy_archive_name(const char *path);
/* A tar of what is at the path. One that a guest has not made as such a tar is CAY_CORRUPT. */
int copy_out(struct files_use *use, const char *path, const struct image_writer *writer,
	     int gone_fd, struct cay_error *err);
/* A tar of the whole root or, with `layer`, of what differs from the image, as an OCI layer. */
int copy_export(struct files_use *use, bool layer, const struct image_writer *writer, int gone_fd,
		struct cay_error *err);

struct copy_in {
	const char *path;
	bool no_overwrite_dir_nondir, copy_uidgid;
	int fd; /* the tar, plain or compressed by what cay-layer knows: a socket, to its end */
};
/* Unpacks a tar into a directory. What a client was told is done is on the disk of a stopped
 * container. */
int copy_in(struct files_use *use, const struct copy_in *what, int gone_fd, struct cay_error *err);

/* docker's list of changes against the image; NULL where there are none. */
int copy_changes(struct files_use *use, int gone_fd, json_t **ret_changes, struct cay_error *err);
