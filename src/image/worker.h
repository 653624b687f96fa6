/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's side of cay-layer: starting it, feeding it, and reading what came of it. */
#pragma once

#include "image/content.h"

#include <stdbool.h>
#include <sys/types.h>

/* Whether the work is to be given up; may be NULL. */
struct worker_cancel {
	bool (*cancelled)(void *user);
	void *user;
};
bool worker_is_cancelled(const struct worker_cancel *cancel);
/* CAY_CANCELLED. */
int worker_cancelled(struct cay_error *err);

/* The program, and for how long one of its processes may be waited for while it does nothing. */
struct worker_program {
	char *path;
	unsigned int stall_ms; /* 0: WORKER_STALL_MS */
};
enum { WORKER_STALL_MS = 5 * 60 * 1000 };

/* One running worker. All zeros with descriptors -1 (WORKER_INIT) when there is none. */
struct worker {
	pid_t pid;
	int status; /* the read end of its status pipe */
	int input;  /* our end of its standard input, when it is fed by worker_feed() */
	char *data_path, *index_path;
	bool lasting; /* a layer's files are synced before they get their names */
	/* It is ended, with CAY_TIMEOUT, after so much waiting in which it used no processor. */
	unsigned int stall_ms;
	unsigned int waited_ms; /* since it had used cpu_ms */
	int64_t cpu_ms;
};
#define WORKER_INIT \
	{ \
		.status = -1, .input = -1 \
	}

/* Ends a worker that is still running and removes its unfinished files. */
void worker_done(struct worker *worker);

/*
 * Starts the conversion of a layer. blob_fd is the blob to be read from its position on, or -1: the
 * caller feeds it.
 */
int worker_start_layer(struct worker *worker, const struct worker_program *program,
		       const struct content *content, int blob_fd, struct cay_error *err);
/* Some bytes more of the layer. Blocks while the worker is busy; asks `cancel` meanwhile. */
int worker_feed(struct worker *worker, const void *data, size_t size,
		const struct worker_cancel *cancel, struct cay_error *err);
/*
 * Waits for the end of the conversion. With `diff_id`, the decompressed bytes must have that
 * digest. On success the layer's files have their names, by `blob_digest`.
 */
int worker_finish_layer(struct worker *worker, const struct content *content,
			const char *blob_digest, const char *diff_id,
			const struct worker_cancel *cancel, struct cay_error *err);

/*
 * Whether a stored layer's two files are what its blob gives: converts it once more and compares.
 * CAY_CORRUPT when they are not, or when the blob does not give `diff_id` (NULL: not asked). What
 * the blob's own digest is worth is the caller's to check.
 */
int worker_check_layer(const struct worker_program *program, const struct content *content,
		       const char *blob_digest, const char *diff_id,
		       const struct worker_cancel *cancel, struct cay_error *err);

/* Merges converted layers, lowest first, into a file at `path`, which is replaced. Blocks. */
int worker_merge(const struct worker_program *program, const struct content *content,
		 char *const *blob_digests, size_t count, const char *path,
		 const struct worker_cancel *cancel, struct cay_error *err);

/* Starts splitting an archive; frames (archive-format.h) come from *ret_frames, the caller's. */
int worker_start_archive(struct worker *worker, const struct worker_program *program,
			 int archive_fd, int *ret_frames, struct cay_error *err);
/* Starts decompressing input_fd; the plain data comes from *ret_fd, a socket of the caller's. */
int worker_start_unpack(struct worker *worker, const struct worker_program *program, int input_fd,
			int *ret_fd, struct cay_error *err);
/* Waits for the end of a worker that makes no files and tells its error. */
int worker_finish(struct worker *worker, const struct worker_cancel *cancel, struct cay_error *err);
