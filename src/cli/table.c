/* SPDX-License-Identifier: Apache-2.0 */
/* Tables and templated lists. */
#include "cli/table.h"

#include "base/alloc.h"
#include "cli/template.h"
#include "cli/text.h"

#include <errno.h>

/* Of docker's tables: space between columns, and a column's least width with it. */
enum { COLUMN_SPACE = 3, COLUMN_MIN = 10 };

struct table {
	struct template *template; /* NULL: JSON */
	bool aligned;
	json_t *headings;
	struct strv lines; /* of an aligned table, cells separated by tabs */
	struct buf out;    /* of the others */
};

void table_free(struct table *table)
{
	if (!table)
		return;
	template_free(table->template);
	json_decref(table->headings);
	strv_done(&table->lines);
	buf_done(&table->out);
	free(table);
}

static char *unescape(const char *text)
{
	struct buf out = { 0 };

	for (; *text; text++) {
		if (starts_with(text, "\\t") || starts_with(text, "\\n")) {
			text++;
			buf_putc(&out, *text == 't' ? '\t' : '\n');
		} else {
			buf_putc(&out, *text);
		}
	}
	return buf_steal(&out);
}

/* The headings are a row of their own, put through the same template. */
static int add_headings(struct table *table, struct cay_error *err)
{
	_cleanup_buf_ struct buf line = { 0 };
	_cleanup_json_ json_t *methods = json_pack("{s:b}", "Label", true);
	int r = template_run(table->template, table->headings, methods, &line, err);

	if (r >= 0)
		strv_add(&table->lines, buf_text(&line));
	return r;
}

int table_open(const char *format, const char *standard, const struct column *columns,
	       struct table **ret_table, struct cay_error *err)
{
	_cleanup_(table_free_p) struct table *table = xcalloc(1, sizeof(*table));
	_cleanup_free_ char *text = NULL;
	int r;

	table->headings = json_object();
	for (; columns->field; columns++)
		json_set_string(table->headings, columns->field, columns->heading);
	if (!format || !*format || strcmp(format, "table") == 0)
		format = standard;
	if (strcmp(format, "json") != 0) {
		table->aligned = starts_with(format, "table ");
		text = unescape(table->aligned ? format + strlen("table ") : format);
		r = template_parse(text, &table->template, err);
		if (r >= 0 && table->aligned)
			r = add_headings(table, err);
		if (r < 0)
			return r;
	}
	*ret_table = TAKE_PTR(table);
	return 0;
}

/* In the order of the names, as Go prints its maps. */
static void print_sorted(const json_t *row, struct buf *out)
{
	_cleanup_free_ char *text = json_dumps(row, JSON_COMPACT | JSON_SORT_KEYS);

	buf_puts(out, text ? text : "{}");
}

static int add_row(struct table *table, const json_t *row, const json_t *methods,
		   struct cay_error *err)
{
	_cleanup_buf_ struct buf line = { 0 };
	int r = 0;

	if (table->template)
		r = template_run(table->template, row, methods, &line, err);
	else
		print_sorted(row, &line);
	if (r < 0)
		return r;
	if (table->aligned)
		strv_add(&table->lines, buf_text(&line));
	else
		buf_printf(&table->out, "%s\n", buf_text(&line));
	return 0;
}

int table_add(struct table *table, const json_t *row, struct cay_error *err)
{
	return add_row(table, row, NULL, err);
}

int table_add_labelled(struct table *table, const json_t *row, const json_t *labels,
		       struct cay_error *err)
{
	_cleanup_json_ json_t *methods = json_pack("{s:O}", "Label", labels ? labels : json_null());

	return add_row(table, row, methods, err);
}

void table_set_headings(struct table *table, const char *line)
{
	strv_done(&table->lines);
	strv_add(&table->lines, line);
}

void table_add_line(struct table *table, const char *line)
{
	strv_add(&table->lines, line);
}

enum { COLUMNS_MAX = 64 };

static void measure(const struct strv *lines, size_t widths[COLUMNS_MAX])
{
	for (size_t i = 0; i < lines->count; i++) {
		struct str rest = str_from(lines->items[i]);

		for (size_t column = 0; column < COLUMNS_MAX && rest.length > 0; column++) {
			_cleanup_free_ char *cell = str_dup(str_split(rest, '\t', &rest));

			widths[column] = MAX(widths[column], text_width(cell) + COLUMN_SPACE);
		}
	}
}

static void align(const char *line, const size_t widths[COLUMNS_MAX], struct buf *out)
{
	struct str rest = str_from(line);

	for (size_t column = 0; rest.length > 0; column++) {
		_cleanup_free_ char *cell = str_dup(str_split(rest, '\t', &rest));
		size_t width = text_width(cell);

		buf_puts(out, cell);
		if (rest.length > 0 && column < COLUMNS_MAX)
			for (; width < widths[column]; width++)
				buf_putc(out, ' ');
	}
	while (out->length > 0 && out->data[out->length - 1] == ' ')
		out->data[--out->length] = '\0';
	buf_putc(out, '\n');
}

void table_render(struct table *table, struct buf *out)
{
	size_t widths[COLUMNS_MAX];

	for (size_t i = 0; i < COLUMNS_MAX; i++)
		widths[i] = COLUMN_MIN;
	measure(&table->lines, widths);
	for (size_t i = 0; i < table->lines.count; i++)
		align(table->lines.items[i], widths, out);
	buf_append(out, buf_text(&table->out), table->out.length);
	buf_clear(&table->out);
	while (table->lines.count > 1)
		free(table->lines.items[--table->lines.count]);
	if (table->lines.items)
		table->lines.items[table->lines.count] = NULL;
}

int table_print(struct table *table, struct cay_error *err)
{
	_cleanup_buf_ struct buf out = { 0 };

	table_render(table, &out);
	return text_print(&out, err);
}

void row_set(json_t *row, const char *field, const char *text)
{
	_cleanup_free_ char *safe = xstrdup(text ? text : "");

	text_make_safe(safe, false);
	json_set_string(row, field, safe);
}
