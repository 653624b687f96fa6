/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A registry for tests: an HTTP server that answers each path as a script says, badly if told to,
 * and writes down what it was asked.
 */
#pragma once

#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

/*
 * How one path is answered. Each answer is used `times` times (0: for ever), then the next. Paths
 * are without queries; one that ends in "*" stands for all that begin so.
 */
struct answer {
	const char *path;
	const char *method; /* NULL: GET */
	unsigned int times;
	int status;
	const char *headers; /* lines with \r\n, or NULL */
	const struct buf *body;
	size_t cut;  /* bytes after which the connection breaks off; 0: none */
	size_t take; /* bytes of the request's body after which it is reset; 0: all are read */
	bool silent; /* nothing is ever sent */
	bool slow;   /* a byte at a time, ten a second */
	bool ranges; /* Range is honoured */
	const char *needs; /* a piece the request must have, else 401 */
};

struct server {
	int listener;
	unsigned int port;
	pthread_t thread;
	atomic_bool stop;
	struct answer *answers;
	size_t count;
	_Atomic unsigned int requests, credentials; /* those with an Authorization header */
	struct buf log; /* "METHOD target bytes-of-body[ content-range]\n" of each; server_done() */
	struct buf taken; /* the bodies of all PUTs and PATCHes below /up/ that were answered with
			     2xx */
};

/* What was asked, as far as it was read. */
struct asked {
	char head[16384];
	char *method, *target, *path; /* owned */
	struct buf body;
};

static inline cay_unused void send_text(int fd, const char *text, size_t length)
{
	(void)!send(fd, text, length, MSG_NOSIGNAL); /* a client that went away is its business */
}

static inline cay_unused bool answer_fits(const struct answer *answer, const struct asked *asked)
{
	const size_t length = strlen(answer->path);

	if (strcmp(answer->method ? answer->method : "GET", asked->method) != 0)
		return false;
	if (length > 0 && answer->path[length - 1] == '*')
		return strncmp(answer->path, asked->path, length - 1) == 0;
	return strcmp(answer->path, asked->path) == 0;
}

static inline cay_unused struct answer *choose(struct server *server, const struct asked *asked)
{
	for (size_t i = 0; i < server->count; i++) {
		struct answer *answer = &server->answers[i];

		if (!answer_fits(answer, asked) || answer->times == UINT32_MAX)
			continue;
		if (answer->times > 0 && --answer->times == 0)
			answer->times = UINT32_MAX; /* used up */
		return answer;
	}
	return NULL;
}

/* The value of a header, up to the line's end; the caller frees. NULL where it is not there. */
static inline cay_unused char *asked_header(const struct asked *asked, const char *name)
{
	const char *at = strstr(asked->head, name);

	return at ? xstrndup(at + strlen(name), strcspn(at + strlen(name), "\r")) : NULL;
}

static inline cay_unused void send_body(struct server *server, int fd, const struct answer *answer,
					const char *data, size_t size)
{
	if (answer && answer->cut)
		size = MIN(size, answer->cut);
	if (!answer || !answer->slow) {
		send_text(fd, data, size);
		return;
	}
	for (size_t i = 0; i < size && !server->stop; i++) {
		send_text(fd, data + i, 1);
		(void)poll(NULL, 0, 100);
	}
}

static inline cay_unused void reply(struct server *server, int fd, const struct asked *asked,
				    const struct answer *answer)
{
	static const struct buf nothing;
	const struct buf *body = answer && answer->body ? answer->body : &nothing;
	_cleanup_free_ char *range = asked_header(asked, "\nRange: bytes=");
	uint64_t start = 0;
	char head[1024];
	int status = answer ? answer->status : 404;

	if (answer && answer->needs && !strstr(asked->head, answer->needs))
		status = 401;
	if (status == 401)
		body = &nothing;
	if (range && answer && answer->ranges && status == 200) {
		start = strtoull(range, NULL, 10);
		status = 206;
	}
	if (status / 100 == 2 && starts_with(asked->path, "/up/"))
		buf_append(&server->taken, asked->body.data, asked->body.length);
	(void)snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\n", status);
	send_text(fd, head, strlen(head));
	if (status != 204) {
		(void)snprintf(head, sizeof(head), "Content-Length: %zu\r\n", body->length - start);
		send_text(fd, head, strlen(head));
	}
	if (status == 206) {
		(void)snprintf(head, sizeof(head), "Content-Range: bytes %" PRIu64 "-%zu/%zu\r\n",
			       start, body->length - 1, body->length);
		send_text(fd, head, strlen(head));
	}
	if (answer && answer->headers)
		send_text(fd, answer->headers, strlen(answer->headers));
	send_text(fd, "Connection: close\r\n\r\n", 21);
	if (strcmp(asked->method, "HEAD") != 0 && body->length > start)
		send_body(server, fd, answer, body->data + start, body->length - start);
}

/* The head, and what came behind it. False where there is no request. */
static inline cay_unused bool read_head(int fd, struct asked *asked)
{
	size_t length = 0;
	char *end;
	ssize_t n;

	while (!strstr(asked->head, "\r\n\r\n") && length < sizeof(asked->head) - 1) {
		n = read(fd, asked->head + length, sizeof(asked->head) - 1 - length);
		if (n <= 0)
			return false;
		/* The first byte of a TLS handshake: a client that tries. */
		if (length == 0 && asked->head[0] == 0x16)
			return false;
		length += (size_t)n;
		asked->head[length] = '\0';
	}
	end = strstr(asked->head, "\r\n\r\n");
	if (!end)
		return false;
	buf_append(&asked->body, end + 4, length - (size_t)(end + 4 - asked->head));
	end[2] = '\0';
	asked->method = xstrndup(asked->head, strcspn(asked->head, " "));
	end = asked->head + strlen(asked->method);
	end += *end == ' ';
	asked->target = xstrndup(end, strcspn(end, " \r"));
	asked->path = xstrndup(asked->target, strcspn(asked->target, "?"));
	return true;
}

/* The rest of the body; false where the script says that it is not read to its end. */
static inline cay_unused bool read_rest(int fd, struct asked *asked, const struct answer *answer)
{
	_cleanup_free_ char *text = asked_header(asked, "\nContent-Length: ");
	const size_t wanted = text ? strtoull(text, NULL, 10) : 0;
	const size_t take = answer && answer->take ? MIN(answer->take, wanted) : wanted;
	const struct linger reset = { .l_onoff = 1 };

	if (strstr(asked->head, "Expect: 100-continue"))
		send_text(fd, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	while (asked->body.length < take) {
		char *to = buf_reserve(&asked->body, take - asked->body.length);
		ssize_t n = read(fd, to, take - asked->body.length);

		if (n <= 0)
			return false;
		asked->body.length += (size_t)n;
	}
	if (take == wanted)
		return true;
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	return false;
}

static inline cay_unused void write_down(struct server *server, const struct asked *asked)
{
	_cleanup_free_ char *range = asked_header(asked, "\nContent-Range: ");

	server->requests++;
	if (strstr(asked->head, "Authorization:"))
		server->credentials++;
	buf_printf(&server->log, "%s %s %zu%s%s\n", asked->method, asked->target,
		   asked->body.length, range ? " " : "", range ? range : "");
}

static inline cay_unused void serve_one(struct server *server, int fd)
{
	struct asked asked = { .head = "" };
	const struct answer *answer;
	bool whole;

	if (read_head(fd, &asked)) {
		answer = choose(server, &asked);
		whole = read_rest(fd, &asked, answer);
		write_down(server, &asked);
		while (answer && answer->silent && !server->stop)
			(void)poll(NULL, 0, 10);
		if (whole && !(answer && answer->silent))
			reply(server, fd, &asked, answer);
	}
	free(asked.method);
	free(asked.target);
	free(asked.path);
	buf_done(&asked.body);
}

static inline cay_unused void *serve(void *data)
{
	struct server *server = data;

	while (!server->stop) {
		struct pollfd wait = { .fd = server->listener, .events = POLLIN };
		_cleanup_close_ int fd = -1;

		if (poll(&wait, 1, 20) <= 0)
			continue;
		fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			serve_one(server, fd);
	}
	return NULL;
}

static inline cay_unused void server_start(struct server *server, struct answer *answers,
					   size_t count)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);

	*server = (struct server){ .answers = answers, .count = count };
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(server->listener >= 0);
	assert_int_equal(bind(server->listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(server->listener, 16), 0);
	assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &size), 0);
	server->port = ntohs(address.sin_port);
}

static inline cay_unused void server_run(struct server *server)
{
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static inline cay_unused void server_stop(struct server *server)
{
	server->stop = true;
	assert_int_equal(pthread_join(server->thread, NULL), 0);
	(void)close(server->listener);
}

/* Forgets what was written down. */
static inline cay_unused void server_done(struct server *server)
{
	buf_done(&server->log);
	buf_done(&server->taken);
}
