/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request heads and bodies. Both are read a line at a time; a line that has
 * not come whole waits in the parser, so memory is bounded by the limits in
 * the header, whatever comes.
 */
#include "daemon/http-parse.h"

#include "base/alloc.h"
#include "base/id.h"

#include <errno.h>

/* ---- lines and characters ---- */

/*
 * Moves bytes up to and with the next LF into `line`; 1 once it is whole, 0 while it is not, and
 * -E2BIG where it would grow over `max`. The line stays until the next call.
 */
static int take_line(struct buf *line, struct str *input, size_t max)
{
	const char *end = memchr(input->data, '\n', input->length);
	size_t length = end ? (size_t)(end - input->data) + 1 : input->length;

	if (line->length > 0 && line->data[line->length - 1] == '\n')
		buf_clear(line);
	if (length > max - line->length)
		return -E2BIG;
	buf_append(line, input->data, length);
	input->data += length;
	input->length -= length;
	return end != NULL;
}

/* The line without its end; false where that is not the CRLF it must be. */
static bool strip_crlf(const struct buf *line, struct str *ret_text)
{
	if (line->length < 2 || line->data[line->length - 2] != '\r')
		return false;
	*ret_text = (struct str){ line->data, line->length - 2 };
	return true;
}

static struct str strip_line_end(const struct buf *line)
{
	size_t length = line->length - 1;

	if (length > 0 && line->data[length - 1] == '\r')
		length--;
	return (struct str){ line->data, length };
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct str strip_blanks(struct str text)
{
	return str_strip(text, " \t");
}

static bool is_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		(c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(struct str text)
{
	for (size_t i = 0; i < text.length; i++)
		if (!is_token_char(text.data[i]))
			return false;
	return text.length > 0;
}

/* Printable and not ASCII: what fields and chunk extensions consist of. */
static bool is_text(struct str text)
{
	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static int invalid(struct cay_error *err, const char *what)
{
	return cay_error_set(err, CAY_INVALID, EBADMSG, "malformed HTTP request: %s", what);
}

/* ---- fields ---- */

/* "Name: value", taken apart. */
static int parse_field(struct str line, struct str *ret_name, struct str *ret_value,
		       struct cay_error *err)
{
	struct str value, name = str_split(line, ':', &value);

	/* Blanks are no token either: a folded line, or one before the colon. */
	if (name.length == line.length || !is_token(name))
		return invalid(err, "a header field without a proper name");
	if (!is_text(value))
		return invalid(err, "a control character in a header field");
	*ret_name = name;
	*ret_value = strip_blanks(value);
	return 0;
}

const char *http_head_field(const struct http_head *head, const char *name)
{
	for (size_t i = 0; i < head->names.count; i++)
		if (strcasecmp(head->names.items[i], name) == 0)
			return head->values.items[i];
	return NULL;
}

static size_t count_fields(const struct http_head *head, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < head->names.count; i++)
		count += strcasecmp(head->names.items[i], name) == 0;
	return count;
}

static bool list_has_token(struct str list, const char *token)
{
	while (list.length > 0)
		if (str_equals_nocase(strip_blanks(str_split(list, ',', &list)), token))
			return true;
	return false;
}

bool http_head_has_token(const struct http_head *head, const char *name, const char *token)
{
	for (size_t i = 0; i < head->names.count; i++)
		if (strcasecmp(head->names.items[i], name) == 0 &&
		    list_has_token(str_from(head->values.items[i]), token))
			return true;
	return false;
}

/* ---- heads ---- */

void http_head_done(struct http_head *head)
{
	free(head->method);
	free(head->target);
	strv_done(&head->names);
	strv_done(&head->values);
	buf_done(&head->line);
	*head = (struct http_head){ 0 };
}

static int parse_version(struct str text, bool *ret_is_http10, struct cay_error *err)
{
	if (text.length != 8 || !str_starts(text, "HTTP/") || text.data[6] != '.' ||
	    text.data[5] < '0' || text.data[5] > '9' || text.data[7] < '0' || text.data[7] > '9')
		return invalid(err, "the request line is not \"METHOD URL HTTP/1.1\"");
	if (text.data[5] != '1')
		return cay_error_set(err, CAY_INVALID, EPROTONOSUPPORT,
				     "unsupported HTTP version %.*s: must be HTTP/1.0 or HTTP/1.1",
				     (int)text.length - 5, text.data + 5);
	*ret_is_http10 = text.data[7] == '0';
	return 0;
}

static int parse_request_line(struct http_head *head, struct str line, struct cay_error *err)
{
	struct str rest, version, method = str_split(line, ' ', &rest);
	struct str target = str_split(rest, ' ', &version);
	int r = parse_version(version, &head->is_http10, err);

	if (r < 0)
		return r;
	if (!is_token(method))
		return invalid(err, "the request's method is not a word");
	/* What else a URL may hold is the router's to say. */
	if (target.length == 0 || !is_text(target) || memchr(target.data, '\t', target.length))
		return invalid(err, "the request's URL is empty or has control characters");
	head->method = str_dup(method);
	head->target = str_dup(target);
	return 0;
}

static int add_field(struct http_head *head, struct str line, struct cay_error *err)
{
	struct str name, value;
	int r = parse_field(line, &name, &value, err);

	if (r < 0)
		return r;
	if (head->names.count == HTTP_FIELDS_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG,
				     "more than %d header fields in the request", HTTP_FIELDS_MAX);
	strv_take(&head->names, str_dup(name));
	strv_take(&head->values, str_dup(value));
	return 0;
}

/* Lengths that contradict each other are how one request is smuggled behind another. */
static int read_framing(struct http_head *head, struct cay_error *err)
{
	size_t lengths = count_fields(head, "Content-Length");
	size_t encodings = count_fields(head, "Transfer-Encoding");

	if (lengths + encodings > 1)
		return invalid(err, "more than one Content-Length or Transfer-Encoding");
	if (lengths > 0 &&
	    parse_u64(http_head_field(head, "Content-Length"), INT64_MAX, &head->length) < 0)
		return invalid(err, "the Content-Length is not a number of bytes");
	if (encodings == 0)
		return 0;
	if (head->is_http10 ||
	    strcasecmp(http_head_field(head, "Transfer-Encoding"), "chunked") != 0)
		return invalid(err, "unsupported Transfer-Encoding: must be 'chunked'");
	head->is_chunked = true;
	return 0;
}

/* What the fields mean, once all are there. */
static int finish_head(struct http_head *head, struct cay_error *err)
{
	size_t hosts = count_fields(head, "Host");
	bool close = http_head_has_token(head, "Connection", "close");

	if (hosts > 1 || (hosts == 0 && !head->is_http10))
		return invalid(err, hosts > 1 ? "more than one Host" : "no Host");
	head->is_lasting = !close &&
		(!head->is_http10 || http_head_has_token(head, "Connection", "keep-alive"));
	head->is_expecting =
		!head->is_http10 && http_head_has_token(head, "Expect", "100-continue");
	buf_done(&head->line);
	return read_framing(head, err);
}

int http_head_feed(struct http_head *head, struct str *input, struct cay_error *err)
{
	while (input->length > 0) {
		size_t before = input->length, partial = head->line.length;
		struct str line;
		int r;

		if (partial > 0 && head->line.data[partial - 1] == '\n')
			partial = 0;
		r = take_line(&head->line, input, HTTP_HEAD_MAX - head->taken + partial);
		if (r < 0)
			return cay_error_set(err, CAY_TOO_LARGE, E2BIG,
					     "the head of the request is over %d bytes",
					     HTTP_HEAD_MAX);
		head->taken += before - input->length;
		if (r == 0)
			break;
		line = strip_line_end(&head->line);
		if (line.length == 0 && head->method)
			r = finish_head(head, err);
		else if (head->method)
			r = add_field(head, line, err);
		else if (line.length > 0) /* empty lines before a request count for nothing */
			r = parse_request_line(head, line, err);
		else
			continue;
		if (r < 0 || line.length == 0)
			return r < 0 ? r : 1;
	}
	return 0;
}

/* ---- bodies ---- */

void http_body_init(struct http_body *body, const struct http_head *head)
{
	*body = (struct http_body){ .left = head->length };
	if (head->is_chunked)
		body->state = HTTP_BODY_CHUNK_SIZE;
	else if (head->length > 0)
		body->state = HTTP_BODY_COUNTED;
}

void http_body_done(struct http_body *body)
{
	buf_done(&body->line);
}

/* "1a2b" or "1a2b;extension" */
static int parse_chunk_size(struct str line, uint64_t *ret_size, struct cay_error *err)
{
	struct str extension, digits = strip_blanks(str_split(line, ';', &extension));
	uint64_t size = 0;

	for (size_t i = 0; i < digits.length; i++) {
		int digit = hex_digit(digits.data[i]);

		if (digit < 0 || size >> 59 != 0)
			return invalid(err, "the size of a chunk is not a hexadecimal number");
		size = size << 4 | (uint64_t)digit;
	}
	if (digits.length == 0 || is_blank(line.data[0]) || !is_text(extension))
		return invalid(err, "a chunk without a proper size");
	*ret_size = size;
	return 0;
}

static int feed_chunk_size(struct http_body *body, struct str *input, struct cay_error *err)
{
	int r = take_line(&body->line, input, HTTP_CHUNK_LINE_MAX);
	struct str line;

	if (r == 0)
		return 0;
	if (r < 0 || !strip_crlf(&body->line, &line))
		return invalid(err,
			       "the line with a chunk's size is too long or does not end in "
			       "CRLF");
	r = parse_chunk_size(line, &body->left, err);
	if (r == 0)
		body->state = body->left > 0 ? HTTP_BODY_CHUNK_DATA : HTTP_BODY_TRAILER;
	return r;
}

static int feed_chunk_end(struct http_body *body, struct str *input, struct cay_error *err)
{
	int r = take_line(&body->line, input, 2);
	struct str line;

	if (r == 0 && (body->line.length < 2 && body->line.data[0] == '\r'))
		return 0;
	if (r <= 0 || !strip_crlf(&body->line, &line))
		return invalid(err, "a chunk is longer than its size says");
	body->state = HTTP_BODY_CHUNK_SIZE;
	return 0;
}

static int feed_trailer(struct http_body *body, struct str *input, struct cay_error *err)
{
	size_t before = input->length, partial = body->line.length;
	struct str line, name, value;
	int r;

	if (partial > 0 && body->line.data[partial - 1] == '\n')
		partial = 0;
	r = take_line(&body->line, input, HTTP_TRAILER_MAX - body->trailer + partial);
	if (r < 0)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG,
				     "the trailer of the request is over %d bytes",
				     HTTP_TRAILER_MAX);
	body->trailer += before - input->length;
	if (r == 0)
		return 0;
	if (!strip_crlf(&body->line, &line))
		return invalid(err, "a line of the trailer does not end in CRLF");
	if (line.length > 0)
		return parse_field(line, &name, &value, err);
	body->state = HTTP_BODY_OVER;
	buf_done(&body->line);
	return 0;
}

static struct str take_content(struct http_body *body, struct str *input)
{
	struct str piece = { input->data, (size_t)MIN((uint64_t)input->length, body->left) };

	input->data += piece.length;
	input->length -= piece.length;
	body->left -= piece.length;
	if (body->left == 0)
		body->state =
			body->state == HTTP_BODY_COUNTED ? HTTP_BODY_OVER : HTTP_BODY_CHUNK_END;
	return piece;
}

int http_body_feed(struct http_body *body, struct str *input, struct str *ret_piece,
		   struct cay_error *err)
{
	*ret_piece = (struct str){ 0 };
	while (input->length > 0) {
		int r = 0;

		switch (body->state) {
		case HTTP_BODY_OVER:
			return 0;
		case HTTP_BODY_COUNTED:
		case HTTP_BODY_CHUNK_DATA:
			*ret_piece = take_content(body, input);
			return 0;
		case HTTP_BODY_CHUNK_SIZE:
			r = feed_chunk_size(body, input, err);
			break;
		case HTTP_BODY_CHUNK_END:
			r = feed_chunk_end(body, input, err);
			break;
		case HTTP_BODY_TRAILER:
			r = feed_trailer(body, input, err);
			break;
		}
		if (r < 0)
			return r;
	}
	return 0;
}
