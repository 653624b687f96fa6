/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server: routing, and what clients may and may not send. */
#include "http-client.h"

/* ---- handlers ---- */

static int get_echo(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	json_t *object = json_object();
	int64_t number = -1;
	int r;

	r = http_query_int(request, "n", 0, 100, &number, err);
	if (r < 0) {
		json_decref(object);
		return r;
	}
	json_set_string(object, "name", http_param(request, 0));
	json_set_int(object, "version", http_api_version(request));
	json_set_int(object, "n", number);
	json_set_bool(object, "all", http_query_bool(request, "all", false));
	if (http_query(request, "q"))
		json_set_string(object, "q", http_query(request, "q"));
	return http_reply_json(request, 200, object);
}

static int post_fail(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	int64_t code = 0;

	assert_int_equal(http_query_int(request, "code", 1, CAY_CODE_COUNT - 1, &code, err), 0);
	return cay_error_set(err, (enum cay_code)code, 0, "failed \"so\"");
}

static int get_half(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	if (http_stream_begin(request, 200, "application/json") == 0)
		(void)http_stream_write(request, "{\"a\":", 5);
	return cay_error_set(err, CAY_CORRUPT, EIO, "the other half is lost");
}

static const struct http_route routes[] = {
	{ "GET", "/_ping", get_ping },        { "GET", "/echo/*", get_echo },
	{ "GET", "/images/json", get_ping },  { "GET", "/images/**/json", get_echo },
	{ "DELETE", "/images/**", get_echo }, { "POST", "/body", post_body },
	{ "POST", "/fail", post_fail },       { "GET", "/stream", get_stream },
	{ "GET", "/half", get_half },         {},
};
static const struct http_route *const tables[] = { routes };

/* ---- tests ---- */

static void test_routes(void **state)
{
	const struct fixture *f = *state;

	assert_reply(f, "GET /_ping" CLOSE, "200", "\r\n\r\nOK");
	assert_reply(f, "GET /v1.24/_ping" CLOSE, "200", "Api-Version: 1.47\r\n");
	assert_reply(f, "GET /v1.47/echo/a%20b?n=7&all=1&q=x%2By+z" CLOSE, "200",
		     "{\"name\":\"a b\",\"version\":47,\"n\":7,\"all\":true,\"q\":\"x+y z\"}");
	assert_reply(f, "GET /v1.30/echo/x?all=false" CLOSE, "200",
		     "\"version\":30,\"n\":-1,\"all\":false");
	assert_reply(f, "GET /images/json" CLOSE, "200", "\r\n\r\nOK");
	assert_reply(f, "GET /images/host:5000/a/b:1/json" CLOSE, "200", "\"host:5000/a/b:1\"");
	assert_reply(f, "GET /images/library%2Fbusybox/json" CLOSE, "200", "\"library/busybox\"");
	assert_reply(f, "DELETE /images/a/json" CLOSE, "200", "\"a/json\"");
	assert_error(f, "GET /echo/x?n=101" CLOSE, "400");
	assert_error(f, "GET /echo/x?n=1e1" CLOSE, "400");
	assert_error(f, "GET /nothing" CLOSE, "404");
	assert_error(f, "GET /" CLOSE, "404");
	assert_error(f, "GET /v1.43" CLOSE, "404");
	assert_error(f, "GET /echo" CLOSE, "404");
	assert_error(f, "GET /echo/" CLOSE, "404");
	assert_error(f, "GET //_ping" CLOSE, "404");
	assert_reply(f, "PUT /images/a/json" CLOSE, "405", "Allow: GET, DELETE\r\n");
	assert_error(f, "BREW /_ping" CLOSE, "405");
}

static void test_versions(void **state)
{
	const struct fixture *f = *state;

	assert_reply(f, "GET /v1.99/_ping" CLOSE, "400",
		     "{\"message\":\"client version 1.99 is too new. "
		     "Maximum supported API version is 1.47\"}");
	assert_reply(f, "GET /v1.23/_ping" CLOSE, "400", "client version 1.23 is too old");
	assert_error(f, "GET /v2.0/_ping" CLOSE, "400");
	assert_error(f, "GET /v1.99999999999999999999/_ping" CLOSE, "404");
	assert_error(f, "GET /v1.4x/_ping" CLOSE, "404");
}

static void test_bad_paths(void **state)
{
	static const char *const refused[] = {
		"/echo/..",
		"/echo/../_ping",
		"/echo/%2e%2e",
		"/images/a/../../etc/json",
		"/images/..%2f../json",
		"/echo/a%00b",
		"/echo/a%0ab",
		"/echo/%",
		"/echo/%4",
		"/echo/%zz",
		"/echo/%ff",
		"/echo/x?q=%00",
		"/echo/x?q=%f",
		"/echo/x?%00=1",
		"/echo/%c0%ae%c0%ae",
		"/echo/a%7f",
		"http://host/_ping",
		"_ping",
		"/%2e/_ping",
	};
	const struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		_cleanup_free_ char *request = xasprintf("GET %s" CLOSE, refused[i]);

		assert_error(f, request, "400");
	}
}

static void test_many_arguments(void **state)
{
	_cleanup_buf_ struct buf request = {}, out = {};
	const struct fixture *f = *state;

	buf_puts(&request, "GET /echo/x?");
	for (int i = 0; i < 200; i++)
		buf_printf(&request, "a%d=1&", i);
	buf_puts(&request, CLOSE);
	assert_error(f, buf_text(&request), "400");

	buf_clear(&request);
	buf_puts(&request, "GET /images");
	for (int i = 0; i < 2000; i++)
		buf_puts(&request, "/a");
	buf_puts(&request, "/json" CLOSE);
	assert_error(f, buf_text(&request), "404");

	/* A head beyond every limit: refused, and the server goes on. */
	buf_clear(&request);
	buf_puts(&request, "GET /_ping HTTP/1.1\r\nHost: d\r\nX: ");
	for (int i = 0; i < 200 * 1024; i++)
		buf_putc(&request, 'x');
	buf_puts(&request, "\r\n\r\n");
	assert_true(starts_with(ask(f, buf_text(&request), &out), "HTTP/1.1 4"));
	assert_reply(f, "GET /_ping" CLOSE, "200", NULL);
}

static void assert_body(const struct fixture *f, const char *body, const char *status)
{
	_cleanup_free_ char *request = xasprintf(
		POST_BODY "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		strlen(body), body);

	if (*status == '4')
		assert_error(f, request, status);
	else
		assert_reply(f, request, status, NULL);
}

static void test_bodies(void **state)
{
	_cleanup_buf_ struct buf deep = {};
	const struct fixture *f = *state;

	assert_body(f, "{\"a\":1,\"b\":[]}", "201");
	assert_body(f, " {} \n", "201");
	assert_reply(f, POST_BODY "Content-Length: 0\r\n\r\n", "201", "\"empty\":true");
	assert_reply(f, POST_BODY "\r\n", "201", "\"empty\":true");
	assert_body(f, "{\"a\":1", "400");
	assert_body(f, "{} {}", "400");
	assert_body(f, "{}x", "400");
	assert_body(f, "[]", "400");
	assert_body(f, "\"x\"", "400");
	assert_body(f, "{\"a\":1,\"a\":2}", "400");
	assert_body(f, " ", "400");
	for (int i = 0; i < 100000; i++)
		buf_puts(&deep, "{\"a\":");
	assert_body(f, buf_text(&deep), "400");
	assert_error(f, POST_BODY "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", "400");
	assert_reply(f,
		     POST_BODY "Content-Type: application/json; charset=utf-8\r\n"
			       "Content-Length: 2\r\n\r\n{}",
		     "201", "\"members\":0");
}

static void test_framing(void **state)
{
	const struct fixture *f = *state;

	assert_reply(f,
		     POST_BODY "Transfer-Encoding: chunked\r\n\r\n"
			       "3\r\n{\"a\r\n4;x=y\r\n\":1}\r\n0\r\nX: y\r\n\r\n",
		     "201", "\"members\":1");
	assert_reply(f, POST_BODY "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "201",
		     "\"empty\":true");
	assert_error(f, POST_BODY "Transfer-Encoding: gzip\r\n\r\n", "400");
	assert_error(f, POST_BODY "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", "400");
	assert_error(f, POST_BODY "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
		     "400");
}

static void test_huge_bodies(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {};
	_cleanup_close_ int fd = client_open(f);
	static char block[65536];

	assert_error(f, POST_BODY "Content-Length: 4194305\r\n\r\n{", "400");

	/* Without a length it is counted as it comes. */
	client_puts(fd, POST_BODY "Transfer-Encoding: chunked\r\n\r\n");
	memset(block, ' ', sizeof(block));
	for (int i = 0; i < 128; i++) {
		client_puts(fd, "10000\r\n");
		client_send(fd, block, sizeof(block));
		client_puts(fd, "\r\n");
	}
	client_read(fd, NULL, &out);
	assert_true(starts_with(buf_text(&out), "HTTP/1.1 400"));
	assert_non_null(strstr(buf_text(&out), "{\"message\":\"request body is over"));
}

static void test_errors(void **state)
{
	const struct fixture *f = *state;

	for (enum cay_code code = 1; code < CAY_CODE_COUNT; code++) {
		_cleanup_free_ char *request = xasprintf("POST /fail?code=%d" CLOSE, code);
		_cleanup_free_ char *status = xasprintf("%d", cay_code_http_status(code));

		assert_reply(f, request, status,
			     code == CAY_NOT_MODIFIED ? NULL
						      : "{\"message\":\"failed \\\"so\\\"\"}");
	}
}

static void test_head(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {};

	assert_true(ends_with(ask(f, "HEAD /_ping" CLOSE, &out), "\r\n\r\n"));
	assert_non_null(strstr(buf_text(&out), "Api-Version: 1.47\r\n"));
	assert_non_null(strstr(buf_text(&out), "Content-Length: 2\r\n"));
	assert_true(ends_with(ask(f, "HEAD /stream" CLOSE, &out), "\r\n\r\n"));
	assert_true(starts_with(buf_text(&out), "HTTP/1.1 200"));
	assert_true(ends_with(ask(f, "HEAD /nothing" CLOSE, &out), "\r\n\r\n"));
	assert_true(starts_with(buf_text(&out), "HTTP/1.1 404"));
}

static void test_keep_alive(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {};
	_cleanup_close_ int fd = client_open(f);

	/* Two at once, as pipelining clients do, then one more on the same connection. */
	client_puts(fd,
		    "GET /echo/one HTTP/1.1\r\nHost: d\r\n\r\n"
		    "POST /body HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\n{}");
	client_read(fd, "\"members\":0}\n", &out);
	assert_non_null(strstr(buf_text(&out), "\"name\":\"one\""));
	client_puts(fd, "GET /echo/three" CLOSE);
	client_read(fd, NULL, &out);
	assert_non_null(strstr(buf_text(&out), "\"name\":\"three\""));
}

/* What ends by itself leaves the connection to the next request, also where it is an error. */
static void test_keep_alive_after_all(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {};
	_cleanup_close_ int fd = client_open(f);

	client_puts(fd, "GET /stream HTTP/1.1\r\nHost: d\r\n\r\n");
	client_read(fd, "\r\n0\r\n\r\n", &out);
	assert_null(strstr(buf_text(&out), "Connection: close"));
	buf_clear(&out);
	client_puts(fd, "HEAD /stream HTTP/1.1\r\nHost: d\r\n\r\n");
	client_read(fd, "\r\n\r\n", &out);
	buf_clear(&out);
	client_puts(fd, "GET /nothing HTTP/1.1\r\nHost: d\r\n\r\n");
	client_read(fd, "}\n", &out);
	assert_true(starts_with(buf_text(&out), "HTTP/1.1 404"));
	buf_clear(&out);
	client_puts(fd, "\r\nGET /_ping" CLOSE);
	client_read(fd, NULL, &out);
	assert_true(starts_with(buf_text(&out), "HTTP/1.1 200"));
	assert_non_null(strstr(buf_text(&out), "Connection: close\r\n"));
}

static void test_http10(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {};
	_cleanup_close_ int fd = client_open(f);

	assert_true(ends_with(ask(f, "GET /_ping HTTP/1.0\r\n\r\n", &out), "\r\n\r\nOK"));
	assert_true(starts_with(buf_text(&out), "HTTP/1.0 200"));
	assert_non_null(strstr(buf_text(&out), "Connection: close\r\n"));
	/* As people type it. */
	assert_true(ends_with(ask(f, "GET /_ping HTTP/1.0\n\n", &out), "\r\n\r\nOK"));
	buf_clear(&out);
	client_puts(fd, "GET /_ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	client_read(fd, "\r\n\r\nOK", &out);
	assert_non_null(strstr(buf_text(&out), "Connection: keep-alive\r\n"));
	buf_clear(&out);
	client_puts(fd, "GET /_ping HTTP/1.0\r\n\r\n");
	client_read(fd, NULL, &out);
	assert_true(starts_with(buf_text(&out), "HTTP/1.0 200"));
}

static void test_expect_continue(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {};
	_cleanup_close_ int fd = client_open(f), other = client_open(f);

	client_puts(fd, POST_BODY "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	client_read(fd, "\r\n\r\n", &out);
	assert_true(starts_with(buf_text(&out), "HTTP/1.1 100"));
	client_puts(fd, "{}");
	client_read(fd, NULL, &out);
	assert_non_null(strstr(buf_text(&out), "HTTP/1.1 201"));

	/* What is refused by its head needs no body. */
	buf_clear(&out);
	client_puts(other,
		    "POST /nothing HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\n"
		    "Content-Length: 200000\r\n\r\n");
	client_read(other, "}", &out);
	assert_true(starts_with(buf_text(&out), "HTTP/1.1 404"));
}

static void test_stream(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {};

	ask(f, "GET /stream" CLOSE, &out);
	assert_non_null(strstr(buf_text(&out), "Transfer-Encoding: chunked\r\n"));
	assert_non_null(strstr(buf_text(&out), "Content-Type: application/json\r\n"));
	assert_true(ends_with(buf_text(&out),
			      "\r\n\r\n8\r\n{\"a\":1}\n\r\n8\r\n{\"b\":2}\n\r\n0\r\n\r\n"));

	ask(f, "GET /stream HTTP/1.0\r\n\r\n", &out);
	assert_true(ends_with(buf_text(&out), "\r\n\r\n{\"a\":1}\n{\"b\":2}\n"));
	assert_null(strstr(buf_text(&out), "chunked"));

	/* One that fails is cut off, and its connection with it. */
	ask(f, "GET /half HTTP/1.1\r\nHost: d\r\n\r\n", &out);
	assert_true(ends_with(buf_text(&out), "\r\n\r\n5\r\n{\"a\":\r\n"));
}

static int set_up(void **state)
{
	return start_group(state, tables);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_bad_paths),
		cmocka_unit_test(test_many_arguments),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_framing),
		cmocka_unit_test(test_huge_bodies),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_keep_alive),
		cmocka_unit_test(test_keep_alive_after_all),
		cmocka_unit_test(test_http10),
		cmocka_unit_test(test_expect_continue),
		cmocka_unit_test(test_stream),
	};

	return cmocka_run_group_tests(tests, set_up, stop_group);
}
