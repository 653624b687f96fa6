/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An archive on its way to a client: the reply's head is sent with the first
 * piece, so that a failure before it still has a status of its own.
 */
#pragma once

#include "daemon/http.h"
#include "image/store.h"

struct stream_writer {
	struct image_writer writer; /* to be handed to who makes the archive */
	struct http_request *request;
	const char *type;
	bool begun;
};

/* `type` is the Content-Type, a literal. The writer must stay where it is. */
void stream_writer_init(struct stream_writer *writer, struct http_request *request,
			const char *type);
/* With r as the work's result, which is returned: an archive without a byte is sent as such. */
int stream_writer_end(struct stream_writer *writer, int r);
