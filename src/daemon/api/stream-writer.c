/* SPDX-License-Identifier: Apache-2.0 */
/* An archive on its way to a client. */
#include "daemon/api/stream-writer.h"

static int begin(struct stream_writer *writer)
{
	if (writer->begun)
		return 0;
	writer->begun = true;
	return http_stream_begin(writer->request, 200, writer->type);
}

static int write_piece(const void *data, size_t size, void *user, struct cay_error *err)
{
	struct stream_writer *writer = user;
	int r = begin(writer);

	if (r == 0)
		r = http_stream_write(writer->request, data, size);
	return r < 0 ? cay_error_set(err, CAY_CANCELLED, -r, "the client has gone") : 0;
}

void stream_writer_init(struct stream_writer *writer, struct http_request *request,
			const char *type)
{
	*writer = (struct stream_writer){
		.writer = { write_piece, writer },
		.request = request,
		.type = type,
	};
}

int stream_writer_end(struct stream_writer *writer, int r)
{
	if (r == 0)
		(void)begin(writer); /* a client that left */
	return r;
}
