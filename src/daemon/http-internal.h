/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the HTTP server share: the parsed request target and the
 * router (http-route.c), which know nothing of sockets, and the request with
 * its state of being answered (http.c, http-request.c, http-reply.c).
 */
#pragma once

#include "base/strv.h"
#include "daemon/http.h"

#include <microhttpd.h>
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
	struct MHD_Daemon *mhd;
	int stop_fd; /* an eventfd, readable once the server stops */
	pthread_t watchdog;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	struct http_connection *connections; /* a list, linked both ways */
	unsigned int handlers;               /* that run now */
	bool stopping;
};

/* How a request is answered. */
enum http_answer {
	HTTP_ANSWER_NONE,    /* not yet */
	HTTP_ANSWER_REPLY,   /* a whole response, to be sent by libmicrohttpd */
	HTTP_ANSWER_STREAM,  /* head and chunks that we write to the socket ourselves */
	HTTP_ANSWER_UPGRADE, /* 101 by libmicrohttpd, then the socket is the handler's */
	HTTP_ANSWER_RAW,     /* 200 that we write ourselves, then the socket is the handler's */
};

struct http_request {
	struct http_server *server;
	struct MHD_Connection *mhd;
	const struct http_route *route; /* NULL: none was found */
	int socket;                     /* the connection's, borrowed */
	char *method;
	bool is_head, is_http10;
	struct http_target target;
	struct strv params;
	struct strv header_names, header_values;
	struct strv reply_names, reply_values; /* extra headers of the reply */

	struct buf body; /* unless the route is raw_body */
	bool body_over;  /* it went over HTTP_BODY_MAX; the rest is dropped */
	json_t *json;
	int body_in, body_out; /* raw_body: a socket pair */

	int gone_fd; /* an epoll, made when first asked for, or -1 */

	enum http_answer answer;
	unsigned int status;
	char *reply_type;      /* HTTP_ANSWER_REPLY and _UPGRADE: the Content-Type, or NULL */
	struct buf reply_body; /* HTTP_ANSWER_REPLY */
	bool broken;           /* writing to the socket has failed; atomic */

	/*
	 * Where the handler has a thread of its own (raw bodies, upgrades), the connection's thread
	 * and it meet here.
	 */
	bool threaded;
	pthread_t thread;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	bool handler_ended;
	bool body_ended;      /* all of it arrived, or the connection broke */
	bool upgrade_wanted;  /* by the handler */
	bool upgrade_settled; /* granted, or the connection broke */
	int upgrade_socket;   /* -1: refused */
	struct buf upgrade_extra;
};

/* One connection; lives as long as libmicrohttpd's. */
struct http_connection {
	int socket;
	int64_t deadline; /* monotonic ms; 0: none. Under the server's lock */
	bool uploading;   /* a handler waits for a raw body. Under the server's lock */
	char *url;        /* as it came, of the request whose head was read last */
	struct http_connection *previous, *next;
};

/* Handlers keep large things on the heap; untouched pages of a stack cost nothing. */
enum { HTTP_STACK_SIZE = 512 * 1024 };

struct http_connection *http_connection_of(struct MHD_Connection *mhd);
/* Milliseconds from now; 0: no deadline. */
void http_set_deadline(struct http_server *server, struct http_connection *connection,
		       int64_t after_ms);
void http_set_uploading(struct http_server *server, struct http_connection *connection,
			bool uploading);

/* ---- http-access.c: libmicrohttpd's callbacks, with the server as `user` ---- */

enum MHD_Result http_access(void *user, struct MHD_Connection *mhd, const char *url,
			    const char *method, const char *version, const char *data,
			    size_t *data_size, void **context);
/* The reply is sent, or the connection broke at any point before. */
void http_completed(void *user, struct MHD_Connection *mhd, void **context,
		    enum MHD_RequestTerminationCode code);

/* ---- http-handler.c ---- */

/* Runs the handler in the calling thread and answers for it where it fails. */
void http_handler_run(struct http_request *request);
/* Runs it in a thread of its own. False for want of threads or descriptors. */
bool http_handler_start(struct http_request *request);
/* Waits for the end of that thread, if there is one. */
void http_handler_join(struct http_request *request);
/* The handler reads the end of its body. */
void http_handler_end_body(struct http_request *request);
/* Tells a handler that waits in http_handler_upgrade(); socket -1: the connection broke. */
void http_handler_settle_upgrade(struct http_request *request, int socket, const char *extra,
				 size_t size);
/* libmicrohttpd's callback: it has sent the 101. Blocks until the handler has ended. */
void http_upgraded(void *user, struct MHD_Connection *mhd, void *context, const char *extra,
		   size_t extra_size, MHD_socket socket, struct MHD_UpgradeResponseHandle *handle);
/*
 * Called in the handler's thread: waits until libmicrohttpd has sent the 101 and left the socket
 * to us. -ECONNRESET when the client went away before.
 */
int http_handler_upgrade(struct http_request *request);

/* ---- http-request.c ---- */

bool http_wants_upgrade(const struct http_request *request);

/* ---- http-reply.c ---- */

/* Answers with the error as {"message": …}; nothing where an answer has begun already. */
void http_reply_error(struct http_request *request, const struct cay_error *error);
/* Ends a stream with its last chunk. */
void http_stream_end(struct http_request *request);
/* Writes to the socket what was meant for libmicrohttpd, at a moment when that takes no reply. */
void http_reply_directly(struct http_request *request);
/* Calls visit for each header of the reply but those about its length and connection. */
void http_reply_headers(const struct http_request *request,
			void (*visit)(const char *name, const char *value, void *user), void *user);
