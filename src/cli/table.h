/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists as docker's --format prints them: a table, a template a line, or a
 * JSON document a line. A row is a JSON object whose members the columns name.
 */
#pragma once

#include "base/error.h"
#include "base/json.h"

struct column {
	const char *field;   /* NULL ends the list */
	const char *heading; /* of a table */
};

struct table;

/*
 * `format` is the user's: NULL or "table" for `standard`, "json", "table TEMPLATE" or a TEMPLATE,
 * in which \t and \n stand for tab and newline.
 */
int table_open(const char *format, const char *standard, const struct column *columns,
	       struct table **ret_table, struct cay_error *err);
void table_free(struct table *table);
DEFINE_CLEANUP(struct table *, table_free);

/* Adds a row; a table keeps it until the end, so that it knows how wide its columns are. */
int table_add(struct table *table, const json_t *row, struct cay_error *err);
/* The same for something with labels, an object of texts or NULL: {{.Label "KEY"}} has one. */
int table_add_labelled(struct table *table, const json_t *row, const json_t *labels,
		       struct cay_error *err);
/* For a table whose columns are not known beforehand: its lines, with tabs between cells. */
void table_set_headings(struct table *table, const char *line);
void table_add_line(struct table *table, const char *line);
/* Prints what was added; a table starts with its headings. Rows may be added again after it. */
int table_print(struct table *table, struct cay_error *err);
/* The same without printing. */
void table_render(struct table *table, struct buf *out);

/* Adds a member to a row, without control characters. */
void row_set(json_t *row, const char *field, const char *text);
