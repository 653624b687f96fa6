/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct buf, the one growable byte buffer, and struct str, the one read-only
 * slice. A buf starts as all zeros; its data is always followed by a NUL that
 * does not count, so that text in it is a C string. Growth aborts on lack of
 * memory: who appends foreign bytes checks a limit first.
 */
#pragma once

#include "base/macros.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

struct buf {
	char *data; /* NULL while nothing was ever appended */
	size_t length;
	size_t capacity;
};

void buf_done(struct buf *buf);
#define _cleanup_buf_ _cleanup_(buf_done)

/* Makes room for `extra` bytes more and returns where they go; length is unchanged. */
char *buf_reserve(struct buf *buf, size_t extra);
void buf_append(struct buf *buf, const void *data, size_t length);
void buf_puts(struct buf *buf, const char *text);
void buf_putc(struct buf *buf, char c);
void buf_printf(struct buf *buf, const char *format, ...) cay_printf(2, 3);
void buf_vprintf(struct buf *buf, const char *format, va_list args) cay_printf(2, 0);
/* Drops `count` bytes (at most length) from the front. */
void buf_consume(struct buf *buf, size_t count);
/* Keeps the memory, forgets the contents. */
void buf_clear(struct buf *buf);
/* The contents as a C string that the caller frees ("" when empty); the buf is empty after. */
char *buf_steal(struct buf *buf);
/* The contents as a C string owned by the buf, "" when empty. */
const char *buf_text(const struct buf *buf);

struct str {
	const char *data;
	size_t length;
};

#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })
struct str str_from(const char *text); /* NULL gives an empty slice */
bool str_equal(struct str a, struct str b);
bool str_equals(struct str a, const char *text);
bool str_equals_nocase(struct str a, const char *text); /* of ASCII letters */
bool str_starts(struct str a, const char *prefix);
/* Without the characters of `blanks` at its beginning and its end. */
struct str str_strip(struct str text, const char *blanks);
/* Splits at the first `separator`: *ret_rest is what follows it, empty when there is none. */
struct str str_split(struct str text, char separator, struct str *ret_rest);
char *str_dup(struct str text);
/* Decimal digits only, all of them; -EINVAL, or -ERANGE over `max`. */
int str_to_u64(struct str text, uint64_t max, uint64_t *ret_value);

/* The same for a C string. */
int parse_u64(const char *text, uint64_t max, uint64_t *ret_value);
/* The same with an optional minus sign, from -INT64_MAX to INT64_MAX. */
int parse_i64(const char *text, int64_t *ret_value);
/*
 * A size with an optional unit: b, k, m, g, t, p (also kb, KiB …; powers of 1024), as docker has
 * them: "512m", "1.5 GiB". -EINVAL for another text, -ERANGE for what 64 bits don't hold.
 */
int parse_size(const char *text, uint64_t *ret_bytes);

bool starts_with(const char *text, const char *prefix);
bool ends_with(const char *text, const char *suffix);
