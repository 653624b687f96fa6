/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cay-layer: everything that parses an image's foreign bytes, in a process
 * that has nothing to lose. The daemon starts one for each piece of work and
 * gives it all it may touch as open descriptors:
 *
 *	cay-layer layer      0 the compressed layer, 3 status, 4 data file, 5 index
 *	cay-layer check      the same, 4 and 5 for reading: are they what the layer gives?
 *	cay-layer merge N    3 status, 4 metadata file, 5 to 4+N the layers' indexes, then their
 *	                     data files
 *	cay-layer archive    0 the archive, 3 status, 4 frames
 *
 * The status is one line, "ok" with numbers or "error CODE ERRNO MESSAGE".
 */
#include "base/alloc.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "image/worker/archive.h"
#include "image/worker/erofs.h"
#include "image/worker/layer.h"
#include "image/worker/sandbox.h"

#include <errno.h>
#include <inttypes.h>

enum { STATUS_FD = 3, FIRST_FD = 4, MERGE_LAYERS_MAX = 500, UNPACK_PIECE = 128 * 1024 };

/* A layer's stream when decompressed: far above any real one, and an end to a bomb. */
#define LAYER_STREAM_MAX (UINT64_C(64) * GIB)

static const struct sandbox_limits layer_limits = {
	.data = 384 * MIB, /* zstd's window of up to 128 MiB, and buffers */
	.addresses = 1 * GIB,
	.file_size = LAYER_DATA_MAX,
	.cpu = 3600,
};
static const struct sandbox_limits merge_limits = {
	.data = 1 * GIB,
	.addresses = 16 * GIB, /* indexes are mapped */
	.file_size = 16 * GIB,
	.cpu = 600,
};

static ssize_t read_stdin(void *user, void *data, size_t size)
{
	ssize_t n = read(STDIN_FILENO, data, size);

	return n < 0 ? -errno : n;
}

static int convert(bool check, struct buf *status, struct cay_error *err)
{
	const struct output data = { FIRST_FD, check }, index = { FIRST_FD + 1, check };
	char diff_id[DIGEST_HEX_LENGTH + 1];
	struct layer_header header;
	_cleanup_(stream_free_p) struct stream *stream =
		stream_new(read_stdin, NULL, LAYER_STREAM_MAX);
	int r = sandbox_enter(&layer_limits, FIRST_FD + 2, err);

	if (r == 0)
		r = layer_convert(stream, data, index, &header, err);
	if (r < 0)
		return r;
	hex_encode(header.diff_id, sizeof(header.diff_id), diff_id);
	buf_printf(status, "ok %s %" PRIu64 " %" PRIu64, diff_id, header.tar_bytes,
		   header.data_blocks);
	return 0;
}

static int merge_layers(struct erofs_layer *layers, unsigned int count, struct merge_tree *tree,
			struct cay_error *err)
{
	int r;

	for (unsigned int i = 0; i < count; i++) {
		r = index_map_open(FIRST_FD + 1 + (int)i, &layers[i].index, err);

		layers[i].data_fd = FIRST_FD + 1 + (int)(count + i);
		if (r == 0)
			r = merge_apply(tree, &layers[i].index, i, err);
		if (r < 0)
			return cay_error_prefix(err, "layer %u of %u", i + 1, count);
	}
	r = merge_add_mount_points(tree, err);
	if (r < 0)
		return r;
	merge_sort(tree);
	return erofs_write(tree, layers, count, FIRST_FD, err);
}

static int merge(const char *count_text, struct buf *status, struct cay_error *err)
{
	_cleanup_free_ struct erofs_layer *layers = NULL;
	struct merge_tree tree;
	uint64_t count;
	int r;

	if (parse_u64(count_text, MERGE_LAYERS_MAX, &count) < 0)
		return cay_error_set(err, CAY_INVALID, EINVAL, "bad number of layers");
	r = sandbox_enter(&merge_limits, FIRST_FD + 1 + 2 * (unsigned int)count, err);
	if (r < 0)
		return r;
	layers = xcalloc(count + 1, sizeof(*layers));
	merge_init(&tree);
	r = merge_layers(layers, (unsigned int)count, &tree, err);
	merge_done(&tree);
	for (size_t i = 0; i < count; i++)
		index_map_close(&layers[i].index);
	if (r == 0)
		buf_puts(status, "ok");
	return r;
}

static int split(struct buf *status, struct cay_error *err)
{
	_cleanup_(stream_free_p) struct stream *stream =
		stream_new(read_stdin, NULL, ARCHIVE_SIZE_MAX);
	int r = sandbox_enter(&layer_limits, FIRST_FD + 1, err);

	stream_without_digest(stream);
	if (r == 0)
		r = archive_split(stream, FIRST_FD, err);
	if (r == 0)
		buf_puts(status, "ok");
	return r;
}

static int unpack(struct buf *status, struct cay_error *err)
{
	_cleanup_(stream_free_p) struct stream *stream =
		stream_new(read_stdin, NULL, LAYER_STREAM_MAX);
	_cleanup_free_ char *piece = xmalloc(UNPACK_PIECE);
	ssize_t n = sandbox_enter(&layer_limits, FIRST_FD + 1, err);

	stream_without_digest(stream);
	stream_take_other(stream);
	while (n >= 0) {
		int r;

		n = stream_read(stream, piece, UNPACK_PIECE, err);
		if (n <= 0)
			break;
		r = write_full(FIRST_FD, piece, (size_t)n);
		if (r < 0)
			return cay_error_errno(err, r, "handing the data over");
	}
	if (n == 0)
		buf_puts(status, "ok");
	return (int)n;
}

int main(int argc, char **argv)
{
	_cleanup_buf_ struct buf status = { 0 };
	struct cay_error err = { 0 };
	int r;

	log_init("cay-layer", LOG_LEVEL_INFO);
	if (argc == 2 && strcmp(argv[1], "layer") == 0)
		r = convert(false, &status, &err);
	else if (argc == 2 && strcmp(argv[1], "check") == 0)
		r = convert(true, &status, &err);
	else if (argc == 3 && strcmp(argv[1], "merge") == 0)
		r = merge(argv[2], &status, &err);
	else if (argc == 2 && strcmp(argv[1], "archive") == 0)
		r = split(&status, &err);
	else if (argc == 2 && strcmp(argv[1], "unpack") == 0)
		r = unpack(&status, &err);
	else
		die("this program is started by cayd, with descriptors to work on");
	if (r < 0) {
		buf_clear(&status);
		buf_printf(&status, "error %d %d %s", (int)err.code, err.err, err.message);
	}
	buf_putc(&status, '\n');
	(void)write_full(STATUS_FD, status.data, status.length); /* the reader sees its absence */
	return r < 0;
}
