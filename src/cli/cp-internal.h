/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of cp share: the job, the container's side of it, and progress. */
#pragma once

#include "cli/client.h"
#include "cli/cp-plan.h"

#include <sys/stat.h>
#include <sys/types.h>

/* What was asked for. */
struct cp_job {
	struct client *client;
	const char *container, *path;
	bool follow, owner, quiet;
};

/* What the API tells about a path in a container. */
struct cp_stat {
	mode_t mode;
	char *link_target; /* "" for what is no symbolic link */
};
void cp_stat_done(struct cp_stat *stat);
/* The header X-Docker-Container-Path-Stat; NULL is CAY_CORRUPT. */
int cp_stat_decode(const char *header, struct cp_stat *ret_stat, struct cay_error *err);
/*
 * Asks the daemon: 1, or 0 where it refuses: the path is not there, or can't be looked at for a
 * reason that the copy itself then tells.
 */
int cp_stat_path(const struct cp_job *job, const char *path, struct cp_stat *ret_stat,
		 struct cay_error *err);

/* How much was copied, told on standard error. */
struct cp_progress {
	const char *what;
	uint64_t bytes;
	bool quiet, drawn; /* `drawn`: on a terminal, which is to be cleared */
	int64_t drawn_ms;
};
void cp_progress_start(struct cp_progress *progress, bool quiet);
void cp_progress_add(struct cp_progress *progress, size_t bytes);
/* "Successfully copied … to where"; NULL: it was not. */
void cp_progress_end(struct cp_progress *progress, const char *where);

/* The archive on its way to the daemon; for tar_writer_new(). */
struct cp_sink {
	struct call *call;
	struct cp_progress *progress;
	struct buf pending;
};
/* CAY_CANCELLED where the daemon takes no more: its answer says why. */
int cp_sink_put(void *sink, const void *data, size_t size, struct cay_error *err);
/* What is left, and the end. */
int cp_sink_flush(struct cp_sink *sink, struct cay_error *err);
void cp_sink_done(struct cp_sink *sink);

/* The archive as it comes from the daemon; for tar_reader_new(). */
struct cp_source {
	struct call *call;
	struct cp_progress *progress;
	struct buf pending;
	size_t at; /* in it */
};
ssize_t cp_source_take(void *source, void *data, size_t size, struct cay_error *err);
/* Reads to the end of the answer, which tells whether it was whole. */
int cp_source_finish(struct cp_source *source, struct cay_error *err);
void cp_source_done(struct cp_source *source);
