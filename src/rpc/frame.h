/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC's framing of messages within a stream: a byte that tells whether the
 * message is compressed, its length in four bytes, most significant first,
 * then the message (PROTOCOL-HTTP2.md, "Length-Prefixed-Message").
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FRAME_PREFIX = 5 };

void frame_prefix(uint32_t size, uint8_t ret_prefix[FRAME_PREFIX]);

/* Puts messages together from pieces of any size. Starts as all zeros. */
struct frame_reader {
	uint8_t prefix[FRAME_PREFIX];
	size_t prefix_have;
	size_t size;   /* the message's, once its prefix is whole */
	size_t have;   /* bytes of it in data */
	uint8_t *data; /* NULL while no piece had to be kept */
};

void frame_reader_done(struct frame_reader *reader);
/* Whether a message was begun and is not whole. */
bool frame_reader_is_partial(const struct frame_reader *reader);
/* What the message under way occupies, with its prefix; 0 while that is not known. */
size_t frame_reader_claim(const struct frame_reader *reader);

enum frame_result {
	FRAME_MORE,       /* all input was taken and the message is not whole */
	FRAME_MESSAGE,    /* a message; the input after it was not touched */
	FRAME_COMPRESSED, /* its sender compressed it, which nobody agreed to */
	FRAME_TOO_LARGE,  /* its length is over `limit` */
	FRAME_NO_MEMORY,
};
/*
 * Takes bytes from *data, moving it and *left on. A message is valid until the next call; it points
 * into the input where it lies there whole. After the last three results the reader is of no more
 * use.
 */
enum frame_result frame_read(struct frame_reader *reader, size_t limit, const uint8_t **data,
			     size_t *left, const uint8_t **ret_message, size_t *ret_size);
