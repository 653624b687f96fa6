/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a request is answered. Whole replies are kept until libmicrohttpd takes
 * them; the heads and chunks of streams, and of hijacked connections that were
 * not upgraded, are written to the socket here.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/http-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* ---- whole replies ---- */

static void reply(struct http_request *request, unsigned int status, const char *type)
{
	assert(request->answer == HTTP_ANSWER_NONE);
	request->answer = HTTP_ANSWER_REPLY;
	request->status = status;
	replace_string(&request->reply_type, type);
}

int http_reply_json(struct http_request *request, unsigned int status, json_t *value)
{
	_cleanup_json_ json_t *owned = value;

	reply(request, status, "application/json");
	json_print_to(owned, &request->reply_body);
	buf_putc(&request->reply_body, '\n');
	return 0;
}

int http_reply_empty(struct http_request *request, unsigned int status)
{
	reply(request, status, NULL);
	return 0;
}

int http_reply_text(struct http_request *request, unsigned int status, const char *type,
		    const char *text)
{
	reply(request, status, type);
	buf_puts(&request->reply_body, text);
	return 0;
}

void http_reply_error(struct http_request *request, const struct cay_error *error)
{
	unsigned int status = (unsigned int)cay_code_http_status(error->code);
	json_t *object;

	if (request->answer != HTTP_ANSWER_NONE)
		return;
	if (request->status != 0)
		status = request->status;
	if (status == MHD_HTTP_NOT_MODIFIED) {
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

void http_reply_headers(const struct http_request *request,
			void (*visit)(const char *name, const char *value, void *user), void *user)
{
	visit("Api-Version", API_VERSION, user);
	visit("Docker-Experimental", "false", user);
	visit("Ostype", "linux", user);
	visit("Server", "cay/" CAY_VERSION " (linux)", user);
	if (request->reply_type)
		visit("Content-Type", request->reply_type, user);
	for (size_t i = 0; i < request->reply_names.count; i++)
		visit(request->reply_names.items[i], request->reply_values.items[i], user);
}

/* ---- written by ourselves ---- */

/* Waits until the socket takes more. */
static int wait_writable(struct http_request *request, int64_t deadline)
{
	struct pollfd fds[] = {
		{ .fd = request->socket, .events = POLLOUT },
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

/* Writes all parts, or marks the request as broken. The parts are used up. */
static int send_all(struct http_request *request, struct iovec *parts, size_t count)
{
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = count };
	int64_t deadline = clock_monotonic_ms() + request->server->limits.slow_ms;
	int r = __atomic_load_n(&request->broken, __ATOMIC_RELAXED) ? -EPIPE : 0;

	while (r == 0 && message.msg_iovlen > 0) {
		ssize_t n = sendmsg(request->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			r = wait_writable(request, deadline);
		else if (n < 0 && errno != EINTR)
			r = -errno;
		while (n > 0 || (message.msg_iovlen > 0 && message.msg_iov->iov_len == 0)) {
			size_t step = MIN((size_t)MAX(n, 0), message.msg_iov->iov_len);

			message.msg_iov->iov_base = (char *)message.msg_iov->iov_base + step;
			message.msg_iov->iov_len -= step;
			n -= (ssize_t)step;
			if (message.msg_iov->iov_len == 0) {
				message.msg_iov++;
				message.msg_iovlen--;
			}
		}
	}
	if (r < 0)
		__atomic_store_n(&request->broken, true, __ATOMIC_RELAXED);
	return r;
}

static void print_header(const char *name, const char *value, void *user)
{
	buf_printf(user, "%s: %s\r\n", name, value);
}

static void print_head(struct http_request *request, struct buf *out)
{
	const char *reason = MHD_get_reason_phrase_for(request->status);

	buf_printf(out, "HTTP/1.%d %u %s\r\n", request->is_http10 ? 0 : 1, request->status,
		   reason ? reason : "Unknown");
	http_reply_headers(request, print_header, out);
}

void http_reply_directly(struct http_request *request)
{
	_cleanup_buf_ struct buf out = {};
	struct iovec part;

	if (request->answer != HTTP_ANSWER_REPLY)
		return;
	print_head(request, &out);
	buf_printf(&out, "Content-Length: %zu\r\nConnection: close\r\n\r\n",
		   request->reply_body.length);
	if (!request->is_head)
		buf_append(&out, buf_text(&request->reply_body), request->reply_body.length);
	part = (struct iovec){ out.data, out.length };
	(void)send_all(request, &part, 1); /* there is nobody else to tell */
	request->answer = HTTP_ANSWER_STREAM;
}

int http_stream_begin(struct http_request *request, unsigned int status, const char *type)
{
	_cleanup_buf_ struct buf out = {};
	struct iovec part;

	reply(request, status, type);
	request->answer = HTTP_ANSWER_STREAM;
	print_head(request, &out);
	buf_printf(&out, "%sConnection: close\r\n\r\n",
		   request->is_http10 ? "" : "Transfer-Encoding: chunked\r\n");
	part = (struct iovec){ out.data, out.length };
	return send_all(request, &part, 1);
}

int http_stream_write(struct http_request *request, const void *data, size_t size)
{
	char head[24];
	struct iovec parts[] = {
		{ head, 0 },
		{ (void *)data, size },
		{ (char *)"\r\n", request->is_http10 ? 0 : 2 },
	};

	assert(request->answer == HTTP_ANSWER_STREAM);
	if (size == 0) /* a chunk of no length would end the stream */
		return 0;
	if (request->is_head) /* its client takes nothing more */
		return -EPIPE;
	if (!request->is_http10)
		parts[0].iov_len = (size_t)snprintf(head, sizeof(head), "%zx\r\n", size);
	return send_all(request, parts, ARRAY_SIZE(parts));
}

void http_stream_end(struct http_request *request)
{
	struct iovec part = { (char *)"0\r\n\r\n", 5 };

	if (!request->is_http10 && !request->is_head)
		(void)send_all(request, &part, 1); /* the connection is closed next */
}

/* ---- hijacking ---- */

static int set_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ? -errno : 0;
}

static int hijack_raw(struct http_request *request)
{
	_cleanup_buf_ struct buf out = {};
	struct iovec part;

	request->answer = HTTP_ANSWER_RAW;
	print_head(request, &out);
	buf_puts(&out, "Connection: close\r\n\r\n");
	part = (struct iovec){ out.data, out.length };
	return send_all(request, &part, 1);
}

int http_hijack(struct http_request *request, const char *type, int *ret_socket,
		struct buf *ret_extra, struct cay_error *err)
{
	bool upgrade = http_wants_upgrade(request) && !request->route->raw_body;
	int r;

	reply(request, upgrade ? MHD_HTTP_SWITCHING_PROTOCOLS : MHD_HTTP_OK, type);
	if (upgrade) {
		request->answer = HTTP_ANSWER_UPGRADE;
		r = http_handler_upgrade(request);
	} else {
		r = hijack_raw(request);
	}
	if (r == 0)
		r = set_blocking(request->socket);
	if (r < 0) {
		__atomic_store_n(&request->broken, true, __ATOMIC_RELAXED);
		return cay_error_set(err, CAY_CANCELLED, -r, "the client has gone");
	}
	buf_append(ret_extra, buf_text(&request->upgrade_extra), request->upgrade_extra.length);
	buf_clear(&request->upgrade_extra);
	*ret_socket = request->socket;
	return 0;
}
