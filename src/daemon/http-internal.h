/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the HTTP server share: the parsed request target and the
 * router (http-route.c), which know nothing of sockets; the server (http.c),
 * a connection (http-connection.c), and a request with its body (http-body.c),
 * what it asks (http-request.c) and its answer (http-reply.c).
 */
#pragma once

#include "base/strv.h"
#include "daemon/http-parse.h"
#include "daemon/http.h"

#include <pthread.h>

/* ---- http-route.c ---- */

enum {
	HTTP_SEGMENTS_MAX = 64,   /* of a path */
	HTTP_ARGUMENTS_MAX = 128, /* of a query */
	HTTP_PARAMS_MAX = 8,      /* of a route */
};

/* A request target taken apart and decoded. */
struct http_target {
	unsigned int version; /* minor number of the API's version */
	struct strv segments; /* without the version */
	struct strv names;    /* query arguments; as many as values */
	struct strv values;
};

/*
 * Parses "/v1.43/containers/json?all=1". What is refused (CAY_INVALID): escapes that are none, NUL
 * and control characters, text that is no UTF-8, the segments "." and "..", unsupported versions,
 * counts over the limits above.
 */
int http_target_parse(const char *text, struct http_target *ret_target, struct cay_error *err);
void http_target_done(struct http_target *target);

struct http_router {
	const struct http_route *const *tables;
	size_t table_count;
};

/*
 * Finds the row for the method and the segments; its parameters are appended to `params`.
 * CAY_NOT_FOUND without a row for the path; with rows for other methods only, ret_allowed is a
 * list of them ("GET, POST", freed by the caller) and the result -EOPNOTSUPP.
 */
int http_router_find(const struct http_router *router, const char *method,
		     const struct http_target *target, const struct http_route **ret_route,
		     struct strv *params, char **ret_allowed, struct cay_error *err);

/* ---- http.c ---- */

struct http_server {
	struct daemon *daemon;
	struct http_router router;
	struct http_limits limits;
	int listen_fd; /* not blocking */
	int stop_fd;   /* an eventfd, readable once the server stops */
	bool stopping; /* atomic */
	pthread_t listener;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	unsigned int connections;
};

/* Handlers keep large things on the heap; untouched pages of a stack cost nothing. */
enum { HTTP_STACK_SIZE = 512 * 1024 };

bool http_server_stopping(const struct http_server *server);
/* A connection's last word to its server, which may be freed right after. */
void http_server_forget_connection(struct http_server *server);

/* ---- http-connection.c ---- */

/* A connection; one thread reads it at a time. */
struct http_connection {
	struct http_server *server;
	int socket;    /* blocking */
	struct buf in; /* what was read last, of which the first `used` bytes are done with */
	size_t used;
};

/* Serves one connection until its end in a thread of its own; the connection is taken over. */
void *http_connection_run(void *user);
/* Answers a connection that nobody can serve with the error. Does not block. */
void http_connection_refuse(struct http_connection *connection, const struct cay_error *error);

/* What was read and not used yet. */
struct str http_connection_unread(const struct http_connection *connection);
/* `rest` is what is left of the unread bytes. */
void http_connection_use(struct http_connection *connection, struct str rest);
/* Frees what was read, once all was used. */
void http_connection_release(struct http_connection *connection);
/*
 * Reads more, once all was used. 0 at the end of what the client sends; -ETIMEDOUT at the deadline
 * (monotonic ms), -ECANCELED when the server stops, -ECONNABORTED when the other side of the
 * socket pair `pair_fd` (-1: there is none) has gone, or what recv() says.
 */
int http_connection_fill(struct http_connection *connection, int64_t deadline, int pair_fd);

/* ---- a request ---- */

/* How a request is answered. */
enum http_answer {
	HTTP_ANSWER_NONE,   /* not yet */
	HTTP_ANSWER_REPLY,  /* a whole reply, sent once the handler has ended */
	HTTP_ANSWER_STREAM, /* the head is sent, chunks follow */
	HTTP_ANSWER_HIJACK, /* the head is sent, the socket is the handler's */
};

struct http_request {
	struct http_server *server;
	struct http_connection *connection;
	struct http_head head;
	const struct http_route *route; /* NULL: none was found */
	bool is_head;
	struct http_target target;
	struct strv params;

	struct http_body framing; /* the reading thread's */
	struct buf body;          /* unless the route is raw_body */
	json_t *json;
	int body_in, body_out; /* raw_body: a socket pair, once the handler has asked for it */
	bool pumping;          /* `pump` moves the body from the socket into body_in */
	pthread_t pump;
	struct cay_error body_error; /* the pump's; read after its end */
	bool body_failed;            /* body_error is set; atomic */

	int gone_fd; /* an epoll, made when first asked for, or -1 */
	bool broken; /* nothing can be sent any more, or should be; atomic */

	enum http_answer answer;
	unsigned int status; /* 0: the error's code decides */
	bool keep;           /* the connection is used again; decided with the reply's head */
	char *reply_type;    /* the Content-Type, or NULL */
	struct buf reply_body;
	struct strv reply_names, reply_values; /* extra headers of the reply */
};

/* Marks it as broken and returns CAY_CANCELLED. */
int http_request_break(struct http_request *request, int reason, struct cay_error *err);

/* ---- http-body.c ---- */

/* Refuses a body that is too long by its own word. */
int http_body_check(const struct http_request *request, struct cay_error *err);
/* Reads all of it into request->body. */
int http_body_read(struct http_request *request, struct cay_error *err);
/* Ends the socket pair and the pump of a raw_body, whether all was read or not. */
void http_body_close(struct http_request *request);

/* ---- http-reply.c ---- */

/*
 * Answers with the error as {"message": …}; where a stream has begun already it is cut off, and a
 * hijacked connection is left as it is.
 */
void http_reply_error(struct http_request *request, const struct cay_error *error);
/* Tells a client that waits for it to send its body; nothing for others. */
void http_reply_continue(struct http_request *request);
/* Sends a whole reply, or a stream's last chunk. */
void http_reply_finish(struct http_request *request);
