/* SPDX-License-Identifier: Apache-2.0 */
/* The response parser: the head is collected whole and then read; bodies pass through uncopied. */
#include "cli/http.h"

#include <errno.h>

static int malformed(struct cay_error *err, const char *what)
{
	return cay_error_set(err, CAY_CORRUPT, EBADMSG, "the daemon's answer has %s", what);
}

void http_parser_done(struct http_parser *parser)
{
	buf_done(&parser->line);
	free(parser->path_stat);
}

/* A line without its end and the blanks around it. */
static struct str trim(struct str text)
{
	return str_strip(text, " \t\r");
}

/* "HTTP/1.1 200 OK" */
static int parse_status_line(struct http_parser *parser, struct str line, struct cay_error *err)
{
	struct str rest;
	uint64_t status;

	if (!str_starts(line, "HTTP/1.") || line.length < 12 || line.data[8] != ' ')
		return malformed(err, "no HTTP/1 status line");
	line.data += 9;
	line.length -= 9;
	line = str_split(trim(line), ' ', &rest);
	if (line.length != 3 || str_to_u64(line, 599, &status) < 0 || status < 100)
		return malformed(err, "no valid status");
	parser->status = (int)status;
	return 0;
}

static int parse_header(struct http_parser *parser, struct str line, struct cay_error *err)
{
	struct str value, name = str_split(line, ':', &value);

	if (name.length == 0 || name.length == line.length)
		return malformed(err, "a line that is no header");
	value = trim(value);
	if (str_equals_nocase(name, "content-length")) {
		uint64_t length;

		if (str_to_u64(value, INT64_MAX, &length) < 0 ||
		    (parser->counted && length != parser->left))
			return malformed(err, "an invalid Content-Length");
		parser->counted = true;
		parser->left = length;
	} else if (str_equals_nocase(name, "transfer-encoding")) {
		if (!str_equals_nocase(value, "chunked"))
			return malformed(err, "an unknown Transfer-Encoding");
		parser->chunked = true;
	} else if (str_equals_nocase(name, "content-type")) {
		(void)snprintf(parser->content_type, sizeof(parser->content_type), "%.*s",
			       (int)MIN(value.length, sizeof(parser->content_type) - 1),
			       value.data);
	} else if (str_equals_nocase(name, "x-docker-container-path-stat")) {
		free(parser->path_stat);
		parser->path_stat = str_dup(value);
	}
	return 0;
}

/* RFC 9112, section 6.3: what follows the head. */
static void choose_body(struct http_parser *parser)
{
	if (parser->status == 101)
		parser->state = HTTP_RAW;
	else if (parser->status < 200)
		parser->state = HTTP_HEAD; /* "100 Continue": the real answer is still to come */
	else if (parser->no_body || parser->status == 204 || parser->status == 304)
		parser->state = HTTP_DONE;
	else if (parser->chunked)
		parser->state = HTTP_CHUNK_SIZE;
	else if (!parser->counted)
		parser->state = HTTP_BODY_TO_END;
	else
		parser->state = parser->left > 0 ? HTTP_BODY_COUNTED : HTTP_DONE;
}

static int parse_head(struct http_parser *parser, struct cay_error *err)
{
	struct str rest = { parser->line.data, parser->line.length };
	int r = parse_status_line(parser, trim(str_split(rest, '\n', &rest)), err);

	parser->counted = parser->chunked = false;
	parser->left = 0;
	parser->content_type[0] = '\0';
	while (r == 0 && rest.length > 0) {
		struct str line = trim(str_split(rest, '\n', &rest));

		if (line.length == 0)
			break;
		r = parse_header(parser, line, err);
	}
	if (r < 0)
		return r;
	buf_clear(&parser->line);
	choose_body(parser);
	return 0;
}

/* Moves bytes up to and with the next '\n' into parser->line; 1 when the line is complete. */
static int take_line(struct http_parser *parser, struct str *input, struct cay_error *err)
{
	struct str rest, line = str_split(*input, '\n', &rest);
	bool complete = line.length < input->length;

	if (parser->line.length + line.length + 1 > HTTP_HEAD_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG,
				     "the daemon's answer has a head over %d bytes", HTTP_HEAD_MAX);
	buf_append(&parser->line, line.data, line.length + complete);
	*input = rest;
	return complete;
}

/* The head ends with an empty line. */
static int feed_head(struct http_parser *parser, struct str *input, struct cay_error *err)
{
	size_t start = parser->line.length;
	int r;

	while (start > 0 && parser->line.data[start - 1] != '\n')
		start--;
	r = take_line(parser, input, err);
	if (r <= 0)
		return r;
	if (start > 0 &&
	    trim((struct str){ parser->line.data + start, parser->line.length - start - 1 })
			    .length == 0)
		return parse_head(parser, err);
	return 0;
}

/* "1a2b;extension" */
static int feed_chunk_size(struct http_parser *parser, struct str *input, struct cay_error *err)
{
	int r = take_line(parser, input, err);
	uint64_t size = 0;
	size_t digits = 0;

	if (r <= 0)
		return r;
	for (; digits < parser->line.length; digits++) {
		const char *at = strchr("0123456789abcdefABCDEF", parser->line.data[digits]);
		int digit;

		if (!at || !*at)
			break;
		digit = *at <= '9' ? *at - '0' : (*at | 0x20) - 'a' + 10;
		if (size >> 59)
			return malformed(err, "an invalid chunk size");
		size = size << 4 | (uint64_t)digit;
	}
	if (digits == 0 || !strchr("; \t\r\n", parser->line.data[digits]))
		return malformed(err, "an invalid chunk size");
	buf_clear(&parser->line);
	parser->left = size;
	parser->state = size > 0 ? HTTP_CHUNK_DATA : HTTP_TRAILER;
	return 0;
}

/* The empty line behind a chunk's data, or the trailer's lines up to an empty one. */
static int feed_line_end(struct http_parser *parser, struct str *input, struct cay_error *err)
{
	int r = take_line(parser, input, err);
	bool empty;

	if (r <= 0)
		return r;
	empty = trim((struct str){ parser->line.data, parser->line.length - 1 }).length == 0;
	buf_clear(&parser->line);
	if (parser->state == HTTP_CHUNK_END) {
		if (!empty)
			return malformed(err, "a chunk longer than it says");
		parser->state = HTTP_CHUNK_SIZE;
	} else if (empty) {
		parser->state = HTTP_DONE;
	}
	return 0;
}

static void feed_body(struct http_parser *parser, struct str *input, struct str *ret_body)
{
	size_t length = input->length;

	if (parser->state != HTTP_BODY_TO_END && parser->left < length)
		length = (size_t)parser->left;
	*ret_body = (struct str){ input->data, length };
	input->data += length;
	input->length -= length;
	if (parser->state == HTTP_BODY_TO_END)
		return;
	parser->left -= length;
	if (parser->left == 0)
		parser->state = parser->state == HTTP_CHUNK_DATA ? HTTP_CHUNK_END : HTTP_DONE;
}

int http_parser_feed(struct http_parser *parser, struct str *input, struct str *ret_body,
		     struct cay_error *err)
{
	*ret_body = (struct str){ 0 };
	while (input->length > 0) {
		bool in_head = parser->state == HTTP_HEAD;
		int r = 0;

		switch (parser->state) {
		case HTTP_HEAD:
			r = feed_head(parser, input, err);
			break;
		case HTTP_CHUNK_SIZE:
			r = feed_chunk_size(parser, input, err);
			break;
		case HTTP_CHUNK_END:
		case HTTP_TRAILER:
			r = feed_line_end(parser, input, err);
			break;
		case HTTP_BODY_COUNTED:
		case HTTP_CHUNK_DATA:
		case HTTP_BODY_TO_END:
			feed_body(parser, input, ret_body);
			return 0;
		case HTTP_RAW:
		case HTTP_DONE:
			return 0;
		}
		if (r < 0)
			return r;
		if (in_head && parser->state != HTTP_HEAD)
			return 0;
	}
	return 0;
}

int http_parser_end(struct http_parser *parser, struct cay_error *err)
{
	if (parser->state == HTTP_BODY_TO_END)
		parser->state = HTTP_DONE;
	if (parser->state == HTTP_DONE || parser->state == HTTP_RAW)
		return 0;
	return cay_error_set(err, CAY_UNAVAILABLE, ECONNRESET,
			     "the daemon closed the connection before its answer was complete");
}
