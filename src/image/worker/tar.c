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

int tar_broken(const char *what, struct cay_error *err)
{
	return cay_error_set(err, CAY_CORRUPT, EBADMSG, "the tar archive is broken: %s", what);
}

int tar_read_field(const char *field, size_t size, uint64_t *ret_value)
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
	if (tar_read_field(field, 12, &value) < 0 || value > INT64_MAX)
		return -EINVAL;
	*ret_value = (int64_t)value;
	return 0;
}

/* Of the block with its own field blank; historic writers summed signed characters. */
static bool checksum_is_right(const struct tar_raw_header *header)
{
	const uint8_t *at = (const uint8_t *)header;
	const size_t start = offsetof(struct tar_raw_header, checksum);
	uint64_t expected;
	uint32_t sum = 0;
	int32_t signed_sum = 0;

	for (size_t i = 0; i < TAR_BLOCK; i++) {
		uint8_t c = i >= start && i < start + sizeof(header->checksum) ? ' ' : at[i];

		sum += c;
		signed_sum += (int8_t)c;
	}
	return tar_read_field(header->checksum, sizeof(header->checksum), &expected) == 0 &&
		(expected == sum || (int64_t)expected == signed_sum);
}

static bool is_zero(const void *data, size_t size)
{
	const char *at = data;

	return size == 0 || (at[0] == 0 && memcmp(at, at + 1, size - 1) == 0);
}

int tar_read_block(struct tar *tar, void *block, struct cay_error *err)
{
	ssize_t n = stream_read(tar->stream, block, TAR_BLOCK, err);

	if (n < 0)
		return (int)n;
	if (n != 0 && n != TAR_BLOCK)
		return tar_broken("it ends within a block", err);
	return n > 0;
}

/* The next header block: 1, or 0 at the end, which is two blocks of zeros or the stream's end. */
static int read_header(struct tar *tar, struct tar_raw_header *header, struct cay_error *err)
{
	int r = tar_read_block(tar, header, err);

	if (r <= 0)
		return r;
	if (!is_zero(header, sizeof(*header))) {
		if (!checksum_is_right(header))
			return tar_broken("a header's checksum is wrong", err);
		return 1;
	}
	r = tar_read_block(tar, header, err);
	if (r > 0 && !is_zero(header, sizeof(*header)))
		return tar_broken("there is data after an end mark", err);
	return r < 0 ? r : 0;
}

/* The contents of an extended header, into tar->extended. */
static int read_extended(struct tar *tar, const struct tar_raw_header *header,
			 struct cay_error *err)
{
	uint64_t size;
	ssize_t n;

	if (tar_read_field(header->size, sizeof(header->size), &size) < 0)
		return tar_broken("a header's size is not a number", err);
	if (size > TAR_EXTENDED_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
				     "an extended header is larger than %d bytes",
				     TAR_EXTENDED_MAX);
	buf_clear(&tar->extended);
	n = stream_read(tar->stream, buf_reserve(&tar->extended, size), size, err);
	if (n < 0)
		return (int)n;
	if ((uint64_t)n < size)
		return tar_broken("it ends within an extended header", err);
	tar->extended.length = size;
	return stream_skip(tar->stream, -size % TAR_BLOCK, err);
}

/* A GNU long name or link: text up to a NUL. */
static char *take_long_name(struct tar *tar)
{
	return xstrndup(tar->extended.length ? tar->extended.data : "", tar->extended.length);
}

/* Whether the header was an extended one, which is then in tar->extra: 1, 0, or -errno. */
static int gather_extended(struct tar *tar, const struct tar_raw_header *header,
			   struct cay_error *err)
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
static void read_names(struct tar *tar, const struct tar_raw_header *header)
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

static int read_numbers(struct tar *tar, const struct tar_raw_header *header, uint64_t *ret_size,
			struct cay_error *err)
{
	struct tar_entry *entry = &tar->entry;
	uint64_t mode;

	if (tar_read_field(header->size, sizeof(header->size), ret_size) < 0 ||
	    *ret_size > INT64_MAX)
		return tar_broken("a size is not a number or is negative", err);
	if (tar_read_field(header->mode, sizeof(header->mode), &mode) < 0 ||
	    tar_read_field(header->uid, sizeof(header->uid), &entry->uid) < 0 ||
	    tar_read_field(header->gid, sizeof(header->gid), &entry->gid) < 0 ||
	    read_time_field(header->mtime, &entry->mtime) < 0)
		return tar_broken("a mode, owner or time is not a number", err);
	entry->mode = (uint32_t)(mode & 07777);
	entry->mtime_ns = 0;
	entry->device_major = entry->device_minor = 0;
	if ((header->type == '3' || header->type == '4') &&
	    (tar_read_field(header->major, sizeof(header->major), &entry->device_major) < 0 ||
	     tar_read_field(header->minor, sizeof(header->minor), &entry->device_minor) < 0))
		return tar_broken("a device's number is not a number", err);
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

static int skip_contents(struct tar *tar, struct cay_error *err)
{
	int r = stream_skip(tar->stream, tar->stored_left + tar->padding, err);

	tar->stored_left = tar->padding = 0;
	return r;
}

int tar_next(struct tar *tar, const struct tar_entry **ret_entry, struct cay_error *err)
{
	struct tar_raw_header header;
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
		r = tar_prepare_contents(tar, &header, size, err);
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
			return tar_broken("it ends within a file", err);
		tar->stored_left -= left;
		tar->offset = at + left;
		*ret_offset = at;
		*ret_data = (struct str){ tar->chunk, left };
		return 1;
	}
	return 0;
}
