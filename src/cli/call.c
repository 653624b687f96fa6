/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call to the daemon: a connection, a request, and the answer through the
 * HTTP parser. Sending a head and a small body blocks; receiving is in one
 * step, call_pump(), that a poll loop can drive and on which the blocking forms
 * stand. A file as the body goes out in those steps too, so that what the
 * daemon says meanwhile is read: it may say much about a long archive.
 */
#include "cli/client.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/http.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum {
	READ_SIZE = 64 * 1024,
	ERROR_BODY_MAX = 64 * 1024,
};

struct call {
	int fd;
	struct http_parser parser;
	struct buf input; /* received behind the head of a hijacked connection */
	struct buf body;  /* received and not yet handed out */
	bool hijack;
	bool ended;          /* the answer is complete */
	int source;          /* of the request's body, not ours; -1: none, or all of it is sent */
	bool source_ended;   /* all of it was read */
	struct buf outgoing; /* read from it, framed, and not sent yet */
};

void call_free(struct call *call)
{
	if (!call)
		return;
	if (call->fd >= 0)
		(void)close(call->fd);
	http_parser_done(&call->parser);
	buf_done(&call->input);
	buf_done(&call->body);
	buf_done(&call->outgoing);
	free(call);
}

int call_fd(const struct call *call)
{
	return call->fd;
}

const char *call_content_type(const struct call *call)
{
	return call->parser.content_type;
}

const char *call_path_stat(const struct call *call)
{
	return call->parser.path_stat;
}

static int cannot_connect(const struct client *client, int error, struct cay_error *err)
{
	const char *hint = client->is_default ? "; \"cay system start\" starts one" : "";

	if (error == ENOENT || error == ECONNREFUSED)
		return cay_error_set(err, CAY_UNAVAILABLE, error,
				     "no daemon answers at unix://%s%s", client->path, hint);
	if (error == EACCES || error == EPERM)
		return cay_error_set(err, CAY_FORBIDDEN, error,
				     "the daemon's socket %s is closed to this user: %s",
				     client->path, errno_text(error));
	return cay_error_set(err, CAY_UNAVAILABLE, error, "connecting to unix://%s: %s",
			     client->path, errno_text(error));
}

static int connect_to(struct client *client, int *ret_fd, struct cay_error *err)
{
	int (*start)(struct client * client, struct cay_error * err) = client->start_daemon;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return cay_error_errno(err, errno, "making a socket");
	memcpy(address.sun_path, client->path, strlen(client->path) + 1);
	while (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		int r;

		if (errno == EINTR)
			continue;
		if (!start || (errno != ENOENT && errno != ECONNREFUSED))
			return cannot_connect(client, errno, err);
		client->start_daemon = NULL; /* once */
		r = start(client, err);
		start = NULL;
		if (r < 0)
			return r;
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* All of it, without SIGPIPE when the daemon has gone. */
static int send_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

static void format_head(const struct call_spec *spec, const struct buf *body, struct buf *head)
{
	buf_printf(head, "%s %s HTTP/1.1\r\nHost: cay\r\nUser-Agent: cay/" CAY_VERSION "\r\n",
		   spec->method, buf_text(&spec->target->text));
	if (spec->auth)
		buf_printf(head, "X-Registry-Auth: %s\r\n", spec->auth);
	if (spec->hijack)
		buf_puts(head, "Connection: Upgrade\r\nUpgrade: tcp\r\n");
	else
		buf_puts(head, "Connection: close\r\n");
	if (spec->body_fd >= 0 || spec->stream)
		buf_puts(head,
			 "Content-Type: application/x-tar\r\n"
			 "Transfer-Encoding: chunked\r\n");
	else if (spec->body)
		buf_printf(head, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
			   body->length);
	else if (strcmp(spec->method, "POST") == 0)
		buf_puts(head, "Content-Length: 0\r\n");
	buf_puts(head, "\r\n");
}

int call_open(struct client *client, const struct call_spec *spec, struct call **ret_call,
	      struct cay_error *err)
{
	_cleanup_(call_free_p) struct call *call = xcalloc(1, sizeof(*call));
	_cleanup_buf_ struct buf head = { 0 }, body = { 0 };
	int r;

	call->fd = -1;
	call->source = spec->body_fd;
	call->hijack = spec->hijack;
	call->parser.no_body = strcmp(spec->method, "HEAD") == 0;
	r = connect_to(client, &call->fd, err);
	if (r < 0)
		return r;
	if (spec->body)
		json_print_to(spec->body, &body);
	format_head(spec, &body, &head);
	buf_append(&head, body.data, body.length);
	r = send_all(call->fd, head.data, head.length);
	if (r < 0)
		return cay_error_set(err, CAY_UNAVAILABLE, -r, "asking the daemon: %s",
				     errno_text(r));
	*ret_call = TAKE_PTR(call);
	return 0;
}

/* The daemon's words: {"message": …}, or what else the body says. */
static int answer_error(struct call *call, struct cay_error *err)
{
	enum cay_code code = cay_code_from_http_status(call->parser.status);
	_cleanup_json_ json_t *value = NULL;
	const char *message = NULL;

	if (json_parse(buf_text(&call->body), call->body.length, "error", &value, NULL) == 0)
		message = json_string_value(json_object_get(value, "message"));
	if (!message || !*message)
		message = call->body.length > 0 ? call->body.data : NULL;
	if (message)
		return cay_error_set(err, code, EREMOTEIO, "%s", message);
	return cay_error_set(err, code, EREMOTEIO, "the daemon answered with status %d (%s)",
			     call->parser.status, cay_code_name(code));
}

static bool is_error(const struct call *call)
{
	return call->parser.state != HTTP_HEAD && call->parser.status >= 300;
}

/* Bytes of the answer through the parser into call->body or, when taken over, call->input. */
static int digest(struct call *call, const char *data, size_t size, struct cay_error *err)
{
	struct str input = { data, size }, piece;
	int r;

	while (input.length > 0 && call->parser.state != HTTP_DONE &&
	       call->parser.state != HTTP_RAW) {
		bool taken_over;

		r = http_parser_feed(&call->parser, &input, &piece, err);
		if (r < 0)
			return r;
		taken_over =
			call->hijack && !is_error(call) && call->parser.state == HTTP_BODY_TO_END;
		if (taken_over)
			call->parser.state = HTTP_RAW;
		if (is_error(call) && call->body.length + piece.length > ERROR_BODY_MAX)
			piece.length = ERROR_BODY_MAX - call->body.length;
		buf_append(&call->body, piece.data, piece.length);
	}
	if (call->parser.state == HTTP_RAW)
		buf_append(&call->input, input.data, input.length);
	return 0;
}

bool call_is_complete(const struct call *call)
{
	return call->ended;
}

/* One of no bytes is the last. */
static void add_chunk(struct call *call, const void *data, size_t size)
{
	buf_printf(&call->outgoing, "%zx\r\n", size);
	buf_append(&call->outgoing, data, size);
	buf_puts(&call->outgoing, "\r\n");
}

/* The next piece of the body, as a chunk. */
static int read_source(struct call *call, struct cay_error *err)
{
	char data[READ_SIZE];
	ssize_t n = read(call->source, data, sizeof(data));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0)
		return cay_error_errno(err, errno, "reading the archive");
	add_chunk(call, data, (size_t)n);
	call->source_ended = n == 0;
	return 0;
}

/* A daemon that takes no more is not an error here: its answer says what is. */
static void send_outgoing(struct call *call)
{
	ssize_t n = send(call->fd, call->outgoing.data, call->outgoing.length,
			 MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n >= 0) {
		buf_consume(&call->outgoing, (size_t)n);
	} else if (errno != EINTR && errno != EAGAIN) {
		call->source_ended = true;
		buf_clear(&call->outgoing);
	}
	if (call->source_ended && call->outgoing.length == 0)
		call->source = -1;
}

/* Waits until the body can move on or the daemon says something: 1 when it does. */
static int exchange(struct call *call, struct cay_error *err)
{
	bool full = call->outgoing.length > 0;
	struct pollfd polls[] = {
		{ .fd = call->fd, .events = (short)(full ? POLLIN | POLLOUT : POLLIN) },
		{ .fd = full ? -1 : call->source, .events = POLLIN },
	};
	int r = 0;

	if (poll(polls, ARRAY_SIZE(polls), -1) < 0)
		return errno == EINTR ? 0 : cay_error_errno(err, errno, "waiting for the daemon");
	if (polls[1].revents)
		r = read_source(call, err);
	if (r >= 0 && (polls[0].revents & POLLOUT))
		send_outgoing(call);
	return r < 0 ? r : (polls[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0;
}

int call_send(struct call *call, const void *data, size_t size, struct cay_error *err)
{
	add_chunk(call, data, size);
	while (call->outgoing.length > 0) {
		struct pollfd entry = { .fd = call->fd, .events = POLLIN | POLLOUT };

		if (poll(&entry, 1, -1) < 0 && errno != EINTR)
			return cay_error_errno(err, errno, "waiting for the daemon");
		if (entry.revents & (POLLIN | POLLHUP | POLLERR))
			return 1;
		if (entry.revents & POLLOUT)
			send_outgoing(call);
	}
	return 0;
}

int call_pump(struct call *call, struct cay_error *err)
{
	char data[READ_SIZE];
	ssize_t n;
	int r;

	if (call->ended)
		return 1;
	if (call->source >= 0) {
		r = exchange(call, err);
		if (r <= 0)
			return r;
	}
	do
		n = read(call->fd, data, sizeof(data));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return cay_error_set(err, CAY_UNAVAILABLE, errno, "lost the daemon: %s",
				     errno_text(errno));
	r = n > 0 ? digest(call, data, (size_t)n, err) : http_parser_end(&call->parser, err);
	if (r < 0)
		return r;
	call->ended = n == 0 || call->parser.state == HTTP_DONE;
	if (call->ended && is_error(call))
		return answer_error(call, err);
	return call->ended;
}

int call_wait_head(struct call *call, struct cay_error *err)
{
	while (call->parser.state == HTTP_HEAD || (is_error(call) && !call->ended)) {
		int r = call_pump(call, err);

		if (r < 0)
			return r;
	}
	return 0;
}

int call_read(struct call *call, struct buf *ret_data, struct cay_error *err)
{
	while (call->body.length == 0 && !call->ended) {
		int r = call_pump(call, err);

		if (r < 0)
			return r;
	}
	buf_clear(ret_data);
	buf_append(ret_data, call->body.data, call->body.length);
	buf_clear(&call->body);
	return ret_data->length > 0;
}

int call_json(struct call *call, json_t **ret_value, struct cay_error *err)
{
	int r;

	while (!call->ended) {
		r = call_pump(call, err);
		if (r < 0)
			return r;
		if (call->body.length > CLIENT_JSON_MAX)
			return cay_error_set(err, CAY_TOO_LARGE, E2BIG,
					     "the daemon's answer is over %d MiB",
					     (int)(CLIENT_JSON_MAX / MIB));
	}
	if (call->body.length == 0) {
		*ret_value = NULL;
		return 0;
	}
	r = json_parse(call->body.data, call->body.length, "the daemon's answer", ret_value, err);
	if (r < 0 && err) /* not what the user gave, which CAY_INVALID would say */
		err->code = CAY_CORRUPT;
	return r;
}

int call_finish(struct call *call, int timeout_ms, struct cay_error *err)
{
	int64_t deadline = clock_monotonic_ms() + timeout_ms;
	int r = 0;

	while (r == 0) {
		struct pollfd entry = { .fd = call->fd, .events = POLLIN };
		int64_t left = deadline - clock_monotonic_ms();

		if (left <= 0 || poll(&entry, 1, (int)left) == 0)
			return cay_error_set(err, CAY_TIMEOUT, ETIMEDOUT,
					     "the daemon does not answer");
		r = call_pump(call, err);
	}
	return MIN(r, 0);
}

int call_hijack(struct call *call, struct buf *ret_extra, struct cay_error *err)
{
	int r = call_wait_head(call, err);

	if (r < 0)
		return r;
	if (call->parser.state != HTTP_RAW)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "the daemon did not hand over the stream (status %d)",
				     call->parser.status);
	buf_append(ret_extra, call->input.data, call->input.length);
	return TAKE_FD(call->fd);
}
