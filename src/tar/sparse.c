/* SPDX-License-Identifier: Apache-2.0 */
/* The contents of a tar entry as runs: sparse files in GNU tar's old form and its three pax forms.
 */
#include "tar/reader-internal.h"

#include "base/alloc.h"

#include <errno.h>

static int add_raw_runs(struct tar_reader *reader, const char (*raw)[24], size_t count,
			struct cay_error *err)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t offset, size;
		int r;

		if (raw[i][0] == '\0')
			return 0;
		if (tar_read_field(raw[i], 12, &offset) < 0 ||
		    tar_read_field(raw[i] + 12, 12, &size) < 0)
			return tar_broken("a sparse file's map is not made of numbers", err);
		r = tar_add_run(&reader->runs, &reader->run_count, &reader->run_room, offset, size,
				err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_old_gnu_map(struct tar_reader *reader, const struct tar_raw_header *header,
			    struct cay_error *err)
{
	bool more = header->tail.gnu.is_extended != '\0';
	int r;

	if (memcmp(header->magic, "ustar ", 6) != 0 ||
	    tar_read_field(header->tail.gnu.real_size, 12, &reader->entry.size) < 0)
		return tar_broken("a sparse file's header is not one of GNU tar", err);
	r = add_raw_runs(reader, header->tail.gnu.sparse, 4, err);
	while (r == 0 && more) {
		struct tar_raw_sparse block;

		r = tar_read_block(reader, &block, err);
		if (r < 0)
			return r;
		if (r == 0)
			return tar_broken("it ends within a sparse file's map", err);
		r = add_raw_runs(reader, (const char(*)[24])block.sparse, 21, err);
		more = block.is_extended != '\0';
	}
	return r;
}

/* One line of a version 1.0 map, a decimal number, read a byte at a time from the contents. */
static int read_map_number(struct tar_reader *reader, uint64_t *ret_value, struct cay_error *err)
{
	char digits[24];
	size_t n = 0;

	for (;;) {
		ssize_t got = reader->stored_left > 0 ? tar_take(reader, &digits[n], 1, err) : 0;

		if (got < 0)
			return (int)got;
		if (got == 0)
			return tar_broken("it ends within a sparse file's map", err);
		reader->stored_left--;
		if (digits[n] == '\n')
			break;
		if (++n == sizeof(digits))
			return tar_broken("a sparse file's map is not made of numbers", err);
	}
	if (str_to_u64((struct str){ digits, n }, INT64_MAX, ret_value) < 0)
		return tar_broken("a sparse file's map is not made of numbers", err);
	return 0;
}

static int read_v1_map(struct tar_reader *reader, struct cay_error *err)
{
	const uint64_t stored = reader->stored_left;
	uint64_t count, offset, size, pad;
	int r = read_map_number(reader, &count, err);

	for (uint64_t i = 0; r == 0 && i < count; i++) {
		r = read_map_number(reader, &offset, err);
		if (r == 0)
			r = read_map_number(reader, &size, err);
		if (r == 0)
			r = tar_add_run(&reader->runs, &reader->run_count, &reader->run_room,
					offset, size, err);
	}
	if (r < 0)
		return r;
	pad = -(stored - reader->stored_left) % TAR_BLOCK;
	if (pad > reader->stored_left)
		return tar_broken("it ends within a sparse file's map", err);
	reader->stored_left -= pad;
	return tar_skip(reader, pad, err);
}

/* Checks that the runs add up to what is stored and end within the file. */
static int check_runs(struct tar_reader *reader, struct cay_error *err)
{
	uint64_t stored = 0;

	for (size_t i = 0; i < reader->run_count; i++)
		stored += reader->runs[i].size;
	if (stored != reader->stored_left)
		return tar_broken("a sparse file's map does not fit its contents", err);
	if (reader->run_count > 0) {
		const struct tar_run *last = &reader->runs[reader->run_count - 1];

		if (last->offset + last->size > reader->entry.size)
			return tar_broken("a sparse file's map is larger than the file", err);
	}
	return 0;
}

int tar_prepare_contents(struct tar_reader *reader, const struct tar_raw_header *header,
			 uint64_t size, struct cay_error *err)
{
	struct tar_extra *extra = &reader->extra;
	int r = 0;

	reader->run_count = reader->run_at = 0;
	reader->offset = 0;
	reader->stored_left = size;
	reader->padding = -size % TAR_BLOCK;
	reader->entry.size = reader->entry.type == TAR_FILE ? size : 0;
	reader->entry.sparse = true;
	if (header->type == 'S') {
		r = read_old_gnu_map(reader, header, err);
	} else if (extra->has_sparse_size && reader->entry.type == TAR_FILE) {
		reader->entry.size = extra->sparse_size;
		if (extra->run_open || extra->sparse_major > 1 || extra->sparse_minor > 1)
			return tar_broken("a sparse file of an unknown version", err);
		if (extra->sparse_major == 1) {
			r = read_v1_map(reader, err);
		} else {
			free(reader->runs);
			reader->runs = TAKE_PTR(extra->runs);
			reader->run_count = extra->run_count;
			reader->run_room = extra->run_room;
		}
	} else {
		reader->entry.sparse = false;
		if (reader->entry.type == TAR_FILE && size > 0)
			r = tar_add_run(&reader->runs, &reader->run_count, &reader->run_room, 0,
					size, err);
	}
	if (r < 0 || reader->entry.type != TAR_FILE)
		return r;
	return check_runs(reader, err);
}
