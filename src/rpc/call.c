/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call: its life, the messages it is sent and those it sends.
 *
 * The window of a call is given back when a message has been delivered, so a
 * paused user is owed at most RPC_WINDOW bytes. HTTP/2 announces a window only
 * when half of it has been given back, hence messages larger than half a
 * window could never become whole: their bytes are given back as they arrive,
 * and what all such messages of a connection may occupy is limited.
 */
#include "rpc/rpc-internal.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>

enum {
	LARGE_MESSAGE = RPC_WINDOW / 2,
	LARGE_TOTAL_MAX = 4 * RPC_MESSAGE_MAX, /* of such messages on one connection */
	UNPACKED_MAX = 16 * 1024 * 1024,       /* memory of one message's fields */
};

/* ---- life ---- */

struct rpc_call *call_new(struct rpc_conn *conn)
{
	struct rpc_call *call = xcalloc(1, sizeof(*call));

	call->conn = conn;
	call->serial = ++conn->serial;
	call->head = xcalloc(1, sizeof(*call->head));
	metadata_status_init(&call->head->status);
	call->prev = conn->last;
	if (conn->last)
		conn->last->next = call;
	else
		conn->first = call;
	conn->last = call;
	return call;
}

void call_drop_packets(struct rpc_call *call)
{
	struct rpc_packet *packet;

	while ((packet = call->packets)) {
		call->packets = packet->next;
		free(packet);
	}
	call->queued = 0;
}

void call_free_head(struct rpc_call *call)
{
	if (call->head)
		free(call->head->path);
	free(TAKE_PTR(call->head));
}

void call_free(struct rpc_call *call)
{
	struct rpc_conn *conn = call->conn;

	if (call->prev)
		call->prev->next = call->next;
	else
		conn->first = call->next;
	if (call->next)
		call->next->prev = call->prev;
	else
		conn->last = call->prev;
	call_drop_packets(call);
	frame_reader_done(&call->reader);
	buf_done(&call->held);
	call_free_head(call);
	free(call);
}

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

/* The message is whole or dropped; others may have waited for the room. */
static void release_large(struct rpc_call *call)
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
			release_large(call);
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

/* ---- the end ---- */

void call_end(struct rpc_call *call, const struct cay_error *status)
{
	if (call->ended)
		return;
	call->ended = true;
	call->status = *status;
	release_large(call);
	conn_schedule(call->conn);
}

/* Server: the trailers say `status` now; what was queued and not yet sent is dropped. */
static void answer_fault(struct rpc_call *call, const struct cay_error *status)
{
	call->finish = *status;
	call_drop_packets(call);
	if (call->response_begun) {
		call->send_done = true;
		http2_resume(call);
	} else if (call->stream_id) {
		call->response_begun = call->send_done = true;
		http2_respond_only(call, NULL);
	}
}

void call_fault(struct rpc_call *call, enum cay_code code, const char *text)
{
	struct cay_error status = { 0 };

	if (call->ended)
		return;
	(void)cay_error_set(&status, code, EPROTO, "%s", text);
	answer_fault(call, &status);
	call_end(call, &status);
}

void call_refuse(struct rpc_call *call, const char *http_status)
{
	struct cay_error status = { 0 };

	(void)cay_error_set(&status, CAY_INVALID, EPROTO, "not a gRPC request");
	call->response_begun = call->send_done = true;
	http2_respond_only(call, http_status);
	call_end(call, &status);
}

void call_expire(struct rpc_call *call)
{
	struct cay_error status = { 0 };

	if (call->ended)
		return;
	if (call->conn->options.server) {
		call_fault(call, CAY_TIMEOUT, "the call's deadline has passed");
		return;
	}
	(void)cay_error_set(&status, CAY_TIMEOUT, ETIMEDOUT, "no answer in time");
	call_end(call, &status);
	http2_reset(call, NGHTTP2_CANCEL);
}

void call_abandon(struct rpc_call *call, const struct cay_error *why)
{
	struct rpc_conn *conn = call->conn;
	struct cay_error status = *why;

	if (!call->ended && !conn->options.server && !conn->closed_by_us) {
		deliver_held(call, true);
		if (call->remote_done)
			status = call->status;
	}
	if (conn->options.server || conn->closed_by_us)
		status.code = CAY_CANCELLED;
	call_end(call, &status);
	if (call->stream_id)
		(void)nghttp2_session_set_stream_user_data(conn->session, call->stream_id, NULL);
	call->stream_id = 0;
}

/* ---- what users call ---- */

static struct rpc_call *start_call(struct rpc_conn *conn, const char *path,
				   const ProtobufCMessageDescriptor *type,
				   const ProtobufCMessage *request, int64_t deadline_ms,
				   const struct rpc_call_events *events, void *user)
{
	struct rpc_call *call = call_new(conn);
	int32_t stream_id;

	assert(!conn->options.server);
	call->events = *events;
	call->user = user;
	call->input_type = type;
	conn_schedule(conn);
	if (conn->over)
		return call; /* conn_work() ends it */
	stream_id = http2_request(call, path, deadline_ms);
	if (stream_id < 0) {
		struct cay_error status = { 0 };

		(void)cay_error_set(&status, CAY_UNAVAILABLE, ENOTCONN, "starting a call: %s",
				    nghttp2_strerror(stream_id));
		call_end(call, &status);
		return call;
	}
	call->stream_id = stream_id;
	if (request) {
		(void)rpc_call_send(call, request);
		rpc_call_half_close(call);
	}
	if (deadline_ms > 0) {
		call->deadline = clock_monotonic_ms() + deadline_ms;
		conn_arm_timer(conn);
	}
	return call;
}

struct rpc_call *rpc_call_new(struct rpc_conn *conn, const ProtobufCServiceDescriptor *service,
			      const char *name, const ProtobufCMessage *request,
			      int64_t deadline_ms, const struct rpc_call_events *events, void *user)
{
	const ProtobufCMethodDescriptor *method =
		protobuf_c_service_descriptor_get_method_by_name(service, name);
	_cleanup_free_ char *path = xasprintf("/%s/%s", service->name, name);

	assert(method);
	return start_call(conn, path, method->output, request, deadline_ms, events, user);
}

struct rpc_call *rpc_call_new_raw(struct rpc_conn *conn, const char *path, int64_t deadline_ms,
				  const struct rpc_call_events *events, void *user)
{
	return start_call(conn, path, NULL, NULL, deadline_ms, events, user);
}

void rpc_call_set_events(struct rpc_call *call, const struct rpc_call_events *events, void *user)
{
	call->events = *events;
	call->user = user;
}

/* Our own message over the limit would be refused by the other side: say so at once. */
static bool refuse_output(struct rpc_call *call)
{
	struct cay_error status = { 0 };

	if (call->conn->options.server) {
		call_fault(call, CAY_TOO_LARGE, "the answer is over the limit of a message");
		return false;
	}
	(void)cay_error_set(&status, CAY_TOO_LARGE, EMSGSIZE, "the message is over its limit");
	call_end(call, &status);
	http2_reset(call, NGHTTP2_CANCEL);
	return false;
}

/* A packet with its prefix, queued; the caller writes the `size` bytes after that. */
static uint8_t *queue_packet(struct rpc_call *call, size_t size)
{
	struct rpc_packet *packet = xmalloc(sizeof(*packet) + FRAME_PREFIX + size);

	packet->next = NULL;
	packet->size = FRAME_PREFIX + size;
	packet->sent = 0;
	frame_prefix((uint32_t)size, packet->bytes);
	if (call->packets)
		call->last_packet->next = packet;
	else
		call->packets = packet;
	call->last_packet = packet;
	call->queued += packet->size;
	return packet->bytes + FRAME_PREFIX;
}

static bool after_send(struct rpc_call *call)
{
	if (call->conn->options.server && !call->response_begun) {
		call->response_begun = true;
		http2_respond(call);
	} else {
		http2_resume(call);
	}
	if (call->queued < RPC_QUEUE_HIGH)
		return true;
	call->was_high = true;
	return false;
}

bool rpc_call_send(struct rpc_call *call, const ProtobufCMessage *message)
{
	size_t size;

	if (call->ended || call->send_done)
		return false;
	size = protobuf_c_message_get_packed_size(message);
	if (size > RPC_MESSAGE_MAX)
		return refuse_output(call);
	(void)protobuf_c_message_pack(message, queue_packet(call, size));
	return after_send(call);
}

bool rpc_call_send_raw(struct rpc_call *call, const void *data, size_t size)
{
	uint8_t *to;

	if (call->ended || call->send_done)
		return false;
	if (size > RPC_MESSAGE_MAX)
		return refuse_output(call);
	to = queue_packet(call, size);
	if (size)
		memcpy(to, data, size);
	return after_send(call);
}

size_t rpc_call_queued(const struct rpc_call *call)
{
	return call->queued;
}

void rpc_call_half_close(struct rpc_call *call)
{
	assert(!call->conn->options.server);
	if (call->ended || call->send_done)
		return;
	call->send_done = true;
	http2_resume(call);
}

void rpc_call_finish(struct rpc_call *call, const struct cay_error *status)
{
	assert(call->conn->options.server);
	if (call->ended || call->send_done)
		return;
	call->send_done = true;
	if (status)
		call->finish = *status;
	if (call->response_begun) {
		http2_resume(call);
	} else {
		call->response_begun = true;
		http2_respond_only(call, NULL);
	}
}

void rpc_call_reply(struct rpc_call *call, const ProtobufCMessage *message)
{
	(void)rpc_call_send(call, message);
	rpc_call_finish(call, NULL);
}

void rpc_call_cancel(struct rpc_call *call)
{
	struct cay_error status = { 0 };

	if (call->ended)
		return;
	(void)cay_error_set(&status, CAY_CANCELLED, ECANCELED, "the call was cancelled");
	call_end(call, &status);
	http2_reset(call, NGHTTP2_CANCEL);
}

void rpc_call_pause(struct rpc_call *call)
{
	call->paused = true;
}

void rpc_call_resume(struct rpc_call *call)
{
	call->paused = false;
	if (call->held.length)
		conn_schedule(call->conn);
}

int64_t rpc_call_deadline_ms(const struct rpc_call *call)
{
	return call->deadline ? MAX(call->deadline - clock_monotonic_ms(), 1) : -1;
}

struct rpc_conn *rpc_call_conn(const struct rpc_call *call)
{
	return call->conn;
}

void *rpc_call_user(const struct rpc_call *call)
{
	return call->user;
}
