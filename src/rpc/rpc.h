/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC over any byte stream, client and server, on a libuv loop: HTTP/2 by
 * nghttp2, messages by protobuf-c. One struct rpc_conn is one HTTP/2
 * connection over one file descriptor; one struct rpc_call is one call on it,
 * of either side and any of the four kinds.
 *
 * Everything here runs on the thread of the connection's loop and never
 * blocks. Callbacks come from the loop only, never from inside a function of
 * this header. They may start, finish and cancel calls and close the
 * connection; memory is released only after the callback has returned. What a
 * turn of the loop queues leaves together at the turn's end.
 *
 * Source of the wire format: "gRPC over HTTP2" (PROTOCOL-HTTP2.md of the gRPC
 * core repository) and RFC 9113. Message compression is not offered; a
 * compressed message is refused with UNIMPLEMENTED.
 */
#pragma once

#include "base/error.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <uv.h>

/* Limits on what the other side may send. */
enum {
	RPC_MESSAGE_MAX = 4 * 1024 * 1024, /* one message, as gRPC's own default */
	RPC_HEADERS_MAX = 16 * 1024,       /* one header block, decoded */
	RPC_CALLS_MAX = 256,               /* calls open at once on a connection */
	RPC_WINDOW = 256 * 1024,           /* bytes in flight to us on one call */
	RPC_QUEUE_HIGH = 256 * 1024,       /* rpc_call_send() tells to wait above this */
};

struct rpc_conn;
struct rpc_call;

/* What a call's user wants to hear of. All may be NULL. Messages are valid during the callback
 * only. */
struct rpc_call_events {
	/*
	 * A whole message of the other side. `message` is unpacked where the method's types are
	 * known, else NULL; data and size are its bytes always. A client that has paused the call
	 * gets what had arrived all the same when the connection breaks, before on_end.
	 */
	void (*on_message)(struct rpc_call *call, const ProtobufCMessage *message,
			   const uint8_t *data, size_t size, void *user);
	/* Server: the client has sent its last message. */
	void (*on_half_close)(struct rpc_call *call, void *user);
	/* The send queue was above RPC_QUEUE_HIGH and is now below half of it. */
	void (*on_writable)(struct rpc_call *call, void *user);
	/*
	 * The call is over; the last callback, and it comes exactly once. Client: code is CAY_OK or
	 * the server's status with its message, or the connection's fault. Server: CAY_OK after its
	 * own rpc_call_finish() was sent, CAY_CANCELLED when the client (or the connection) gave
	 * up, CAY_TIMEOUT when the deadline has passed, or the code with which the client's
	 * messages were refused. The call is gone when this returns.
	 */
	void (*on_end)(struct rpc_call *call, const struct cay_error *status, void *user);
};

/* ---- connections ---- */

/*
 * Every status but success crosses with its exact code, in a trailer "cay-code", beside gRPC's own
 * status and the message, which may be any UTF-8.
 */

struct rpc_service {
	const ProtobufCServiceDescriptor *descriptor;
	const struct rpc_method *methods;
	size_t method_count;
	void *user; /* handed to the methods */
};

/*
 * One method a server has. Methods of the .proto that are not listed answer UNIMPLEMENTED.
 *
 * Unary and server-streaming methods: `begin` is called once with the whole request. Methods with a
 * stream of requests: `begin` is called at once with request NULL and messages come through
 * on_message. `begin` sets the call's events where it does not finish the call at once, and answers
 * with rpc_call_send() and rpc_call_finish(), then or later. The request is valid during `begin`.
 */
struct rpc_method {
	const char *name; /* as in the .proto */
	bool client_streams;
	void (*begin)(struct rpc_call *call, const ProtobufCMessage *request, void *user);
};

struct rpc_conn_options {
	bool server;
	const struct rpc_service *services; /* server; must outlive the connection */
	size_t service_count;
	/*
	 * Server: called for a path no service has, with messages left packed, as if the method
	 * streamed both ways; NULL answers UNIMPLEMENTED. `path` is "/package.Service/Method".
	 */
	void (*fallback)(struct rpc_call *call, const char *path, void *user);
	/*
	 * The connection is over: end of stream, a protocol fault, or rpc_conn_close(); all its
	 * calls have ended. Comes exactly once, from the loop; the connection is gone when it
	 * returns.
	 */
	void (*on_close)(struct rpc_conn *conn, const struct cay_error *why, void *user);
	void *user;
};

/*
 * Makes a connection over `fd`, which it takes over (also where it fails) and sets non-blocking: a
 * socket, or anything that poll() knows (a virtio port). `initial` bytes that were already read
 * from it are fed first, from the loop.
 */
int rpc_conn_new(uv_loop_t *loop, int fd, const struct rpc_conn_options *options,
		 const void *initial, size_t initial_size, struct rpc_conn **ret_conn,
		 struct cay_error *err);

/*
 * Ends the connection from our side: sends what is queued if that works without waiting, ends all
 * calls with CAY_CANCELLED, closes the descriptor. on_close follows from the loop, with
 * CAY_CANCELLED. A connection that ended by itself is CAY_UNAVAILABLE where the other side has
 * left, CAY_CORRUPT where it broke the protocol or a limit. Calls may be started until on_close;
 * once the connection is over they end at once.
 */
void rpc_conn_close(struct rpc_conn *conn);

void *rpc_conn_user(const struct rpc_conn *conn);

/* Listens on a unix socket and accepts connections with these options until closed. */
struct rpc_listener;
/* The socket file is made with mode 0600; an old one at the path is replaced. */
int rpc_listener_new(uv_loop_t *loop, const char *path, const struct rpc_conn_options *options,
		     struct rpc_listener **ret_listener, struct cay_error *err);
/* Stops accepting, removes the socket file; connections go on. NULL is allowed. */
void rpc_listener_close(struct rpc_listener *listener);

/* ---- calls ---- */

/*
 * Starts a call of method `name` of `service`, which must exist, on a client connection. `request`
 * is sent and the sending side closed for methods with one request; NULL leaves it open for
 * rpc_call_send(). deadline_ms of 0 or less means none; when it passes, the call ends with
 * CAY_TIMEOUT on both sides. Failure to send shows in on_end, never here. Calls over the number the
 * server allows wait for others to end.
 */
struct rpc_call *rpc_call_new(struct rpc_conn *conn, const ProtobufCServiceDescriptor *service,
			      const char *name, const ProtobufCMessage *request,
			      int64_t deadline_ms, const struct rpc_call_events *events,
			      void *user);
/* The same by path with messages left packed, to pass on what rpc_conn_options.fallback received.
 */
struct rpc_call *rpc_call_new_raw(struct rpc_conn *conn, const char *path, int64_t deadline_ms,
				  const struct rpc_call_events *events, void *user);

/* Says who hears of this call from now on; events of all NULL let go of it. */
void rpc_call_set_events(struct rpc_call *call, const struct rpc_call_events *events, void *user);

/*
 * Queues a message (copied). Returns true while the queue is below RPC_QUEUE_HIGH: a well-mannered
 * producer stops at false until on_writable. Messages sent after the end are dropped. A message
 * larger than RPC_MESSAGE_MAX is not sent; the call ends with CAY_TOO_LARGE.
 */
bool rpc_call_send(struct rpc_call *call, const ProtobufCMessage *message);
bool rpc_call_send_raw(struct rpc_call *call, const void *data, size_t size);
/* Bytes queued and not yet taken by the other side's window. */
size_t rpc_call_queued(const struct rpc_call *call);

/* Client: no more messages will be sent. */
void rpc_call_half_close(struct rpc_call *call);
/* Server: ends the call with a status after what is queued; NULL means success. on_end follows. */
void rpc_call_finish(struct rpc_call *call, const struct cay_error *status);
/* Server: sends one message and finishes with success; for unary methods. */
void rpc_call_reply(struct rpc_call *call, const ProtobufCMessage *message);
/* Gives up, on either side; what is queued is dropped. on_end follows with CAY_CANCELLED. */
void rpc_call_cancel(struct rpc_call *call);

/*
 * Stops and restarts the delivery of messages. While paused the other side can send up to
 * RPC_WINDOW bytes more on this call and no other call is held up.
 */
void rpc_call_pause(struct rpc_call *call);
void rpc_call_resume(struct rpc_call *call);

/* Client: the server has broken it off, and on_end waits for what it had sent to be delivered. */
bool rpc_call_is_broken_off(const struct rpc_call *call);

/* Milliseconds left to the deadline, at least 1, or -1 for none. */
int64_t rpc_call_deadline_ms(const struct rpc_call *call);
struct rpc_conn *rpc_call_conn(const struct rpc_call *call);
void *rpc_call_user(const struct rpc_call *call);
