/* SPDX-License-Identifier: Apache-2.0 */
/* What arrives from the daemon: the multiplexed stream and the HTTP response, cut at every place.
 */
#include "test.h"

#include "base/alloc.h"
#include "cli/http.h"
#include "cli/stream.h"

#include <errno.h>

/* ---- the multiplexed stream ---- */

#define FRAMES \
	"\1\0\0\0\0\0\0\3out" \
	"\2\0\0\0\0\0\0\4err\n" \
	"\1\0\0\0\0\0\0\0" \
	"\0\0\0\0\0\0\0\1i"

/* Decodes in two pieces and joins what came by channel. */
static void decode_in_two(const char *data, size_t size, size_t cut, struct buf *out,
			  struct buf *errors)
{
	struct stream_decoder decoder = { 0 };
	struct cay_error err = { 0 };
	const struct str halves[] = { { data, cut }, { data + cut, size - cut } };

	for (size_t i = 0; i < ARRAY_SIZE(halves); i++) {
		struct str input = halves[i];

		while (input.length > 0) {
			enum stream_channel channel;
			struct str piece;

			assert_ok(stream_decode(&decoder, &input, &channel, &piece, &err));
			if (piece.length > 0)
				buf_append(channel == STREAM_STDERR ? errors : out, piece.data,
					   piece.length);
		}
	}
	assert_true(stream_is_whole(&decoder));
}

static void test_stream_cut_anywhere(void **state)
{
	static const char data[] = FRAMES;

	for (size_t cut = 0; cut < sizeof(data); cut++) {
		_cleanup_buf_ struct buf out = { 0 }, errors = { 0 };

		decode_in_two(data, sizeof(data) - 1, cut, &out, &errors);
		assert_string_equal(out.data, "outi");
		assert_string_equal(errors.data, "err\n");
	}
}

static void test_stream_large_frame(void **state)
{
	struct stream_decoder decoder = { 0 };
	struct cay_error err = { 0 };
	struct str input = { "\1\0\0\0\xff\xff\xff\xff"
			     "abc",
			     11 },
		   piece;
	enum stream_channel channel;

	assert_ok(stream_decode(&decoder, &input, &channel, &piece, &err));
	assert_int_equal(piece.length, 3);
	assert_true(decoder.left == 0xfffffffc);
	assert_false(stream_is_whole(&decoder));
}

static void test_stream_refused(void **state)
{
	static const char *const headers[] = { "\4\0\0\0\0\0\0\1", "\1\1\0\0\0\0\0\1", "hello ha" };

	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		struct stream_decoder decoder = { 0 };
		struct cay_error err = { 0 };
		struct str input = { headers[i], 8 }, piece;
		enum stream_channel channel;

		assert_int_equal(stream_decode(&decoder, &input, &channel, &piece, &err), -EBADMSG);
		assert_int_equal(err.code, CAY_CORRUPT);
	}
}

/* ---- HTTP ---- */

struct response {
	const char *text;
	int status;
	const char *body, *rest;
	enum http_state state;
};

static const struct response responses[] = {
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: a/b\r\n\r\nhelloX", 200, "hello",
	  "X", HTTP_DONE },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
	  "6;x=y\r\n world\r\n0\r\nA: b\r\n\r\n",
	  200, "hello world", "", HTTP_DONE },
	{ "HTTP/1.0 404 Not Found\n\nall the rest", 404, "all the rest", "", HTTP_BODY_TO_END },
	{ "HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\nX", 204, "", "X", HTTP_DONE },
	{ "HTTP/1.1 304 Not Modified\r\n\r\n", 304, "", "", HTTP_DONE },
	{ "HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nraw\n\nbytes", 101, "", "raw\n\nbytes",
	  HTTP_RAW },
	{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length:2\r\n\r\nok", 200, "ok",
	  "", HTTP_DONE },
	{ "HTTP/1.1 500\r\nContent-Length: 0\r\n\r\n", 500, "", "", HTTP_DONE },
};

static void feed(struct http_parser *parser, struct str *input, struct buf *body, struct buf *rest)
{
	struct cay_error err = { 0 };
	struct str piece;

	while (input->length > 0 && parser->state != HTTP_DONE && parser->state != HTTP_RAW) {
		assert_ok(http_parser_feed(parser, input, &piece, &err));
		buf_append(body, piece.data, piece.length);
	}
	buf_append(rest, input->data, input->length);
}

static void test_http_cut_anywhere(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(responses); i++) {
		const struct response *response = &responses[i];
		size_t size = strlen(response->text);

		for (size_t cut = 0; cut <= size; cut++) {
			_cleanup_(http_parser_done) struct http_parser parser = { 0 };
			_cleanup_buf_ struct buf body = { 0 }, rest = { 0 };
			struct str first = { response->text, cut };
			struct str second = { response->text + cut, size - cut };

			feed(&parser, &first, &body, &rest);
			feed(&parser, &second, &body, &rest);
			assert_int_equal(parser.status, response->status);
			assert_int_equal(parser.state, response->state);
			assert_string_equal(buf_text(&body), response->body);
			assert_string_equal(buf_text(&rest), response->rest);
			assert_int_equal(http_parser_end(&parser, NULL), 0);
		}
	}
}

static void test_http_truncated(void **state)
{
	static const char *const texts[] = { "", "HTTP/1.1 200 OK\r\n",
					     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
					     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
					     "5\r\nhello\r\n" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_(http_parser_done) struct http_parser parser = { 0 };
		_cleanup_buf_ struct buf body = { 0 }, rest = { 0 };
		struct str input = str_from(texts[i]);
		struct cay_error err = { 0 };

		feed(&parser, &input, &body, &rest);
		assert_int_equal(http_parser_end(&parser, &err), -ECONNRESET);
		assert_int_equal(err.code, CAY_UNAVAILABLE);
	}
}

static int feed_bad(const char *text, size_t size)
{
	_cleanup_(http_parser_done) struct http_parser parser = { 0 };
	struct str input = { text, size }, piece;
	struct cay_error err = { 0 };
	int r = 0;

	while (r == 0 && input.length > 0 && parser.state != HTTP_DONE)
		r = http_parser_feed(&parser, &input, &piece, &err);
	return r;
}

static void test_http_refused(void **state)
{
	static const char *const texts[] = {
		"FTP/1.1 200 OK\r\n\r\n",
		"HTTP/2 200\r\n\r\n",
		"HTTP/1.1 2x0 OK\r\n\r\n",
		"HTTP/1.1 099 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: empty\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
	};
	_cleanup_buf_ struct buf endless = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(feed_bad(texts[i], strlen(texts[i])), -EBADMSG);
	buf_puts(&endless, "HTTP/1.1 200 OK\r\nA: ");
	while (endless.length < 2 * HTTP_HEAD_MAX)
		buf_puts(&endless, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nA: ");
	assert_int_equal(feed_bad(endless.data, endless.length), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stream_cut_anywhere),
		cmocka_unit_test(test_stream_large_frame),
		cmocka_unit_test(test_stream_refused),
		cmocka_unit_test(test_http_cut_anywhere),
		cmocka_unit_test(test_http_truncated),
		cmocka_unit_test(test_http_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
