/* SPDX-License-Identifier: Apache-2.0 */
/* Making foreign text safe to print, and printing. */
#include "cli/text.h"

#include "base/alloc.h"
#include "base/file.h"

/* Bytes of a control character at this place, 0 for any other. */
static size_t control_length(const unsigned char *at)
{
	if (at[0] < 0x20 || at[0] == 0x7f)
		return 1;
	return at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f ? 2 : 0;
}

void text_make_safe(char *text, bool keep_tabs)
{
	for (unsigned char *at = (unsigned char *)text; *at; at++) {
		if (keep_tabs && *at == '\t')
			continue;
		for (size_t length = control_length(at); length > 0; length--)
			at[length - 1] = '?';
	}
}

char *text_quote(const char *text)
{
	struct buf out = { 0 };

	buf_putc(&out, '"');
	for (; *text; text++) {
		static const char plain[] = "\n\t\r\"\\", letters[] = "ntr\"\\";
		const char *known = strchr(plain, *text);
		size_t length = control_length((const unsigned char *)text);

		if (known)
			buf_printf(&out, "\\%c", letters[known - plain]);
		else if (length == 2)
			buf_printf(&out, "\\u%04x", (unsigned char)*++text);
		else if (length == 1)
			buf_printf(&out, "\\x%02x", (unsigned char)*text);
		else
			buf_putc(&out, *text);
	}
	buf_putc(&out, '"');
	return buf_steal(&out);
}

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

size_t text_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += !is_continuation(*text);
	return width;
}

char *text_shorten(const char *text, size_t length)
{
	const char *end = text;

	if (text_width(text) <= length)
		return xstrdup(text);
	for (size_t i = 0; i + 1 < length; i++) {
		end++;
		while (is_continuation(*end))
			end++;
	}
	return xasprintf("%.*s…", (int)(end - text), text);
}

int text_print(const struct buf *text, struct cay_error *err)
{
	int r = write_full(STDOUT_FILENO, buf_text(text), text->length);

	return r < 0 ? cay_error_errno(err, r, "writing the output") : 0;
}

int text_print_line(const char *line, struct cay_error *err)
{
	_cleanup_buf_ struct buf text = { 0 };

	buf_printf(&text, "%s\n", line);
	return text_print(&text, err);
}

void text_complain(const char *format, ...)
{
	_cleanup_buf_ struct buf line = { 0 };
	va_list args;

	buf_puts(&line, "cay: ");
	va_start(args, format);
	buf_vprintf(&line, format, args);
	va_end(args);
	text_make_safe(line.data, true);
	buf_putc(&line, '\n');
	(void)write_full(STDERR_FILENO, line.data, line.length); /* nowhere left to complain */
}
