/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC calls for threads that may block: each client has a connection and a
 * small loop of its own, and belongs to one thread at a time. Calls take a
 * deadline in milliseconds (0: none).
 */
#pragma once

#include "rpc/rpc.h"

struct rpc_client;

/*
 * Connects to a unix socket. A socket that is not there or refuses, or whose server does not accept
 * for some seconds, is CAY_UNAVAILABLE. So is any call once the connection is lost: make another
 * client then.
 */
int rpc_client_new(const char *path, struct rpc_client **ret_client, struct cay_error *err);
/* NULL is allowed. Handles the user has added to the loop must be closed, or closing, by then. */
void rpc_client_free(struct rpc_client *client);
DEFINE_CLEANUP(struct rpc_client *, rpc_client_free);
#define _cleanup_rpc_client_ _cleanup_(rpc_client_free_p)

/*
 * A call with one request and one response, which the caller frees with
 * protobuf_c_message_free_unpacked(). ret_response may be NULL.
 */
int rpc_client_call(struct rpc_client *client, const ProtobufCServiceDescriptor *service,
		    const char *method, const ProtobufCMessage *request, int64_t deadline_ms,
		    ProtobufCMessage **ret_response, struct cay_error *err);

/*
 * A call with a stream of responses, taken one by one. No more than one that was not asked for yet
 * is kept here: the other side waits. With interrupt_fd >= 0 the call is cancelled, with
 * CAY_CANCELLED, once that descriptor is readable or its other end has closed; it must be one that
 * poll() knows, is only borrowed, and keeps its blocking mode.
 */
struct rpc_stream;
int rpc_stream_open(struct rpc_client *client, const ProtobufCServiceDescriptor *service,
		    const char *method, const ProtobufCMessage *request, int interrupt_fd,
		    struct rpc_stream **ret_stream, struct cay_error *err);
/*
 * The next response, good until the next call: 1, or 0 where the stream has ended, or -errno with
 * its failure, also again.
 */
int rpc_stream_next(struct rpc_stream *stream, const ProtobufCMessage **ret_response,
		    struct cay_error *err);
/* Cancels the call if it goes on. Before the client is freed. */
void rpc_stream_close(struct rpc_stream *stream);
DEFINE_CLEANUP(struct rpc_stream *, rpc_stream_close);
#define _cleanup_rpc_stream_ _cleanup_(rpc_stream_close_p)

/*
 * The same for who wants to be called: `each` gets the responses in order, on this thread, until
 * the stream ends (0), fails (-errno, err set), or `each` returns false (0; the call is cancelled).
 */
int rpc_client_stream(struct rpc_client *client, const ProtobufCServiceDescriptor *service,
		      const char *method, const ProtobufCMessage *request, int interrupt_fd,
		      bool (*each)(const ProtobufCMessage *response, void *user), void *user,
		      struct cay_error *err);

/*
 * The loop and the connection, for a thread that runs several things at once (an attach that copies
 * between a socket and a call): it adds its own handles, makes calls with rpc_call_new() and runs
 * the loop with uv_run(). The connection is NULL once it has closed.
 */
uv_loop_t *rpc_client_loop(struct rpc_client *client);
struct rpc_conn *rpc_client_conn(struct rpc_client *client);
