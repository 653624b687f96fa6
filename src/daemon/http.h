/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server in cayd: libmicrohttpd with a thread a connection, so that
 * handlers read from top to bottom and may block. A handler gets a request
 * whose body is read only when asked for, and answers in one of four ways: a
 * JSON document, a stream of chunks, a hijacked connection, or an error, which
 * the server turns into {"message": …} with the code's status.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>

struct daemon;
struct http_server;
struct http_request;

/* Limits on what a client may send. */
enum {
	HTTP_BODY_MAX = 4 * 1024 * 1024, /* a JSON body */
	HTTP_CONNECTIONS_MAX = 2048,
};

/* One row of the route table; all tables are in api/api.h. */
struct http_route {
	const char *method;
	/*
	 * Path segments, "*" for a parameter, "**" last for all the rest (image names hold
	 * slashes), or
	 * "**" in the middle, which takes as many segments as leave the others their places:
	 * "/containers/ * /start", "/images/ ** /json" (without the blanks).
	 */
	const char *path;
	/* Returns 0 when it has answered, or -errno with err set, to be answered by the server. */
	int (*handler)(struct daemon *daemon, struct http_request *request, struct cay_error *err);
};

/*
 * Serves the routes on an already listening socket, which is taken over. Both "/v1.43/x" and "/x"
 * reach the route "/x".
 */
int http_server_start(struct daemon *daemon, int listen_fd, const struct http_route *const *tables,
		      size_t table_count, struct http_server **ret_server, struct cay_error *err);
/* Waits for handlers to end; streams and hijacked connections are asked to by http_request_gone().
 */
void http_server_stop(struct http_server *server);

/* ---- what was asked ---- */

/* The n-th parameter of the route, decoded; never contains NUL, never NULL for n below their count.
 */
const char *http_param(const struct http_request *request, unsigned int n);
/* A query argument, or NULL. */
const char *http_query(const struct http_request *request, const char *name);
/* Docker's booleans: absent, "", "0", "no", "false", "none" are false. */
bool http_query_bool(const struct http_request *request, const char *name, bool absent);
int http_query_int(const struct http_request *request, const char *name, int64_t min, int64_t max,
		   int64_t *target, struct cay_error *err);
const char *http_header(const struct http_request *request, const char *name);
/* The body as a JSON object, borrowed; NULL in *ret_body for an empty body. Limit HTTP_BODY_MAX. */
int http_body_json(struct http_request *request, json_t **ret_body, struct cay_error *err);
/*
 * The raw body as a descriptor to read from until its end (a pipe or a temporary file), for
 * archives of any size. Borrowed from the request.
 */
int http_body_fd(struct http_request *request, int *ret_fd, struct cay_error *err);

/* ---- how it is answered ---- */

/* A JSON document; `value` is taken over. */
int http_reply_json(struct http_request *request, unsigned int status, json_t *value);
/* No body: 204, 304 and the like. */
int http_reply_empty(struct http_request *request, unsigned int status);
int http_reply_text(struct http_request *request, unsigned int status, const char *type,
		    const char *text);
/* Adds a header to the reply to come. */
void http_set_header(struct http_request *request, const char *name, const char *value);

/*
 * A stream: the headers go out now, what http_stream_write() gets goes out at once as a chunk, and
 * the end of the handler ends it. http_stream_write() blocks while the client is slow, at most
 * HTTP_SLOW_MS, then fails, as it does when the client is gone: the handler should return.
 */
enum { HTTP_SLOW_MS = 30000 };
int http_stream_begin(struct http_request *request, unsigned int status, const char *type);
int http_stream_write(struct http_request *request, const void *data, size_t size);
/* The client has gone, or the server stops. Cheap; for handlers that wait for something else. */
bool http_request_gone(struct http_request *request);
/* A descriptor that becomes readable when http_request_gone() turns true, to poll beside others. */
int http_request_gone_fd(struct http_request *request);

/*
 * Takes the connection over, as docker's attach and exec do: answers 101 with `type` where the
 * client asked for "Upgrade: tcp", else 200 with the raw stream after the headers. From then on the
 * socket is the handler's, blocking, to read and write as it likes until it returns; *ret_extra
 * holds bytes that the client sent behind its request.
 */
int http_hijack(struct http_request *request, const char *type, int *ret_socket,
		struct buf *ret_extra, struct cay_error *err);
