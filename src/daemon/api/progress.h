/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Docker's progress messages: a stream of JSON lines about a pull, a push or a load,
 * which clients draw as bars. The stream begins with the second message, or at
 * the end: a failure before it, such as an image that does not exist, can still
 * be told by the reply's status.
 */
#pragma once

#include "base/strv.h"
#include "daemon/http.h"
#include "image/store.h"

#include <pthread.h>

struct api_progress {
	struct http_request *request;
	pthread_mutex_t lock;
	bool quiet; /* no bars, only what api_progress_stream() says */
	bool begun;
	struct buf held; /* the first message, until the second */
};

void api_progress_init(struct api_progress *progress, struct http_request *request, bool quiet);

/* For image_store_pull(), image_store_push() and image_store_load(): bars, and an end when the
 * client goes. */
struct image_progress_sink api_progress_sink(struct api_progress *progress);

/* {"status": …}: a line of its own. */
void api_progress_status(struct api_progress *progress, const char *text);
/* {"stream": …}: text for people. */
void api_progress_stream(struct api_progress *progress, const char *text);
/* {"aux": …}: a result for programs. Takes `aux` over. */
void api_progress_aux(struct api_progress *progress, json_t *aux);
/*
 * Ends it, with r as the work's result, and returns what the handler returns: a failure goes into
 * the stream as {"errorDetail": …} once that has begun, and the result is 0 then.
 */
int api_progress_end(struct api_progress *progress, int r, const struct cay_error *error);

/* "[==>    ]  1.2MB/3.4MB", as docker writes it for clients that draw nothing themselves. */
void api_progress_bar(uint64_t current, uint64_t total, struct buf *out);
