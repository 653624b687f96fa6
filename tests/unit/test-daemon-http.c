/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server, spoken to with raw bytes over its socket: routing, what
 * clients may and may not send, streams, hijacked connections, and that
 * clients who vanish leave nothing behind.
 */
#include "test.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "daemon/http.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { CLIENT_MS = 20000 };

/* Long enough for a loaded machine, short enough to wait for. */
static const struct http_limits limits = { .head_ms = 1500, .body_ms = 1500, .slow_ms = 1500 };

struct fixture {
	char directory[64];
	struct sockaddr_un address;
	struct http_server *server;
};

/* What handlers leave for the tests. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int waiting, gone; /* in wait_gone() */
	int stream_result;
	size_t stream_bytes;
	bool stream_ended;
} seen = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* ---- handlers ---- */

static int get_ping(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	return http_reply_text(request, 200, "text/plain; charset=utf-8", "OK");
}

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

static int post_body(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	json_t *body, *object;
	int r;

	r = http_body_json(request, &body, err);
	if (r < 0)
		return r;
	object = json_object();
	json_set_bool(object, "empty", !body);
	if (body)
		json_set_int(object, "members", (int64_t)json_object_size(body));
	return http_reply_json(request, 201, object);
}

static int post_fail(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	int64_t code = 0;

	assert_int_equal(http_query_int(request, "code", 1, CAY_CODE_COUNT - 1, &code, err), 0);
	return cay_error_set(err, (enum cay_code)code, 0, "failed \"so\"");
}

static int get_stream(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	if (http_stream_begin(request, 200, "application/json") < 0 ||
	    http_stream_write(request, "{\"a\":1}\n", 8) < 0 ||
	    http_stream_write(request, "", 0) < 0 ||
	    http_stream_write(request, "{\"b\":2}\n", 8) < 0)
		return 0;
	return 0;
}

/* Writes until its client is no longer there. */
static int get_endless(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	static const char block[64 * 1024];
	int r = http_stream_begin(request, 200, "application/octet-stream");
	size_t bytes = 0;

	while (r == 0) {
		r = http_stream_write(request, block, sizeof(block));
		bytes += r == 0 ? sizeof(block) : 0;
	}
	pthread_mutex_lock(&seen.lock);
	seen.stream_result = r;
	seen.stream_bytes = bytes;
	seen.stream_ended = true;
	pthread_cond_broadcast(&seen.changed);
	pthread_mutex_unlock(&seen.lock);
	return 0;
}

static void count_waiting(bool gone)
{
	pthread_mutex_lock(&seen.lock);
	seen.waiting += !gone;
	seen.gone += gone;
	pthread_cond_broadcast(&seen.changed);
	pthread_mutex_unlock(&seen.lock);
}

static int get_wait(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	struct pollfd gone = { .fd = http_request_gone_fd(request), .events = POLLIN };
	struct cay_error stopped;
	bool was_gone = http_request_gone(request);

	count_waiting(false);
	if (!was_gone && poll(&gone, 1, CLIENT_MS) > 0 && http_request_gone(request))
		count_waiting(true);
	return cay_error_set(err ? err : &stopped, CAY_CANCELLED, ECANCELED, "gone");
}

/* Sends back what comes, then says that the end of it was seen. */
static int post_attach(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_buf_ struct buf extra = {};
	json_t *body;
	char data[4096];
	int socket, r;

	r = http_body_json(request, &body, err);
	if (r < 0)
		return r;
	if (http_query_bool(request, "missing", false))
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "No such container: x");
	r = http_hijack(request, "application/vnd.docker.raw-stream", &socket, &extra, err);
	if (r < 0)
		return r;
	if (write_full(socket, "hello\n", 6) < 0 ||
	    write_full(socket, buf_text(&extra), extra.length) < 0)
		return 0;
	for (;;) {
		ssize_t n = read(socket, data, sizeof(data));

		if (n <= 0)
			break;
		if (write_full(socket, data, (size_t)n) < 0)
			return 0;
	}
	(void)write_full(socket, "end\n", 4);
	return 0;
}

/* Waits for whoever comes first: the end of the client's input, or the client's own. */
static int post_hold(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_buf_ struct buf extra = {};
	struct pollfd gone;
	int socket, r;

	r = http_hijack(request, "application/vnd.docker.multiplexed-stream", &socket, &extra, err);
	if (r < 0)
		return r;
	gone = (struct pollfd){ .fd = http_request_gone_fd(request), .events = POLLIN };
	count_waiting(false);
	if (poll(&gone, 1, CLIENT_MS) > 0)
		count_waiting(true);
	return 0;
}

static int post_upload(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	json_t *object = json_object();
	uint64_t total = 0, sum = 0;
	unsigned char data[8192];
	int fd;

	assert_int_equal(http_body_fd(request, &fd, err), 0);
	for (;;) {
		ssize_t n = read(fd, data, sizeof(data));

		if (n <= 0)
			break;
		if (total == 0)
			count_waiting(false);
		total += (uint64_t)n;
		for (ssize_t i = 0; i < n; i++)
			sum += data[i];
	}
	if (http_request_gone(request))
		count_waiting(true);
	json_set_int(object, "total", (int64_t)total);
	json_set_int(object, "sum", (int64_t)sum);
	return http_reply_json(request, 200, object);
}

static int post_refuse(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	return cay_error_set(err, CAY_INVALID, EINVAL, "not an archive");
}

static const struct http_route routes[] = {
	{ "GET", "/_ping", get_ping },
	{ "GET", "/echo/*", get_echo },
	{ "GET", "/images/json", get_ping },
	{ "GET", "/images/**/json", get_echo },
	{ "DELETE", "/images/**", get_echo },
	{ "POST", "/body", post_body },
	{ "POST", "/fail", post_fail },
	{ "GET", "/stream", get_stream },
	{ "GET", "/endless", get_endless },
	{ "GET", "/wait", get_wait },
	{ "POST", "/attach", post_attach },
	{ "POST", "/hold", post_hold },
	{ "POST", "/upload", post_upload, .raw_body = true },
	{ "POST", "/refuse", post_refuse, .raw_body = true },
	{},
};
static const struct http_route *const tables[] = { routes };

/* ---- the client ---- */

static int client_open(const struct fixture *f)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&f->address, sizeof(f->address)), 0);
	return fd;
}

static void client_send(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t n = send(fd, at, size, MSG_NOSIGNAL);

		if (n < 0)
			return; /* refused early: the reply tells */
		at += n;
		size -= (size_t)n;
	}
}

static void client_puts(int fd, const char *text)
{
	client_send(fd, text, strlen(text));
}

/* Reads until `until` was read, or the end of the stream when it is NULL. */
static void client_read(int fd, const char *until, struct buf *out)
{
	int64_t deadline = clock_monotonic_ms() + CLIENT_MS;

	while (!until || !strstr(buf_text(out), until)) {
		struct pollfd waiting = { .fd = fd, .events = POLLIN };
		int64_t left = deadline - clock_monotonic_ms();
		ssize_t n;

		if (left <= 0 || poll(&waiting, 1, (int)left) <= 0)
			fail_msg("the server is silent after: %s", buf_text(out));
		n = read(fd, buf_reserve(out, 65536), 65536);
		if (n <= 0)
			return;
		out->length += (size_t)n;
		out->data[out->length] = '\0';
	}
}

/* One request on a connection of its own, and all that comes back. */
static const char *ask(const struct fixture *f, const char *request, struct buf *out)
{
	_cleanup_close_ int fd = client_open(f);

	buf_clear(out);
	client_puts(fd, request);
	client_read(fd, NULL, out);
	return buf_text(out);
}

#define CLOSE " HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"

static void assert_reply(const struct fixture *f, const char *request, const char *status,
			 const char *text)
{
	_cleanup_buf_ struct buf out = {};
	const char *reply = ask(f, request, &out);

	if (!starts_with(reply, "HTTP/1.1 ") || !starts_with(reply + 9, status) ||
	    (text && !strstr(reply, text)))
		fail_msg("%.200s\n--- got ---\n%s\n--- wanted %s and %s", request, reply, status,
			 text ? text : "");
}

static void assert_error(const struct fixture *f, const char *request, const char *status)
{
	assert_reply(f, request, status, "{\"message\":");
}

static unsigned int count_entries(const char *path)
{
	DIR *directory = opendir(path);
	unsigned int count = 0;

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* Descriptors and threads, once they are as few as before, or after a while. */
static void assert_settles(const char *path, unsigned int before)
{
	int64_t deadline = clock_monotonic_ms() + CLIENT_MS;

	while (count_entries(path) > before && clock_monotonic_ms() < deadline)
		usleep(20000);
	assert_int_equal(count_entries(path), before);
}

static void wait_for(unsigned int *number, unsigned int wanted)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += CLIENT_MS / 1000;
	pthread_mutex_lock(&seen.lock);
	while (*number < wanted && r == 0)
		r = pthread_cond_timedwait(&seen.changed, &seen.lock, &until);
	assert_int_equal(*number, wanted);
	pthread_mutex_unlock(&seen.lock);
}

static void forget_seen(void)
{
	pthread_mutex_lock(&seen.lock);
	seen.waiting = seen.gone = 0;
	pthread_mutex_unlock(&seen.lock);
}

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

#define POST_BODY "POST /body HTTP/1.1\r\nHost: d\r\nConnection: close\r\n"

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
	_cleanup_buf_ struct buf out = {};

	assert_reply(f,
		     POST_BODY "Transfer-Encoding: chunked\r\n\r\n"
			       "3\r\n{\"a\r\n4;x=y\r\n\":1}\r\n0\r\nX: y\r\n\r\n",
		     "201", "\"members\":1");
	assert_reply(f, POST_BODY "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "201",
		     "\"empty\":true");
	/* These are libmicrohttpd's to refuse, without our words. */
	assert_reply(f, POST_BODY "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", "400", NULL);
	assert_reply(f, POST_BODY "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n", "400", NULL);
	assert_reply(f, POST_BODY "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\n", "4",
		     NULL);
	assert_reply(f, POST_BODY "Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx\r\n0\r\n\r\n", "400",
		     NULL);
	assert_reply(f, POST_BODY "Content-Length: -1\r\n\r\n", "400", NULL);
	assert_reply(f, POST_BODY "Content-Length: 99999999999999999999999\r\n\r\n", "4", NULL);
	assert_error(f, POST_BODY "Transfer-Encoding: gzip\r\n\r\n", "400");
	assert_error(f, POST_BODY "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", "400");
	assert_error(f, POST_BODY "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
		     "400");
	/* A body that never ends: the connection is not answered with success. */
	assert_false(starts_with(ask(f, "GARBAGE\r\n\r\n", &out), "HTTP/1.1 2"));
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

	ask(f, "GET /stream HTTP/1.1\r\nHost: d\r\n\r\n", &out);
	assert_non_null(strstr(buf_text(&out), "Transfer-Encoding: chunked\r\n"));
	assert_non_null(strstr(buf_text(&out), "Content-Type: application/json\r\n"));
	assert_true(ends_with(buf_text(&out),
			      "\r\n\r\n8\r\n{\"a\":1}\n\r\n8\r\n{\"b\":2}\n\r\n0\r\n\r\n"));

	ask(f, "GET /stream HTTP/1.0\r\n\r\n", &out);
	assert_true(ends_with(buf_text(&out), "\r\n\r\n{\"a\":1}\n{\"b\":2}\n"));
	assert_null(strstr(buf_text(&out), "chunked"));
}

static void await_stream_end(int expected)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += CLIENT_MS / 1000;
	pthread_mutex_lock(&seen.lock);
	while (!seen.stream_ended && pthread_cond_timedwait(&seen.changed, &seen.lock, &until) == 0)
		;
	assert_true(seen.stream_ended);
	assert_int_equal(seen.stream_result, expected);
	seen.stream_ended = false;
	pthread_mutex_unlock(&seen.lock);
}

static void test_vanishing_reader(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {};
	int fd = client_open(f);

	client_puts(fd, "GET /endless HTTP/1.1\r\nHost: d\r\n\r\n");
	client_read(fd, "\r\n\r\n", &out);
	close(fd);
	await_stream_end(-EPIPE);
}

/* The reader keeps its connection and reads nothing. */
static void test_slow_reader(void **state)
{
	const struct fixture *f = *state;
	_cleanup_close_ int fd = client_open(f);
	int64_t begun = clock_monotonic_ms();

	client_puts(fd, "GET /endless HTTP/1.1\r\nHost: d\r\n\r\n");
	assert_reply(f, "GET /_ping" CLOSE, "200", NULL);
	await_stream_end(-ETIMEDOUT);
	assert_true(clock_monotonic_ms() - begun >= limits.slow_ms);
	assert_true(seen.stream_bytes < 4 * MIB);
}

/* Reads until the server hangs up, which it must do in about the given time. */
static void assert_hung_up(int fd, int64_t begun, int64_t after_ms)
{
	_cleanup_buf_ struct buf out = {};

	client_read(fd, NULL, &out);
	assert_int_equal(out.length, 0);
	assert_true(clock_monotonic_ms() - begun >= after_ms);
	assert_true(clock_monotonic_ms() - begun < after_ms + CLIENT_MS / 2);
}

static void test_deadlines(void **state)
{
	const struct fixture *f = *state;
	_cleanup_close_ int idle = client_open(f), drip = client_open(f), body = client_open(f);
	_cleanup_close_ int wait = client_open(f);
	_cleanup_buf_ struct buf out = {};
	int64_t begun = clock_monotonic_ms();

	forget_seen();
	client_puts(body, POST_BODY "Content-Length: 10\r\n\r\n{");
	client_puts(wait, "GET /wait HTTP/1.1\r\nHost: d\r\n\r\n");
	wait_for(&seen.waiting, 1);
	/* A byte now and then does not renew it. */
	client_puts(drip, "GET /_ping HTTP/1.1\r\n");
	while (clock_monotonic_ms() - begun < limits.head_ms + 200) {
		client_puts(drip, "X");
		usleep(50000);
	}
	assert_hung_up(drip, begun, limits.head_ms);
	assert_hung_up(idle, begun, limits.head_ms);
	assert_hung_up(body, begun, limits.body_ms);
	/* A handler that waits is no one's fault. */
	wait_for(&seen.gone, 0);
	assert_reply(f, "GET /_ping" CLOSE, "200", NULL);
}

static void test_gone(void **state)
{
	const struct fixture *f = *state;
	int fd = client_open(f);

	forget_seen();
	client_puts(fd, "GET /wait HTTP/1.1\r\nHost: d\r\n\r\n");
	wait_for(&seen.waiting, 1);
	/* Having nothing more to say is not being gone. */
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	usleep(50000);
	wait_for(&seen.gone, 0);
	close(fd);
	wait_for(&seen.gone, 1);
}

#define UPGRADE \
	" HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n" \
	"Connection: Upgrade\r\nUpgrade: tcp\r\n"

static void test_upgrade(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {};
	_cleanup_close_ int fd = client_open(f);

	client_puts(fd, "POST /attach" UPGRADE "\r\nextra ");
	client_read(fd, "hello\n", &out);
	assert_true(starts_with(buf_text(&out), "HTTP/1.1 101"));
	assert_non_null(strstr(buf_text(&out), "Upgrade: tcp\r\n"));
	assert_non_null(
		strstr(buf_text(&out), "Content-Type: application/vnd.docker.raw-stream\r\n"));
	client_puts(fd, "and more\n");
	client_read(fd, "extra and more\n", &out);
	/* The end of input leaves the other direction open. */
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	client_read(fd, NULL, &out);
	assert_true(ends_with(buf_text(&out), "\r\n\r\nhello\nextra and more\nend\n"));
}

static void test_upgrade_with_body(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {};
	_cleanup_close_ int fd = client_open(f);

	client_puts(fd, "POST /attach" UPGRADE "Content-Length: 13\r\n\r\n{\"Tty\":false}extra");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	client_read(fd, NULL, &out);
	assert_true(starts_with(buf_text(&out), "HTTP/1.1 101"));
	assert_true(ends_with(buf_text(&out), "\r\n\r\nhello\nextraend\n"));
}

static void test_upgrade_refused(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {};
	_cleanup_close_ int fd = client_open(f);

	/* The connection stays one for requests. */
	client_puts(fd, "POST /attach?missing=1" UPGRADE "\r\n");
	client_read(fd, "}\n", &out);
	assert_true(starts_with(buf_text(&out), "HTTP/1.1 404"));
	buf_clear(&out);
	client_puts(fd, "POST /attach" UPGRADE "Content-Length: 2\r\n\r\n{x");
	client_read(fd, "}\n", &out);
	assert_true(starts_with(buf_text(&out), "HTTP/1.1 400"));
}

static void test_hijack_without_upgrade(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {};
	_cleanup_close_ int fd = client_open(f);

	client_puts(fd, "POST /attach HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n");
	client_read(fd, "hello\n", &out);
	assert_true(starts_with(buf_text(&out), "HTTP/1.1 200"));
	assert_null(strstr(buf_text(&out), "chunked"));
	client_puts(fd, "data\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	client_read(fd, NULL, &out);
	assert_true(ends_with(buf_text(&out), "\r\n\r\nhello\ndata\nend\n"));
}

static void test_upload(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {}, chunked = {};
	_cleanup_close_ int fd = client_open(f), other = client_open(f);
	static char block[65536];

	memset(block, 3, sizeof(block));
	client_puts(fd,
		    "POST /upload HTTP/1.1\r\nHost: d\r\nConnection: close\r\n"
		    "Content-Type: application/x-tar\r\nContent-Length: 16777216\r\n\r\n");
	for (int i = 0; i < 256; i++)
		client_send(fd, block, sizeof(block));
	client_read(fd, NULL, &out);
	assert_non_null(strstr(buf_text(&out), "{\"total\":16777216,\"sum\":50331648}"));

	buf_clear(&out);
	client_puts(other,
		    "POST /upload HTTP/1.1\r\nHost: d\r\nConnection: close\r\n"
		    "Transfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 100; i++) {
		client_puts(other, "10000\r\n");
		client_send(other, block, sizeof(block));
		client_puts(other, "\r\n");
	}
	client_puts(other, "0\r\n\r\n");
	client_read(other, NULL, &out);
	assert_non_null(strstr(buf_text(&out), "{\"total\":6553600,"));
	assert_reply(f, "POST /upload" CLOSE, "200", "{\"total\":0,");
}

/* A handler that does not want the rest answers at once, whatever the client goes on sending. */
static void test_upload_refused(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {};
	_cleanup_close_ int fd = client_open(f);
	static char block[65536];

	client_puts(fd, "POST /refuse HTTP/1.1\r\nHost: d\r\nContent-Length: 1073741824\r\n\r\n");
	client_send(fd, block, sizeof(block));
	client_read(fd, NULL, &out);
	assert_true(starts_with(buf_text(&out), "HTTP/1.1 400"));
	assert_true(ends_with(buf_text(&out), "\r\n\r\n{\"message\":\"not an archive\"}\n"));
	assert_error(f, "POST /refuse" CLOSE, "400");
}

static void test_upload_broken_off(void **state)
{
	const struct fixture *f = *state;
	static char block[65536];
	int fd = client_open(f);

	forget_seen();
	client_puts(fd, "POST /upload HTTP/1.1\r\nHost: d\r\nContent-Length: 1073741824\r\n\r\n");
	client_send(fd, block, sizeof(block));
	wait_for(&seen.waiting, 1);
	close(fd);
	wait_for(&seen.gone, 1);
}

static void vanish(const struct fixture *f, const char *request, unsigned int times)
{
	for (unsigned int i = 0; i < times; i++) {
		_cleanup_close_ int fd = client_open(f);

		client_puts(fd, request);
		/* Some go before they are answered, some after. */
		if (i % 4 == 0) {
			_cleanup_buf_ struct buf out = {};

			client_read(fd, "\r\n\r\n", &out);
		}
	}
}

static void test_vanishing_clients(void **state)
{
	const struct fixture *f = *state;
	unsigned int fds, threads;

	/* Threads and descriptors that the first connection makes for good are there now. */
	assert_reply(f, "GET /_ping" CLOSE, "200", NULL);
	usleep(200000);
	fds = count_entries("/proc/self/fd");
	threads = count_entries("/proc/self/task");
	vanish(f, "POST /attach" UPGRADE "\r\n", 1000);
	vanish(f, "POST /hold" UPGRADE "\r\n", 200);
	vanish(f, "POST /hold HTTP/1.1\r\nHost: d\r\n\r\n", 200);
	vanish(f,
	       "POST /upload HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\n"
	       "Content-Length: 100\r\n\r\n",
	       200);
	vanish(f, "GET /stream HTTP/1.1\r\nHost: d\r\n\r\n", 200);
	assert_settles("/proc/self/task", threads);
	assert_settles("/proc/self/fd", fds);
	assert_reply(f, "GET /_ping" CLOSE, "200", NULL);
}

static int start_server(struct fixture *f)
{
	struct cay_error err = {};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	make_test_directory(f->directory);
	f->address.sun_family = AF_UNIX;
	(void)snprintf(f->address.sun_path, sizeof(f->address.sun_path), "%s/s", f->directory);
	assert_int_equal(bind(fd, (struct sockaddr *)&f->address, sizeof(f->address)), 0);
	assert_int_equal(listen(fd, 128), 0);
	assert_ok(http_server_start(NULL, fd, tables, 1, &f->server, &err));
	http_server_set_limits(f->server, &limits);
	return 0;
}

static int set_up(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	*state = f;
	return start_server(f);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	struct cay_error err = {};

	http_server_stop(f->server);
	assert_ok(remove_tree(f->directory, &err));
	free(f);
	return 0;
}

/* Stopping ends streams, hijacked connections and idle ones, and closes every descriptor. */
static void test_stop(void **state)
{
	unsigned int fds = count_entries("/proc/self/fd");
	unsigned int threads = count_entries("/proc/self/task");
	struct fixture f = {};
	struct cay_error err = {};
	int clients[4];

	start_server(&f);
	forget_seen();
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = client_open(&f);
	client_puts(clients[0], "GET /wait HTTP/1.1\r\nHost: d\r\n\r\n");
	client_puts(clients[1], "POST /hold" UPGRADE "\r\n");
	client_puts(clients[2], "POST /upload HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\nx");
	wait_for(&seen.waiting, 3);
	http_server_stop(f.server);
	wait_for(&seen.gone, 3);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		close(clients[i]);
	assert_ok(remove_tree(f.directory, &err));
	assert_settles("/proc/self/fd", fds);
	assert_settles("/proc/self/task", threads);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First, while no connection of another test is about to be closed. */
		cmocka_unit_test(test_stop),
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
		cmocka_unit_test(test_expect_continue),
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_vanishing_reader),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_upgrade_with_body),
		cmocka_unit_test(test_upgrade_refused),
		cmocka_unit_test(test_hijack_without_upgrade),
		cmocka_unit_test(test_upload),
		cmocka_unit_test(test_upload_refused),
		cmocka_unit_test(test_upload_broken_off),
		cmocka_unit_test(test_vanishing_clients),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
