/* SPDX-License-Identifier: Apache-2.0 */
/* The log: lines on standard error, marked for journald or stamped with the time. */
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"

#include <errno.h>

static struct {
	const char *program;
	enum log_level level;
	bool journal; /* standard error is journald's, which stamps and sorts lines itself */
} config = { .program = "cay", .level = LOG_LEVEL_INFO };

static const struct {
	const char *name;
	int syslog;
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", 3 },
	[LOG_LEVEL_WARNING] = { "warning", 4 },
	[LOG_LEVEL_INFO] = { "info", 6 },
	[LOG_LEVEL_DEBUG] = { "debug", 7 },
};

void log_init(const char *program, enum log_level level)
{
	config.program = program;
	config.level = level;
	config.journal = getenv("JOURNAL_STREAM") != NULL;
}

int log_level_parse(const char *text, enum log_level *ret_level)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(levels); i++) {
		if (strcmp(text, levels[i].name) == 0) {
			*ret_level = i;
			return 0;
		}
	}
	return -EINVAL;
}

void log_line(enum log_level level, const char *format, ...)
{
	_cleanup_buf_ struct buf line = { 0 };
	va_list args;

	if (level > config.level)
		return;
	if (config.journal) {
		buf_printf(&line, "<%d>", levels[level].syslog);
	} else {
		char stamp[CLOCK_TEXT_MAX];

		clock_format_utc(clock_now_ns(), stamp);
		buf_printf(&line, "%s %s %s: ", stamp, config.program, levels[level].name);
	}
	va_start(args, format);
	buf_vprintf(&line, format, args);
	va_end(args);
	/* A guest's or a registry's words may stand in it: one event stays one line. */
	for (size_t i = 0; i < line.length; i++)
		if ((unsigned char)line.data[i] < 0x20 || line.data[i] == 0x7f)
			line.data[i] = ' ';
	buf_putc(&line, '\n');
	(void)write_full(STDERR_FILENO, line.data, line.length); /* nowhere left to complain */
}

void die(const char *format, ...)
{
	_cleanup_buf_ struct buf line = { 0 };
	va_list args;

	buf_printf(&line, "%s: ", config.program);
	va_start(args, format);
	buf_vprintf(&line, format, args);
	va_end(args);
	buf_putc(&line, '\n');
	(void)write_full(STDERR_FILENO, line.data, line.length);
	exit(cay_code_exit_status(CAY_INTERNAL));
}
