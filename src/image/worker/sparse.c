/* SPDX-License-Identifier: Apache-2.0 */
/* The contents of a tar entry as runs: sparse files in GNU tar's old form and its three pax forms.
 */
#include "image/worker/tar-internal.h"

#include "base/alloc.h"

#include <errno.h>

static int add_raw_runs(struct tar *tar, const char (*raw)[24], size_t count, struct cay_error *err)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t offset, size;
		int r;

		if (raw[i][0] == '\0')
			return 0;
		if (tar_read_field(raw[i], 12, &offset) < 0 ||
		    tar_read_field(raw[i] + 12, 12, &size) < 0)
			return tar_broken("a sparse file's map is not made of numbers", err);
		r = tar_add_run(&tar->runs, &tar->run_count, &tar->run_room, offset, size, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_old_gnu_map(struct tar *tar, const struct tar_raw_header *header,
			    struct cay_error *err)
{
	bool more = header->tail.gnu.is_extended != '\0';
	int r;

	if (memcmp(header->magic, "ustar ", 6) != 0 ||
	    tar_read_field(header->tail.gnu.real_size, 12, &tar->entry.size) < 0)
		return tar_broken("a sparse file's header is not one of GNU tar", err);
	r = add_raw_runs(tar, header->tail.gnu.sparse, 4, err);
	while (r == 0 && more) {
		struct tar_raw_sparse block;

		r = tar_read_block(tar, &block, err);
		if (r < 0)
			return r;
		if (r == 0)
			return tar_broken("it ends within a sparse file's map", err);
		r = add_raw_runs(tar, (const char(*)[24])block.sparse, 21, err);
		more = block.is_extended != '\0';
	}
	return r;
}

/* One line of a version 1.0 map, a decimal number, read a byte at a time from the contents. */
static int read_map_number(struct tar *tar, uint64_t *ret_value, struct cay_error *err)
{
	char digits[24];
	size_t n = 0;

	for (;;) {
		ssize_t got =
			tar->stored_left > 0 ? stream_read(tar->stream, &digits[n], 1, err) : 0;

		if (got < 0)
			return (int)got;
		if (got == 0)
			return tar_broken("it ends within a sparse file's map", err);
		tar->stored_left--;
		if (digits[n] == '\n')
			break;
		if (++n == sizeof(digits))
			return tar_broken("a sparse file's map is not made of numbers", err);
	}
	if (str_to_u64((struct str){ digits, n }, INT64_MAX, ret_value) < 0)
		return tar_broken("a sparse file's map is not made of numbers", err);
	return 0;
}

static int read_v1_map(struct tar *tar, struct cay_error *err)
{
	const uint64_t stored = tar->stored_left;
	uint64_t count, offset, size, pad;
	int r = read_map_number(tar, &count, err);

	for (uint64_t i = 0; r == 0 && i < count; i++) {
		r = read_map_number(tar, &offset, err);
		if (r == 0)
			r = read_map_number(tar, &size, err);
		if (r == 0)
			r = tar_add_run(&tar->runs, &tar->run_count, &tar->run_room, offset, size,
					err);
	}
	if (r < 0)
		return r;
	pad = -(stored - tar->stored_left) % TAR_BLOCK;
	if (pad > tar->stored_left)
		return tar_broken("it ends within a sparse file's map", err);
	tar->stored_left -= pad;
	return stream_skip(tar->stream, pad, err);
}

/* Checks that the runs add up to what is stored and end within the file. */
static int check_runs(struct tar *tar, struct cay_error *err)
{
	uint64_t stored = 0;

	for (size_t i = 0; i < tar->run_count; i++)
		stored += tar->runs[i].size;
	if (stored != tar->stored_left)
		return tar_broken("a sparse file's map does not fit its contents", err);
	if (tar->run_count > 0) {
		const struct tar_run *last = &tar->runs[tar->run_count - 1];

		if (last->offset + last->size > tar->entry.size)
			return tar_broken("a sparse file's map is larger than the file", err);
	}
	return 0;
}

int tar_prepare_contents(struct tar *tar, const struct tar_raw_header *header, uint64_t size,
			 struct cay_error *err)
{
	struct tar_extra *extra = &tar->extra;
	int r = 0;

	tar->run_count = tar->run_at = 0;
	tar->offset = 0;
	tar->stored_left = size;
	tar->padding = -size % TAR_BLOCK;
	tar->entry.size = tar->entry.type == TAR_FILE ? size : 0;
	tar->entry.sparse = true;
	if (header->type == 'S') {
		r = read_old_gnu_map(tar, header, err);
	} else if (extra->has_sparse_size && tar->entry.type == TAR_FILE) {
		tar->entry.size = extra->sparse_size;
		if (extra->run_open || extra->sparse_major > 1 || extra->sparse_minor > 1)
			return tar_broken("a sparse file of an unknown version", err);
		if (extra->sparse_major == 1) {
			r = read_v1_map(tar, err);
		} else {
			free(tar->runs);
			tar->runs = TAKE_PTR(extra->runs);
			tar->run_count = extra->run_count;
			tar->run_room = extra->run_room;
		}
	} else {
		tar->entry.sparse = false;
		if (tar->entry.type == TAR_FILE && size > 0)
			r = tar_add_run(&tar->runs, &tar->run_count, &tar->run_room, 0, size, err);
	}
	if (r < 0 || tar->entry.type != TAR_FILE)
		return r;
	return check_runs(tar, err);
}
