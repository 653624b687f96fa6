/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decompression by ISA-L and zstd behind one read call. Small reads are served
 * from a buffer; large ones are decompressed straight to where they go.
 *
 * Most of the time that an image takes to arrive goes into inflating it, and
 * ISA-L does that more than twice as fast as zlib.
 */
#include "image/worker/stream.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "image/worker/decoder.h"

#include <errno.h>
#include <inttypes.h>
#include <isa-l/igzip_lib.h>
#include <zstd.h>

enum { INPUT_SIZE = 256 * 1024, OUTPUT_SIZE = 128 * 1024 };
/* zstd frames may ask for a window, that is memory, of up to 128 MiB; the format's default limit.
 */
enum { ZSTD_WINDOW_LOG_MAX = 27 };

enum stream_format { FORMAT_UNKNOWN, FORMAT_PLAIN, FORMAT_GZIP, FORMAT_ZSTD, FORMAT_OTHER };

struct stream {
	stream_source *source;
	void *user;
	uint64_t limit;
	enum stream_format format;
	bool source_ended;
	bool in_member; /* inside a gzip member or zstd frame: an end here is a truncation */
	bool ended;
	struct inflate_state *gzip;
	ZSTD_DStream *zstd;
	bool takes_other;
	struct decoder *other;
	uint8_t *input;
	size_t input_start, input_end;
	uint8_t *output;
	size_t output_start, output_end;
	uint64_t bytes_in, bytes_out;
	struct hasher hasher;
	bool unhashed;
};

struct stream *stream_new(stream_source *source, void *user, uint64_t limit)
{
	struct stream *stream = xcalloc(1, sizeof(*stream));

	stream->source = source;
	stream->user = user;
	stream->limit = limit;
	stream->input = xmalloc(INPUT_SIZE);
	stream->output = xmalloc(OUTPUT_SIZE);
	hasher_init(&stream->hasher);
	return stream;
}

void stream_free(struct stream *stream)
{
	if (!stream)
		return;
	free(stream->gzip);
	(void)ZSTD_freeDStream(stream->zstd); /* always 0 */
	decoder_free(stream->other);
	hasher_done(&stream->hasher);
	free(stream->input);
	free(stream->output);
	free(stream);
}

/* Gets more input behind what is left; at the end sets source_ended. */
static int fill(struct stream *stream, struct cay_error *err)
{
	ssize_t n;

	if (stream->input_start > 0) {
		memmove(stream->input, stream->input + stream->input_start,
			stream->input_end - stream->input_start);
		stream->input_end -= stream->input_start;
		stream->input_start = 0;
	}
	do
		n = stream->source(stream->user, stream->input + stream->input_end,
				   INPUT_SIZE - stream->input_end);
	while (n == -EINTR);
	if (n < 0)
		return cay_error_errno(err, (int)n, "reading the stream");
	if (n == 0)
		stream->source_ended = true;
	stream->input_end += (size_t)n;
	stream->bytes_in += (uint64_t)n;
	return 0;
}

static size_t input_left(const struct stream *stream)
{
	return stream->input_end - stream->input_start;
}

static bool input_starts(const struct stream *stream, const char *magic, size_t size)
{
	return input_left(stream) >= size &&
		memcmp(stream->input + stream->input_start, magic, size) == 0;
}

/* A zstd frame, or one of its skippable frames (0x184D2A50 to 5F). */
static bool starts_zstd(const struct stream *stream)
{
	const uint8_t *at = stream->input + stream->input_start;

	return input_starts(stream, "\x28\xb5\x2f\xfd", 4) ||
		(input_left(stream) >= 4 && (at[0] & 0xf0) == 0x50 && at[1] == 0x2a &&
		 at[2] == 0x4d && at[3] == 0x18);
}

static int detect(struct stream *stream, struct cay_error *err)
{
	int r;

	while (input_left(stream) < 6 && !stream->source_ended) {
		r = fill(stream, err);
		if (r < 0)
			return r;
	}
	if (input_starts(stream, "\x1f\x8b", 2)) {
		stream->gzip = xmalloc(sizeof(*stream->gzip));
		isal_inflate_init(stream->gzip);
		stream->format = FORMAT_GZIP;
		return 0;
	}
	if (starts_zstd(stream)) {
		stream->zstd = ZSTD_createDStream();
		if (!stream->zstd ||
		    ZSTD_isError(ZSTD_DCtx_setParameter(stream->zstd, ZSTD_d_windowLogMax,
							ZSTD_WINDOW_LOG_MAX)))
			return cay_error_set(err, CAY_NO_SPACE, ENOMEM, "no memory to decompress");
		stream->format = FORMAT_ZSTD;
		return 0;
	}
	stream->other = decoder_new(stream->input + stream->input_start, input_left(stream));
	if (stream->other && stream->takes_other) {
		stream->format = FORMAT_OTHER;
	} else if (stream->other) {
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "it is compressed by bzip2 or xz; only gzip and zstd are "
				     "supported");
	} else {
		stream->format = FORMAT_PLAIN;
	}
	return 0;
}

static int truncated(struct cay_error *err)
{
	return cay_error_set(err, CAY_CORRUPT, EBADMSG, "the compressed data is truncated");
}

/* What isal_inflate() found wrong. */
static const char *inflate_error(int code)
{
	switch (code) {
	case ISAL_INVALID_BLOCK:
		return "a bad block";
	case ISAL_INVALID_SYMBOL:
		return "a bad symbol";
	case ISAL_INVALID_LOOKBACK:
		return "a reference to before its start";
	case ISAL_INCORRECT_CHECKSUM:
		return "a wrong checksum";
	default:
		return "something unknown";
	}
}

static int header_byte(struct stream *stream, uint8_t *ret_byte, struct cay_error *err)
{
	while (input_left(stream) == 0) {
		int r = stream->source_ended ? truncated(err) : fill(stream, err);

		if (r < 0)
			return r;
	}
	*ret_byte = stream->input[stream->input_start++];
	return 0;
}

static int skip_header_text(struct stream *stream, struct cay_error *err)
{
	uint8_t c;
	int r;

	do
		r = header_byte(stream, &c, err);
	while (r == 0 && c != '\0');
	return r;
}

static int skip_header_bytes(struct stream *stream, size_t count, struct cay_error *err)
{
	uint8_t c;
	int r = 0;

	while (r == 0 && count-- > 0)
		r = header_byte(stream, &c, err);
	return r;
}

/*
 * A member's header (RFC 1952, 2.3). ISA-L 2.30 has code for it that takes a right checksum of the
 * header for a wrong one when it arrives in pieces.
 */
static int skip_gzip_header(struct stream *stream, struct cay_error *err)
{
	enum { CHECKSUM = 2, EXTRA = 4, NAME = 8, COMMENT = 16, RESERVED = 0xe0 };
	uint8_t head[10], length[2];
	int r = 0;

	for (size_t i = 0; i < sizeof(head); i++) {
		r = header_byte(stream, &head[i], err);
		if (r < 0)
			return r;
		if (i < 2 && head[i] != (i == 0 ? 0x1f : 0x8b))
			return cay_error_set(err, CAY_CORRUPT, EBADMSG,
					     "there are foreign bytes after the gzip data");
	}
	if (head[2] != 8 || head[3] & RESERVED)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "the gzip data is broken: a bad header");
	for (size_t i = 0; r == 0 && head[3] & EXTRA && i < sizeof(length); i++)
		r = header_byte(stream, &length[i], err);
	if (r == 0 && head[3] & EXTRA)
		r = skip_header_bytes(stream, length[0] | (size_t)length[1] << 8, err);
	if (r == 0 && head[3] & NAME)
		r = skip_header_text(stream, err);
	if (r == 0 && head[3] & COMMENT)
		r = skip_header_text(stream, err);
	if (r == 0 && head[3] & CHECKSUM)
		r = skip_header_bytes(stream, 2, err);
	return r;
}

static ssize_t inflate_some(struct stream *stream, uint8_t *data, size_t size,
			    struct cay_error *err)
{
	struct inflate_state *gzip = stream->gzip;
	int r;

	if (!stream->in_member) {
		r = skip_gzip_header(stream, err);
		if (r < 0)
			return r;
		isal_inflate_reset(gzip);
		gzip->crc_flag = ISAL_GZIP_NO_HDR_VER; /* the trailer is read and checked */
		stream->in_member = true;
	}
	gzip->next_in = stream->input + stream->input_start;
	gzip->avail_in = (uint32_t)input_left(stream);
	gzip->next_out = data;
	gzip->avail_out = (uint32_t)MIN(size, UINT32_MAX);
	r = isal_inflate(gzip);
	if (r != ISAL_DECOMP_OK)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG, "the gzip data is broken: %s",
				     inflate_error(r));
	stream->input_start = stream->input_end - gzip->avail_in;
	stream->in_member = gzip->block_state != ISAL_BLOCK_FINISH;
	return gzip->next_out - data;
}

static ssize_t unzstd_some(struct stream *stream, uint8_t *data, size_t size, struct cay_error *err)
{
	ZSTD_inBuffer in = { stream->input + stream->input_start, input_left(stream), 0 };
	ZSTD_outBuffer out = { data, size, 0 };
	size_t r = ZSTD_decompressStream(stream->zstd, &out, &in);

	if (ZSTD_isError(r))
		return cay_error_set(err, CAY_CORRUPT, EBADMSG, "the zstd data is broken: %s",
				     ZSTD_getErrorName(r));
	stream->input_start += in.pos;
	stream->in_member = r != 0;
	return (ssize_t)out.pos;
}

static ssize_t decode_some(struct stream *stream, uint8_t *data, size_t size, struct cay_error *err)
{
	size_t used = 0, made = 0;
	int r = decoder_run(stream->other, stream->input + stream->input_start, input_left(stream),
			    &used, data, size, &made, &stream->in_member, err);

	stream->input_start += used;
	return r < 0 ? r : (ssize_t)made;
}

static ssize_t copy_some(struct stream *stream, uint8_t *data, size_t size)
{
	size_t n = MIN(size, input_left(stream));

	memcpy(data, stream->input + stream->input_start, n);
	stream->input_start += n;
	return (ssize_t)n;
}

/* Some bytes more, at least one unless the stream has ended. */
static ssize_t produce(struct stream *stream, uint8_t *data, size_t size, struct cay_error *err)
{
	while (!stream->ended) {
		size_t before = input_left(stream);
		ssize_t n = 0;
		int r;

		if (before == 0 && !stream->source_ended) {
			r = fill(stream, err);
			if (r < 0)
				return r;
			before = input_left(stream);
		}
		if (stream->format == FORMAT_UNKNOWN) {
			r = detect(stream, err);
			if (r < 0)
				return r;
			continue;
		}
		if (before > 0 || stream->in_member) {
			if (stream->format == FORMAT_GZIP)
				n = inflate_some(stream, data, size, err);
			else if (stream->format == FORMAT_ZSTD)
				n = unzstd_some(stream, data, size, err);
			else if (stream->format == FORMAT_OTHER)
				n = decode_some(stream, data, size, err);
			else
				n = copy_some(stream, data, size);
		}
		if (n != 0)
			return n;
		if (!stream->source_ended) {
			r = before == input_left(stream) ? fill(stream, err) : 0;
			if (r < 0)
				return r;
			continue;
		}
		if (stream->in_member && before == input_left(stream))
			return truncated(err);
		stream->ended = before == 0 && !stream->in_member;
	}
	return 0;
}

/* produce(), counted against the limit and hashed. */
static ssize_t produce_counted(struct stream *stream, uint8_t *data, size_t size,
			       struct cay_error *err)
{
	ssize_t n = produce(stream, data, size, err);

	if (n <= 0)
		return n;
	stream->bytes_out += (uint64_t)n;
	if (stream->bytes_out > stream->limit)
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
				     "it is larger than %" PRIu64 " bytes when decompressed",
				     stream->limit);
	if (!stream->unhashed)
		hasher_update(&stream->hasher, data, (size_t)n);
	return n;
}

void stream_take_other(struct stream *stream)
{
	stream->takes_other = true;
}

void stream_without_digest(struct stream *stream)
{
	stream->unhashed = true;
}

ssize_t stream_read(struct stream *stream, void *data, size_t size, struct cay_error *err)
{
	size_t done = 0;

	while (done < size) {
		uint8_t *to = (uint8_t *)data + done;
		size_t wanted = size - done, have = stream->output_end - stream->output_start;
		ssize_t n;

		if (have > 0) {
			have = MIN(have, wanted);
			memcpy(to, stream->output + stream->output_start, have);
			stream->output_start += have;
			done += have;
			continue;
		}
		if (wanted >= OUTPUT_SIZE / 2) {
			n = produce_counted(stream, to, wanted, err);
			if (n > 0)
				done += (size_t)n;
		} else {
			n = produce_counted(stream, stream->output, OUTPUT_SIZE, err);
			stream->output_start = 0;
			stream->output_end = n > 0 ? (size_t)n : 0;
		}
		if (n < 0)
			return n;
		if (n == 0)
			break;
	}
	return (ssize_t)done;
}

ssize_t stream_read_raw(void *stream, void *data, size_t size, struct cay_error *err)
{
	return stream_read(stream, data, size, err);
}

int stream_drain(struct stream *stream, struct cay_error *err)
{
	ssize_t n;

	stream->output_start = stream->output_end = 0;
	do
		n = produce_counted(stream, stream->output, OUTPUT_SIZE, err);
	while (n > 0);
	return (int)n;
}

uint64_t stream_bytes_in(const struct stream *stream)
{
	return stream->bytes_in;
}

uint64_t stream_bytes_out(const struct stream *stream)
{
	return stream->bytes_out;
}

void stream_digest(struct stream *stream, uint8_t ret_digest[DIGEST_BYTES])
{
	hasher_finish(&stream->hasher, ret_digest);
}
