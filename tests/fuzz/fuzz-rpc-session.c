/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes on an idle channel. The first byte says in how large pieces they come:
 * what is found may not depend on it, and little may be kept.
 */
#include "rpc/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool good)
{
	if (!good)
		abort();
}

struct found {
	unsigned int lines;
	bool preface;
	char last[SESSION_LINE_LENGTH];
	size_t consumed; /* where the preface begins */
};

static struct found look(const uint8_t *data, size_t size, size_t piece)
{
	_cleanup_buf_ struct buf received = { 0 };
	struct found found = { 0 };

	for (size_t at = 0; at < size && !found.preface; at += piece) {
		size_t count = MIN(piece, size - at);
		enum session_opening opening;

		buf_append(&received, data + at, count);
		while ((opening = session_opening(&received, found.last)) == SESSION_LINE)
			found.lines++;
		found.preface = opening == SESSION_PREFACE;
		found.consumed = at + count - received.length;
		require(found.preface || received.length < 24);
	}
	return found;
}

static bool find(const uint8_t *data, size_t size, size_t piece, const char *line)
{
	_cleanup_buf_ struct buf received = { 0 };
	bool found = false;

	for (size_t at = 0; at < size && !found; at += piece) {
		buf_append(&received, data + at, MIN(piece, size - at));
		found = session_find(&received, line);
		require(found || received.length < SESSION_LINE_LENGTH);
	}
	return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char line[SESSION_LINE_LENGTH];
	struct found whole, pieces;
	size_t piece;
	bool there;

	if (size == 0)
		return 0;
	piece = (size_t)data[0] + 1;
	data++;
	size--;
	whole = look(data, size, MAX(size, (size_t)1));
	pieces = look(data, size, piece);
	require(whole.lines == pieces.lines && whole.preface == pieces.preface);
	require(memcmp(whole.last, pieces.last, sizeof(whole.last)) == 0);
	require(whole.consumed == pieces.consumed);

	session_format(0x0123456789abcdef, line);
	there = size >= sizeof(line) && memmem(data, size, line, sizeof(line));
	require(find(data, size, piece, line) == there);
	return 0;
}
