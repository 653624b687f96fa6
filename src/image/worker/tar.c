/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tar reader: headers and contents. Extended headers (pax, GNU long names)
 * are gathered in a struct tar_extra until the entry they belong to arrives.
 */
#include "image/worker/tar-internal.h"

#include "base/alloc.h"
#include "image/layer-format.h"
#include "image/worker/path.h"

#include <errno.h>

enum {
	TAR_EXTENDED_MAX = 1 << 20, /* bytes of one extended header, as Go's and GNU's readers */
	TAR_CHUNK = 256 * 1024,     /* contents are handed out in pieces of at most this */
};

/* The block every entry starts with; the last field differs between ustar and GNU. */
struct raw_header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8];
	char type;
	char link[100], magic[6], version[2], user[32], group[32], major[8], minor[8];
	union {
		struct {
			char prefix[155], pad[12];
		} ustar;
		struct {
			char prefix[131], atime[12], ctime[12], pad[8], trailer[4];
		} star;
		struct {
			char atime[12], ctime[12], offset[12], longnames[4], unused;
			char sparse[4][24];
			char is_extended, real_size[12], pad[17];
		} gnu;
	} tail;
};
static_assert(sizeof(struct raw_header) == TAR_BLOCK, "one block");

/* The blocks that continue the map of an old GNU sparse file. */
struct raw_sparse {
	char sparse[21][24];
	char is_extended, pad[7];
};
static_assert(sizeof(struct raw_sparse) == TAR_BLOCK, "one block");

struct tar {
	struct stream *stream;
	struct tar_entry entry;
	struct tar_extra extra;
	char path[101 + 156], link[101]; /* from the header itself */
	struct buf extended;
	uint64_t stored_left; /* of the entry's contents in the stream */
	uint64_t padding;     /* after them */
	uint64_t offset;      /* of the next piece in the file */
	struct tar_run *runs;
	size_t run_count, run_room, run_at;
	bool ended;
	char *chunk;
};

struct tar *tar_new(struct stream *stream)
{
	struct tar *tar = xcalloc(1, sizeof(*tar));

	tar->stream = stream;
	tar->chunk = xmalloc(TAR_CHUNK);
	return tar;
}

void tar_free(struct tar *tar)
{
	if (!tar)
		return;
	tar_extra_done(&tar->extra);
	buf_done(&tar->entry.xattrs);
	buf_done(&tar->extended);
	free(tar->runs);
	free(tar->chunk);
	free(tar);
}

static int broken(const char *what, struct cay_error *err)
{
	return cay_error_set(err, CAY_CORRUPT, EBADMSG, "the tar archive is broken: %s", what);
}

/* Octal digits among blanks and NULs, or GNU's big-endian form when the first bit is set. */
static int read_field(const char *field, size_t size, uint64_t *ret_value)
{
	const uint8_t *at = (const uint8_t *)field;
	uint64_t value = 0;
	size_t i = 0;

	if (at[0] & 0x80) {
		if (at[0] & 0x40)
			return -ERANGE; /* negative */
		for (i = 0; i < size; i++) {
			if (value >> 55)
				return -ERANGE;
			value = value << 8 | (i == 0 ? at[0] & 0x7f : at[i]);
		}
		*ret_value = value;
		return 0;
	}
	while (i < size && (at[i] == ' ' || at[i] == '\0'))
		i++;
	for (; i < size && at[i] >= '0' && at[i] <= '7'; i++) {
		if (value >> 60)
			return -ERANGE;
		value = value << 3 | (uint64_t)(at[i] - '0');
	}
	for (; i < size; i++)
		if (at[i] != ' ' && at[i] != '\0')
			return -EINVAL;
	*ret_value = value;
	return 0;
}

/* Times may be negative in GNU's form. */
static int read_time_field(const char *field, int64_t *ret_value)
{
	const uint8_t *at = (const uint8_t *)field;
	uint64_t value;

	if (at[0] == 0xff) {
		value = UINT64_MAX;
		for (size_t i = 1; i < 12; i++)
			value = value << 8 | at[i];
		*ret_value = (int64_t)value;
		return 0;
	}
	if (read_field(field, 12, &value) < 0 || value > INT64_MAX)
		return -EINVAL;
	*ret_value = (int64_t)value;
	return 0;
}

/* Of the block with its own field blank; historic writers summed signed characters. */
static bool checksum_is_right(const struct raw_header *header)
{
	const uint8_t *at = (const uint8_t *)header;
	const size_t start = offsetof(struct raw_header, checksum);
	uint64_t expected;
	uint32_t sum = 0;
	int32_t signed_sum = 0;

	for (size_t i = 0; i < TAR_BLOCK; i++) {
		uint8_t c = i >= start && i < start + sizeof(header->checksum) ? ' ' : at[i];

		sum += c;
		signed_sum += (int8_t)c;
	}
	return read_field(header->checksum, sizeof(header->checksum), &expected) == 0 &&
		(expected == sum || (int64_t)expected == signed_sum);
}

static bool is_zero(const void *data, size_t size)
{
	const char *at = data;

	return size == 0 || (at[0] == 0 && memcmp(at, at + 1, size - 1) == 0);
}

/* One block: 1, or 0 where the stream ends before it, or -errno. */
static int read_block(struct tar *tar, void *block, struct cay_error *err)
{
	ssize_t n = stream_read(tar->stream, block, TAR_BLOCK, err);

	if (n < 0)
		return (int)n;
	if (n != 0 && n != TAR_BLOCK)
		return broken("it ends within a block", err);
	return n > 0;
}

/* The next header block: 1, or 0 at the end, which is two blocks of zeros or the stream's end. */
static int read_header(struct tar *tar, struct raw_header *header, struct cay_error *err)
{
	int r = read_block(tar, header, err);

	if (r <= 0)
		return r;
	if (!is_zero(header, sizeof(*header))) {
		if (!checksum_is_right(header))
			return broken("a header's checksum is wrong", err);
		return 1;
	}
	r = read_block(tar, header, err);
	if (r > 0 && !is_zero(header, sizeof(*header)))
		return broken("there is data after an end mark", err);
	return r < 0 ? r : 0;
}

/* The contents of an extended header, into tar->extended. */
static int read_extended(struct tar *tar, const struct raw_header *header, struct cay_error *err)
{
	uint64_t size;
	ssize_t n;

	if (read_field(header->size, sizeof(header->size), &size) < 0)
		return broken("a header's size is not a number", err);
	if (size > TAR_EXTENDED_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
				     "an extended header is larger than %d bytes",
				     TAR_EXTENDED_MAX);
	buf_clear(&tar->extended);
	n = stream_read(tar->stream, buf_reserve(&tar->extended, size), size, err);
	if (n < 0)
		return (int)n;
	if ((uint64_t)n < size)
		return broken("it ends within an extended header", err);
	tar->extended.length = size;
	return stream_skip(tar->stream, -size % TAR_BLOCK, err);
}

/* A GNU long name or link: text up to a NUL. */
static char *take_long_name(struct tar *tar)
{
	return xstrndup(tar->extended.length ? tar->extended.data : "", tar->extended.length);
}

/* Whether the header was an extended one, which is then in tar->extra: 1, 0, or -errno. */
static int gather_extended(struct tar *tar, const struct raw_header *header, struct cay_error *err)
{
	int r;

	if (!header->type || !strchr("xgXLK", header->type))
		return 0;
	r = read_extended(tar, header, err);
	if (r < 0)
		return r;
	switch (header->type) {
	case 'x':
	case 'X':
		r = tar_pax_parse((struct str){ tar->extended.data, tar->extended.length },
				  &tar->extra, err);
		return r < 0 ? r : 1;
	case 'L':
		free(tar->extra.path);
		tar->extra.path = take_long_name(tar);
		return 1;
	case 'K':
		free(tar->extra.link);
		tar->extra.link = take_long_name(tar);
		return 1;
	default:
		return 1; /* global headers hold comments in practice; docker ignores them too */
	}
}

/* Name and link from the header's own fields. */
static void read_names(struct tar *tar, const struct raw_header *header)
{
	const bool ustar = memcmp(header->magic, "ustar", 6) == 0;
	const bool star = ustar && memcmp(header->tail.star.trailer, "tar", 4) == 0;
	const int room = star ? (int)sizeof(header->tail.star.prefix)
			      : (int)sizeof(header->tail.ustar.prefix);
	const bool prefix = ustar && header->tail.ustar.prefix[0] != '\0';

	(void)snprintf(tar->path, sizeof(tar->path), "%.*s%s%.100s", prefix ? room : 0,
		       header->tail.ustar.prefix, prefix ? "/" : "", header->name);
	(void)snprintf(tar->link, sizeof(tar->link), "%.100s", header->link);
}

static int read_numbers(struct tar *tar, const struct raw_header *header, uint64_t *ret_size,
			struct cay_error *err)
{
	struct tar_entry *entry = &tar->entry;
	uint64_t mode;

	if (read_field(header->size, sizeof(header->size), ret_size) < 0 || *ret_size > INT64_MAX)
		return broken("a size is not a number or is negative", err);
	if (read_field(header->mode, sizeof(header->mode), &mode) < 0 ||
	    read_field(header->uid, sizeof(header->uid), &entry->uid) < 0 ||
	    read_field(header->gid, sizeof(header->gid), &entry->gid) < 0 ||
	    read_time_field(header->mtime, &entry->mtime) < 0)
		return broken("a mode, owner or time is not a number", err);
	entry->mode = (uint32_t)(mode & 07777);
	entry->mtime_ns = 0;
	entry->device_major = entry->device_minor = 0;
	if ((header->type == '3' || header->type == '4') &&
	    (read_field(header->major, sizeof(header->major), &entry->device_major) < 0 ||
	     read_field(header->minor, sizeof(header->minor), &entry->device_minor) < 0))
		return broken("a device's number is not a number", err);
	return 0;
}

static int read_type(struct tar *tar, char type, struct cay_error *err)
{
	switch (type) {
	case '0':
	case '\0':
	case '7':
	case 'S':
		tar->entry.type = TAR_FILE;
		return 0;
	case '1':
		tar->entry.type = TAR_HARDLINK;
		return 0;
	case '2':
		tar->entry.type = TAR_SYMLINK;
		return 0;
	case '3':
		tar->entry.type = TAR_CHARACTER;
		return 0;
	case '4':
		tar->entry.type = TAR_BLOCK_DEVICE;
		return 0;
	case '5':
		tar->entry.type = TAR_DIRECTORY;
		return 0;
	case '6':
		tar->entry.type = TAR_FIFO;
		return 0;
	default:
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "the tar archive has an entry of the unknown type 0x%02x",
				     (uint8_t)type);
	}
}

/* Puts what the extended headers said over what the header says. */
static void apply_extra(struct tar *tar, uint64_t *size)
{
	struct tar_extra *extra = &tar->extra;
	struct tar_entry *entry = &tar->entry;
	const char *path = extra->sparse_name ? extra->sparse_name : extra->path;

	entry->path = str_from(path ? path : tar->path);
	entry->link = str_from(extra->link ? extra->link : tar->link);
	if (extra->has_size)
		*size = extra->size;
	if (extra->has_uid)
		entry->uid = extra->uid;
	if (extra->has_gid)
		entry->gid = extra->gid;
	if (extra->has_mtime) {
		entry->mtime = extra->mtime;
		entry->mtime_ns = extra->mtime_ns;
	}
	buf_done(&entry->xattrs);
	entry->xattrs = extra->xattrs;
	extra->xattrs = (struct buf){ 0 };
}

static int add_raw_runs(struct tar *tar, const char (*raw)[24], size_t count, struct cay_error *err)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t offset, size;
		int r;

		if (raw[i][0] == '\0')
			return 0;
		if (read_field(raw[i], 12, &offset) < 0 || read_field(raw[i] + 12, 12, &size) < 0)
			return broken("a sparse file's map is not made of numbers", err);
		r = tar_add_run(&tar->runs, &tar->run_count, &tar->run_room, offset, size, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_old_gnu_map(struct tar *tar, const struct raw_header *header, struct cay_error *err)
{
	bool more = header->tail.gnu.is_extended != '\0';
	int r;

	if (memcmp(header->magic, "ustar ", 6) != 0 ||
	    read_field(header->tail.gnu.real_size, 12, &tar->entry.size) < 0)
		return broken("a sparse file's header is not one of GNU tar", err);
	r = add_raw_runs(tar, header->tail.gnu.sparse, 4, err);
	while (r == 0 && more) {
		struct raw_sparse block;

		r = read_block(tar, &block, err);
		if (r < 0)
			return r;
		if (r == 0)
			return broken("it ends within a sparse file's map", err);
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
			return broken("it ends within a sparse file's map", err);
		tar->stored_left--;
		if (digits[n] == '\n')
			break;
		if (++n == sizeof(digits))
			return broken("a sparse file's map is not made of numbers", err);
	}
	if (str_to_u64((struct str){ digits, n }, INT64_MAX, ret_value) < 0)
		return broken("a sparse file's map is not made of numbers", err);
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
		return broken("it ends within a sparse file's map", err);
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
		return broken("a sparse file's map does not fit its contents", err);
	if (tar->run_count > 0) {
		const struct tar_run *last = &tar->runs[tar->run_count - 1];

		if (last->offset + last->size > tar->entry.size)
			return broken("a sparse file's map is larger than the file", err);
	}
	return 0;
}

/* Sets up the contents: one run for a plain file, the map of a sparse one. */
static int prepare_contents(struct tar *tar, const struct raw_header *header, uint64_t size,
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
			return broken("a sparse file of an unknown version", err);
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

static int skip_contents(struct tar *tar, struct cay_error *err)
{
	int r = stream_skip(tar->stream, tar->stored_left + tar->padding, err);

	tar->stored_left = tar->padding = 0;
	return r;
}

int tar_next(struct tar *tar, const struct tar_entry **ret_entry, struct cay_error *err)
{
	struct raw_header header;
	uint64_t size;
	int r = skip_contents(tar, err);

	tar_extra_done(&tar->extra);
	while (r == 0 && !tar->ended) {
		r = read_header(tar, &header, err);
		if (r < 0)
			return r;
		if (r == 0) {
			tar->ended = true;
			return 0;
		}
		r = gather_extended(tar, &header, err);
		if (r < 0)
			return r;
		if (r > 0) {
			r = 0;
			continue;
		}
		read_names(tar, &header);
		r = read_numbers(tar, &header, &size, err);
		if (r == 0)
			r = read_type(tar, header.type, err);
		if (r < 0)
			return r;
		apply_extra(tar, &size);
		/* Before POSIX a directory was a file whose name ends in a slash. */
		if (tar->entry.type == TAR_FILE && header.type != 'S' &&
		    tar->entry.path.length > 0 &&
		    tar->entry.path.data[tar->entry.path.length - 1] == '/')
			tar->entry.type = TAR_DIRECTORY;
		/* Some writers give links and devices the size of what they stand for. */
		if (tar->entry.type != TAR_FILE && tar->entry.type != TAR_DIRECTORY)
			size = 0;
		r = prepare_contents(tar, &header, size, err);
		if (r < 0)
			return r;
		*ret_entry = &tar->entry;
		return 1;
	}
	return r;
}

int tar_read(struct tar *tar, uint64_t *ret_offset, struct str *ret_data, struct cay_error *err)
{
	while (tar->entry.type == TAR_FILE && tar->run_at < tar->run_count) {
		const struct tar_run *run = &tar->runs[tar->run_at];
		uint64_t at = MAX(tar->offset, run->offset);
		uint64_t left = run->offset + run->size - at, room;
		ssize_t n;

		if (left == 0) {
			tar->run_at++;
			continue;
		}
		room = TAR_CHUNK - at % LAYER_BLOCK;
		left = MIN(left, room);
		n = stream_read(tar->stream, tar->chunk, left, err);
		if (n < 0)
			return (int)n;
		if ((uint64_t)n < left)
			return broken("it ends within a file", err);
		tar->stored_left -= left;
		tar->offset = at + left;
		*ret_offset = at;
		*ret_data = (struct str){ tar->chunk, left };
		return 1;
	}
	return 0;
}
