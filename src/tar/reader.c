/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tar reader: headers and contents. Extended headers (pax, GNU long names)
 * are gathered in a struct tar_extra until the entry they belong to arrives.
 */
#include "tar/reader-internal.h"

#include "base/alloc.h"
#include "base/file.h"
#include "tar/path.h"

#include <errno.h>

enum {
	TAR_EXTENDED_MAX = 1 << 20, /* bytes of one extended header, as Go's and GNU's readers */
	TAR_CHUNK = 256 * 1024,     /* contents are handed out in pieces of at most this */
	TAR_PIECE_ALIGNMENT = 4096,
};

struct tar_reader *tar_reader_new(tar_source *source, void *user)
{
	struct tar_reader *reader = xcalloc(1, sizeof(*reader));

	reader->source = source;
	reader->user = user;
	reader->chunk = xmalloc(TAR_CHUNK);
	return reader;
}

void tar_reader_free(struct tar_reader *reader)
{
	if (!reader)
		return;
	tar_extra_done(&reader->extra);
	buf_done(&reader->entry.xattrs);
	buf_done(&reader->extended);
	free(reader->runs);
	free(reader->chunk);
	free(reader);
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

ssize_t tar_read_fd(void *user, void *data, size_t size, struct cay_error *err)
{
	const int *fd = user;
	ssize_t n = read_full(*fd, data, size);

	return n < 0 ? cay_error_errno(err, (int)n, "reading the archive") : n;
}

ssize_t tar_take(struct tar_reader *reader, void *data, size_t size, struct cay_error *err)
{
	return reader->source(reader->user, data, size, err);
}

int tar_skip(struct tar_reader *reader, uint64_t size, struct cay_error *err)
{
	while (size > 0) {
		const ssize_t wanted = (ssize_t)MIN(size, (uint64_t)TAR_CHUNK);
		ssize_t n = tar_take(reader, reader->chunk, (size_t)wanted, err);

		if (n < 0)
			return (int)n;
		if (n != wanted)
			return cay_error_set(err, CAY_CORRUPT, EBADMSG, "it ends too early");
		size -= (uint64_t)wanted;
	}
	return 0;
}

int tar_read_block(struct tar_reader *reader, void *block, struct cay_error *err)
{
	ssize_t n = tar_take(reader, block, TAR_BLOCK, err);

	if (n < 0)
		return (int)n;
	if (n != 0 && n != TAR_BLOCK)
		return tar_broken("it ends within a block", err);
	return n > 0;
}

/* The next header block: 1, or 0 at the end, which is two blocks of zeros or the stream's end. */
static int read_header(struct tar_reader *reader, struct tar_raw_header *header,
		       struct cay_error *err)
{
	int r = tar_read_block(reader, header, err);

	if (r <= 0)
		return r;
	if (!is_zero(header, sizeof(*header))) {
		if (!checksum_is_right(header))
			return tar_broken("a header's checksum is wrong", err);
		return 1;
	}
	r = tar_read_block(reader, header, err);
	if (r > 0 && !is_zero(header, sizeof(*header)))
		return tar_broken("there is data after an end mark", err);
	return r < 0 ? r : 0;
}

/* The contents of an extended header, into reader->extended. */
static int read_extended(struct tar_reader *reader, const struct tar_raw_header *header,
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
	buf_clear(&reader->extended);
	n = tar_take(reader, buf_reserve(&reader->extended, size), size, err);
	if (n < 0)
		return (int)n;
	if ((uint64_t)n < size)
		return tar_broken("it ends within an extended header", err);
	reader->extended.length = size;
	return tar_skip(reader, -size % TAR_BLOCK, err);
}

/* A GNU long name or link: text up to a NUL. */
static char *take_long_name(struct tar_reader *reader)
{
	return xstrndup(reader->extended.length ? reader->extended.data : "",
			reader->extended.length);
}

/* Whether the header was an extended one, which is then in reader->extra: 1, 0, or -errno. */
static int gather_extended(struct tar_reader *reader, const struct tar_raw_header *header,
			   struct cay_error *err)
{
	int r;

	if (!header->type || !strchr("xgXLK", header->type))
		return 0;
	r = read_extended(reader, header, err);
	if (r < 0)
		return r;
	switch (header->type) {
	case 'x':
	case 'X':
		r = tar_pax_parse((struct str){ reader->extended.data, reader->extended.length },
				  &reader->extra, err);
		return r < 0 ? r : 1;
	case 'L':
		free(reader->extra.path);
		reader->extra.path = take_long_name(reader);
		return 1;
	case 'K':
		free(reader->extra.link);
		reader->extra.link = take_long_name(reader);
		return 1;
	default:
		return 1; /* global headers hold comments in practice; docker ignores them too */
	}
}

/* Name and link from the header's own fields. */
static void read_names(struct tar_reader *reader, const struct tar_raw_header *header)
{
	const bool ustar = memcmp(header->magic, "ustar", 6) == 0;
	const bool star = ustar && memcmp(header->tail.star.trailer, "tar", 4) == 0;
	const int room = star ? (int)sizeof(header->tail.star.prefix)
			      : (int)sizeof(header->tail.ustar.prefix);
	const bool prefix = ustar && header->tail.ustar.prefix[0] != '\0';

	(void)snprintf(reader->path, sizeof(reader->path), "%.*s%s%.100s", prefix ? room : 0,
		       header->tail.ustar.prefix, prefix ? "/" : "", header->name);
	(void)snprintf(reader->link, sizeof(reader->link), "%.100s", header->link);
}

static int read_numbers(struct tar_reader *reader, const struct tar_raw_header *header,
			uint64_t *ret_size, struct cay_error *err)
{
	struct tar_entry *entry = &reader->entry;
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

static int read_type(struct tar_reader *reader, char type, struct cay_error *err)
{
	switch (type) {
	case '0':
	case '\0':
	case '7':
	case 'S':
		reader->entry.type = TAR_FILE;
		return 0;
	case '1':
		reader->entry.type = TAR_HARDLINK;
		return 0;
	case '2':
		reader->entry.type = TAR_SYMLINK;
		return 0;
	case '3':
		reader->entry.type = TAR_CHARACTER;
		return 0;
	case '4':
		reader->entry.type = TAR_BLOCK_DEVICE;
		return 0;
	case '5':
		reader->entry.type = TAR_DIRECTORY;
		return 0;
	case '6':
		reader->entry.type = TAR_FIFO;
		return 0;
	default:
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "the tar archive has an entry of the unknown type 0x%02x",
				     (uint8_t)type);
	}
}

/* Puts what the extended headers said over what the header says. */
static void apply_extra(struct tar_reader *reader, uint64_t *size)
{
	struct tar_extra *extra = &reader->extra;
	struct tar_entry *entry = &reader->entry;
	const char *path = extra->sparse_name ? extra->sparse_name : extra->path;

	entry->path = str_from(path ? path : reader->path);
	entry->link = str_from(extra->link ? extra->link : reader->link);
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

static int skip_contents(struct tar_reader *reader, struct cay_error *err)
{
	int r = tar_skip(reader, reader->stored_left + reader->padding, err);

	reader->stored_left = reader->padding = 0;
	return r;
}

int tar_reader_next(struct tar_reader *reader, const struct tar_entry **ret_entry,
		    struct cay_error *err)
{
	struct tar_raw_header header;
	uint64_t size;
	int r = skip_contents(reader, err);

	tar_extra_done(&reader->extra);
	while (r == 0 && !reader->ended) {
		r = read_header(reader, &header, err);
		if (r < 0)
			return r;
		if (r == 0) {
			reader->ended = true;
			return 0;
		}
		r = gather_extended(reader, &header, err);
		if (r < 0)
			return r;
		if (r > 0) {
			r = 0;
			continue;
		}
		read_names(reader, &header);
		r = read_numbers(reader, &header, &size, err);
		if (r == 0)
			r = read_type(reader, header.type, err);
		if (r < 0)
			return r;
		apply_extra(reader, &size);
		/* Before POSIX a directory was a file whose name ends in a slash. */
		if (reader->entry.type == TAR_FILE && header.type != 'S' &&
		    reader->entry.path.length > 0 &&
		    reader->entry.path.data[reader->entry.path.length - 1] == '/')
			reader->entry.type = TAR_DIRECTORY;
		/* Some writers give links and devices the size of what they stand for. */
		if (reader->entry.type != TAR_FILE && reader->entry.type != TAR_DIRECTORY)
			size = 0;
		r = tar_prepare_contents(reader, &header, size, err);
		if (r < 0)
			return r;
		*ret_entry = &reader->entry;
		return 1;
	}
	return r;
}

int tar_reader_read(struct tar_reader *reader, uint64_t *ret_offset, struct str *ret_data,
		    struct cay_error *err)
{
	while (reader->entry.type == TAR_FILE && reader->run_at < reader->run_count) {
		const struct tar_run *run = &reader->runs[reader->run_at];
		uint64_t at = MAX(reader->offset, run->offset);
		uint64_t left = run->offset + run->size - at, room;
		ssize_t n;

		if (left == 0) {
			reader->run_at++;
			continue;
		}
		room = TAR_CHUNK - at % TAR_PIECE_ALIGNMENT;
		left = MIN(left, room);
		n = tar_take(reader, reader->chunk, left, err);
		if (n < 0)
			return (int)n;
		if ((uint64_t)n < left)
			return tar_broken("it ends within a file", err);
		reader->stored_left -= left;
		reader->offset = at + left;
		*ret_offset = at;
		*ret_data = (struct str){ reader->chunk, left };
		return 1;
	}
	return 0;
}
