/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server in cayd: HTTP/1.1 with a thread a connection, so that
 * handlers read from top to bottom and may block. A handler gets a request
 * with its body, or reads the body while it comes, and answers in one of four
 * ways: a JSON document, a stream of chunks, a hijacked connection, or an
 * error, which the server turns into {"message": …} with the code's status.
 * Requests that are none are answered by the server in the same form.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"

#include <jansson.h>
#include <stdbool.h>

struct daemon;
struct http_server;
struct http_request;

/* Limits on what clients may send; those on heads are in http-parse.h. */
enum {
	HTTP_BODY_MAX = 4 * 1024 * 1024, /* a JSON body */
	HTTP_CONNECTIONS_MAX = 2048,     /* those beyond are answered with 503 */
};

struct http_limits {
	/* How long a client may keep the server waiting, in milliseconds. */
	int64_t head_ms;          /* from the connection, or the last reply, to a whole head */
	int64_t body_ms;          /* from one piece of a body to the next */
	int64_t slow_ms;          /* for taking what it is sent */
	unsigned int connections; /* at a time */
};

/* One row of a route table; a table ends with a row whose method is NULL. */
struct http_route {
	const char *method; /* a GET row also answers HEAD where there is no HEAD row */
	/*
	 * Segments after '/': plain ones, "*" for one parameter, or once "**" for a parameter of
	 * one or more segments, as image names are: "/images/ ** /json" (without the blanks). The
	 * first row that fits is taken, so plain rows stand before those with parameters.
	 */
	const char *path;
	/* Returns 0 when it has answered, or -errno with err set, to be answered by the server. */
	int (*handler)(struct daemon *daemon, struct http_request *request, struct cay_error *err);
	/*
	 * The body goes to http_body_fd() while it arrives, without limit, if the handler asks for
	 * it. In all other rows it is read before the handler runs, at most HTTP_BODY_MAX of it.
	 */
	bool raw_body;
};

/*
 * Serves the routes on an already listening socket, which is taken over, also on failure. Both
 * "/v1.43/x" and "/x" reach the route "/x". The tables must outlive the server.
 */
int http_server_start(struct daemon *daemon, int listen_fd, const struct http_route *const *tables,
		      size_t table_count, struct http_server **ret_server, struct cay_error *err);
/* Other limits than the usual ones: call before the first client connects. */
void http_server_set_limits(struct http_server *server, const struct http_limits *limits);
/*
 * Stops listening, makes http_request_gone() true for all, and waits until every handler has ended.
 * Accepts NULL.
 */
void http_server_stop(struct http_server *server);

/* ---- what was asked ---- */

/* The minor number of the API's version that the client chose by its path: 43 for "/v1.43/x". */
unsigned int http_api_version(const struct http_request *request);
/* The n-th parameter of the route, decoded; never NULL or empty for n below their count. */
const char *http_param(const struct http_request *request, unsigned int n);
/* A query argument, or NULL. */
const char *http_query(const struct http_request *request, const char *name);
/* Adds all arguments of this name. */
void http_query_all(const struct http_request *request, const char *name, struct strv *values);
/* Docker's booleans: absent, "", "0", "no", "false", "none" are false. */
bool http_query_bool(const struct http_request *request, const char *name, bool absent);
int http_query_int(const struct http_request *request, const char *name, int64_t min, int64_t max,
		   int64_t *target, struct cay_error *err);
/*
 * A point in time, as docker's clients send it: seconds since the epoch with an optional fraction,
 * RFC 3339, or "1h30m" for so long ago. Absent and "" leave *target as it was.
 */
int http_query_time(const struct http_request *request, const char *name, int64_t *target,
		    struct cay_error *err);
/* The same for a text from elsewhere; -EINVAL. */
int http_time_parse(const char *text, int64_t *ret_ns);
const char *http_header(const struct http_request *request, const char *name);
/* The body as a JSON object, borrowed; NULL in *ret_body for an empty body and for "null". */
int http_body_json(struct http_request *request, json_t **ret_body, struct cay_error *err);
/*
 * The body of a raw_body route as a descriptor (a socket) to read from until its end; borrowed from
 * the request. The end also comes where the client vanishes in the middle or sends what is no body:
 * http_request_gone() tells, and the handler's reply is not sent then, unless it is a stream that
 * has begun. A handler may answer, or begin a stream, before it has read all, or without asking.
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
 * the end of the handler ends it: with success as it should, with an error so that the client sees
 * it cut off. http_stream_write() blocks while the client is slow, at most slow_ms, then fails, as
 * it does when the client is gone: the handler should return. It may be called from other threads
 * than the handler's, one at a time, while the handler waits for them.
 */
int http_stream_begin(struct http_request *request, unsigned int status, const char *type);
int http_stream_write(struct http_request *request, const void *data, size_t size);
/*
 * The client has closed its connection (a client that has only shut down its sending side has not),
 * its body has broken off, or the server stops. Cheap; for handlers that wait for something else.
 * Threads that a handler waits for may ask as well, if the handler has asked once before.
 */
bool http_request_gone(struct http_request *request);
/*
 * A descriptor that becomes readable when the connection is closed or the server stops, to poll
 * beside others.
 */
int http_request_gone_fd(struct http_request *request);

/*
 * Takes the connection over, as docker's attach and exec do: answers 101 with `type` where the
 * client asked for "Upgrade: tcp", else 200 with the raw stream after the headers. From then on the
 * socket is the handler's, blocking, to read and write as it likes until it returns; the server
 * closes it. *ret_extra gets the bytes that the client had sent behind its request already, which
 * come before those from the socket. Not for raw_body routes. A client that leaves raises SIGPIPE,
 * which the program ignores.
 */
int http_hijack(struct http_request *request, const char *type, int *ret_socket,
		struct buf *ret_extra, struct cay_error *err);
