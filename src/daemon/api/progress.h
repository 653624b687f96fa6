/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Docker's progress messages: a stream of JSON lines about a pull or a load,
 * which clients draw as bars. The stream begins with the first message, so that
 * a failure before it can still be told by the reply's status.
 */
#pragma once

#include "base/strv.h"
#include "daemon/http.h"
#include "image/store.h"

#include <pthread.h>

struct progress {
	struct http_request *request;
	pthread_mutex_t lock;
	bool quiet; /* no bars, only what api_progress_status() and api_progress_stream() say */
	bool begun;
	char *heading, *heading_id; /* a status before the first message, or NULL; owned */
};

void api_progress_init(struct progress *progress, struct http_request *request, bool quiet);
void api_progress_done(struct progress *progress);

/* For image_store_pull() and image_store_load(): bars, and an end when the client goes. */
struct image_progress_sink api_progress_sink(struct progress *progress);

/* {"status": …}, with "id" unless it is NULL. */
void api_progress_status(struct progress *progress, const char *id, const char *status);
/* {"stream": …}: text for people. */
void api_progress_stream(struct progress *progress, const char *text);
/*
 * What the handler returns for a failure: where the stream has begun, {"errorDetail": …} goes into
 * it and the result is 0.
 */
int api_progress_fail(struct progress *progress, const struct cay_error *error);

/* "[==>    ]  1.2MB/3.4MB", as docker writes it for clients that draw nothing themselves. */
void api_progress_bar(uint64_t current, uint64_t total, struct buf *out);
