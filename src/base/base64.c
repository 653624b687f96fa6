/* SPDX-License-Identifier: Apache-2.0 */
/* Base64: three bytes as four letters. */
#include "base/base64.h"

#include <errno.h>

char *base64_encode(const void *data, size_t size, bool url)
{
	static const char standard[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *at = data;
	struct buf out = { 0 };

	(void)buf_reserve(&out, size / 3 * 4 + 4);
	for (size_t i = 0; i < size; i += 3) {
		size_t count = MIN(size - i, 3);
		uint32_t bits = (uint32_t)at[i] << 16;

		if (count > 1)
			bits |= (uint32_t)at[i + 1] << 8;
		if (count > 2)
			bits |= at[i + 2];
		for (size_t letter = 0; letter < 4; letter++) {
			char c = standard[bits >> (18 - 6 * letter) & 63];

			if (letter > count)
				c = '=';
			else if (url && c == '+')
				c = '-';
			else if (url && c == '/')
				c = '_';
			buf_putc(&out, c);
		}
	}
	return buf_steal(&out);
}

static int letter_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	if (c == '/' || c == '_')
		return 63;
	return -1;
}

int base64_decode(struct str text, struct buf *out)
{
	unsigned int letters = 0, padding = 0, held = 0;
	uint32_t bits = 0;

	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		int value = letter_value(c);

		if (c == '\r' || c == '\n')
			continue;
		if (c == '=') {
			padding++;
			continue;
		}
		if (value < 0 || padding > 0)
			return -EINVAL;
		letters++;
		bits = bits << 6 | (uint32_t)value;
		held += 6;
		if (held >= 8) {
			held -= 8;
			buf_putc(out, (char)(unsigned char)(bits >> held));
		}
	}
	if (letters % 4 == 1 || (padding > 0 && (letters + padding) % 4 != 0) || padding > 2)
		return -EINVAL;
	return 0;
}
