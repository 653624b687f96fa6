/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The progress of a pull or a load: the daemon's stream of JSON messages as
 * lines that are redrawn in place on a terminal, or as plain lines elsewhere.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>

struct progress;

/* Draws on `fd`; as a terminal of that size when `columns` is not 0. */
void progress_open(int fd, unsigned int rows, unsigned int columns, struct progress **ret_progress);
/* The same with the terminal's own size, if it is one. */
void progress_open_for(int fd, struct progress **ret_progress);
void progress_free(struct progress *progress);
DEFINE_CLEANUP(struct progress *, progress_free);

/*
 * One message. -errno when it tells that the operation failed, with the daemon's words. What is to
 * be drawn is written to the descriptor; a failure to write there is ignored.
 */
int progress_add(struct progress *progress, const json_t *message, struct cay_error *err);
/* The same without writing: appends what is to be drawn. */
int progress_render(struct progress *progress, const json_t *message, struct buf *out,
		    struct cay_error *err);

/* For client_stream_json(): `context` is a struct progress. */
int progress_each(void *context, const json_t *message, struct cay_error *err);
