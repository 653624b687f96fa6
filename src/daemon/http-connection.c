/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection: its requests one after the other, until it ends or may not
 * go on. All of it happens in the connection's own thread, which may block: a
 * handler runs as a plain call.
 *
 * Every wait for the client has a deadline and ends when the server stops. A
 * head must come whole by its deadline, however steadily its bytes drip.
 */
#include "base/clock.h"
#include "base/log.h"
#include "daemon/http-internal.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

enum {
	READ_SIZE = 64 * 1024,
	/*
	 * How long a client that still sends what nobody wants is listened to after its reply:
	 * many look for a reply only once they have sent all, and one that can't send looks no
	 * more.
	 */
	LINGER_MS = 500,
};

/* ---- reading ---- */

struct str http_connection_unread(const struct http_connection *connection)
{
	return (struct str){ buf_text(&connection->in) + connection->used,
			     connection->in.length - connection->used };
}

void http_connection_use(struct http_connection *connection, struct str rest)
{
	connection->used = connection->in.length - rest.length;
}

void http_connection_release(struct http_connection *connection)
{
	assert(connection->used == connection->in.length);
	connection->used = 0;
	buf_done(&connection->in);
}

/* Waits until there is something to read. */
static int wait_readable(const struct http_connection *connection, int64_t deadline, int pair_fd)
{
	struct pollfd fds[] = {
		{ .fd = connection->socket, .events = POLLIN },
		{ .fd = connection->server->stop_fd, .events = POLLIN },
		{ .fd = pair_fd }, /* tells of a hang-up unasked */
	};

	for (;;) {
		int64_t left = deadline - clock_monotonic_ms();
		int n;

		if (left <= 0)
			return -ETIMEDOUT;
		n = poll(fds, ARRAY_SIZE(fds), (int)MIN(left, INT32_MAX));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n <= 0)
			continue;
		if (fds[1].revents)
			return -ECANCELED;
		if (fds[2].revents)
			return -ECONNABORTED;
		return 0;
	}
}

int http_connection_fill(struct http_connection *connection, int64_t deadline, int pair_fd)
{
	struct buf *in = &connection->in;
	int r;

	assert(connection->used == in->length);
	connection->used = 0;
	buf_clear(in);
	do {
		ssize_t n;

		r = wait_readable(connection, deadline, pair_fd);
		if (r < 0)
			return r;
		n = recv(connection->socket, buf_reserve(in, READ_SIZE), READ_SIZE, MSG_DONTWAIT);
		r = n < 0 ? -errno : (int)n;
	} while (r == -EAGAIN || r == -EINTR);
	if (r > 0)
		in->length = (size_t)r;
	return r;
}

/* Drops what comes until the client ends, for a while. */
static void linger(struct http_connection *connection)
{
	int64_t deadline = clock_monotonic_ms() + LINGER_MS;

	if (shutdown(connection->socket, SHUT_WR) < 0)
		return;
	do
		connection->used = connection->in.length;
	while (http_connection_fill(connection, deadline, -1) > 0);
}

/* ---- requests ---- */

int http_request_break(struct http_request *request, int reason, struct cay_error *err)
{
	__atomic_store_n(&request->broken, true, __ATOMIC_RELAXED);
	return cay_error_set(err, CAY_CANCELLED, reason, "the client has gone");
}

static void request_done(struct http_request *request)
{
	cay_close_p(&request->body_in);
	cay_close_p(&request->body_out);
	cay_close_p(&request->gone_fd);
	http_head_done(&request->head);
	http_body_done(&request->framing);
	http_target_done(&request->target);
	strv_done(&request->params);
	strv_done(&request->reply_names);
	strv_done(&request->reply_values);
	buf_done(&request->body);
	buf_done(&request->reply_body);
	json_decref(request->json);
	free(request->reply_type);
}

static void request_init(struct http_request *request, struct http_connection *connection)
{
	*request = (struct http_request){
		.server = connection->server,
		.connection = connection,
		.body_in = -1,
		.body_out = -1,
		.gone_fd = -1,
		.framing.state = HTTP_BODY_COUNTED, /* until the head tells: not over */
	};
}

static int read_head(struct http_request *request, struct cay_error *err)
{
	struct http_connection *connection = request->connection;
	int64_t deadline = clock_monotonic_ms() + request->server->limits.head_ms;

	for (;;) {
		struct str input = http_connection_unread(connection);
		int r = http_head_feed(&request->head, &input, err);

		http_connection_use(connection, input);
		if (r < 0 && err->code == CAY_TOO_LARGE)
			request->status = 431; /* RFC 6585: Request Header Fields Too Large */
		if (r != 0)
			return MIN(r, 0);
		if (request->head.taken == 0)
			http_connection_release(connection); /* it may be idle for long */
		r = http_connection_fill(connection, deadline, -1);
		/* A client that ends between requests has said all it had to say. */
		if (r < 0 || (r == 0 && request->head.taken == 0))
			return http_request_break(request, r < 0 ? -r : ECONNRESET, err);
		if (r == 0)
			return cay_error_set(err, CAY_INVALID, EBADMSG,
					     "the request ends within its head");
	}
}

/* What is to be done, by the head alone. */
static int route_request(struct http_request *request, struct cay_error *err)
{
	_cleanup_free_ char *allowed = NULL;
	int r = http_target_parse(request->head.target, &request->target, err);

	if (r == 0)
		r = http_router_find(&request->server->router, request->head.method,
				     &request->target, &request->route, &request->params, &allowed,
				     err);
	if (allowed) {
		http_set_header(request, "Allow", allowed);
		request->status = 405;
	}
	return r;
}

static int read_request(struct http_request *request, struct cay_error *err)
{
	int r = read_head(request, err);

	if (r < 0)
		return r;
	request->is_head = strcmp(request->head.method, "HEAD") == 0;
	http_body_init(&request->framing, &request->head);
	r = route_request(request, err);
	if (r == 0)
		r = http_body_check(request, err);
	if (r == 0 && !request->route->raw_body)
		r = http_body_read(request, err);
	if (r == 0 && http_server_stopping(request->server))
		r = cay_error_set(err, CAY_UNAVAILABLE, ESHUTDOWN, "the daemon is stopping");
	return r;
}

static int run_handler(struct http_request *request, struct cay_error *err)
{
	int r = request->route->handler(request->server->daemon, request, err);

	if (r >= 0 && request->answer == HTTP_ANSWER_NONE)
		r = cay_error_set(err, CAY_INTERNAL, 0, "nothing was answered");
	if (r < 0 && cay_code_http_status(err->code) >= 500 && err->code != CAY_UNSUPPORTED)
		log_warning("%s %s: %s", request->head.method, request->route->path, err->message);
	return r;
}

/* One request. False once the connection is over. */
static bool serve_request(struct http_connection *connection)
{
	_cleanup_(request_done) struct http_request request;
	struct cay_error error = {};
	bool complete;
	int r;

	request_init(&request, connection);
	r = read_request(&request, &error);
	if (r == 0) {
		r = run_handler(&request, &error);
		http_body_close(&request);
	}
	if (r < 0)
		http_reply_error(&request, &error);
	http_reply_finish(&request);
	complete = request.head.method && request.framing.state == HTTP_BODY_OVER;
	if (!complete && !request.broken)
		linger(connection);
	return complete && request.keep && !request.broken;
}

void *http_connection_run(void *user)
{
	struct http_connection *connection = user;
	struct http_server *server = connection->server;

	while (serve_request(connection))
		continue;
	buf_done(&connection->in);
	cay_close_p(&connection->socket);
	free(connection);
	http_server_forget_connection(server);
	return NULL;
}

void http_connection_refuse(struct http_connection *connection, const struct cay_error *error)
{
	_cleanup_(request_done) struct http_request request;
	char dropped[4096];

	request_init(&request, connection);
	/* What is left unread resets the connection, which some clients see before the reply. */
	(void)recv(connection->socket, dropped, sizeof(dropped), MSG_DONTWAIT);
	http_reply_error(&request, error);
	http_reply_finish(&request); /* a new socket has room for it */
	cay_close_p(&connection->socket);
	free(connection);
}
