/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nghttp2 makes of the peer's bytes: header fields, data, the ends of
 * streams. Users are called from here, with requests and messages.
 *
 * Windows: bytes count as consumed for the connection when they arrive, so that
 * a call that is paused holds up no other, and for their stream when the
 * message they belong to was delivered (receive.c).
 */
#include "rpc/rpc-internal.h"

#include <errno.h>

struct rpc_call *http2_call(nghttp2_session *session, int32_t stream_id)
{
	return nghttp2_session_get_stream_user_data(session, stream_id);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct rpc_conn *conn = user;
	struct rpc_call *call;

	if (frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	call = http2_call(session, frame->hd.stream_id);
	if (conn->options.server && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		call = call_new(conn);
		call->stream_id = frame->hd.stream_id;
		(void)nghttp2_session_set_stream_user_data(session, call->stream_id, call);
	}
	if (call && call->head)
		call->head->size = 0;
	return 0;
}

static void add_request_field(struct rpc_head *head, struct str name, struct str value)
{
	if (str_equals(name, ":path")) {
		free(head->path);
		head->path = str_dup(value);
	} else if (str_equals(name, ":method")) {
		head->post = str_equals(value, "POST");
	} else if (str_equals(name, "grpc-timeout")) {
		int64_t ms = -1;

		(void)metadata_parse_timeout(value, &ms);
		head->timeout_ms = ms == 0 ? 1 : ms;
	}
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name_data,
		     size_t name_length, const uint8_t *value_data, size_t value_length,
		     uint8_t flags, void *user)
{
	struct rpc_conn *conn = user;
	struct rpc_call *call = http2_call(session, frame->hd.stream_id);
	struct str name = { (const char *)name_data, name_length };
	struct str value = { (const char *)value_data, value_length };
	struct rpc_head *head;
	uint64_t status;

	if (frame->hd.type != NGHTTP2_HEADERS || !call || !call->head)
		return 0;
	head = call->head;
	head->size += name_length + value_length + 32;
	if (head->size > RPC_HEADERS_MAX)
		head->too_large = true;
	if (head->too_large)
		return 0;
	if (str_equals(name, "content-type"))
		head->grpc = metadata_is_grpc(value);
	else if (str_equals(name, "grpc-encoding"))
		head->encoded = !str_equals(value, "identity");
	else if (conn->options.server)
		add_request_field(head, name, value);
	else if (str_equals(name, ":status") && str_to_u64(value, 999, &status) == 0)
		head->http_status = (int)status;
	else
		metadata_status_add(&head->status, name, value);
	return 0;
}

static void client_done(struct rpc_call *call)
{
	const struct rpc_head *head = call->head;
	struct cay_error status = { 0 };

	if (head->http_status != 200 && head->status.grpc < 0)
		(void)cay_error_set(&status, metadata_code_of_http(head->http_status), EPROTO,
				    "the other side answered with HTTP status %d",
				    head->http_status);
	else
		metadata_status_resolve(&head->status, &status);
	call_remote_done(call, &status);
}

static void client_refuse(struct rpc_call *call, enum cay_code code, const char *text)
{
	struct cay_error status = { 0 };

	(void)cay_error_set(&status, code, EPROTO, "%s", text);
	call_end(call, &status);
	http2_reset(call, NGHTTP2_CANCEL);
}

static void client_headers(struct rpc_call *call, const nghttp2_frame *frame)
{
	const struct rpc_head *head = call->head;

	if (head->too_large)
		client_refuse(call, CAY_TOO_LARGE, "the answer's headers are over their limit");
	else if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		client_done(call);
	else if (head->http_status >= 100 && head->http_status < 200)
		return; /* the real ones follow */
	else if (head->http_status != 200)
		client_refuse(call, metadata_code_of_http(head->http_status),
			      "the answer is an HTTP error");
	else if (!head->grpc)
		client_refuse(call, CAY_CORRUPT, "the answer is not gRPC");
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct rpc_conn *conn = user;
	struct rpc_call *call;
	bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	call = http2_call(session, frame->hd.stream_id);
	if (!call)
		return 0;
	if (!conn->options.server) {
		if (frame->hd.type == NGHTTP2_HEADERS)
			client_headers(call, frame);
		else if (end)
			client_done(call);
		return 0;
	}
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		server_begin(call);
	if (end)
		call_remote_done(call, NULL);
	return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
			 const uint8_t *data, size_t length, void *user)
{
	struct rpc_call *call = http2_call(session, stream_id);

	(void)nghttp2_session_consume_connection(session, length); /* fails for lack of memory */
	if (call)
		call_receive(call, data, length);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
			   void *user)
{
	struct rpc_conn *conn = user;
	struct rpc_call *call = http2_call(session, stream_id);
	struct cay_error status = { 0 };
	enum cay_code code = metadata_code_of_reset(error_code);

	if (!call)
		return 0;
	(void)nghttp2_session_set_stream_user_data(session, stream_id, NULL);
	call->stream_id = 0;
	conn_schedule(conn);
	if (conn->options.server) {
		if (!call->trailers_sent)
			(void)cay_error_set(&status, CAY_CANCELLED, ECANCELED,
					    "the client gave the call up");
		call->ends_at = call->trailers_sent ? conn->made : 0;
		call_end(call, &status);
		return 0;
	}
	(void)cay_error_set(&status, code, EPROTO, "the call was reset: %s",
			    nghttp2_http2_strerror(error_code));
	call_remote_done(call, &status); /* counts only where no trailers came before */
	return 0;
}

void http2_set_input_callbacks(nghttp2_session_callbacks *callbacks)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}
