/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request heads and bodies: what is taken, what is refused, and that both are
 * the same wherever the bytes are cut. What is refused is sent to a server as
 * well, whose answer must be JSON with the right status.
 */
#include "http-client.h"

#include "daemon/http-parse.h"

/* What came out of some bytes: the outcome in words. */
static void put_outcome(struct buf *out, int r, const struct cay_error *err)
{
	if (r < 0)
		buf_printf(out, "|%s: %s", cay_code_token(err->code), err->message);
}

/* Requests one after the other, fed in the pieces that end at `cuts`, or byte by byte. */
struct reading {
	struct http_head head;
	struct http_body body;
	bool in_body, over;
	struct buf out;
};

static void feed(struct reading *reading, struct str input)
{
	struct cay_error err = {};
	struct str piece;
	int r;

	while (input.length > 0 && !reading->over) {
		if (reading->in_body) {
			r = http_body_feed(&reading->body, &input, &piece, &err);
			buf_append(&reading->out, piece.data, r < 0 ? 0 : piece.length);
		} else {
			r = http_head_feed(&reading->head, &input, &err);
			if (r > 0) {
				buf_printf(&reading->out, "|%s %s %zu%s%s%s%s ",
					   reading->head.method, reading->head.target,
					   reading->head.names.count,
					   reading->head.is_http10 ? " 1.0" : "",
					   reading->head.is_lasting ? " lasting" : "",
					   reading->head.is_chunked ? " chunked" : "",
					   reading->head.is_expecting ? " expecting" : "");
				http_body_init(&reading->body, &reading->head);
				reading->in_body = true;
			}
		}
		put_outcome(&reading->out, r, &err);
		reading->over = r < 0;
		if (reading->in_body && reading->body.state == HTTP_BODY_OVER) {
			http_head_done(&reading->head);
			http_body_done(&reading->body);
			reading->in_body = false;
			buf_putc(&reading->out, '.');
		}
	}
}

/* Cut before the byte `cut`, or everywhere with SIZE_MAX. */
static char *read_cut(struct str input, size_t cut)
{
	struct reading reading = {};

	if (cut == SIZE_MAX) {
		for (size_t i = 0; i < input.length; i++)
			feed(&reading, (struct str){ input.data + i, 1 });
	} else {
		feed(&reading, (struct str){ input.data, cut });
		feed(&reading, (struct str){ input.data + cut, input.length - cut });
	}
	if (!reading.over && (reading.in_body || reading.head.taken > 0))
		buf_puts(&reading.out, "|more");
	http_head_done(&reading.head);
	http_body_done(&reading.body);
	return buf_steal(&reading.out);
}

/* In long inputs the middle of a run of fillers is like any other place in it. */
enum { CUTS_MAX = 300 };

/* The outcome, which must be the same for every cut. */
static char *read_all(struct str input)
{
	char *whole = read_cut(input, 0);
	_cleanup_free_ char *bytes = read_cut(input, SIZE_MAX);

	assert_string_equal(bytes, whole);
	for (size_t cut = 1; cut < input.length; cut++) {
		_cleanup_free_ char *halves = NULL;

		if (cut == CUTS_MAX && input.length > 2 * CUTS_MAX)
			cut = input.length - CUTS_MAX;
		halves = read_cut(input, cut);
		assert_string_equal(halves, whole);
	}
	return whole;
}

#define HEAD    "POST /body HTTP/1.1\r\nHost: d\r\n"
#define CHUNKED HEAD "Transfer-Encoding: chunked\r\n\r\n"

static void test_taken(void **state)
{
	static const struct {
		const char *bytes, *outcome;
	} rows[] = {
		{ "GET / HTTP/1.1\r\nHost:\r\n\r\n", "|GET / 1 lasting ." },
		{ "\r\n\r\nGET / HTTP/1.1\r\nHost: d\r\n\r\n", "|GET / 1 lasting ." },
		{ "GET / HTTP/1.1\nHost: d\n\n", "|GET / 1 lasting ." },
		{ "GET /a?b=%20#\xc3\xa9 HTTP/1.1\r\nhOST:\t d \r\nX: a:b\tc\r\n\r\n",
		  "|GET /a?b=%20#\xc3\xa9 2 lasting ." },
		{ "GET / HTTP/1.0\r\n\r\n", "|GET / 0 1.0 ." },
		{ "GET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\n", "|GET / 1 1.0 lasting ." },
		{ "GET / HTTP/1.9\r\nHost: d\r\nConnection: upgrade\r\nConnection: close\r\n\r\n",
		  "|GET / 3 ." },
		{ HEAD "Content-Length: 0\r\n\r\n", "|POST /body 2 lasting ." },
		{ HEAD "Content-Length: 3\r\nExpect: 100-Continue\r\n\r\nabc",
		  "|POST /body 3 lasting expecting abc." },
		{ HEAD "Content-Length: 3\r\n\r\nab", "|POST /body 2 lasting ab|more" },
		{ HEAD "Content-Length: 9223372036854775807\r\n\r\n",
		  "|POST /body 2 lasting |more" },
		{ HEAD "Content-Length: 3\r\n\r\nabcGET / HTTP/1.0\r\n\r\n",
		  "|POST /body 2 lasting abc.|GET / 0 1.0 ." },
		{ CHUNKED "0\r\n\r\n", "|POST /body 2 lasting chunked ." },
		{ CHUNKED "3\r\nabc\r\n00A ; x=\"y\"\r\n0123456789\r\n0\r\n\r\n",
		  "|POST /body 2 lasting chunked abc0123456789." },
		{ CHUNKED "1\r\n\r\r\n1 \r\n\n\r\n000;\r\nA: b\r\nC:\r\n\r\nGET / HTTP/1.0\r\n\r\n",
		  "|POST /body 2 lasting chunked \r\n.|GET / 0 1.0 ." },
		{ CHUNKED "7fffffffffffffff\r\n", "|POST /body 2 lasting chunked |more" },
		{ "GET / HTTP/1.1\r\nHost: d\r\n", "|more" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *outcome = read_all(str_from(rows[i].bytes));

		assert_string_equal(outcome, rows[i].outcome);
	}
}

/* Text, or a number of bytes of one kind between a beginning and an end. */
struct hostile {
	const char *status;
	struct str begin;
	size_t count;
	char filler;
	const char *end;
};

#define BAD(text) \
	{ \
		"400", STR(text), 0, 0, "" \
	}

static const struct hostile hostile[] = {
	/* request lines */
	BAD("GARBAGE\r\n\r\n"),
	BAD("\0\0\0\0\r\n\r\n"),
	BAD("GET\r\n\r\n"),
	BAD("GET /_ping\r\n\r\n"),
	BAD("GET  /_ping HTTP/1.1\r\nHost: d\r\n\r\n"),
	BAD("GET /_ping  HTTP/1.1\r\nHost: d\r\n\r\n"),
	BAD("GET /_ping HTTP/1.1 \r\nHost: d\r\n\r\n"),
	BAD(" GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n"),
	BAD("GET /_ping x HTTP/1.1\r\nHost: d\r\n\r\n"),
	BAD("GET /_\tping HTTP/1.1\r\nHost: d\r\n\r\n"),
	BAD("GET /_\0ping HTTP/1.1\r\nHost: d\r\n\r\n"),
	BAD("GET /_\x7fping HTTP/1.1\r\nHost: d\r\n\r\n"),
	BAD("G(T /_ping HTTP/1.1\r\nHost: d\r\n\r\n"),
	BAD(" /_ping HTTP/1.1\r\nHost: d\r\n\r\n"),
	BAD("GET /_ping HTTP/1.1\r\r\nHost: d\r\n\r\n"),
	BAD("\x16\x03\x01\x02\x00\x01\x00\n\r\n\r\n"), /* TLS */
	/* versions */
	BAD("GET /_ping HTTP/0.9\r\nHost: d\r\n\r\n"),
	BAD("GET /_ping HTTP/2.0\r\nHost: d\r\n\r\n"),
	BAD("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	BAD("GET /_ping HTTP/9.9\r\n\r\n"),
	BAD("GET /_ping HTTP/1.10\r\nHost: d\r\n\r\n"),
	BAD("GET /_ping HTTP/1\r\nHost: d\r\n\r\n"),
	BAD("GET /_ping http/1.1\r\nHost: d\r\n\r\n"),
	BAD("GET /_ping HTTP/1.x\r\nHost: d\r\n\r\n"),
	/* fields */
	BAD("GET /_ping HTTP/1.1\r\n\r\n"),
	BAD("GET /_ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
	BAD("GET /_ping HTTP/1.1\r\nHost : d\r\n\r\n"),
	BAD("GET /_ping HTTP/1.1\r\n Host: d\r\n\r\n"),
	BAD("GET /_ping HTTP/1.1\r\nHost: d\r\n folded\r\n\r\n"),
	BAD("GET /_ping HTTP/1.1\r\nHost: d\r\nnothing\r\n\r\n"),
	BAD("GET /_ping HTTP/1.1\r\nHost: d\r\n: empty\r\n\r\n"),
	BAD("GET /_ping HTTP/1.1\r\nHost: d\r\nX: a\0b\r\n\r\n"),
	BAD("GET /_ping HTTP/1.1\r\nHost: d\r\nX: a\rb\r\n\r\n"),
	BAD("GET /_ping HTTP/1.1\r\nHost: d\r\nX\xc3\xa9: a\r\n\r\n"),
	/* lengths */
	BAD(HEAD "Content-Length: -1\r\n\r\n"),
	BAD(HEAD "Content-Length: +1\r\n\r\n{"),
	BAD(HEAD "Content-Length:\r\n\r\n"),
	BAD(HEAD "Content-Length: 0x2\r\n\r\n{}"),
	BAD(HEAD "Content-Length: 2 2\r\n\r\n{}"),
	BAD(HEAD "Content-Length: 2, 2\r\n\r\n{}"),
	BAD(HEAD "Content-Length: 9223372036854775808\r\n\r\n"),
	BAD(HEAD "Content-Length: 99999999999999999999999\r\n\r\n"),
	BAD(HEAD "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}"),
	BAD(HEAD "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} "),
	BAD(HEAD "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"),
	BAD(HEAD "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}"),
	BAD(HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	BAD(HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n"),
	BAD(HEAD "Transfer-Encoding: identity\r\n\r\n"),
	BAD(HEAD "Transfer-Encoding: \"chunked\"\r\n\r\n"),
	BAD("POST /body HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	/* chunks */
	BAD(CHUNKED "zz\r\n{}\r\n"),
	BAD(CHUNKED "-2\r\n{}\r\n"),
	BAD(CHUNKED "+2\r\n{}\r\n"),
	BAD(CHUNKED "0x2\r\n{}\r\n"),
	BAD(CHUNKED " 2\r\n{}\r\n"),
	BAD(CHUNKED "\r\n{}\r\n"),
	BAD(CHUNKED ";x\r\n{}\r\n"),
	BAD(CHUNKED "2 2\r\n{}\r\n"),
	BAD(CHUNKED "2\n{}\r\n0\r\n\r\n"),
	BAD(CHUNKED "2;\x01\r\n{}\r\n0\r\n\r\n"),
	BAD(CHUNKED "2\r\n{}xx\r\n0\r\n\r\n"),
	BAD(CHUNKED "2\r\n{}\n0\r\n\r\n"),
	BAD(CHUNKED "2\r\n{}\rx0\r\n\r\n"),
	BAD(CHUNKED "ffffffffffffffffff\r\n"),
	BAD(CHUNKED "8000000000000000\r\n"),
	BAD(CHUNKED "2\r\n{}\r\n0\r\nno field\r\n\r\n"),
	BAD(CHUNKED "2\r\n{}\r\n0\r\n\n"),
	{ "400", STR(CHUNKED), HTTP_CHUNK_LINE_MAX + 1, '0', "2\r\n{}\r\n0\r\n\r\n" },
	{ "400", STR(CHUNKED "2;x="), HTTP_CHUNK_LINE_MAX, 'x', "\r\n{}\r\n0\r\n\r\n" },
	/* too much */
	{ "431", STR("GET /"), HTTP_HEAD_MAX, 'x', " HTTP/1.1\r\nHost: d\r\n\r\n" },
	{ "431", STR("GET /_ping HTTP/1.1\r\nHost: d\r\nX: "), HTTP_HEAD_MAX, 'x', "\r\n\r\n" },
	{ "431", STR(""), HTTP_HEAD_MAX + 1, '\n', "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n" },
	{ "413", STR(CHUNKED "0\r\nX: "), HTTP_TRAILER_MAX, 'x', "\r\n\r\n" },
};

static void print_hostile(const struct hostile *row, struct buf *out)
{
	buf_clear(out);
	buf_append(out, row->begin.data, row->begin.length);
	for (size_t i = 0; i < row->count; i++)
		buf_putc(out, row->filler);
	buf_puts(out, row->end);
}

static void test_refused(void **state)
{
	_cleanup_buf_ struct buf bytes = {};

	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		const char *wanted = *hostile[i].status == '4' && hostile[i].status[1] == '0'
			? "|invalid: "
			: "|too-large: ";
		_cleanup_free_ char *outcome = NULL;

		print_hostile(&hostile[i], &bytes);
		outcome = read_all((struct str){ bytes.data, bytes.length });
		if (!strstr(outcome, wanted))
			fail_msg("%.200s: %s", buf_text(&bytes), outcome);
	}
}

static void test_many_fields(void **state)
{
	_cleanup_buf_ struct buf head = {};
	_cleanup_free_ char *fits = NULL, *over = NULL;

	buf_puts(&head, "GET / HTTP/1.1\r\nHost: d\r\n");
	for (int i = 1; i < HTTP_FIELDS_MAX; i++)
		buf_puts(&head, "X: y\r\n");
	over = xasprintf("%sX: y\r\n\r\n", buf_text(&head));
	buf_puts(&head, "\r\n");
	fits = read_all((struct str){ head.data, head.length });
	assert_string_equal(fits, "|GET / 128 lasting .");
	buf_clear(&head);
	buf_puts(&head, over);
	replace_string(&over, NULL);
	over = read_all((struct str){ head.data, head.length });
	assert_true(starts_with(over, "|too-large: "));
}

/* ---- the same at a server ---- */

static const struct http_route routes[] = {
	{ "GET", "/_ping", get_ping },
	{ "POST", "/body", post_body },
	{},
};
static const struct http_route *const tables[] = { routes };

static int set_up(void **state)
{
	return start_group(state, tables);
}

/* Sends it in two writes and reads all there is to read. */
static void assert_refused(const struct fixture *f, const struct hostile *row,
			   const struct buf *bytes, size_t cut)
{
	_cleanup_close_ int fd = client_open(f);
	_cleanup_buf_ struct buf out = {};

	client_send(fd, bytes->data, cut);
	client_send(fd, bytes->data + cut, bytes->length - cut);
	client_read(fd, "}\n", &out);
	if (!starts_with(buf_text(&out), "HTTP/1.") ||
	    !starts_with(buf_text(&out) + 9, row->status) ||
	    !strstr(buf_text(&out), "\r\n\r\n{\"message\":\"") ||
	    !strstr(buf_text(&out), "Content-Type: application/json\r\n") ||
	    !strstr(buf_text(&out), "Connection: close\r\n"))
		fail_msg("%.200s\n--- cut at %zu, wanted %s ---\n%s", buf_text(bytes), cut,
			 row->status, buf_text(&out));
}

static void test_answers(void **state)
{
	_cleanup_buf_ struct buf bytes = {};
	const struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		print_hostile(&hostile[i], &bytes);
		for (size_t cut = 0; cut < MIN(bytes.length, (size_t)200); cut++)
			assert_refused(f, &hostile[i], &bytes, cut);
	}
	assert_reply(f, "GET /_ping" CLOSE, "200", NULL);
}

/* Half a request and an end: told so, as the other half of the connection is open. */
static void test_truncated(void **state)
{
	static const char *const requests[] = {
		"GET /_pi",
		"GET /_ping HTTP/1.1\r\nHost: d\r\n",
		HEAD "Content-Length: 3\r\n\r\n{}",
		CHUNKED "2\r\n{}\r\n",
		CHUNKED "2\r\n{}\r\n0\r\n",
	};
	const struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		_cleanup_close_ int fd = client_open(f);
		_cleanup_buf_ struct buf out = {};

		client_puts(fd, requests[i]);
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
		client_read(fd, NULL, &out);
		assert_true(starts_with(buf_text(&out), "HTTP/1.1 400 Bad Request\r\n"));
		assert_non_null(strstr(buf_text(&out), "{\"message\":\"the request ends within"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken),       cmocka_unit_test(test_refused),
		cmocka_unit_test(test_many_fields), cmocka_unit_test(test_answers),
		cmocka_unit_test(test_truncated),
	};

	return cmocka_run_group_tests(tests, set_up, stop_group);
}
