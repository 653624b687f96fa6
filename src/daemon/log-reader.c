/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading json-file logs. A reader stands in one file and knows it by its
 * inode: rotation renames files, so the next one is that whose name is one
 * step newer than the name our inode has now.
 */
#include "daemon/log-reader.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>

enum { BLOCK = 64 * 1024 };

struct log_reader {
	char *path;
	struct log_selection selection;
	int fd;          /* -1: there was no file yet */
	off_t offset;    /* of what comes after `data` */
	struct buf data; /* read, not yet taken */
	size_t scanned;  /* bytes of data known to hold no newline */
	size_t taken;    /* bytes of data that were returned and go with the next call */
	bool skipping;   /* in the middle of a line that is too long */
	bool over;       /* past until_ns */
	json_t *line;    /* what the last entry points into */
};

/* ---- finding files ---- */

static char *part_path(const struct log_reader *reader, unsigned int part)
{
	return part == 0 ? xstrdup(reader->path) : xasprintf("%s.%u", reader->path, part);
}

/* -1 where there is none. */
static int open_part(const struct log_reader *reader, unsigned int part)
{
	_cleanup_free_ char *path = part_path(reader, part);

	return open(path, O_RDONLY | O_CLOEXEC);
}

static unsigned int count_parts(const struct log_reader *reader)
{
	unsigned int count = 0;

	while (count < LOG_PARTS_MAX) {
		_cleanup_free_ char *path = part_path(reader, count);

		/* In the middle of a rotation the newest name may be missing for a moment. */
		if (!file_exists(path) && count > 0)
			break;
		count++;
	}
	return count;
}

static bool is_same_file(int fd, const char *path)
{
	struct stat ours, theirs;

	return fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 && ours.st_ino == theirs.st_ino &&
		ours.st_dev == theirs.st_dev;
}

/* The part our file is now; LOG_PARTS_MAX where it was rotated out of existence. */
static unsigned int find_part(const struct log_reader *reader)
{
	unsigned int count = count_parts(reader);

	for (unsigned int part = 0; part < count; part++) {
		_cleanup_free_ char *path = part_path(reader, part);

		if (is_same_file(reader->fd, path))
			return part;
	}
	return LOG_PARTS_MAX;
}

static void enter(struct log_reader *reader, int fd, off_t offset)
{
	cay_close_p(&reader->fd);
	reader->fd = fd;
	reader->offset = offset;
	reader->scanned = reader->taken = 0;
	reader->skipping = false;
	buf_clear(&reader->data);
}

/* ---- the tail ---- */

/*
 * Counts newlines from the end of the file backwards. True when there are more than *left, and then
 * *ret_offset is where the last *left lines begin; else *left is what is still to be found in older
 * files.
 */
static int find_tail(int fd, int64_t *left, off_t *ret_offset)
{
	_cleanup_free_ char *block = xmalloc(BLOCK);
	off_t end = lseek(fd, 0, SEEK_END);
	int64_t newlines = 0;

	while (end > 0) {
		size_t size = (size_t)MIN(end, BLOCK);
		ssize_t n = pread(fd, block, size, end - (off_t)size);

		if (n != (ssize_t)size)
			return n < 0 ? -errno : -EIO;
		for (size_t i = size; i > 0; i--) {
			if (block[i - 1] != '\n' || newlines++ < *left)
				continue;
			*ret_offset = end - (off_t)size + (off_t)i;
			return 1;
		}
		end -= (off_t)size;
	}
	*left -= newlines;
	return 0;
}

static int open_tail(struct log_reader *reader)
{
	unsigned int count = count_parts(reader);
	int64_t left = reader->selection.tail;

	for (unsigned int part = 0; part < count; part++) {
		_cleanup_close_ int fd = open_part(reader, part);
		off_t offset = 0;
		int r = fd < 0 ? 0 : find_tail(fd, &left, &offset);

		if (r < 0)
			return r;
		if (fd >= 0 && (r == 1 || part + 1 == count)) {
			enter(reader, TAKE_FD(fd), offset);
			return 0;
		}
	}
	return 0;
}

static int open_oldest(struct log_reader *reader)
{
	for (unsigned int part = count_parts(reader); part > 0; part--) {
		int fd = open_part(reader, part - 1);

		if (fd >= 0) {
			enter(reader, fd, 0);
			return 0;
		}
	}
	return 0;
}

int log_reader_open(const char *path, const struct log_selection *selection,
		    struct log_reader **ret_reader, struct cay_error *err)
{
	_cleanup_(log_reader_close_p) struct log_reader *reader = xcalloc(1, sizeof(*reader));
	int r;

	reader->path = xstrdup(path);
	reader->selection = *selection;
	reader->fd = -1;
	r = selection->tail >= 0 ? open_tail(reader) : open_oldest(reader);
	if (r < 0)
		return cay_error_errno(err, r, "reading the log %s", path);
	*ret_reader = TAKE_PTR(reader);
	return 0;
}

void log_reader_close(struct log_reader *reader)
{
	if (!reader)
		return;
	json_decref(reader->line);
	cay_close_p(&reader->fd);
	buf_done(&reader->data);
	free(reader->path);
	free(reader);
}

/* ---- lines ---- */

/* 1: more data; 0: none now; -errno. A log that was cut short is read from its beginning. */
static int fill(struct log_reader *reader)
{
	struct stat status;
	ssize_t n;

	if (reader->fd < 0)
		return 0;
	n = pread(reader->fd, buf_reserve(&reader->data, BLOCK), BLOCK, reader->offset);
	if (n < 0)
		return errno == EINTR ? 1 : -errno;
	if (n == 0 && fstat(reader->fd, &status) == 0 && status.st_size < reader->offset) {
		reader->offset = 0;
		reader->scanned = 0;
		buf_clear(&reader->data);
		return 1;
	}
	reader->data.length += (size_t)n;
	if (reader->data.data)
		reader->data.data[reader->data.length] = '\0';
	reader->offset += n;
	return n > 0;
}

/* Steps into the next newer file. 1: done; 0: ours is the newest. */
static int advance(struct log_reader *reader)
{
	unsigned int part;
	int fd;

	if (reader->fd < 0) {
		(void)open_oldest(reader);
		return reader->fd >= 0;
	}
	part = find_part(reader);
	if (part == 0)
		return 0;
	if (part == LOG_PARTS_MAX) {
		(void)open_oldest(reader);
		return 1;
	}
	fd = open_part(reader, part - 1);
	if (fd < 0)
		return 0; /* a rotation is going on; the next change wakes us */
	enter(reader, fd, 0);
	return 1;
}

/* A whole line in data, without its newline: 1, and *ret_size its length. */
static int find_line(struct log_reader *reader, size_t *ret_size)
{
	const char *newline = reader->data.length > reader->scanned
		? memchr(reader->data.data + reader->scanned, '\n',
			 reader->data.length - reader->scanned)
		: NULL;

	if (newline) {
		*ret_size = (size_t)(newline - reader->data.data);
		reader->scanned = 0;
		return 1;
	}
	reader->scanned = reader->data.length;
	if (reader->data.length > LOG_LINE_MAX) {
		buf_clear(&reader->data);
		reader->scanned = 0;
		reader->skipping = true;
	}
	return 0;
}

/*
 * The next line, good until the following call. At the end of a file that was rotated away it is
 * read once more before it is left, since its last bytes may have come between.
 */
static int next_line(struct log_reader *reader, size_t *ret_size)
{
	bool again = false;

	buf_consume(&reader->data, reader->taken);
	reader->taken = 0;
	for (;;) {
		int r;

		if (find_line(reader, ret_size) == 1) {
			reader->taken = *ret_size + 1;
			if (!reader->skipping)
				return 1;
			reader->skipping = false;
			buf_consume(&reader->data, reader->taken);
			reader->taken = 0;
			continue;
		}
		r = fill(reader);
		if (r < 0)
			return r;
		if (r > 0) {
			again = false;
			continue;
		}
		if (!again && reader->fd >= 0 && find_part(reader) != 0) {
			again = true;
			continue;
		}
		if (advance(reader) == 0)
			return 0;
		again = false;
	}
}

/* False for what is no entry of the log. */
static bool parse_line(struct log_reader *reader, const char *data, size_t size,
		       struct log_entry *ret_entry)
{
	const char *stream, *time;
	const json_t *text;
	json_error_t ignored;

	json_decref(reader->line);
	reader->line = json_loadb(data, size, JSON_ALLOW_NUL, &ignored);
	text = json_object_get(reader->line, "log");
	stream = json_string_value(json_object_get(reader->line, "stream"));
	time = json_string_value(json_object_get(reader->line, "time"));
	if (!json_is_string(text) || !stream || !time || clock_parse(time, &ret_entry->time_ns) < 0)
		return false;
	ret_entry->is_err = strcmp(stream, "stderr") == 0;
	ret_entry->text = json_string_value(text);
	ret_entry->length = json_string_length(text);
	return true;
}

int log_reader_next(struct log_reader *reader, struct log_entry *ret_entry, struct cay_error *err)
{
	const struct log_selection *wanted = &reader->selection;
	struct log_entry entry;
	size_t size;

	while (!reader->over) {
		int r = next_line(reader, &size);

		if (r < 0)
			return cay_error_errno(err, r, "reading the log %s", reader->path);
		if (r == 0)
			return 0;
		if (!parse_line(reader, reader->data.data, size, &entry))
			continue;
		if (wanted->until_ns > 0 && entry.time_ns > wanted->until_ns)
			reader->over = true;
		else if (entry.time_ns >= wanted->since_ns &&
			 (entry.is_err ? wanted->err : wanted->out)) {
			*ret_entry = entry;
			return 1;
		}
	}
	return 0;
}

int log_parse_time(const char *text, int64_t *ret_ns)
{
	struct str rest, whole = str_split(str_from(text), '.', &rest);
	uint64_t seconds, fraction = 0;

	if (strchr(text, 'T'))
		return clock_parse(text, ret_ns);
	if (str_to_u64(whole, INT64_MAX / 1000000000 - 1, &seconds) < 0 || rest.length > 9)
		return -EINVAL;
	if (rest.length > 0 && str_to_u64(rest, 999999999, &fraction) < 0)
		return -EINVAL;
	for (size_t digits = rest.length; digits > 0 && digits < 9; digits++)
		fraction *= 10;
	*ret_ns = (int64_t)(seconds * 1000000000 + fraction);
	return 0;
}
