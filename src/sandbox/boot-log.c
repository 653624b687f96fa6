/* SPDX-License-Identifier: Apache-2.0 */
/* The boot log of one sandbox. */
#include "sandbox/boot-log.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>

enum { LAST_LINES = 5, LAST_LINES_BYTES = 512 };

static void open_file(struct boot_log *log)
{
	log->size = 0;
	log->fd = open(log->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (log->fd < 0)
		log_warning("opening the boot log %s: %s", log->path, errno_text(errno));
}

void boot_log_init(struct boot_log *log, const char *path)
{
	*log = (struct boot_log){ .path = xstrdup(path), .fd = -1 };
	open_file(log);
}

static void rotate(struct boot_log *log)
{
	_cleanup_free_ char *old = xasprintf("%s.1", log->path);

	cay_close_p(&log->fd);
	if (rename(log->path, old) < 0)
		log_warning("renaming the boot log %s: %s", log->path, errno_text(errno));
	open_file(log);
}

void boot_log_append(struct boot_log *log, const void *data, size_t size)
{
	const size_t kept = MIN(size, (size_t)BOOT_LOG_TAIL);

	if (log->fd >= 0 && log->size + size > BOOT_LOG_MAX && log->size > 0)
		rotate(log);
	if (log->fd >= 0 && write_full(log->fd, data, size) == 0)
		log->size += size;
	buf_append(&log->tail, (const char *)data + size - kept, kept);
	if (log->tail.length > BOOT_LOG_TAIL)
		buf_consume(&log->tail, log->tail.length - BOOT_LOG_TAIL);
}

char *boot_log_last_lines(const struct boot_log *log)
{
	const char *text = buf_text(&log->tail);
	size_t start, end = log->tail.length;
	struct buf out = { 0 };

	while (end > 0 && (text[end - 1] == '\n' || text[end - 1] == '\r'))
		end--;
	start = end;
	for (unsigned int lines = 0; start > 0 && end - start < LAST_LINES_BYTES; start--)
		if (text[start - 1] == '\n' && ++lines == LAST_LINES)
			break;
	for (size_t i = start; i < end; i++) {
		if (text[i] == '\n')
			buf_puts(&out, " | ");
		else if (text[i] >= ' ' && text[i] <= '~')
			buf_putc(&out, text[i]);
	}
	return buf_steal(&out);
}

void boot_log_done(struct boot_log *log)
{
	cay_close_p(&log->fd);
	free(log->path);
	buf_done(&log->tail);
	*log = (struct boot_log){ .fd = -1 };
}
