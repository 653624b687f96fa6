/* SPDX-License-Identifier: Apache-2.0 */
/* Progress as it is reported: one caller at a time, and not more often than a person can read. */
#pragma once

#include "image/digest.h"
#include "image/store.h"
#include "image/worker.h"

#include <pthread.h>

enum { PROGRESS_ID_LENGTH = 12 };

struct progress {
	const struct image_progress_sink *sink; /* may be NULL */
	pthread_mutex_t lock;
};

void progress_init(struct progress *progress, const struct image_progress_sink *sink);
void progress_done(struct progress *progress);
/* A change of state. `id` may be "" or a digest, which is shortened. */
void progress_say(struct progress *progress, const char *id, const char *status);
void progress_sayf(struct progress *progress, const char *id, const char *format, ...)
	cay_printf(3, 4);
/* Bytes of a state; *last_ms is the caller's, 0 at first: reports come at most ten times a second.
 */
void progress_count(struct progress *progress, const char *id, const char *status, uint64_t current,
		    uint64_t total, int64_t *last_ms);
/* Whether the sink, which may be NULL, wants no more. */
bool progress_sink_is_cancelled(const struct image_progress_sink *sink);
bool progress_is_cancelled(const struct progress *progress);
