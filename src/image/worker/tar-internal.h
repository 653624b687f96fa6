/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the tar reader share: the raw header, numbers, and pending attributes. */
#pragma once

#include "image/worker/tar.h"

enum { TAR_BLOCK = 512 };

/* What extended headers say about the entry that follows them. */
struct tar_extra {
	char *path, *link; /* with their lengths: a NUL inside is refused when they are set */
	bool has_size, has_uid, has_gid, has_mtime;
	uint64_t size, uid, gid;
	int64_t mtime;
	uint32_t mtime_ns;
	struct buf xattrs;
	/* GNU.sparse.* */
	uint64_t sparse_major, sparse_minor;
	bool has_sparse_size, has_sparse_version;
	uint64_t sparse_size;
	char *sparse_name;
	struct tar_run *runs; /* of versions 0.0 and 0.1 */
	size_t run_count, run_room;
	bool run_open; /* an offset was read, its numbytes not yet */
	size_t xattr_count;
};

void tar_extra_done(struct tar_extra *extra);

/* Reads the records of a pax header into `extra`; later records win. */
int tar_pax_parse(struct str records, struct tar_extra *extra, struct cay_error *err);

/* Appends a run, which must follow the last one; at most TAR_RUNS_MAX. */
int tar_add_run(struct tar_run **runs, size_t *count, size_t *room, uint64_t offset, uint64_t size,
		struct cay_error *err);
