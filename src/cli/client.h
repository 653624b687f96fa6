/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon seen from the client: its address, and calls to it. Each call has
 * a connection of its own, so a call's end is the connection's end and a
 * stuck call holds up no other.
 *
 * Answers with a status of 400 or more become errors with the daemon's own
 * message. A daemon that can't be reached is CAY_UNAVAILABLE, with a hint.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"

enum {
	CLIENT_JSON_MAX = 64 * 1024 * 1024, /* an answer that is held in memory whole */
};

struct client {
	char *path;      /* of the socket */
	bool is_default; /* nobody named another address */
	/* Called once when none answers, to make one answer; NULL: that is an error. */
	int (*start_daemon)(struct client *client, struct cay_error *err);
};

/* The address to use: `host` ("unix:///PATH", or NULL), else CAY_HOST, else the default. */
int client_new(const char *host, struct client **ret_client, struct cay_error *err);
void client_free(struct client *client);
DEFINE_CLEANUP(struct client *, client_free);

/* Whether a daemon answers within the time; CAY_UNAVAILABLE or CAY_TIMEOUT when not. */
int client_ping(struct client *client, int timeout_ms, struct cay_error *err);

/* /run/cay for root, $XDG_RUNTIME_DIR/cay for others; the caller frees. -errno if there is none. */
int client_default_run_directory(char **ret_path, struct cay_error *err);

/* The path of a request: segments and query arguments, percent-encoded. */
struct target {
	struct buf text;
	bool has_query;
};
void target_done(struct target *target);
#define _cleanup_target_ _cleanup_(target_done)
/* Starts anew: `format` is a path whose "%s" are replaced by the arguments, encoded. */
void target_set(struct target *target, const char *format, const char *first, const char *second);
void target_add(struct target *target, const char *key, const char *value);
void target_add_int(struct target *target, const char *key, int64_t value);
void target_add_json(struct target *target, const char *key, const json_t *value);

struct call;

struct call_spec {
	const char *method;
	const struct target *target;
	const json_t *body; /* NULL: none */
	int body_fd;        /* -1: none; sent to its end, as application/x-tar, by call_pump() */
	bool stream;        /* with such a body as well, which call_send() gives */
	bool hijack;        /* asks for the connection itself */
	const char *auth;   /* X-Registry-Auth; NULL: none */
};

/* Connects and sends the request; does not wait for the answer. A body_fd must outlive the call. */
int call_open(struct client *client, const struct call_spec *spec, struct call **ret_call,
	      struct cay_error *err);
void call_free(struct call *call);
DEFINE_CLEANUP(struct call *, call_free);

/* To poll for input, before call_pump(). */
int call_fd(const struct call *call);
/*
 * Reads once and keeps what came. 1 when the answer is complete, 0 when more must come, -errno on a
 * failed connection or an error as the answer.
 */
int call_pump(struct call *call, struct cay_error *err);
/* Nothing more will come: call_pump() needs no input to say so. */
bool call_is_complete(const struct call *call);
/* Blocks until the answer's head is there; an answer that is an error is read whole and becomes
 * err. */
int call_wait_head(struct call *call, struct cay_error *err);
const char *call_content_type(const struct call *call);
/* The answer's header X-Docker-Container-Path-Stat, or NULL. */
const char *call_path_stat(const struct call *call);
/*
 * The next bytes of a streamed body, or with a size of 0 its end. Blocks until the connection takes
 * them: 0, or 1 when the daemon has answered or gone instead, and the answer says why.
 */
int call_send(struct call *call, const void *data, size_t size, struct cay_error *err);
/* Blocks for more of the body, which replaces *ret_data's contents; 1, or 0 at its end. */
int call_read(struct call *call, struct buf *ret_data, struct cay_error *err);
/* Blocks until the end; the body as JSON (NULL for an empty one), to be dropped by the caller. */
int call_json(struct call *call, json_t **ret_value, struct cay_error *err);
/* Blocks until the end, but not longer than that; CAY_TIMEOUT then. */
int call_finish(struct call *call, int timeout_ms, struct cay_error *err);
/*
 * After call_wait_head() of a hijack: gives up the connection, with what was read of the stream
 * already. The caller closes the socket and frees the call.
 */
int call_hijack(struct call *call, struct buf *ret_extra, struct cay_error *err);

/* A call from beginning to end. `ret_value` may be NULL. */
int client_call(struct client *client, const char *method, const struct target *target,
		const json_t *body, json_t **ret_value, struct cay_error *err);
/* The same with a path whose one "%s" is `name`; the common case. */
int client_call_named(struct client *client, const char *method, const char *format,
		      const char *name, json_t **ret_value, struct cay_error *err);

/* The answer's body to a descriptor, which `name` stands for in errors. */
int call_copy_body(struct call *call, int fd, const char *name, struct cay_error *err);

/*
 * Calls `each` for every JSON document of a streamed answer. It returns 0, or -errno with err set
 * to stop.
 */
int client_stream_json(struct call *call,
		       int (*each)(void *context, const json_t *value, struct cay_error *err),
		       void *context, struct cay_error *err);
