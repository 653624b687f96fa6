/* SPDX-License-Identifier: Apache-2.0 */
/* A registry for tests: an HTTP server that answers each path as a script says, badly if told to.
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

/* How one path is answered. Each answer is used `times` times (0: for ever), then the next. */
struct answer {
	const char *path;
	unsigned int times;
	int status;
	const char *headers; /* lines with \r\n, or NULL */
	const struct buf *body;
	size_t cut;        /* bytes after which the connection breaks off; 0: none */
	bool silent;       /* nothing is ever sent */
	bool ranges;       /* Range is honoured */
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
};

static inline cay_unused void send_text(int fd, const char *text, size_t length)
{
	(void)!send(fd, text, length, MSG_NOSIGNAL); /* a client that went away is its business */
}

static inline cay_unused struct answer *choose(struct server *server, const char *path)
{
	for (size_t i = 0; i < server->count; i++) {
		struct answer *answer = &server->answers[i];

		if (strcmp(answer->path, path) != 0 || answer->times == UINT32_MAX)
			continue;
		if (answer->times > 0 && --answer->times == 0)
			answer->times = UINT32_MAX; /* used up */
		return answer;
	}
	return NULL;
}

static inline cay_unused void reply(struct server *server, int fd, const char *request,
				    const char *path)
{
	static const struct buf nothing;
	struct answer *answer = choose(server, path);
	const struct buf *body = answer && answer->body ? answer->body : &nothing;
	const char *range = strstr(request, "Range: bytes=");
	uint64_t start = 0;
	char head[1024];
	int status = answer ? answer->status : 404;

	if (strstr(request, "Authorization:"))
		server->credentials++;
	if (answer && answer->silent) {
		while (!server->stop)
			(void)poll(NULL, 0, 10);
		return;
	}
	if (answer && answer->needs && !strstr(request, answer->needs))
		status = 401;
	if (status == 401)
		body = &nothing;
	if (range && answer && answer->ranges && status == 200) {
		start = strtoull(range + strlen("Range: bytes="), NULL, 10);
		status = 206;
	}
	(void)snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n", status,
		       body->length - start);
	send_text(fd, head, strlen(head));
	if (status == 206) {
		(void)snprintf(head, sizeof(head), "Content-Range: bytes %" PRIu64 "-%zu/%zu\r\n",
			       start, body->length - 1, body->length);
		send_text(fd, head, strlen(head));
	}
	if (answer && answer->headers)
		send_text(fd, answer->headers, strlen(answer->headers));
	send_text(fd, "Connection: close\r\n\r\n", 21);
	if (body->length > start)
		send_text(fd, body->data + start,
			  answer->cut ? MIN(answer->cut, body->length - start)
				      : body->length - start);
}

static inline cay_unused void *serve(void *data)
{
	struct server *server = data;

	while (!server->stop) {
		struct pollfd wait = { .fd = server->listener, .events = POLLIN };
		_cleanup_close_ int fd = -1;
		char request[8192] = "", *end;
		size_t length = 0;
		ssize_t n;

		if (poll(&wait, 1, 20) <= 0)
			continue;
		fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
		while (fd >= 0 && !strstr(request, "\r\n\r\n") && length < sizeof(request) - 1) {
			n = read(fd, request + length, sizeof(request) - 1 - length);
			if (n <= 0)
				break;
			length += (size_t)n;
			request[length] = '\0';
		}
		if (!starts_with(request, "GET "))
			continue;
		server->requests++;
		end = strchr(request + 4, ' ');
		_cleanup_free_ char *path = xstrndup(request + 4, (size_t)(end - request - 4));

		path[strcspn(path, "?")] = '\0';
		reply(server, fd, request, path);
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
