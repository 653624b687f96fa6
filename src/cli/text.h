/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text that others wrote, made fit for a terminal. A container's command, an
 * image's labels or the text of an error may hold escape sequences.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/* Replaces control characters (C0, DEL, and C1 in UTF-8) by '?', but not tabs with `keep_tabs`. */
void text_make_safe(char *text, bool keep_tabs);
/* In double quotes, with escapes as in Go and C; only control characters are escaped besides. */
char *text_quote(const char *text);
/* At most `length` characters, the last one "…" where some were cut; the caller frees. */
char *text_shorten(const char *text, size_t length);
/* How many columns it takes on a terminal, each character counting as one. */
size_t text_width(const char *text);

/* Writes to standard output. */
int text_print(const struct buf *text, struct cay_error *err);
int text_print_line(const char *line, struct cay_error *err);
/* "cay: …" to standard error. */
void text_complain(const char *format, ...) cay_printf(1, 2);
