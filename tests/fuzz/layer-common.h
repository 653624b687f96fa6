/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers of layers and archives share: input from memory, and headers made right. */
#pragma once

#include "tar-common.h"

#include "base/alloc.h"
#include "image/worker/erofs.h"
#include "image/worker/layer.h"

#include <string.h>
#include <sys/mman.h>

/* Enough for every path through the code, and soon done. */
enum { FUZZ_STREAM_MAX = 8 << 20 };

struct memory_source {
	const uint8_t *data;
	size_t left;
};

static inline ssize_t read_memory(void *user, void *data, size_t size)
{
	struct memory_source *source = user;
	/* Odd pieces, so that what is cut by the end of a read is seen too. */
	const size_t n = MIN(MIN(size, source->left), (size_t)4093);

	memcpy(data, source->data, n);
	source->data += n;
	source->left -= n;
	return (ssize_t)n;
}

/* An empty file in memory, the same one each time. */
static inline int scratch_file(int *fd)
{
	if (*fd < 0)
		*fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (*fd < 0 || ftruncate(*fd, 0) < 0 || lseek(*fd, 0, SEEK_SET) < 0)
		abort();
	return *fd;
}

/* Merges the index twice, as if it were two layers, and writes the image. */
static inline int merge_and_write(int data_fd, int index_fd)
{
	static int image_fd = -1;
	struct index_map map = { 0 };
	struct merge_tree tree;
	struct cay_error err = { 0 };
	int r = index_map_open(index_fd, &map, &err);

	if (r < 0)
		return r;
	const struct erofs_layer layers[] = { { map, data_fd }, { map, data_fd } };

	merge_init(&tree);
	r = merge_apply(&tree, &map, 0, &err);
	if (r == 0)
		r = merge_apply(&tree, &map, 1, &err);
	merge_sort(&tree);
	if (r == 0)
		r = erofs_write(&tree, layers, ARRAY_SIZE(layers), scratch_file(&image_fd), &err);
	merge_done(&tree);
	index_map_close(&map);
	return r;
}
