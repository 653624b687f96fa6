/* SPDX-License-Identifier: Apache-2.0 */
/* Messages put together from pieces of every size, and prefixes that lie. */
#include "test.h"

#include "base/buf.h"
#include "rpc/frame.h"

enum { LIMIT = 1000 };

static void add_message(struct buf *out, const char *text, size_t size)
{
	uint8_t prefix[FRAME_PREFIX];

	frame_prefix((uint32_t)size, prefix);
	buf_append(out, prefix, sizeof(prefix));
	buf_append(out, text, size);
}

static void test_every_split(void **state)
{
	static const char *const texts[] = { "", "a", "hello", "", "a longer message" };
	_cleanup_buf_ struct buf wire = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		add_message(&wire, texts[i], strlen(texts[i]));
	for (size_t piece = 1; piece <= wire.length; piece++) {
		struct frame_reader reader = { 0 };
		size_t count = 0;

		for (size_t at = 0; at < wire.length; at += piece) {
			const uint8_t *data = (const uint8_t *)wire.data + at, *message;
			size_t left = MIN(piece, wire.length - at), size;

			while (left > 0) {
				enum frame_result result =
					frame_read(&reader, LIMIT, &data, &left, &message, &size);

				if (result == FRAME_MORE) {
					assert_int_equal(left, 0);
					break;
				}
				assert_int_equal(result, FRAME_MESSAGE);
				assert_true(count < ARRAY_SIZE(texts));
				assert_int_equal(size, strlen(texts[count]));
				assert_memory_equal(message, texts[count], size);
				count++;
			}
		}
		assert_int_equal(count, ARRAY_SIZE(texts));
		assert_false(frame_reader_is_partial(&reader));
		frame_reader_done(&reader);
	}
}

static void test_whole_messages_are_not_copied(void **state)
{
	_cleanup_buf_ struct buf wire = { 0 };
	struct frame_reader reader = { 0 };
	const uint8_t *data, *message;
	size_t left, size;

	add_message(&wire, "hello", 5);
	data = (const uint8_t *)wire.data;
	left = wire.length;
	assert_int_equal(frame_read(&reader, LIMIT, &data, &left, &message, &size), FRAME_MESSAGE);
	assert_ptr_equal(message, wire.data + FRAME_PREFIX);
	frame_reader_done(&reader);
}

static enum frame_result read_bytes(struct frame_reader *reader, const char *bytes, size_t length)
{
	const uint8_t *data = (const uint8_t *)bytes, *message;
	size_t size;

	return frame_read(reader, LIMIT, &data, &length, &message, &size);
}

static void test_refused(void **state)
{
	struct frame_reader reader = { 0 };

	assert_int_equal(read_bytes(&reader, "\1\0\0\0\1x", 6), FRAME_COMPRESSED);
	reader = (struct frame_reader){ 0 };
	assert_int_equal(read_bytes(&reader, "\0\xff\xff\xff\xff", 5), FRAME_TOO_LARGE);
	reader = (struct frame_reader){ 0 };
	assert_int_equal(read_bytes(&reader, "\0\0\0\x03\xe9", 5), FRAME_TOO_LARGE);
	reader = (struct frame_reader){ 0 };
	assert_int_equal(read_bytes(&reader, "\0\0\0\x03\xe8", 5), FRAME_MORE);
	assert_true(frame_reader_is_partial(&reader));
	assert_int_equal(frame_reader_claim(&reader), FRAME_PREFIX + LIMIT);
	assert_null(reader.data); /* a length alone costs nothing */
	frame_reader_done(&reader);
	assert_int_equal(frame_reader_claim(&reader), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_whole_messages_are_not_copied),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
