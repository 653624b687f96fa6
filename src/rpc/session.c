/* SPDX-License-Identifier: Apache-2.0 */
/* The line that opens a session on the channel: written, found and judged. */
#include "rpc/session.h"

static const char line_start[] = "CAY ";
enum { START_LENGTH = sizeof(line_start) - 1, DIGITS = 16 };
static_assert(sizeof(SESSION_FREEZE) - 1 == SESSION_LINE_LENGTH, "it is as long as the others");
static_assert(START_LENGTH + DIGITS + 1 == SESSION_LINE_LENGTH, "the line is start, digits, end");

/* RFC 9113, 3.4: what every client sends first. */
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum { PREFACE_LENGTH = sizeof(preface) - 1 };

void session_format(uint64_t number, char ret_line[SESSION_LINE_LENGTH])
{
	static const char digits[] = "0123456789abcdef";

	memcpy(ret_line, line_start, START_LENGTH);
	for (unsigned int i = 0; i < DIGITS; i++)
		ret_line[START_LENGTH + i] = digits[number >> (4 * (DIGITS - 1 - i)) & 0xf];
	ret_line[SESSION_LINE_LENGTH - 1] = '\n';
}

uint64_t session_number(const char line[SESSION_LINE_LENGTH])
{
	uint64_t number = 0;

	for (unsigned int i = 0; i < DIGITS; i++) {
		const char digit = line[START_LENGTH + i];

		number = number << 4 | (uint64_t)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
	}
	return number;
}

bool session_find(struct buf *received, const char line[SESSION_LINE_LENGTH])
{
	const char *at;
	size_t keep;

	if (received->length == 0)
		return false;
	at = memmem(received->data, received->length, line, SESSION_LINE_LENGTH);
	if (at) {
		buf_consume(received, (size_t)(at - received->data) + SESSION_LINE_LENGTH);
		return true;
	}
	keep = MIN(received->length, (size_t)SESSION_LINE_LENGTH - 1);
	while (keep > 0 && memcmp(received->data + received->length - keep, line, keep) != 0)
		keep--;
	buf_consume(received, received->length - keep);
	return false;
}

/* How many of the bytes could begin a line: all that there are, SESSION_LINE_LENGTH, or 0. */
static size_t match_line(const char *data, size_t length)
{
	length = MIN(length, (size_t)SESSION_LINE_LENGTH);
	if (memcmp(data, SESSION_FREEZE, length) == 0)
		return length;
	for (size_t i = 0; i < length; i++) {
		bool good;

		if (i < START_LENGTH)
			good = data[i] == line_start[i];
		else if (i < SESSION_LINE_LENGTH - 1)
			good = (data[i] >= '0' && data[i] <= '9') ||
				(data[i] >= 'a' && data[i] <= 'f');
		else
			good = data[i] == '\n';
		if (!good)
			return 0;
	}
	return length;
}

static size_t match_preface(const char *data, size_t length)
{
	length = MIN(length, (size_t)PREFACE_LENGTH);
	return memcmp(data, preface, length) == 0 ? length : 0;
}

enum session_opening session_opening(struct buf *received, char ret_line[SESSION_LINE_LENGTH])
{
	size_t at = 0;

	while (at < received->length) {
		size_t left = received->length - at;
		size_t line = match_line(received->data + at, left);
		size_t start = match_preface(received->data + at, left);

		if (line == SESSION_LINE_LENGTH) {
			memcpy(ret_line, received->data + at, SESSION_LINE_LENGTH);
			buf_consume(received, at + SESSION_LINE_LENGTH);
			return SESSION_LINE;
		}
		if (line > 0 || start > 0) {
			buf_consume(received, at);
			return start == PREFACE_LENGTH ? SESSION_PREFACE : SESSION_MORE;
		}
		at++;
	}
	buf_consume(received, at);
	return SESSION_MORE;
}
