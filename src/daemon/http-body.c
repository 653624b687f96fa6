/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bodies of requests. JSON is read whole before its handler runs. A raw
 * body goes through a socket pair, which its handler reads like a file: the
 * pump, a thread that begins when the handler asks for the body, reads the
 * client's socket, undoes the chunks and writes the other side. The pair is
 * what makes one side's end known to the other.
 */
#include "base/clock.h"
#include "base/thread.h"
#include "daemon/http-internal.h"

#include <errno.h>
#include <sys/socket.h>

int http_body_check(const struct http_request *request, struct cay_error *err)
{
	if (request->route->raw_body || request->head.length <= HTTP_BODY_MAX)
		return 0;
	return cay_error_set(err, CAY_INVALID, EFBIG, "request body is over %d bytes",
			     HTTP_BODY_MAX);
}

/*
 * The next piece of the body, good until the next call: 1, or 0 at the end. -ECONNABORTED, without
 * an error set, when the handler wants no more.
 */
static int next_piece(struct http_request *request, struct str *ret_piece, struct cay_error *err)
{
	struct http_connection *connection = request->connection;

	while (request->framing.state != HTTP_BODY_OVER) {
		struct str input = http_connection_unread(connection);
		int64_t deadline;
		int r = http_body_feed(&request->framing, &input, ret_piece, err);

		http_connection_use(connection, input);
		if (r < 0 || ret_piece->length > 0)
			return r < 0 ? r : 1;
		if (request->framing.state == HTTP_BODY_OVER)
			break;
		deadline = clock_monotonic_ms() + request->server->limits.body_ms;
		r = http_connection_fill(connection, deadline, request->body_in);
		if (r == 0)
			return cay_error_set(err, CAY_INVALID, EBADMSG,
					     "the request ends within its body");
		if (r < 0)
			return r == -ECONNABORTED ? r : http_request_break(request, -r, err);
	}
	return 0;
}

int http_body_read(struct http_request *request, struct cay_error *err)
{
	struct str piece;
	int r;

	http_reply_continue(request);
	while ((r = next_piece(request, &piece, err)) > 0) {
		if (piece.length > HTTP_BODY_MAX - request->body.length)
			return cay_error_set(err, CAY_INVALID, EFBIG,
					     "request body is over %d bytes", HTTP_BODY_MAX);
		buf_append(&request->body, piece.data, piece.length);
	}
	return r;
}

/* ---- raw bodies ---- */

/* False when the handler has ended. */
static bool forward(const struct http_request *request, struct str piece)
{
	while (piece.length > 0) {
		ssize_t n = send(request->body_in, piece.data, piece.length, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return false;
		piece.data += MAX(n, 0);
		piece.length -= (size_t)MAX(n, 0);
	}
	return true;
}

static void *pump_thread(void *user)
{
	struct http_request *request = user;
	struct str piece;
	int r;

	while ((r = next_piece(request, &piece, &request->body_error)) > 0)
		if (!forward(request, piece))
			break;
	if (r < 0 && r != -ECONNABORTED)
		__atomic_store_n(&request->body_failed, true, __ATOMIC_RELEASE);
	/* The handler reads the end. */
	shutdown(request->body_in, SHUT_WR);
	return NULL;
}

int http_body_fd(struct http_request *request, int *ret_fd, struct cay_error *err)
{
	int pair[2], r = 0;

	assert(request->route->raw_body);
	if (request->body_out < 0) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
			return cay_error_errno(err, errno, "can't make a socket pair");
		request->body_in = pair[0];
		request->body_out = pair[1];
		/* Here and not in the pump, which must not write beside the handler. */
		http_reply_continue(request);
		request->pumping = true;
		r = thread_start(HTTP_STACK_SIZE, pump_thread, request, &request->pump);
		if (r < 0) {
			request->pumping = false;
			return cay_error_errno(err, r, "can't start a thread");
		}
	}
	*ret_fd = request->body_out;
	return 0;
}

void http_body_close(struct http_request *request)
{
	if (!request->pumping)
		return;
	/* Wakes the pump, wherever it waits. */
	shutdown(request->body_out, SHUT_RDWR);
	pthread_join(request->pump, NULL);
	request->pumping = false;
}
