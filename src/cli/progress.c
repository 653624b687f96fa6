/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress on a terminal. Each id has a line of its own, in the order of
 * appearance; a message moves the cursor up to its line, rewrites it, and moves
 * back down. Lines that have scrolled out of the window are left as they are.
 */
#include "cli/progress.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/strv.h"
#include "cli/human.h"
#include "cli/terminal.h"
#include "cli/text.h"

#include <errno.h>

enum {
	LINES_MAX = 1024, /* ids that get a line; more share the last one */
	BAR_WIDTH = 50,
};

struct progress {
	int fd;
	unsigned int rows, columns; /* 0 columns: no terminal */
	struct strv ids;
	struct strv statuses; /* the last one of each id, for plain lines */
};

void progress_open(int fd, unsigned int rows, unsigned int columns, struct progress **ret_progress)
{
	struct progress *progress = xcalloc(1, sizeof(*progress));

	progress->fd = fd;
	progress->rows = rows;
	progress->columns = columns;
	*ret_progress = progress;
}

void progress_open_for(int fd, struct progress **ret_progress)
{
	struct terminal_size size = { 0 };

	(void)terminal_get_size(fd, &size); /* stays 0 where it is no terminal */
	progress_open(fd, size.rows, size.columns, ret_progress);
}

void progress_free(struct progress *progress)
{
	if (!progress)
		return;
	strv_done(&progress->ids);
	strv_done(&progress->statuses);
	free(progress);
}

static const char *text_of(const json_t *message, const char *key)
{
	const char *text = json_string_value(json_object_get(message, key));

	return text ? text : "";
}

static int64_t number_of(const json_t *message, const char *key)
{
	const json_t *detail = json_object_get(message, "progressDetail");

	return json_integer_value(json_object_get(detail, key));
}

/* "[=====>     ]  1.2MB/3.4MB", or the amount alone where the total is unknown. */
static void append_bar(struct buf *line, int64_t current, int64_t total, unsigned int columns)
{
	char done[HUMAN_MAX], all[HUMAN_MAX];
	int filled;

	human_size((double)current, true, done);
	if (total <= 0) {
		buf_printf(line, " %8s", done);
		return;
	}
	current = MIN(current, total);
	human_size((double)total, true, all);
	filled = (int)((double)current / (double)total * BAR_WIDTH);
	if (columns >= BAR_WIDTH + 60) {
		buf_puts(line, " [");
		for (int i = 0; i < BAR_WIDTH; i++)
			buf_putc(line, i < filled ? '=' : i == filled ? '>' : ' ');
		buf_putc(line, ']');
	}
	buf_printf(line, " %8s/%s", done, all);
}

/* The line's text; where it will be redrawn in place, at most as wide as the terminal. */
static char *format_line(const struct progress *progress, const json_t *message, bool in_place)
{
	_cleanup_buf_ struct buf line = { 0 };
	const char *id = text_of(message, "id");
	int64_t current = number_of(message, "current"), total = number_of(message, "total");

	if (*id)
		buf_printf(&line, "%s: ", id);
	buf_puts(&line, text_of(message, "status"));
	text_make_safe(line.data, false);
	if (!in_place)
		return buf_steal(&line);
	if (current > 0)
		append_bar(&line, current, total, progress->columns);
	return text_shorten(line.data, progress->columns - 1);
}

static size_t find_line(struct progress *progress, const char *id, bool *ret_new)
{
	*ret_new = false;
	for (size_t i = 0; i < progress->ids.count; i++)
		if (strcmp(progress->ids.items[i], id) == 0)
			return i;
	if (progress->ids.count == LINES_MAX)
		return LINES_MAX - 1;
	strv_add(&progress->ids, id);
	strv_add(&progress->statuses, "");
	*ret_new = true;
	return progress->ids.count - 1;
}

/* Elsewhere than on a terminal a line is for a new status, not for the steps of one. */
static void render_plain(struct progress *progress, const json_t *message, struct buf *out)
{
	_cleanup_free_ char *line = format_line(progress, message, false);
	const char *id = text_of(message, "id");

	if (number_of(message, "current") > 0)
		return;
	if (*id) {
		bool is_new;
		size_t index = find_line(progress, id, &is_new);

		if (strcmp(progress->statuses.items[index], line) == 0)
			return;
		replace_string(&progress->statuses.items[index], line);
	}
	buf_printf(out, "%s\n", line);
}

static void render_on_terminal(struct progress *progress, const json_t *message, struct buf *out)
{
	const char *id = text_of(message, "id");
	bool remark = !*id ||
		(!json_object_get(message, "progressDetail") && !strv_contains(&progress->ids, id));
	_cleanup_free_ char *line = format_line(progress, message, !remark);
	bool is_new;
	size_t index, up;

	if (remark) { /* whole, digests too: what comes after it starts a new block */
		buf_printf(out, "%s\n", line);
		strv_done(&progress->ids);
		strv_done(&progress->statuses);
		return;
	}
	index = find_line(progress, id, &is_new);
	if (is_new) {
		buf_printf(out, "%s\n", line);
		return;
	}
	up = progress->ids.count - index;
	if (up >= progress->rows)
		return;
	buf_printf(out, "\033[%zuA\r\033[2K%s\r\033[%zuB", up, line, up);
}

int progress_render(struct progress *progress, const json_t *message, struct buf *out,
		    struct cay_error *err)
{
	const json_t *detail = json_object_get(message, "errorDetail");
	const char *failure = text_of(detail, "message");
	const char *stream = text_of(message, "stream");

	if (!*failure)
		failure = text_of(message, "error");
	if (*failure)
		return cay_error_set(err, CAY_INTERNAL, EREMOTEIO, "%s", failure);
	if (*stream) {
		_cleanup_free_ char *text = xstrdup(stream);
		size_t length = strlen(text);

		while (length > 0 && strchr("\r\n", text[length - 1]))
			text[--length] = '\0';
		text_make_safe(text, true);
		buf_printf(out, "%s\n", text);
	} else if (!*text_of(message, "status")) {
		return 0;
	} else if (progress->columns > 0) {
		render_on_terminal(progress, message, out);
	} else {
		render_plain(progress, message, out);
	}
	return 0;
}

int progress_add(struct progress *progress, const json_t *message, struct cay_error *err)
{
	_cleanup_buf_ struct buf out = { 0 };
	int r = progress_render(progress, message, &out, err);

	(void)write_full(progress->fd, buf_text(&out), out.length);
	return r;
}

int progress_each(void *context, const json_t *message, struct cay_error *err)
{
	return progress_add(context, message, err);
}
