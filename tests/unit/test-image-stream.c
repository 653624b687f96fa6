/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed streams in pieces of every size, whole, cut and damaged, against what zlib wrote. */
#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "image/worker/stream.h"

#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>

struct pieces {
	const char *data;
	size_t left, piece;
};

static ssize_t read_piece(void *user, void *data, size_t size)
{
	struct pieces *pieces = user;
	const size_t n = MIN(MIN(size, pieces->left), pieces->piece);

	memcpy(data, pieces->data, n);
	pieces->data += n;
	pieces->left -= n;
	return (ssize_t)n;
}

/* Decompresses into `out`: the error's number, or 0. */
static int decompress(const char *data, size_t size, size_t piece, size_t wanted, struct buf *out)
{
	struct pieces pieces = { data, size, piece };
	struct cay_error err = { 0 };
	_cleanup_(stream_free_p) struct stream *stream = stream_new(read_piece, &pieces, 64 * MIB);

	stream_take_other(stream);
	for (;;) {
		ssize_t n = stream_read(stream, buf_reserve(out, wanted), wanted, &err);

		if (n <= 0)
			return (int)n;
		out->length += (size_t)n;
	}
}

/* Appends 300 bytes that stand `back` bytes before the end. */
static void repeat(struct buf *text, size_t back)
{
	char *to = buf_reserve(text, 300);

	memcpy(to, to - back, 300);
	text->length += 300;
}

/* What compresses well, then badly, then well by what stands far back. */
static void make_text(struct buf *text, size_t size)
{
	uint32_t state = 1;

	while (text->length < size) {
		state = state * 1664525 + 1013904223;
		if (state >> 28 < 8)
			buf_printf(text, "line %u of some text\n", state >> 20);
		else if (state >> 28 < 12 && text->length > 40000)
			repeat(text, 31000 + (state >> 22));
		else
			buf_append(text, &state, sizeof(state));
	}
	text->length = size;
}

static void deflate_text(struct buf *out, const struct buf *text, int level, int strategy,
			 gz_header *header)
{
	z_stream z = { 0 };

	assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, 31, 8, strategy), Z_OK);
	if (header)
		assert_int_equal(deflateSetHeader(&z, header), Z_OK);
	z.next_in = (Bytef *)text->data;
	z.avail_in = (uInt)text->length;
	z.avail_out = (uInt)(text->length * 2 + 100000);
	z.next_out = (Bytef *)buf_reserve(out, z.avail_out);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out->length += z.total_out;
	(void)deflateEnd(&z);
}

/*
 * ISA-L moves its window of 32 KiB at each piece of input, which a sanitizer's memmove() takes long
 * for. So small pieces are read in two ways only: by way of the stream's buffer, and past it.
 */
static bool is_worth_it(size_t piece, size_t wanted)
{
	return piece > 100 || wanted == 7 || wanted == 65536;
}

static void check_whole(const struct buf *packed, const struct buf *text)
{
	static const size_t sizes[] = { 1, 7, 509, 4093, 65536, 1 << 20 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		for (size_t j = 0; j < ARRAY_SIZE(sizes); j++) {
			_cleanup_buf_ struct buf out = { 0 };

			if (!is_worth_it(sizes[i], sizes[j]))
				continue;
			assert_int_equal(
				0,
				decompress(packed->data, packed->length, sizes[i], sizes[j], &out));
			assert_int_equal(out.length, text->length);
			assert_memory_equal(out.data, text->data, text->length);
		}
}

static void test_kinds(void **state)
{
	static const struct {
		int level, strategy;
	} kinds[] = { { 0, Z_DEFAULT_STRATEGY },
		      { 1, Z_DEFAULT_STRATEGY },
		      { 6, Z_DEFAULT_STRATEGY },
		      { 9, Z_DEFAULT_STRATEGY },
		      { 6, Z_HUFFMAN_ONLY },
		      { 6, Z_RLE },
		      { 6, Z_FIXED } };
	_cleanup_buf_ struct buf text = { 0 };

	make_text(&text, 100000);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		_cleanup_buf_ struct buf packed = { 0 };

		deflate_text(&packed, &text, kinds[i].level, kinds[i].strategy, NULL);
		check_whole(&packed, &text);
	}
}

/* Headers with a name, a comment, an extra field and a checksum, on several members, one empty. */
static void test_headers(void **state)
{
	char name[5000], extra[3000];
	gz_header header = { .name = (Bytef *)name,
			     .comment = (Bytef *)"a comment",
			     .extra = (Bytef *)extra,
			     .extra_len = sizeof(extra),
			     .hcrc = 1,
			     .time = 1700000000 };
	_cleanup_buf_ struct buf text = { 0 }, twice = { 0 }, packed = { 0 }, none = { 0 };

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	memset(extra, 0x1f, sizeof(extra));
	make_text(&text, 100000);
	deflate_text(&packed, &text, 6, Z_DEFAULT_STRATEGY, &header);
	deflate_text(&packed, &none, 6, Z_DEFAULT_STRATEGY, NULL);
	deflate_text(&packed, &text, 1, Z_DEFAULT_STRATEGY, &header);
	buf_append(&twice, text.data, text.length);
	buf_append(&twice, text.data, text.length);
	check_whole(&packed, &twice);
}

static void pack_xz(struct buf *out, const struct buf *text)
{
	const size_t room = lzma_stream_buffer_bound(text->length);
	size_t made = 0;

	assert_int_equal(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, NULL,
						 (const uint8_t *)text->data, text->length,
						 (uint8_t *)buf_reserve(out, room), &made, room),
			 LZMA_OK);
	out->length += made;
}

static void pack_bzip2(struct buf *out, const struct buf *text)
{
	unsigned int made = (unsigned int)text->length + text->length / 50 + 700;
	char *to = buf_reserve(out, made);

	assert_int_equal(BZ2_bzBuffToBuffCompress(to, &made, text->data, (unsigned int)text->length,
						  1, 0, 0),
			 BZ_OK);
	out->length += made;
}

/* Several members one after the other, cuts and wrong bytes; and only for who wants them. */
static void test_other_formats(void **state)
{
	static void (*const packers[])(struct buf * out, const struct buf *text) = { pack_xz,
										     pack_bzip2 };
	_cleanup_buf_ struct buf text = { 0 }, twice = { 0 };

	make_text(&text, 150000);
	buf_append(&twice, text.data, text.length);
	buf_append(&twice, text.data, text.length);
	for (size_t i = 0; i < ARRAY_SIZE(packers); i++) {
		_cleanup_buf_ struct buf packed = { 0 }, out = { 0 };
		struct pieces pieces;
		struct cay_error err = { 0 };
		struct stream *stream;

		packers[i](&packed, &text);
		packers[i](&packed, &text);
		check_whole(&packed, &twice);
		/* Half of it is a whole member. */
		for (size_t cut = 7; cut < packed.length; cut += 997)
			assert_true(cut * 2 == packed.length ||
				    decompress(packed.data, cut, 4093, 65536, &out) < 0);
		packed.data[packed.length / 4] ^= 0x10;
		assert_true(decompress(packed.data, packed.length, 4093, 65536, &out) < 0);
		pieces = (struct pieces){ packed.data, packed.length, 4093 };
		stream = stream_new(read_piece, &pieces, 64 * MIB);
		assert_true(stream_read(stream, out.data, 1, &err) < 0);
		assert_int_equal(err.code, CAY_UNSUPPORTED);
		stream_free(stream);
	}
}

static bool buf_equal(const struct buf *a, const struct buf *b)
{
	return a->length == b->length && memcmp(a->data, b->data, a->length) == 0;
}

/*
 * Cut anywhere it is an error, and so is any bit that is wrong in the data or its trailer, but for
 * the few that fill up the data's last byte.
 */
static void test_damage(void **state)
{
	enum { HEADER = 10 };
	_cleanup_buf_ struct buf text = { 0 }, packed = { 0 };

	make_text(&text, 3000);
	deflate_text(&packed, &text, 6, Z_DEFAULT_STRATEGY, NULL);
	for (size_t cut = 2; cut < packed.length; cut++) {
		_cleanup_buf_ struct buf out = { 0 };

		assert_true(decompress(packed.data, cut, 4093, 512, &out) < 0);
	}
	for (size_t bit = HEADER * 8UL; bit < packed.length * 8; bit++) {
		_cleanup_buf_ struct buf out = { 0 };

		packed.data[bit / 8] ^= (char)(1 << bit % 8);
		assert_true(decompress(packed.data, packed.length, 4093, 512, &out) < 0 ||
			    buf_equal(&out, &text));
		packed.data[bit / 8] ^= (char)(1 << bit % 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_other_formats),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
