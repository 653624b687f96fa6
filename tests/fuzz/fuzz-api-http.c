/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests, one after the other on a connection: any bytes, read once whole and
 * once in pieces whose sizes are bytes of the input too. Both must give the
 * same heads, the same bodies and the same end.
 */
#include "daemon/http-parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
	struct http_head head;
	struct http_body body;
	bool in_body, refused;
	enum cay_code code;
	size_t requests, content, fields;
};

static void check_head(const struct http_head *head)
{
	if (head->names.count > HTTP_FIELDS_MAX || head->names.count != head->values.count ||
	    head->taken > HTTP_HEAD_MAX || !*head->method || !*head->target ||
	    (head->is_chunked && (head->length > 0 || head->is_http10)))
		abort();
	for (size_t i = 0; i < head->names.count; i++)
		if (!head->names.items[i][0] || strpbrk(head->names.items[i], " \t:\r\n") ||
		    strpbrk(head->values.items[i], "\r\n"))
			abort();
}

static int feed_some(struct reading *reading, struct str *input, struct cay_error *err)
{
	struct str piece;
	int r;

	if (reading->in_body) {
		r = http_body_feed(&reading->body, input, &piece, err);
		reading->content += r < 0 ? 0 : piece.length;
		return r;
	}
	r = http_head_feed(&reading->head, input, err);
	if (r <= 0)
		return r;
	check_head(&reading->head);
	reading->requests++;
	reading->fields += reading->head.names.count;
	http_body_init(&reading->body, &reading->head);
	reading->in_body = true;
	return 0;
}

static void feed(struct reading *reading, struct str input)
{
	while (input.length > 0 && !reading->refused) {
		struct cay_error err = { 0 };

		if (feed_some(reading, &input, &err) < 0) {
			reading->refused = true;
			reading->code = err.code;
			if (err.code != CAY_INVALID && err.code != CAY_TOO_LARGE)
				abort();
		}
		if (reading->in_body && reading->body.state == HTTP_BODY_OVER) {
			http_head_done(&reading->head);
			http_body_done(&reading->body);
			reading->in_body = false;
		}
	}
}

static void finish(struct reading *reading)
{
	http_head_done(&reading->head);
	http_body_done(&reading->body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str all = { (const char *)data, size };
	struct reading whole = { 0 }, pieces = { 0 };

	feed(&whole, all);
	for (size_t at = 0; at < size;) {
		size_t step = MIN((size_t)data[at] % 16 + 1, size - at);

		feed(&pieces, (struct str){ all.data + at, step });
		at += step;
	}
	if (whole.refused != pieces.refused || whole.code != pieces.code ||
	    whole.requests != pieces.requests || whole.content != pieces.content ||
	    whole.fields != pieces.fields || whole.content > size)
		abort();
	finish(&whole);
	finish(&pieces);
	return 0;
}
