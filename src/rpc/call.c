/* SPDX-License-Identifier: Apache-2.0 */
/* A call: its life, its ends, and what it sends. receive.c is about what it is sent. */
#include "rpc/rpc-internal.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>

/* ---- life ---- */

struct rpc_call *call_new(struct rpc_conn *conn)
{
	struct rpc_call *call = xcalloc(1, sizeof(*call));

	call->conn = conn;
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

/* ---- the end ---- */

void call_end(struct rpc_call *call, const struct cay_error *status)
{
	if (call->ended)
		return;
	call->ended = true;
	call->status = *status;
	call_release_large(call);
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
		call_deliver_all(call);
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

bool rpc_call_is_broken_off(const struct rpc_call *call)
{
	return call->remote_done && call->status.code != CAY_OK;
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
