/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data file of a layer. Small files are gathered into large writes; blocks
 * that hold only zeros are never written, so that a sparse file stays sparse
 * whether or not its archive said so.
 */
#include "image/worker/data.h"

#include "base/alloc.h"
#include "base/file.h"
#include "image/layer-format.h"

#include <errno.h>
#include <unistd.h>

enum { GATHER_SIZE = 1 << 20 };

struct data_writer {
	int fd;
	uint64_t end;   /* where the next contents start, in blocks */
	uint64_t base;  /* where the current ones do, in bytes */
	uint64_t start; /* where the gathered bytes go, in bytes */
	size_t gathered;
	uint64_t written;
	char *buffer;
};

struct data_writer *data_writer_new(int fd)
{
	struct data_writer *writer = xcalloc(1, sizeof(*writer));

	writer->fd = fd;
	writer->buffer = xmalloc(GATHER_SIZE);
	return writer;
}

void data_writer_free(struct data_writer *writer)
{
	if (!writer)
		return;
	free(writer->buffer);
	free(writer);
}

int data_writer_begin(struct data_writer *writer, uint64_t size, uint64_t *ret_block,
		      struct cay_error *err)
{
	const uint64_t room = LAYER_DATA_MAX - writer->end * LAYER_BLOCK;

	if (size > room)
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
				     "its files add up to more than %" PRIu64 " bytes",
				     LAYER_DATA_MAX);
	writer->base = writer->end * LAYER_BLOCK;
	*ret_block = writer->end;
	writer->end += (size + LAYER_BLOCK - 1) / LAYER_BLOCK;
	return 0;
}

static int flush(struct data_writer *writer, struct cay_error *err)
{
	int r = pwrite_full(writer->fd, writer->buffer, writer->gathered, (off_t)writer->start);

	if (r < 0)
		return cay_error_errno(err, r, "writing the layer's data");
	writer->start += writer->gathered;
	writer->gathered = 0;
	return 0;
}

/* One stretch without holes. */
static int gather(struct data_writer *writer, uint64_t at, const char *data, size_t size,
		  struct cay_error *err)
{
	while (size > 0) {
		const uint64_t next = writer->start + writer->gathered;
		const size_t gap =
			at >= next && at - next < LAYER_BLOCK ? (size_t)(at - next) : SIZE_MAX;
		size_t n;

		if (writer->gathered == 0) {
			writer->start = at;
		} else if (gap >= GATHER_SIZE - writer->gathered) {
			int r = flush(writer, err);

			if (r < 0)
				return r;
			continue;
		} else {
			memset(writer->buffer + writer->gathered, 0, gap);
			writer->gathered += gap;
		}
		n = MIN(size, GATHER_SIZE - writer->gathered);
		memcpy(writer->buffer + writer->gathered, data, n);
		writer->gathered += n;
		at += n;
		data += n;
		size -= n;
	}
	return 0;
}

static bool is_zero(const char *data, size_t size)
{
	return data[0] == 0 && memcmp(data, data + 1, size - 1) == 0;
}

int data_writer_put(struct data_writer *writer, uint64_t offset, struct str data, uint64_t allowed,
		    struct cay_error *err)
{
	size_t at = 0, from = 0;

	while (at < data.length) {
		size_t n =
			MIN(data.length - at, LAYER_BLOCK - (size_t)((offset + at) % LAYER_BLOCK));
		int r;

		if (!is_zero(data.data + at, n)) {
			at += n;
			writer->written += n;
			if (writer->written > allowed)
				return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
						     "it grows too much when decompressed "
						     "(a decompression bomb?)");
			continue;
		}
		r = gather(writer, writer->base + offset + from, data.data + from, at - from, err);
		if (r < 0)
			return r;
		at += n;
		from = at;
	}
	return gather(writer, writer->base + offset + from, data.data + from, at - from, err);
}

int data_writer_finish(struct data_writer *writer, uint64_t *ret_blocks, struct cay_error *err)
{
	int r = flush(writer, err);

	if (r < 0)
		return r;
	if (ftruncate(writer->fd, (off_t)(writer->end * LAYER_BLOCK)) < 0)
		return cay_error_errno(err, errno, "writing the layer's data");
	*ret_blocks = writer->end;
	return 0;
}
