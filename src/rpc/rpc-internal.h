/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this folder share: a connection and a call laid open.
 *
 * conn.c owns the descriptor, the loop's handles and the order of work;
 * http2.c is what is submitted to nghttp2 and http2-input.c what nghttp2 makes
 * of the peer's bytes; call.c is a call's life and what it sends, receive.c what
 * it is sent; server.c finds the method for a request.
 *
 * The rule on which all of it rests: users are called back only from conn.c's
 * read handler (a message, a request) and from conn_work() (all else), never
 * from inside a function they called, and calls are freed in conn_work() only.
 * So any function may be called from any callback, and no pointer dies under a
 * caller's feet: rpc_*() only change state, queue bytes and schedule conn_work().
 */
#pragma once

#include "base/buf.h"
#include "rpc/frame.h"
#include "rpc/metadata.h"
#include "rpc/rpc.h"

#include <nghttp2/nghttp2.h>

/* A message on its way out, with its prefix. */
struct rpc_packet {
	struct rpc_packet *next;
	size_t size;
	size_t sent;
	uint8_t bytes[];
};

/* What the header fields of the other side have said about a call. */
struct rpc_head {
	size_t size; /* of the block, decoded, as RFC 9113 section 10.5.1 counts it */
	bool too_large;
	bool post;
	bool grpc; /* the content type */
	bool encoded;
	int64_t timeout_ms; /* 0: none, -1: malformed */
	int http_status;
	char *path;
	struct metadata_status status;
};

struct rpc_call {
	struct rpc_conn *conn;
	struct rpc_call *next, *prev;
	int32_t stream_id; /* 0 once HTTP/2 has forgotten it */
	struct rpc_call_events events;
	void *user;
	struct rpc_head *head;
	const struct rpc_service *service;            /* server, where the path is known */
	const struct rpc_method *method;              /* the same */
	const ProtobufCMessageDescriptor *input_type; /* of what arrives; NULL: leave packed */
	ProtobufCMessage *message;                    /* the one being delivered */
	int64_t deadline;                             /* monotonic ms, 0: none */

	/* Receiving. */
	struct frame_reader reader;
	struct buf held;   /* arrived while paused; at most RPC_WINDOW, by flow control */
	size_t unconsumed; /* read into `reader` and not yet given back to the window */
	size_t large;      /* our share of conn->large */
	bool paused;
	bool begun;       /* server: the method was called */
	bool remote_done; /* the other side has sent its last byte */
	bool half_close_told;

	/* Sending. */
	struct rpc_packet *packets, *last_packet;
	size_t queued;
	bool response_begun; /* server: headers were submitted */
	bool deferred;       /* HTTP/2 waits for us to have something to send */
	bool send_done;      /* nothing more will be queued */
	bool was_high;       /* on_writable is owed */
	bool trailers_sent;
	struct cay_error finish; /* server: what the trailers will say */

	/* The end: `status` is final once `ended`; the user hears of it when `told`. */
	struct cay_error status;
	bool ended;
	bool told;
	uint64_t ends_at; /* conn->written at which on_end may come */
};

struct rpc_conn {
	uv_loop_t *loop;
	struct rpc_conn_options options;
	nghttp2_session *session;
	int fd;
	bool is_socket;
	bool write_failed;
	uv_poll_t poll;
	uv_timer_t timer; /* the earliest deadline */
	uv_check_t check; /* runs conn_work() */
	uv_idle_t idle;   /* keeps the loop from sleeping before that */
	int handles;      /* of the four, how many are not yet closed */
	int watching;
	bool scheduled;

	uint8_t *in;
	size_t in_size;
	struct buf initial;
	struct buf out;   /* frames ready to be written */
	size_t out_at;    /* how much of it was */
	uint64_t made;    /* bytes ever put into out */
	uint64_t written; /* bytes ever written from it */

	struct rpc_call *first, *last;
	size_t large;     /* bytes promised to messages larger than half a window */
	int64_t deadline; /* the timer's, monotonic ms, 0: not running */

	bool over; /* nothing more is read; `why` says what happened */
	bool closed_by_us;
	bool said_goodbye;
	bool torn_down; /* the handles are closing */
	struct cay_error why;
	uint32_t goaway; /* the HTTP/2 error code to leave with */
	char fault[128]; /* why nghttp2 has ended the connection */
};

/* ---- conn.c ---- */

/* conn_work() will run in this turn of the loop. */
void conn_schedule(struct rpc_conn *conn);
/* The connection has failed or is to end: the first reason counts. */
void conn_end(struct rpc_conn *conn, enum cay_code code, int err, const char *format, ...)
	cay_printf(4, 5);
/* The timer follows the calls' deadlines. */
void conn_arm_timer(struct rpc_conn *conn);

/* ---- http2.c ---- */

int http2_new(struct rpc_conn *conn, struct cay_error *err);
/* Feeds bytes of the peer; ends the connection where they are beyond repair. */
void http2_receive(struct rpc_conn *conn, const uint8_t *data, size_t size);
/* Fills conn->out as far as there is something to send. */
void http2_fill(struct rpc_conn *conn);
void http2_goaway(struct rpc_conn *conn);
bool http2_is_finished(const struct rpc_conn *conn);
/* Client: the request's header fields. Returns the stream or a negative number. */
int32_t http2_request(struct rpc_call *call, const char *path, int64_t deadline_ms);
/* Server: the response's header fields, with data to follow. */
void http2_respond(struct rpc_call *call);
/* Server: a whole response in one block: `finish` without any message, or with an HTTP status. */
void http2_respond_only(struct rpc_call *call, const char *http_status);
/* More can be sent on the call, or its last message has been queued. */
void http2_resume(struct rpc_call *call);
/* Gives `size` bytes of stream window back. */
void http2_consume(struct rpc_call *call, size_t size);
/* Resets the stream and forgets the call. */
void http2_reset(struct rpc_call *call, uint32_t error_code);

/* ---- http2-input.c ---- */

void http2_set_input_callbacks(nghttp2_session_callbacks *callbacks);
/* The call of a stream, NULL where it is forgotten. */
struct rpc_call *http2_call(nghttp2_session *session, int32_t stream_id);

/* ---- call.c ---- */

struct rpc_call *call_new(struct rpc_conn *conn);
void call_free(struct rpc_call *call);
void call_free_head(struct rpc_call *call);
/* The outcome is known; what is queued either way is dropped. Only the first counts. */
void call_end(struct rpc_call *call, const struct cay_error *status);
/* Server: the request is at fault: finishes the call with that status and tells the user. */
void call_fault(struct rpc_call *call, enum cay_code code, const char *text);
/* Server: the request is not gRPC's: answers with an HTTP status alone. */
void call_refuse(struct rpc_call *call, const char *http_status);
/* The connection is gone: a client's user gets what has arrived, and then comes the end. */
void call_abandon(struct rpc_call *call, const struct cay_error *why);
void call_drop_packets(struct rpc_call *call);
/* The deadline has passed. */
void call_expire(struct rpc_call *call);

/* ---- receive.c ---- */

/* Bytes of the other side's messages; takes all of them, into `held` if need be. */
void call_receive(struct rpc_call *call, const uint8_t *data, size_t size);
/* The other side has sent its last byte; for a client `status` is how the call has ended. */
void call_remote_done(struct rpc_call *call, const struct cay_error *status);
/* Delivers what was held while paused, if it no longer is, or whatever the user wants. */
void call_deliver_held(struct rpc_call *call);
void call_deliver_all(struct rpc_call *call);
/* A large message is whole or dropped; others may have waited for its room. */
void call_release_large(struct rpc_call *call);

/* ---- server.c ---- */

/* The request's header fields are complete. */
void server_begin(struct rpc_call *call);
/* The first message of a method that takes one. */
void server_request(struct rpc_call *call, const ProtobufCMessage *request);
