/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a call is sent: messages put together, unpacked and delivered, or held
 * while the user wants none.
 *
 * The window of a call is given back when a message has been delivered, so a
 * paused user is owed at most RPC_WINDOW bytes. HTTP/2 announces a window only
 * when half of it has been given back, hence messages larger than half a
 * window could never become whole: their bytes are given back as they arrive,
 * and what all such messages of a connection may occupy is limited.
 */
#include "rpc/rpc-internal.h"

#include <errno.h>

enum {
	LARGE_MESSAGE = RPC_WINDOW / 2,
	LARGE_TOTAL_MAX = 4 * RPC_MESSAGE_MAX, /* of such messages on one connection */
	UNPACKED_MAX = 16 * 1024 * 1024,       /* memory of one message's fields */
};

/* ---- windows ---- */

static void give_back(struct rpc_call *call)
{
	http2_consume(call, call->unconsumed);
	call->unconsumed = 0;
}

/* Whether a large message may be given window before it is whole. */
static bool reserve_large(struct rpc_call *call)
{
	size_t claim = frame_reader_claim(&call->reader);

	if (call->large)
		return true;
	if (claim <= LARGE_MESSAGE || call->conn->large + claim > LARGE_TOTAL_MAX)
		return false;
	call->large = claim;
	call->conn->large += claim;
	return true;
}

void call_release_large(struct rpc_call *call)
{
	struct rpc_conn *conn = call->conn;

	if (!call->large)
		return;
	conn->large -= call->large;
	call->large = 0;
	for (struct rpc_call *other = conn->first; other; other = other->next)
		if (!other->ended && other->unconsumed && reserve_large(other))
			give_back(other);
}

/* ---- receiving ---- */

struct budget {
	ProtobufCAllocator allocator;
	size_t left;
};

static void *budget_alloc(void *data, size_t size)
{
	struct budget *budget = data;

	if (size > budget->left)
		return NULL;
	budget->left -= size;
	return malloc(size);
}

static void budget_free(void *data, void *pointer)
{
	free(pointer);
}

/* A few bytes of input can ask for a large structure each, hence the limit on their sum. */
static ProtobufCMessage *unpack(const ProtobufCMessageDescriptor *type, const uint8_t *data,
				size_t size)
{
	struct budget budget = { { budget_alloc, budget_free, &budget }, UNPACKED_MAX };

	return protobuf_c_message_unpack(type, &budget.allocator, size, data);
}

/* What came is of no use: a server answers, a client gives up. */
static void refuse_input(struct rpc_call *call, enum cay_code code, const char *text)
{
	struct cay_error status = { 0 };

	if (call->conn->options.server) {
		call_fault(call, code, text);
		return;
	}
	(void)cay_error_set(&status, code == CAY_INVALID ? CAY_CORRUPT : code, EPROTO, "%s", text);
	call_end(call, &status);
	http2_reset(call, NGHTTP2_CANCEL);
}

static void deliver(struct rpc_call *call, const uint8_t *data, size_t size)
{
	bool unary = call->method && !call->method->client_streams;

	if (unary && call->begun) {
		refuse_input(call, CAY_INVALID, "more than one request message");
		return;
	}
	if (call->input_type) {
		call->message = unpack(call->input_type, data, size);
		if (!call->message) {
			refuse_input(call, CAY_INVALID, "the message is malformed");
			return;
		}
	}
	if (unary)
		server_request(call, call->message);
	else if (call->events.on_message)
		call->events.on_message(call, call->message, data, size, call->user);
	if (call->message)
		protobuf_c_message_free_unpacked(TAKE_PTR(call->message), NULL);
}

static bool wants_input(const struct rpc_call *call)
{
	return !call->ended && !(call->conn->options.server && call->send_done) &&
		!call->conn->closed_by_us;
}

/* Reads and delivers until the data is used up or the user wants no more; returns what was used. */
static size_t feed(struct rpc_call *call, const uint8_t *data, size_t size, bool force)
{
	size_t left = size;

	while (left > 0 && wants_input(call) && (force || !call->paused)) {
		size_t before = left, message_size;
		const uint8_t *message;
		enum frame_result result;

		result = frame_read(&call->reader, RPC_MESSAGE_MAX, &data, &left, &message,
				    &message_size);
		call->unconsumed += before - left;
		switch (result) {
		case FRAME_MESSAGE:
			deliver(call, message, message_size);
			frame_reader_done(&call->reader);
			call_release_large(call);
			give_back(call);
			break;
		case FRAME_MORE:
			if (reserve_large(call))
				give_back(call);
			break;
		case FRAME_COMPRESSED:
			refuse_input(call, CAY_UNSUPPORTED,
				     "compressed messages are not supported");
			break;
		case FRAME_TOO_LARGE:
			refuse_input(call, CAY_TOO_LARGE, "the message is over its limit");
			break;
		case FRAME_NO_MEMORY:
			refuse_input(call, CAY_NO_SPACE, "no memory for the message");
			break;
		}
	}
	return size - left;
}

void call_receive(struct rpc_call *call, const uint8_t *data, size_t size)
{
	size_t used = 0;

	if (call->held.length == 0)
		used = feed(call, data, size, false);
	if (used < size && wants_input(call))
		buf_append(&call->held, data + used, size - used);
}

/* Everything before the other side's end has been delivered: so is the end. */
static void check_remote_done(struct rpc_call *call)
{
	bool server = call->conn->options.server;

	if (!call->remote_done || call->held.length || !wants_input(call))
		return;
	if (frame_reader_is_partial(&call->reader) && (server || call->status.code == CAY_OK)) {
		refuse_input(call, CAY_INVALID, "the stream ended within a message");
	} else if (!server) {
		call_end(call, &call->status);
	} else if (!call->begun) {
		refuse_input(call, CAY_INVALID, "there was no request message");
	} else if (!call->half_close_told) {
		call->half_close_told = true;
		if (call->events.on_half_close)
			call->events.on_half_close(call, call->user);
	}
}

static void deliver_held(struct rpc_call *call, bool force)
{
	size_t used;

	if (call->held.length) {
		used = feed(call, (const uint8_t *)call->held.data, call->held.length, force);
		buf_consume(&call->held, used);
		if (call->held.length == 0)
			buf_done(&call->held);
	}
	check_remote_done(call);
}

void call_deliver_all(struct rpc_call *call)
{
	deliver_held(call, true);
}

void call_deliver_held(struct rpc_call *call)
{
	if (!call->paused && call->held.length)
		deliver_held(call, false);
}

void call_remote_done(struct rpc_call *call, const struct cay_error *status)
{
	if (call->remote_done || call->ended)
		return;
	call->remote_done = true;
	if (status)
		call->status = *status;
	check_remote_done(call);
}
