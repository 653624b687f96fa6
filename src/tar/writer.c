/* SPDX-License-Identifier: Apache-2.0 */
/* The tar writer. */
#include "tar/writer.h"

#include "base/alloc.h"
#include "base/file.h"
#include "tar/format.h"
#include "tar/path.h"

#include <errno.h>
#include <inttypes.h>

/* What an octal field of 8 and of 12 bytes holds beside its NUL. */
static const uint64_t small_field_max = 07777777, large_field_max = 077777777777;

static const char zeros[64 * TAR_BLOCK];

struct tar_writer {
	tar_sink *sink;
	void *user;
	uint64_t left; /* of the entry's contents */
	size_t padding;
	struct buf path, link, records, pax_path;
};

struct tar_writer *tar_writer_new(tar_sink *sink, void *user)
{
	struct tar_writer *writer = xcalloc(1, sizeof(*writer));

	writer->sink = sink;
	writer->user = user;
	return writer;
}

void tar_writer_free(struct tar_writer *writer)
{
	if (!writer)
		return;
	buf_done(&writer->path);
	buf_done(&writer->link);
	buf_done(&writer->records);
	buf_done(&writer->pax_path);
	free(writer);
}

int tar_write_fd(void *user, const void *data, size_t size, struct cay_error *err)
{
	const int *fd = user;
	int r = write_full(*fd, data, size);

	return r < 0 ? cay_error_errno(err, r, "writing the archive") : 0;
}

static int emit(struct tar_writer *writer, const void *data, size_t size, struct cay_error *err)
{
	return size > 0 ? writer->sink(writer->user, data, size, err) : 0;
}

/* ---- pax records ---- */

static size_t decimal_digits(size_t number)
{
	size_t digits = 1;

	for (; number >= 10; number /= 10)
		digits++;
	return digits;
}

/* "<length> <key>=<value>\n", where the length counts its own digits. */
static void add_record(struct buf *records, const char *prefix, struct str key, struct str value)
{
	const size_t rest = 1 + strlen(prefix) + key.length + 1 + value.length + 1;
	size_t length = rest + decimal_digits(rest);

	length = rest + decimal_digits(length);
	buf_printf(records, "%zu %s", length, prefix);
	buf_append(records, key.data, key.length);
	buf_putc(records, '=');
	buf_append(records, value.data, value.length);
	buf_putc(records, '\n');
}

static void add_number(struct buf *records, const char *key, uint64_t value)
{
	char text[24];
	int length = snprintf(text, sizeof(text), "%" PRIu64, value);

	add_record(records, "", str_from(key), (struct str){ text, (size_t)length });
}

/* Seconds with as many digits of a fraction as it has. */
static void add_time(struct buf *records, const char *key, int64_t seconds, uint32_t ns)
{
	uint64_t whole = seconds < 0 ? -(uint64_t)seconds : (uint64_t)seconds;
	char text[40];
	int length;

	if (seconds < 0 && ns > 0) {
		whole--;
		ns = 1000000000 - ns;
	}
	length = snprintf(text, sizeof(text), "%s%" PRIu64, seconds < 0 ? "-" : "", whole);
	if (ns > 0) {
		length += snprintf(text + length, sizeof(text) - (size_t)length, ".%09u", ns);
		while (text[length - 1] == '0')
			length--;
	}
	add_record(records, "", str_from(key), (struct str){ text, (size_t)length });
}

static bool is_ascii(struct str text)
{
	for (size_t i = 0; i < text.length; i++)
		if (text.data[i] & 0x80)
			return false;
	return true;
}

/* ---- headers ---- */

/* The value in octal with a NUL behind it; 0 where it has no room, as a pax record says it then. */
static void put_octal(char *field, size_t size, uint64_t value)
{
	const uint64_t max = size == 8 ? small_field_max : large_field_max;

	(void)snprintf(field, size, "%0*" PRIo64, (int)size - 1, value <= max ? value : 0);
}

static void put_text(char *field, size_t size, struct str text)
{
	if (text.length > 0)
		memcpy(field, text.data, MIN(size, text.length));
}

/* Puts the name where it fits, in two parts if need be; false where it does not. */
static bool put_name(struct tar_raw_header *header, struct str path)
{
	const size_t name_max = sizeof(header->name),
		     prefix_max = sizeof(header->tail.ustar.prefix);
	size_t cut;

	if (path.length <= name_max) {
		put_text(header->name, name_max, path);
		return true;
	}
	/* At the last slash that leaves a name, so that the prefix is short enough if any is. */
	for (cut = path.length - name_max - 1; cut < path.length - 1; cut++)
		if (path.data[cut] == '/')
			break;
	if (cut == 0 || cut >= path.length - 1 || cut > prefix_max)
		return false;
	put_text(header->tail.ustar.prefix, prefix_max, (struct str){ path.data, cut });
	put_text(header->name, name_max,
		 (struct str){ path.data + cut + 1, path.length - cut - 1 });
	return true;
}

static void seal(struct tar_raw_header *header)
{
	const uint8_t *at = (const uint8_t *)header;
	unsigned int sum = 0;

	memcpy(header->magic, "ustar", 6);
	memcpy(header->version, "00", 2);
	memset(header->checksum, ' ', sizeof(header->checksum));
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += at[i];
	(void)snprintf(header->checksum, sizeof(header->checksum) - 1, "%06o", sum);
}

/* The header whose contents are the records, named beside the file as pax(1) suggests. */
static int emit_records(struct tar_writer *writer, struct cay_error *err)
{
	struct tar_raw_header header = { .type = 'x' };
	const struct buf *records = &writer->records;
	struct str path = { writer->path.data, writer->path.length };
	const char *slash;
	int r;

	while (path.length > 1 && path.data[path.length - 1] == '/')
		path.length--;
	slash = memrchr(path.data, '/', path.length);
	if (slash)
		path = (struct str){ slash + 1, path.length - (size_t)(slash + 1 - path.data) };
	buf_clear(&writer->pax_path);
	buf_puts(&writer->pax_path, "PaxHeaders.0/");
	buf_append(&writer->pax_path, path.data, path.length);
	put_text(header.name, sizeof(header.name),
		 (struct str){ writer->pax_path.data, writer->pax_path.length });
	put_octal(header.mode, sizeof(header.mode), 0644);
	put_octal(header.uid, sizeof(header.uid), 0);
	put_octal(header.gid, sizeof(header.gid), 0);
	put_octal(header.size, sizeof(header.size), records->length);
	put_octal(header.mtime, sizeof(header.mtime), 0);
	put_octal(header.major, sizeof(header.major), 0);
	put_octal(header.minor, sizeof(header.minor), 0);
	seal(&header);
	r = emit(writer, &header, sizeof(header), err);
	if (r == 0)
		r = emit(writer, records->data, records->length, err);
	if (r == 0)
		r = emit(writer, zeros, -records->length % TAR_BLOCK, err);
	return r;
}

static char type_letter(enum tar_type type)
{
	static const char letters[] = {
		[TAR_FILE] = '0',      [TAR_HARDLINK] = '1',     [TAR_SYMLINK] = '2',
		[TAR_CHARACTER] = '3', [TAR_BLOCK_DEVICE] = '4', [TAR_DIRECTORY] = '5',
		[TAR_FIFO] = '6',
	};

	return letters[type];
}

static int check_text(struct str text, const char *what, struct cay_error *err)
{
	char shown[PATH_SHOWN_MAX + 4];

	if (text.length > TAR_PATH_MAX + 1)
		return cay_error_set(err, CAY_TOO_LARGE, ENAMETOOLONG,
				     "the %s \"%s\" is too long for an archive", what,
				     path_shown(text, shown));
	if (memchr(text.data ? text.data : "", '\0', text.length))
		return cay_error_set(err, CAY_INVALID, EINVAL, "the %s \"%s\" contains a NUL", what,
				     path_shown(text, shown));
	return 0;
}

static int check_entry(const struct tar_entry *entry, struct cay_error *err)
{
	char shown[PATH_SHOWN_MAX + 4];
	struct str name, value;
	size_t at = 0;
	int r = check_text(entry->path, "path", err);

	if (r == 0)
		r = check_text(entry->link, "link", err);
	if (r == 0 && entry->path.length == 0)
		return cay_error_set(err, CAY_INVALID, EINVAL, "an entry has no name");
	if (r == 0 &&
	    (entry->device_major > small_field_max || entry->device_minor > small_field_max))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "a device's number is out of Linux's range");
	while (r == 0 && tar_xattr_next(&entry->xattrs, &at, &name, &value))
		if (memchr(name.data, '=', name.length))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "an archive has no way to say the extended attribute "
					     "\"%s\"",
					     path_shown(name, shown));
	if (r == 0 && entry->xattrs.length > TAR_XATTRS_MAX * 2)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG,
				     "a file has more than %d bytes of extended attributes",
				     TAR_XATTRS_MAX);
	return r;
}

/* Everything of the entry, in the header or else in the records. */
static void fill(struct tar_writer *writer, const struct tar_entry *entry,
		 struct tar_raw_header *header)
{
	struct buf *records = &writer->records;
	const struct str path = { writer->path.data, writer->path.length };
	const uint64_t size = writer->left;
	struct str name, value;
	size_t at = 0;

	buf_clear(records);
	if (!put_name(header, path) || !is_ascii(path)) {
		put_text(header->name, sizeof(header->name), path);
		add_record(records, "", STR("path"), path);
	}
	put_text(header->link, sizeof(header->link), entry->link);
	if (entry->link.length > sizeof(header->link) || !is_ascii(entry->link))
		add_record(records, "", STR("linkpath"), entry->link);
	put_octal(header->mode, sizeof(header->mode), entry->mode & 07777);
	put_octal(header->uid, sizeof(header->uid), entry->uid);
	if (entry->uid > small_field_max)
		add_number(records, "uid", entry->uid);
	put_octal(header->gid, sizeof(header->gid), entry->gid);
	if (entry->gid > small_field_max)
		add_number(records, "gid", entry->gid);
	put_octal(header->size, sizeof(header->size), size);
	if (size > large_field_max)
		add_number(records, "size", size);
	put_octal(header->mtime, sizeof(header->mtime),
		  entry->mtime < 0 ? 0 : (uint64_t)entry->mtime);
	if (entry->mtime < 0 || (uint64_t)entry->mtime > large_field_max || entry->mtime_ns > 0)
		add_time(records, "mtime", entry->mtime, entry->mtime_ns);
	header->type = type_letter(entry->type);
	put_octal(header->major, sizeof(header->major), entry->device_major);
	put_octal(header->minor, sizeof(header->minor), entry->device_minor);
	while (tar_xattr_next(&entry->xattrs, &at, &name, &value))
		add_record(records, "SCHILY.xattr.", name, value);
}

static int end_contents(struct tar_writer *writer, struct cay_error *err)
{
	int r;

	assert(writer->left == 0);
	r = emit(writer, zeros, writer->padding, err);
	writer->padding = 0;
	return r;
}

int tar_writer_add(struct tar_writer *writer, const struct tar_entry *entry, struct cay_error *err)
{
	struct tar_raw_header header = { 0 };
	int r = check_entry(entry, err);

	if (r == 0)
		r = end_contents(writer, err);
	if (r < 0)
		return r;
	buf_clear(&writer->path);
	buf_append(&writer->path, entry->path.data, entry->path.length);
	if (entry->type == TAR_DIRECTORY && !ends_with(buf_text(&writer->path), "/"))
		buf_putc(&writer->path, '/');
	writer->left = entry->type == TAR_FILE ? entry->size : 0;
	writer->padding = (size_t)(-writer->left % TAR_BLOCK);
	fill(writer, entry, &header);
	seal(&header);
	if (writer->records.length > 0)
		r = emit_records(writer, err);
	return r == 0 ? emit(writer, &header, sizeof(header), err) : r;
}

int tar_writer_put(struct tar_writer *writer, const void *data, size_t size, struct cay_error *err)
{
	assert(size <= writer->left);
	writer->left -= size;
	return emit(writer, data, size, err);
}

int tar_writer_put_zeros(struct tar_writer *writer, uint64_t size, struct cay_error *err)
{
	int r = 0;

	while (r == 0 && size > 0) {
		const size_t piece = (size_t)MIN(size, (uint64_t)sizeof(zeros));

		r = tar_writer_put(writer, zeros, piece, err);
		size -= piece;
	}
	return r;
}

uint64_t tar_writer_left(const struct tar_writer *writer)
{
	return writer->left;
}

int tar_writer_finish(struct tar_writer *writer, struct cay_error *err)
{
	int r = end_contents(writer, err);

	return r == 0 ? emit(writer, zeros, (size_t)2 * TAR_BLOCK, err) : r;
}
