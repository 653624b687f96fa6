/* SPDX-License-Identifier: Apache-2.0 */
/* Splits a line at its commas. */
#include "cli/words.h"

#include "base/buf.h"

#include <errno.h>

int words_split(const char *text, struct strv *words)
{
	const char *at = text;

	do {
		struct buf word = { 0 };
		bool quoted = *at == '"';

		at += quoted;
		for (; *at && (quoted || *at != ','); at++) {
			if (quoted && *at == '"' && *++at != '"')
				break;
			buf_putc(&word, *at);
		}
		strv_take(words, buf_steal(&word));
		if (*at && *at != ',')
			return -EINVAL;
	} while (*at++);
	return 0;
}
