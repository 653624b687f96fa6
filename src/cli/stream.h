/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Docker's multiplexing of standard output and error on one connection
 * ("Stream format" under "Attach to a container" in the Engine API): frames
 * of an eight-byte header (stream, three zeros, length in big endian) and data.
 * Nothing is stored, so no length can be too large.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

enum stream_channel {
	STREAM_STDIN = 0, /* written to standard output, says the document */
	STREAM_STDOUT = 1,
	STREAM_STDERR = 2,
	STREAM_ERROR = 3, /* the daemon's own failure, as text */
};

enum { STREAM_HEADER_SIZE = 8 };

struct stream_decoder {
	unsigned char header[STREAM_HEADER_SIZE];
	size_t header_length;
	uint32_t left; /* bytes of the frame still to come */
	enum stream_channel channel;
};

/*
 * Takes bytes from the front of *input up to the end of a piece of one channel's data, which points
 * into the input; an empty piece means that the input is used up.
 */
int stream_decode(struct stream_decoder *decoder, struct str *input,
		  enum stream_channel *ret_channel, struct str *ret_piece, struct cay_error *err);
/* Whether the stream may end here: between two frames. */
bool stream_is_whole(const struct stream_decoder *decoder);
