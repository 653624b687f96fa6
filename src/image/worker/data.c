/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data file of a layer. Contents are gathered into large writes; blocks
 * that hold only zeros are never written, so that a sparse file stays sparse
 * whether or not its archive said so.
 *
 * Some blocks for small items are open at a time. An item goes where it leaves
 * the least room; where none has room, the fullest block is written and a new
 * one opened. That wastes about 1 % on real trees.
 */
#include "image/worker/data.h"

#include "base/alloc.h"
#include "base/file.h"
#include "image/layer-format.h"

#include <errno.h>

enum { GATHER_SIZE = 256 << 10, PACKS = 16 };

/* A block that small items are packed into. */
struct pack {
	uint64_t block;
	size_t used;
	char data[LAYER_BLOCK];
};

struct data_writer {
	struct output output;
	uint64_t end;   /* where the next contents start, in blocks */
	uint64_t base;  /* where the current ones do, in bytes */
	uint64_t start; /* where the gathered bytes go, in bytes */
	size_t gathered;
	uint64_t written;
	uint64_t begun; /* for fd_write_behind() */
	char *buffer;
	struct pack packs[PACKS];
	size_t pack_count;
};

static const char what[] = "the layer's data";

struct data_writer *data_writer_new(struct output output)
{
	struct data_writer *writer = xcalloc(1, sizeof(*writer));

	writer->output = output;
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

/* The next blocks of the file, enough for `size` bytes. */
static int take_blocks(struct data_writer *writer, uint64_t size, uint64_t *ret_block,
		       struct cay_error *err)
{
	if (size > LAYER_DATA_MAX - writer->end * LAYER_BLOCK)
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
				     "its files add up to more than %" PRIu64 " bytes",
				     LAYER_DATA_MAX);
	*ret_block = writer->end;
	writer->end += (size + LAYER_BLOCK - 1) / LAYER_BLOCK;
	return 0;
}

/* Counts bytes that take space. */
static int count(struct data_writer *writer, size_t size, uint64_t allowed, struct cay_error *err)
{
	writer->written += size;
	if (writer->written > allowed)
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
				     "it grows too much when decompressed (a decompression bomb?)");
	return 0;
}

int data_writer_begin(struct data_writer *writer, uint64_t size, uint64_t *ret_block,
		      struct cay_error *err)
{
	int r = take_blocks(writer, size, ret_block, err);

	if (r == 0)
		writer->base = *ret_block * LAYER_BLOCK;
	return r;
}

static int flush(struct data_writer *writer, struct cay_error *err)
{
	int r = output_put(&writer->output, writer->buffer, writer->gathered, writer->start, what,
			   err);

	writer->start += writer->gathered;
	writer->gathered = 0;
	if (r == 0 && !writer->output.check)
		fd_write_behind(writer->output.fd, writer->start, &writer->begun);
	return r;
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
			r = count(writer, n, allowed, err);
			if (r < 0)
				return r;
			at += n;
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

static int write_pack(struct data_writer *writer, const struct pack *pack, struct cay_error *err)
{
	return output_put(&writer->output, pack->data, sizeof(pack->data),
			  pack->block * LAYER_BLOCK, what, err);
}

/* An empty pack: a new one, or in place of the fullest, which is written. */
static int open_pack(struct data_writer *writer, struct pack **ret_pack, struct cay_error *err)
{
	struct pack *pack = writer->packs;
	int r = 0;

	if (writer->pack_count < PACKS) {
		pack = &writer->packs[writer->pack_count];
	} else {
		for (size_t i = 1; i < PACKS; i++)
			if (writer->packs[i].used > pack->used)
				pack = &writer->packs[i];
		r = write_pack(writer, pack, err);
	}
	if (r == 0)
		r = take_blocks(writer, LAYER_BLOCK, &pack->block, err);
	if (r < 0)
		return r;
	if (writer->pack_count < PACKS)
		writer->pack_count++;
	pack->used = 0;
	memset(pack->data, 0, sizeof(pack->data));
	*ret_pack = pack;
	return 0;
}

int data_writer_pack(struct data_writer *writer, size_t size, uint64_t allowed, char **ret_item,
		     uint64_t *ret_place, struct cay_error *err)
{
	struct pack *best = NULL;
	int r = count(writer, size, allowed, err);

	assert(size <= LAYER_BLOCK);
	for (size_t i = 0; i < writer->pack_count; i++) {
		struct pack *pack = &writer->packs[i];

		if (size <= LAYER_BLOCK - pack->used && (!best || pack->used > best->used))
			best = pack;
	}
	if (r == 0 && !best)
		r = open_pack(writer, &best, err);
	if (r < 0)
		return r;
	assert(best);
	*ret_item = best->data + best->used;
	*ret_place = best->block * LAYER_BLOCK + best->used;
	best->used += (size + LAYER_SLOT - 1) / LAYER_SLOT * LAYER_SLOT;
	return 0;
}

int data_writer_finish(struct data_writer *writer, uint64_t *ret_blocks, struct cay_error *err)
{
	int r = flush(writer, err);

	for (size_t i = 0; r == 0 && i < writer->pack_count; i++)
		r = write_pack(writer, &writer->packs[i], err);
	if (r == 0)
		r = output_finish(&writer->output, writer->end * LAYER_BLOCK, what, err);
	if (r == 0)
		*ret_blocks = writer->end;
	return r;
}
