/* SPDX-License-Identifier: Apache-2.0 */
/* liblzma and libbz2 behind one call. */
#include "image/worker/decoder.h"

#include "base/alloc.h"

#include <bzlib.h>
#include <errno.h>
#include <limits.h>
#include <lzma.h>
#include <string.h>

/* xz -9 takes 65 MiB; the format would allow 4 GiB. */
#define XZ_MEMORY_MAX (128 * MIB)

struct decoder {
	bool is_xz;
	bool inside; /* one of these two is open */
	lzma_stream xz;
	bz_stream bzip2;
};

struct decoder *decoder_new(const uint8_t *data, size_t size)
{
	const bool is_xz = size >= 6 &&
		memcmp(data,
		       "\xfd"
		       "7zXZ",
		       6) == 0;
	struct decoder *decoder;

	if (!is_xz && (size < 3 || memcmp(data, "BZh", 3) != 0))
		return NULL;
	decoder = xcalloc(1, sizeof(*decoder));
	decoder->is_xz = is_xz;
	return decoder;
}

static void close_member(struct decoder *decoder)
{
	if (decoder->inside && decoder->is_xz)
		lzma_end(&decoder->xz);
	else if (decoder->inside)
		(void)BZ2_bzDecompressEnd(&decoder->bzip2); /* it is open */
	decoder->inside = false;
}

void decoder_free(struct decoder *decoder)
{
	if (!decoder)
		return;
	close_member(decoder);
	free(decoder);
}

static int open_member(struct decoder *decoder, struct cay_error *err)
{
	bool opened;

	if (decoder->is_xz) {
		decoder->xz = (lzma_stream)LZMA_STREAM_INIT;
		opened = lzma_stream_decoder(&decoder->xz, XZ_MEMORY_MAX, 0) == LZMA_OK;
	} else {
		decoder->bzip2 = (bz_stream){ 0 };
		opened = BZ2_bzDecompressInit(&decoder->bzip2, 0, 0) == BZ_OK;
	}
	if (!opened)
		return cay_error_set(err, CAY_NO_SPACE, ENOMEM, "no memory to decompress");
	decoder->inside = true;
	return 0;
}

static int broken(const char *format, struct cay_error *err)
{
	return cay_error_set(err, CAY_CORRUPT, EBADMSG, "the %s data is broken", format);
}

static int run_xz(struct decoder *decoder, const uint8_t *in, size_t in_size, size_t *used,
		  uint8_t *out, size_t out_size, size_t *made, struct cay_error *err)
{
	lzma_stream *xz = &decoder->xz;
	lzma_ret r;

	xz->next_in = in;
	xz->avail_in = in_size;
	xz->next_out = out;
	xz->avail_out = out_size;
	r = lzma_code(xz, LZMA_RUN);
	*used = in_size - xz->avail_in;
	*made = out_size - xz->avail_out;
	if (r == LZMA_STREAM_END)
		close_member(decoder);
	else if (r == LZMA_MEMLIMIT_ERROR)
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
				     "the xz data wants more than %llu MiB of memory",
				     (unsigned long long)(XZ_MEMORY_MAX / MIB));
	else if (r != LZMA_OK && r != LZMA_BUF_ERROR)
		return broken("xz", err);
	return 0;
}

static int run_bzip2(struct decoder *decoder, const uint8_t *in, size_t in_size, size_t *used,
		     uint8_t *out, size_t out_size, size_t *made, struct cay_error *err)
{
	bz_stream *bzip2 = &decoder->bzip2;
	const unsigned int in_now = (unsigned int)MIN(in_size, (size_t)INT_MAX);
	const unsigned int out_now = (unsigned int)MIN(out_size, (size_t)INT_MAX);
	int r;

	bzip2->next_in = (char *)in;
	bzip2->avail_in = in_now;
	bzip2->next_out = (char *)out;
	bzip2->avail_out = out_now;
	r = BZ2_bzDecompress(bzip2);
	*used = in_now - bzip2->avail_in;
	*made = out_now - bzip2->avail_out;
	if (r == BZ_STREAM_END)
		close_member(decoder);
	else if (r != BZ_OK)
		return broken("bzip2", err);
	return 0;
}

int decoder_run(struct decoder *decoder, const uint8_t *in, size_t in_size, size_t *ret_used,
		uint8_t *out, size_t out_size, size_t *ret_made, bool *ret_inside,
		struct cay_error *err)
{
	int r = decoder->inside ? 0 : open_member(decoder, err);

	if (r == 0)
		r = decoder->is_xz
			? run_xz(decoder, in, in_size, ret_used, out, out_size, ret_made, err)
			: run_bzip2(decoder, in, in_size, ret_used, out, out_size, ret_made, err);
	*ret_inside = decoder->inside;
	return r;
}
