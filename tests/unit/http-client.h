/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server in a directory of its own, a client that speaks raw bytes, and the
 * handlers that more than one test of the server asks.
 */
#pragma once

#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "daemon/http.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { CLIENT_MS = 20000 };

/* Long enough for a loaded machine, short enough to wait for. */
static const struct http_limits limits = {
	.head_ms = 1500, .body_ms = 1500, .slow_ms = 1500, .connections = HTTP_CONNECTIONS_MAX
};

struct fixture {
	char directory[64];
	struct sockaddr_un address;
	struct http_server *server;
};

static cay_unused int client_open(const struct fixture *f)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&f->address, sizeof(f->address)), 0);
	return fd;
}

static cay_unused void client_send(int fd, const void *data, size_t size)
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

static cay_unused void client_puts(int fd, const char *text)
{
	client_send(fd, text, strlen(text));
}

/* Reads until `until` was read, or the end of the stream when it is NULL. */
static cay_unused void client_read(int fd, const char *until, struct buf *out)
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
static cay_unused const char *ask(const struct fixture *f, const char *request, struct buf *out)
{
	_cleanup_close_ int fd = client_open(f);

	buf_clear(out);
	client_puts(fd, request);
	client_read(fd, NULL, out);
	return buf_text(out);
}

/* The end of a request without a body on a connection of its own. */
#define CLOSE " HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"

static cay_unused void assert_reply(const struct fixture *f, const char *request,
				    const char *status, const char *text)
{
	_cleanup_buf_ struct buf out = {};
	const char *reply = ask(f, request, &out);

	if (!starts_with(reply, "HTTP/1.1 ") || !starts_with(reply + 9, status) ||
	    (text && !strstr(reply, text)))
		fail_msg("%.200s\n--- got ---\n%s\n--- wanted %s and %s", request, reply, status,
			 text ? text : "");
}

static cay_unused void assert_error(const struct fixture *f, const char *request,
				    const char *status)
{
	assert_reply(f, request, status, "{\"message\":");
}

static cay_unused void start_server(struct fixture *f, const struct http_route *const *tables)
{
	struct cay_error err = {};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)signal(SIGPIPE, SIG_IGN); /* as cayd does */
	make_test_directory(f->directory);
	f->address.sun_family = AF_UNIX;
	(void)snprintf(f->address.sun_path, sizeof(f->address.sun_path), "%s/s", f->directory);
	assert_int_equal(bind(fd, (struct sockaddr *)&f->address, sizeof(f->address)), 0);
	assert_int_equal(listen(fd, 128), 0);
	assert_ok(http_server_start(NULL, fd, tables, 1, &f->server, &err));
	http_server_set_limits(f->server, &limits);
}

static cay_unused void stop_server(struct fixture *f)
{
	struct cay_error err = {};

	http_server_stop(f->server);
	assert_ok(remove_tree(f->directory, &err));
}

/* For cmocka's groups. */
static cay_unused int start_group(void **state, const struct http_route *const *tables)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	start_server(f, tables);
	*state = f;
	return 0;
}

static cay_unused int stop_group(void **state)
{
	stop_server(*state);
	free(*state);
	return 0;
}

/* ---- handlers ---- */

static cay_unused int get_ping(struct daemon *daemon, struct http_request *request,
			       struct cay_error *err)
{
	return http_reply_text(request, 200, "text/plain; charset=utf-8", "OK");
}

static cay_unused int get_stream(struct daemon *daemon, struct http_request *request,
				 struct cay_error *err)
{
	if (http_stream_begin(request, 200, "application/json") < 0 ||
	    http_stream_write(request, "{\"a\":1}\n", 8) < 0 ||
	    http_stream_write(request, "", 0) < 0 ||
	    http_stream_write(request, "{\"b\":2}\n", 8) < 0)
		return 0;
	return 0;
}

/* Says whether there was a body, and of how many members. */
static cay_unused int post_body(struct daemon *daemon, struct http_request *request,
				struct cay_error *err)
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

#define POST_BODY "POST /body HTTP/1.1\r\nHost: d\r\nConnection: close\r\n"

/* Sends back what comes, then says that the end of it was seen. */
static cay_unused int post_attach(struct daemon *daemon, struct http_request *request,
				  struct cay_error *err)
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

#define UPGRADE \
	" HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n" \
	"Connection: Upgrade\r\nUpgrade: tcp\r\n"
