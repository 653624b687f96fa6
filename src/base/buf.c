/* SPDX-License-Identifier: Apache-2.0 */
/* The growable buffer, the slice, and the parsing of plain numbers and sizes from them. */
#include "base/buf.h"

#include "base/alloc.h"

#include <ctype.h>
#include <errno.h>
#include <strings.h>

void buf_done(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){ 0 };
}

char *buf_reserve(struct buf *buf, size_t extra)
{
	size_t need;

	if (__builtin_add_overflow(buf->length, extra, &need) ||
	    __builtin_add_overflow(need, 1, &need))
		abort();
	if (need > buf->capacity) {
		size_t capacity = MAX(need, buf->capacity + buf->capacity / 2);

		capacity = MAX(capacity, 64);
		buf->data = xrealloc(buf->data, capacity);
		buf->capacity = capacity;
		buf->data[buf->length] = '\0';
	}
	return buf->data + buf->length;
}

void buf_append(struct buf *buf, const void *data, size_t length)
{
	char *end = buf_reserve(buf, length);

	if (length)
		memcpy(end, data, length);
	end[length] = '\0';
	buf->length += length;
}

void buf_puts(struct buf *buf, const char *text)
{
	buf_append(buf, text, strlen(text));
}

void buf_putc(struct buf *buf, char c)
{
	buf_append(buf, &c, 1);
}

void buf_vprintf(struct buf *buf, const char *format, va_list args)
{
	_cleanup_free_ char *text = xvasprintf(format, args);

	buf_puts(buf, text);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	buf_vprintf(buf, format, args);
	va_end(args);
}

void buf_consume(struct buf *buf, size_t count)
{
	assert(count <= buf->length);
	if (count == 0)
		return;
	buf->length -= count;
	memmove(buf->data, buf->data + count, buf->length + 1);
}

void buf_clear(struct buf *buf)
{
	buf->length = 0;
	if (buf->data)
		buf->data[0] = '\0';
}

char *buf_steal(struct buf *buf)
{
	char *data = buf->data ? buf->data : xstrdup("");

	*buf = (struct buf){ 0 };
	return data;
}

const char *buf_text(const struct buf *buf)
{
	return buf->data ? buf->data : "";
}

struct str str_from(const char *text)
{
	return (struct str){ text ? text : "", text ? strlen(text) : 0 };
}

bool str_equal(struct str a, struct str b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

bool str_equals(struct str a, const char *text)
{
	return str_equal(a, str_from(text));
}

bool str_equals_nocase(struct str a, const char *text)
{
	return a.length == strlen(text) && strncasecmp(a.data, text, a.length) == 0;
}

bool str_starts(struct str a, const char *prefix)
{
	size_t length = strlen(prefix);

	return a.length >= length && memcmp(a.data, prefix, length) == 0;
}

/* A NUL is none. */
static bool is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c);
}

struct str str_strip(struct str text, const char *blanks)
{
	while (text.length > 0 && is_one_of(text.data[0], blanks)) {
		text.data++;
		text.length--;
	}
	while (text.length > 0 && is_one_of(text.data[text.length - 1], blanks))
		text.length--;
	return text;
}

struct str str_split(struct str text, char separator, struct str *ret_rest)
{
	const char *at = text.length ? memchr(text.data, separator, text.length) : NULL;

	if (!at) {
		*ret_rest = (struct str){ text.data + text.length, 0 };
		return text;
	}
	*ret_rest = (struct str){ at + 1, text.length - (size_t)(at + 1 - text.data) };
	return (struct str){ text.data, (size_t)(at - text.data) };
}

char *str_dup(struct str text)
{
	return xstrndup(text.data ? text.data : "", text.length);
}

int str_to_u64(struct str text, uint64_t max, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (text.length == 0)
		return -EINVAL;
	for (size_t i = 0; i < text.length; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(text.data[i] - '0'), &value))
			return -ERANGE;
	}
	if (value > max)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int parse_u64(const char *text, uint64_t max, uint64_t *ret_value)
{
	return str_to_u64(str_from(text), max, ret_value);
}

int parse_i64(const char *text, int64_t *ret_value)
{
	bool negative = *text == '-';
	uint64_t value;
	int r = parse_u64(text + negative, INT64_MAX, &value);

	if (r < 0)
		return r;
	*ret_value = negative ? -(int64_t)value : (int64_t)value;
	return 0;
}

/* What stands behind the decimal point, in parts of 10^9; digits beyond these are dropped. */
static uint64_t parse_fraction(const char *digits, size_t count)
{
	uint64_t part = 0;

	for (size_t i = 0; i < 9; i++)
		part = part * 10 + (i < count ? (uint64_t)(digits[i] - '0') : 0);
	return part;
}

int parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char units[] = "bkmgtp", decimals[] = "0123456789";
	const size_t digits = strspn(text, decimals);
	const size_t point = text[digits] == '.';
	const size_t fraction = point ? strspn(text + digits + 1, decimals) : 0;
	const char *unit = text + digits + point + fraction;
	unsigned int shift = 0;
	uint64_t value = 0, part;
	int r = digits + fraction > 0 ? 0 : -EINVAL;

	if (r == 0 && digits > 0)
		r = str_to_u64((struct str){ text, digits }, UINT64_MAX, &value);
	if (r < 0)
		return r;
	while (*unit == ' ')
		unit++;
	if (*unit) {
		const char *at = strchr(units, tolower((unsigned char)*unit));

		if (!at)
			return -EINVAL;
		shift = 10 * (unsigned int)(at - units);
		unit++;
		if (shift && (*unit == 'i' || *unit == 'I'))
			unit++;
		if (shift && (*unit == 'b' || *unit == 'B'))
			unit++;
		if (*unit)
			return -EINVAL;
	}
	if (shift && value > (UINT64_MAX >> shift))
		return -ERANGE;
	part = (uint64_t)((double)parse_fraction(text + digits + point, fraction) / 1e9 *
			  (double)(UINT64_C(1) << shift));
	*ret_bytes = (value << shift) + part;
	return 0;
}

bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool ends_with(const char *text, const char *suffix)
{
	size_t length = strlen(text), tail = strlen(suffix);

	return length >= tail && memcmp(text + length - tail, suffix, tail) == 0;
}
