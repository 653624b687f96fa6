/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a request is answered. Whole replies are kept until the handler has
 * ended; the heads and chunks of streams, and the heads of hijacked
 * connections, go out at once. All of it is written by send_all(), which gives
 * a client only so long to take it.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/http-internal.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

/* ---- whole replies ---- */

static void reply(struct http_request *request, enum http_answer answer, unsigned int status,
		  const char *type)
{
	assert(request->answer == HTTP_ANSWER_NONE);
	request->answer = answer;
	request->status = status;
	/* Where the body has not come to its end, nobody knows where the next request begins. */
	request->keep = request->head.is_lasting && !request->pumping &&
		request->framing.state == HTTP_BODY_OVER && answer != HTTP_ANSWER_HIJACK &&
		!http_server_stopping(request->server);
	replace_string(&request->reply_type, type);
}

int http_reply_json(struct http_request *request, unsigned int status, json_t *value)
{
	_cleanup_json_ json_t *owned = value;

	reply(request, HTTP_ANSWER_REPLY, status, "application/json");
	json_print_to(owned, &request->reply_body);
	buf_putc(&request->reply_body, '\n');
	return 0;
}

int http_reply_empty(struct http_request *request, unsigned int status)
{
	reply(request, HTTP_ANSWER_REPLY, status, NULL);
	return 0;
}

int http_reply_text(struct http_request *request, unsigned int status, const char *type,
		    const char *text)
{
	reply(request, HTTP_ANSWER_REPLY, status, type);
	buf_puts(&request->reply_body, text);
	return 0;
}

void http_reply_error(struct http_request *request, const struct cay_error *error)
{
	unsigned int status = (unsigned int)cay_code_http_status(error->code);
	json_t *object;

	/* Without its last chunk the client knows that a stream is not whole. */
	if (request->answer == HTTP_ANSWER_STREAM)
		__atomic_store_n(&request->broken, true, __ATOMIC_RELAXED);
	if (request->answer != HTTP_ANSWER_NONE)
		return;
	if (request->status != 0)
		status = request->status;
	if (status == 304) {
		http_reply_empty(request, status);
		return;
	}
	object = json_object();
	json_set_string(object, "message", error->message);
	http_reply_json(request, status, object);
}

void http_set_header(struct http_request *request, const char *name, const char *value)
{
	strv_add(&request->reply_names, name);
	strv_add(&request->reply_values, value);
}

/* ---- writing ---- */

/* Waits until the socket takes more. */
static int wait_writable(struct http_request *request, int64_t deadline)
{
	struct pollfd fds[] = {
		{ .fd = request->connection->socket, .events = POLLOUT },
		{ .fd = http_request_gone_fd(request), .events = POLLIN },
	};
	int64_t left = deadline - clock_monotonic_ms();
	int n;

	if (left <= 0)
		return -ETIMEDOUT;
	n = poll(fds, ARRAY_SIZE(fds), (int)left);
	if (n < 0 && errno != EINTR)
		return -errno;
	return n > 0 && fds[1].revents ? -EPIPE : 0;
}

/* Drops `count` bytes, and parts that are empty, from the front. */
static void advance(struct msghdr *message, size_t count)
{
	while (message->msg_iovlen > 0 && message->msg_iov->iov_len <= count) {
		count -= message->msg_iov->iov_len;
		message->msg_iov++;
		message->msg_iovlen--;
	}
	if (message->msg_iovlen == 0)
		return;
	message->msg_iov->iov_base = (char *)message->msg_iov->iov_base + count;
	message->msg_iov->iov_len -= count;
}

/* Writes all parts, or marks the request as broken. The parts are used up. */
static int send_all(struct http_request *request, struct iovec *parts, size_t count)
{
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = count };
	int64_t deadline = clock_monotonic_ms() + request->server->limits.slow_ms;
	int r = __atomic_load_n(&request->broken, __ATOMIC_RELAXED) ? -EPIPE : 0;

	while (r == 0 && message.msg_iovlen > 0) {
		ssize_t n =
			sendmsg(request->connection->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			advance(&message, (size_t)n);
		else if (errno == EAGAIN)
			r = wait_writable(request, deadline);
		else if (errno != EINTR)
			r = -errno;
	}
	if (r < 0)
		__atomic_store_n(&request->broken, true, __ATOMIC_RELAXED);
	return r;
}

/* ---- heads ---- */

static const char *reason_phrase(unsigned int status)
{
	static const struct {
		unsigned int status;
		const char *phrase;
	} rows[] = {
		{ 101, "UPGRADED" }, /* as docker says it */
		{ 200, "OK" },
		{ 201, "Created" },
		{ 204, "No Content" },
		{ 304, "Not Modified" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 409, "Conflict" },
		{ 413, "Content Too Large" },
		{ 431, "Request Header Fields Too Large" },
		{ 499, "Client Closed Request" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 507, "Insufficient Storage" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].status == status)
			return rows[i].phrase;
	return "Unknown";
}

static void print_date(struct buf *out)
{
	time_t now = time(NULL);
	char text[64];
	struct tm tm;

	/* cayd stays in the C locale, so the names are English. */
	if (gmtime_r(&now, &tm) && strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm))
		buf_printf(out, "Date: %s\r\n", text);
}

/* The head but for its last, empty line, and what it says about the body's length. */
static void print_head(const struct http_request *request, struct buf *out)
{
	bool is_http10 = request->head.is_http10;

	buf_printf(out,
		   "HTTP/1.%d %u %s\r\n"
		   "Api-Version: " API_VERSION "\r\n"
		   "Docker-Experimental: false\r\n"
		   "Ostype: linux\r\n"
		   "Server: cay/" CAY_VERSION " (linux)\r\n",
		   is_http10 ? 0 : 1, request->status, reason_phrase(request->status));
	print_date(out);
	if (request->reply_type)
		buf_printf(out, "Content-Type: %s\r\n", request->reply_type);
	for (size_t i = 0; i < request->reply_names.count; i++)
		buf_printf(out, "%s: %s\r\n", request->reply_names.items[i],
			   request->reply_values.items[i]);
	if (request->status == 101)
		buf_puts(out, "Connection: Upgrade\r\nUpgrade: tcp\r\n");
	else if (!request->keep)
		buf_puts(out, "Connection: close\r\n");
	else if (is_http10)
		buf_puts(out, "Connection: keep-alive\r\n");
}

static int send_head(struct http_request *request, const char *last_lines)
{
	_cleanup_buf_ struct buf head = {};
	struct iovec part;

	print_head(request, &head);
	buf_puts(&head, last_lines);
	part = (struct iovec){ head.data, head.length };
	return send_all(request, &part, 1);
}

static void send_reply(struct http_request *request)
{
	_cleanup_buf_ struct buf head = {};
	struct buf *body = &request->reply_body;
	struct iovec parts[2];

	print_head(request, &head);
	if (request->status != 204 && request->status != 304)
		buf_printf(&head, "Content-Length: %zu\r\n", body->length);
	buf_puts(&head, "\r\n");
	parts[0] = (struct iovec){ head.data, head.length };
	parts[1] = (struct iovec){ body->data, request->is_head ? 0 : body->length };
	(void)send_all(request, parts, ARRAY_SIZE(parts)); /* there is nobody else to tell */
}

void http_reply_continue(struct http_request *request)
{
	struct iovec part = { (char *)"HTTP/1.1 100 Continue\r\n\r\n", 25 };

	if (request->head.is_expecting && request->framing.state != HTTP_BODY_OVER &&
	    http_connection_unread(request->connection).length == 0)
		(void)send_all(request, &part, 1); /* reading the body tells */
}

/* ---- streams ---- */

/* A stream without chunks ends with its connection. */
static bool is_chunked(const struct http_request *request)
{
	return !request->head.is_http10 && !request->is_head;
}

int http_stream_begin(struct http_request *request, unsigned int status, const char *type)
{
	reply(request, HTTP_ANSWER_STREAM, status, type);
	if (request->head.is_http10)
		request->keep = false;
	return send_head(request,
			 request->head.is_http10 ? "\r\n" : "Transfer-Encoding: chunked\r\n\r\n");
}

int http_stream_write(struct http_request *request, const void *data, size_t size)
{
	char head[24];
	struct iovec parts[] = {
		{ head, 0 },
		{ (void *)data, size },
		{ (char *)"\r\n", is_chunked(request) ? 2 : 0 },
	};

	assert(request->answer == HTTP_ANSWER_STREAM);
	if (size == 0) /* a chunk of no length would end the stream */
		return 0;
	if (request->is_head) /* its client takes nothing more */
		return -EPIPE;
	if (is_chunked(request))
		parts[0].iov_len = (size_t)snprintf(head, sizeof(head), "%zx\r\n", size);
	return send_all(request, parts, ARRAY_SIZE(parts));
}

static void end_stream(struct http_request *request)
{
	struct iovec part = { (char *)"0\r\n\r\n", 5 };

	if (is_chunked(request))
		(void)send_all(request, &part, 1); /* there is nobody else to tell */
}

void http_reply_finish(struct http_request *request)
{
	/* The handler took for the end of the body what was its breaking off. */
	if (request->body_failed && request->answer == HTTP_ANSWER_REPLY) {
		request->answer = HTTP_ANSWER_NONE;
		request->status = 0;
		buf_clear(&request->reply_body);
		http_reply_error(request, &request->body_error);
	}
	if (request->answer == HTTP_ANSWER_REPLY)
		send_reply(request);
	else if (request->answer == HTTP_ANSWER_STREAM)
		end_stream(request);
}

/* ---- hijacking ---- */

static bool wants_upgrade(const struct http_request *request)
{
	const struct http_head *head = &request->head;

	return !head->is_http10 && !request->is_head &&
		http_head_has_token(head, "Connection", "upgrade") &&
		http_head_has_token(head, "Upgrade", "tcp");
}

int http_hijack(struct http_request *request, const char *type, int *ret_socket,
		struct buf *ret_extra, struct cay_error *err)
{
	struct http_connection *connection = request->connection;
	struct str extra;
	int r;

	assert(!request->route->raw_body);
	reply(request, HTTP_ANSWER_HIJACK, wants_upgrade(request) ? 101 : 200, type);
	r = send_head(request, "\r\n");
	if (r < 0)
		return http_request_break(request, -r, err);
	extra = http_connection_unread(connection);
	buf_append(ret_extra, extra.data, extra.length);
	http_connection_use(connection, (struct str){ 0 });
	http_connection_release(connection);
	*ret_socket = connection->socket;
	return 0;
}
