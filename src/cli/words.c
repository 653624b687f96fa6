/* SPDX-License-Identifier: Apache-2.0 */
/* Splits a line at its commas. */
#include "cli/words.h"

#include "base/buf.h"

#include <errno.h>

/* Where the reader stands, counted as Go counts: bytes, from 1. */
struct place {
	const char *at;
	const char *line_start;
	unsigned int line, first_line; /* of the text, and where the record began */
};

/* "\n", "\r\n", or "\r" at the very end; 0 where the line goes on. */
static size_t line_end(const char *at)
{
	if (*at == '\n')
		return 1;
	if (*at == '\r' && at[1] == '\n')
		return 2;
	return *at == '\r' && !at[1] ? 1 : 0;
}

static void next_line(struct place *place, size_t end)
{
	place->at += end;
	place->line_start = place->at;
	place->line++;
}

static int bad_quote(const struct place *place, const char *at, const char *what,
		     struct cay_error *err)
{
	size_t column = (size_t)(at - place->line_start) + 1;

	if (place->line != place->first_line)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "record on line %u; parse error on line %u, column %zu: %s",
				     place->first_line, place->line, column, what);
	return cay_error_set(err, CAY_INVALID, EINVAL, "parse error on line %u, column %zu: %s",
			     place->line, column, what);
}

static int take_plain(struct place *place, struct buf *word, struct cay_error *err)
{
	for (; *place->at && *place->at != ',' && !line_end(place->at); place->at++) {
		if (*place->at == '"')
			return bad_quote(place, place->at, "bare \" in non-quoted-field", err);
		buf_putc(word, *place->at);
	}
	return 0;
}

/* After the opening quote, up to what follows the closing one. */
static int take_quoted(struct place *place, struct buf *word, struct cay_error *err)
{
	static const char what[] = "extraneous or missing \" in quoted-field";

	while (*place->at) {
		size_t end = line_end(place->at);

		if (end) {
			if (place->at[end] || *place->at == '\n')
				buf_putc(word, '\n');
			next_line(place, end);
		} else if (*place->at != '"') {
			buf_putc(word, *place->at++);
		} else if (place->at[1] == '"') {
			buf_putc(word, '"');
			place->at += 2;
		} else if (!place->at[1] || place->at[1] == ',' || line_end(place->at + 1)) {
			place->at++;
			return 0;
		} else {
			return bad_quote(place, place->at, what, err);
		}
	}
	return bad_quote(place, place->at, what, err);
}

int words_split(const char *text, struct strv *words, struct cay_error *err)
{
	struct place place = { .at = text, .line_start = text, .line = 1 };
	bool more = true;

	while (line_end(place.at))
		next_line(&place, line_end(place.at));
	if (!*place.at)
		return cay_error_set(err, CAY_INVALID, EINVAL, "EOF");
	place.first_line = place.line;
	while (more) {
		_cleanup_buf_ struct buf word = { 0 };
		int r;

		if (*place.at == '"') {
			place.at++;
			r = take_quoted(&place, &word, err);
		} else {
			r = take_plain(&place, &word, err);
		}
		if (r < 0)
			return r;
		strv_take(words, buf_steal(&word));
		more = *place.at == ',';
		place.at += more;
	}
	return 0;
}
