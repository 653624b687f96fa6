/* SPDX-License-Identifier: Apache-2.0 */
/* Messages from pieces of a stream: copied only where a piece ends inside one. */
#include "rpc/frame.h"

#include "base/macros.h"

#include <string.h>

void frame_prefix(uint32_t size, uint8_t ret_prefix[FRAME_PREFIX])
{
	ret_prefix[0] = 0;
	ret_prefix[1] = (uint8_t)(size >> 24);
	ret_prefix[2] = (uint8_t)(size >> 16);
	ret_prefix[3] = (uint8_t)(size >> 8);
	ret_prefix[4] = (uint8_t)size;
}

void frame_reader_done(struct frame_reader *reader)
{
	free(reader->data);
	*reader = (struct frame_reader){ 0 };
}

bool frame_reader_is_partial(const struct frame_reader *reader)
{
	return reader->prefix_have > 0;
}

size_t frame_reader_claim(const struct frame_reader *reader)
{
	return reader->prefix_have == FRAME_PREFIX ? FRAME_PREFIX + reader->size : 0;
}

/* A message that was whole is forgotten when the next one begins. */
static void begin_message(struct frame_reader *reader)
{
	if (reader->prefix_have == 0 && reader->data)
		frame_reader_done(reader);
}

static bool read_prefix(struct frame_reader *reader, const uint8_t **data, size_t *left)
{
	size_t count = MIN(FRAME_PREFIX - reader->prefix_have, *left);
	const uint8_t *p = reader->prefix;

	memcpy(reader->prefix + reader->prefix_have, *data, count);
	reader->prefix_have += count;
	*data += count;
	*left -= count;
	if (reader->prefix_have < FRAME_PREFIX)
		return false;
	reader->size = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
	return true;
}

static enum frame_result whole(struct frame_reader *reader, const uint8_t *message,
			       const uint8_t **ret_message, size_t *ret_size)
{
	*ret_message = message;
	*ret_size = reader->size;
	reader->prefix_have = 0;
	return FRAME_MESSAGE;
}

enum frame_result frame_read(struct frame_reader *reader, size_t limit, const uint8_t **data,
			     size_t *left, const uint8_t **ret_message, size_t *ret_size)
{
	size_t count;

	begin_message(reader);
	if (reader->prefix_have < FRAME_PREFIX) {
		if (!read_prefix(reader, data, left))
			return FRAME_MORE;
		if (reader->prefix[0] != 0)
			return FRAME_COMPRESSED;
		if (reader->size > limit)
			return FRAME_TOO_LARGE;
		reader->have = 0;
	}
	count = MIN(reader->size - reader->have, *left);
	if (!reader->data && count == reader->size) {
		const uint8_t *message = *data;

		*data += count;
		*left -= count;
		return whole(reader, message, ret_message, ret_size);
	}
	if (count == 0)
		return FRAME_MORE;
	if (!reader->data) {
		/* The pages of a size that was only claimed are never touched. */
		reader->data = malloc(reader->size);
		if (!reader->data)
			return FRAME_NO_MEMORY;
	}
	memcpy(reader->data + reader->have, *data, count);
	reader->have += count;
	*data += count;
	*left -= count;
	if (reader->have < reader->size)
		return FRAME_MORE;
	return whole(reader, reader->data, ret_message, ret_size);
}
