/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the tar reader share: numbers, and pending attributes. */
#pragma once

#include "tar/format.h"
#include "tar/reader.h"

/* A run of a sparse file that is not a hole. */
struct tar_run {
	uint64_t offset, size;
};

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

struct tar_reader {
	tar_source *source;
	void *user;
	struct tar_entry entry;
	struct tar_extra extra;
	char path[101 + 156], link[101]; /* from the header itself */
	struct buf extended;
	uint64_t stored_left; /* of the entry's contents in the stream */
	uint64_t padding;     /* after them */
	uint64_t offset;      /* of the next piece in the file */
	struct tar_run *runs;
	size_t run_count, run_room, run_at;
	bool ended;
	char *chunk;
};

void tar_extra_done(struct tar_extra *extra);

/* Reads the records of a pax header into `extra`; later records win. */
int tar_pax_parse(struct str records, struct tar_extra *extra, struct cay_error *err);

/* Appends a run, which must follow the last one; at most TAR_RUNS_MAX. */
int tar_add_run(struct tar_run **runs, size_t *count, size_t *room, uint64_t offset, uint64_t size,
		struct cay_error *err);

/* CAY_CORRUPT. */
int tar_broken(const char *what, struct cay_error *err);
/* A number of a header's field: octal digits among blanks and NULs, or GNU's binary form. */
int tar_read_field(const char *field, size_t size, uint64_t *ret_value);
/* Reads `size` bytes, fewer only at the end. */
ssize_t tar_take(struct tar_reader *reader, void *data, size_t size, struct cay_error *err);
/* Passes over `size` bytes; the end before that is an error. */
int tar_skip(struct tar_reader *reader, uint64_t size, struct cay_error *err);
/* One block: 1, or 0 where the stream ends before it, or -errno. */
int tar_read_block(struct tar_reader *reader, void *block, struct cay_error *err);

/*
 * Sets up the contents of the entry whose header and extra records were read: one run for a plain
 * file, the map of a sparse one. `size` is what is stored.
 */
int tar_prepare_contents(struct tar_reader *reader, const struct tar_raw_header *header,
			 uint64_t size, struct cay_error *err);
