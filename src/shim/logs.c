/* SPDX-License-Identifier: Apache-2.0 */
/* The json-file log: lines, JSON, rotation. */
#include "shim/logs.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* Formatted entries are written together up to about this much. */
enum { BATCH = 64 * 1024 };

struct logs {
	char *path;
	int fd;
	uint64_t size, max_size;
	unsigned int max_files;
	struct buf partial[LOG_STREAM_COUNT]; /* the line that has not ended yet */
	struct buf out;
	unsigned int out_entries;
	uint64_t dropped;
};

static const char *const stream_names[] = { [LOG_STDOUT] = "stdout", [LOG_STDERR] = "stderr" };

/* ---- the file ---- */

static int open_file(struct logs *logs, int flags)
{
	struct stat st;

	logs->fd = open(logs->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | flags, 0640);
	if (logs->fd < 0 || fstat(logs->fd, &st) < 0)
		return -errno;
	logs->size = (uint64_t)st.st_size;
	return 0;
}

/* Moves every kept file one number up; the oldest is replaced. */
static void shift_files(const struct logs *logs)
{
	for (unsigned int i = logs->max_files - 1; i > 0; i--) {
		_cleanup_free_ char *from =
			i == 1 ? xstrdup(logs->path) : xasprintf("%s.%u", logs->path, i - 1);
		_cleanup_free_ char *to = xasprintf("%s.%u", logs->path, i);

		if (rename(from, to) < 0 && errno != ENOENT)
			log_warning("renaming the log %s: %s", from, errno_text(errno));
	}
}

static void rotate(struct logs *logs)
{
	int r;

	shift_files(logs);
	cay_close_p(&logs->fd);
	r = open_file(logs, O_TRUNC);
	if (r < 0)
		log_error("opening the log %s: %s", logs->path, errno_text(r));
}

static void drop(struct logs *logs, int error)
{
	if (logs->dropped == 0)
		log_error("writing the log %s: %s; output is lost", logs->path, errno_text(error));
	logs->dropped += logs->out_entries;
}

static void write_out(struct logs *logs)
{
	int r = -EBADF;

	if (logs->out.length == 0)
		return;
	if (logs->fd < 0 && open_file(logs, 0) == 0)
		log_info("the log %s is written again", logs->path);
	if (logs->fd >= 0)
		r = write_full(logs->fd, logs->out.data, logs->out.length);
	if (r < 0) {
		drop(logs, r);
		/* A cut entry would spoil the next one. */
		if (logs->fd >= 0 && ftruncate(logs->fd, (off_t)logs->size) < 0)
			log_debug("cutting the log: %s", errno_text(errno));
	} else {
		logs->size += logs->out.length;
	}
	buf_clear(&logs->out);
	logs->out_entries = 0;
}

/* ---- one entry ---- */

/* The length of the valid UTF-8 sequence at `text`, 0 where there is none (RFC 3629). */
static size_t utf8_length(const unsigned char *text, size_t size)
{
	const unsigned char c = text[0];
	unsigned char low = 0x80, high = 0xbf;
	size_t length;

	if (c >= 0xc2 && c <= 0xdf)
		length = 2;
	else if (c >= 0xe0 && c <= 0xef)
		length = 3;
	else if (c >= 0xf0 && c <= 0xf4)
		length = 4;
	else
		return 0;
	if (length > size)
		return 0;
	if (c == 0xe0)
		low = 0xa0; /* below: a longer form than needed */
	else if (c == 0xed)
		high = 0x9f; /* above: surrogates */
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f; /* above: beyond U+10FFFF */
	if (text[1] < low || text[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
		if (text[i] < 0x80 || text[i] > 0xbf)
			return 0;
	return length;
}

/* Characters that stand for themselves in docker's JSON strings. */
static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

static size_t put_special(struct buf *out, const unsigned char *text, size_t size)
{
	const unsigned char c = text[0];
	size_t length = 1;

	if (c == '"' || c == '\\') {
		buf_putc(out, '\\');
		buf_putc(out, (char)c);
	} else if (c == '\n') {
		buf_puts(out, "\\n");
	} else if (c == '\r') {
		buf_puts(out, "\\r");
	} else if (c == '\t') {
		buf_puts(out, "\\t");
	} else if (c < 0x80) {
		buf_printf(out, "\\u%04x", c);
	} else {
		length = utf8_length(text, size);
		if (length > 0)
			buf_append(out, text, length);
		else
			buf_puts(out, "\\ufffd");
	}
	return MAX(length, (size_t)1);
}

static void put_json_string(struct buf *out, const unsigned char *text, size_t size)
{
	size_t at = 0;

	while (at < size) {
		size_t plain = at;

		while (plain < size && is_plain(text[plain]))
			plain++;
		buf_append(out, text + at, plain - at);
		at = plain;
		if (at < size)
			at += put_special(out, text + at, size - at);
	}
}

/* One entry; docker checks the size before each, so that a file holds one over the limit. */
static void put_entry(struct logs *logs, enum log_stream stream, const void *text, size_t size,
		      bool whole)
{
	char time[CLOCK_TEXT_MAX];

	if (logs->max_size > 0 && logs->size + logs->out.length >= logs->max_size) {
		write_out(logs);
		if (logs->size >= logs->max_size)
			rotate(logs);
	}
	clock_format_utc(clock_now_ns(), time);
	buf_puts(&logs->out, "{\"log\":\"");
	put_json_string(&logs->out, text, size);
	buf_printf(&logs->out, "%s\",\"stream\":\"%s\",\"time\":\"%s\"}\n", whole ? "\\n" : "",
		   stream_names[stream], time);
	logs->out_entries++;
	if (logs->out.length >= BATCH)
		write_out(logs);
}

/* ---- lines ---- */

/* A whole line, of which `partial` may hold the beginning. */
static void put_line(struct logs *logs, enum log_stream stream, const char *text, size_t size)
{
	struct buf *partial = &logs->partial[stream];

	if (partial->length == 0) {
		put_entry(logs, stream, text, size, true);
		return;
	}
	buf_append(partial, text, size);
	put_entry(logs, stream, partial->data, partial->length, true);
	buf_clear(partial);
}

/* Takes what fits into the piece that is being collected and writes it when it is full. */
static size_t put_part(struct logs *logs, enum log_stream stream, const char *text, size_t size)
{
	struct buf *partial = &logs->partial[stream];
	const size_t taken = MIN(size, LOG_LINE_MAX - partial->length);

	buf_append(partial, text, taken);
	if (partial->length == LOG_LINE_MAX) {
		put_entry(logs, stream, partial->data, partial->length, false);
		buf_clear(partial);
	}
	return taken;
}

void logs_append(struct logs *logs, enum log_stream stream, const void *data, size_t size)
{
	const char *at = data, *end = at + size;

	while (at < end) {
		const size_t room = LOG_LINE_MAX - logs->partial[stream].length;
		const size_t window = MIN((size_t)(end - at), room);
		const char *newline = memchr(at, '\n', window);

		if (newline) {
			put_line(logs, stream, at, (size_t)(newline - at));
			at = newline + 1;
		} else {
			at += put_part(logs, stream, at, window);
		}
	}
	write_out(logs);
}

void logs_flush(struct logs *logs)
{
	for (enum log_stream stream = 0; stream < LOG_STREAM_COUNT; stream++) {
		struct buf *partial = &logs->partial[stream];

		if (partial->length > 0)
			put_entry(logs, stream, partial->data, partial->length, false);
		buf_clear(partial);
	}
	write_out(logs);
}

uint64_t logs_dropped(const struct logs *logs)
{
	return logs->dropped;
}

int logs_open(const char *path, uint64_t max_size, unsigned int max_files, struct logs **ret_logs,
	      struct cay_error *err)
{
	_cleanup_(logs_close_p) struct logs *logs = xcalloc(1, sizeof(*logs));
	int r;

	logs->fd = -1;
	logs->path = xstrdup(path);
	logs->max_size = max_size;
	logs->max_files = MAX(max_files, 1U);
	r = open_file(logs, 0);
	if (r < 0)
		return cay_error_errno(err, r, "opening the log %s", path);
	*ret_logs = TAKE_PTR(logs);
	return 0;
}

void logs_close(struct logs *logs)
{
	if (!logs)
		return;
	logs_flush(logs);
	if (logs->dropped > 0)
		log_error("the log %s lost %llu entries", logs->path,
			  (unsigned long long)logs->dropped);
	cay_close_p(&logs->fd);
	for (enum log_stream stream = 0; stream < LOG_STREAM_COUNT; stream++)
		buf_done(&logs->partial[stream]);
	buf_done(&logs->out);
	free(logs->path);
	free(logs);
}
