/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compression by ISA-L's level 1, which takes a third of zlib's fastest for
 * nearly its size: a commit is to take as long as reading the files does.
 */
#include "image/gzip.h"

#include "base/alloc.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>

enum { OUTPUT_SIZE = 128 * 1024 };

struct gzip {
	int (*put)(const void *data, size_t size, void *user, struct cay_error *err);
	void *user;
	struct isal_zstream stream;
	uint8_t *level;
	uint8_t *output;
};

struct gzip *gzip_new(int (*put)(const void *data, size_t size, void *user, struct cay_error *err),
		      void *user)
{
	struct gzip *gzip = xcalloc(1, sizeof(*gzip));

	gzip->put = put;
	gzip->user = user;
	gzip->level = xmalloc(ISAL_DEF_LVL1_DEFAULT);
	gzip->output = xmalloc(OUTPUT_SIZE);
	isal_deflate_init(&gzip->stream);
	gzip->stream.level = 1;
	gzip->stream.level_buf = gzip->level;
	gzip->stream.level_buf_size = ISAL_DEF_LVL1_DEFAULT;
	gzip->stream.gzip_flag = IGZIP_GZIP;
	gzip->stream.flush = NO_FLUSH;
	return gzip;
}

void gzip_free(struct gzip *gzip)
{
	if (!gzip)
		return;
	free(gzip->level);
	free(gzip->output);
	free(gzip);
}

/* One round; what it made is given on. */
static int deflate_some(struct gzip *gzip, struct cay_error *err)
{
	gzip->stream.next_out = gzip->output;
	gzip->stream.avail_out = OUTPUT_SIZE;
	if (isal_deflate(&gzip->stream) != COMP_OK)
		return cay_error_set(err, CAY_INTERNAL, EINVAL, "compressing failed");
	if (gzip->stream.avail_out == OUTPUT_SIZE)
		return 0;
	return gzip->put(gzip->output, OUTPUT_SIZE - gzip->stream.avail_out, gzip->user, err);
}

int gzip_write(struct gzip *gzip, const void *data, size_t size, struct cay_error *err)
{
	const uint8_t *at = data;
	int r = 0;

	while (r == 0 && size > 0) {
		const uint32_t piece = (uint32_t)MIN(size, (size_t)UINT32_MAX);

		gzip->stream.next_in = (uint8_t *)at;
		gzip->stream.avail_in = piece;
		do
			r = deflate_some(gzip, err);
		while (r == 0 && (gzip->stream.avail_in > 0 || gzip->stream.avail_out == 0));
		at += piece;
		size -= piece;
	}
	return r;
}

int gzip_finish(struct gzip *gzip, struct cay_error *err)
{
	int r = 0;

	gzip->stream.end_of_stream = 1;
	gzip->stream.avail_in = 0;
	while (r == 0 && gzip->stream.internal_state.state != ZSTATE_END)
		r = deflate_some(gzip, err);
	return r;
}
