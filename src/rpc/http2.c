/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP/2 session: how it is made, what is submitted to it, and the
 * callbacks by which it takes what is to be sent. They only move bytes and note
 * what has happened; no user is called from here.
 */
#include "rpc/rpc-internal.h"

#include <errno.h>

enum {
	CONNECTION_WINDOW = 4 * 1024 * 1024, /* only ever as much as is on its way */
	FRAME_MAX = 64 * 1024,
	OUT_TARGET = 64 * 1024,     /* filled until it holds this; at most one frame more */
	OUTBOUND_ACKS_MAX = 256,    /* answers to PING and SETTINGS a peer may let pile up */
	OUTBOUND_FRAMES_MAX = 4096, /* frames of all other kinds, DATA aside */
};

/* ---- sending ---- */

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t length, int flags,
		       void *user)
{
	struct rpc_conn *conn = user;

	if (conn->out.length >= OUT_TARGET)
		return NGHTTP2_ERR_WOULDBLOCK;
	buf_append(&conn->out, data, length);
	conn->made += length;
	return (ssize_t)length;
}

/* A DATA frame that read_packets() has announced. */
static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header,
			size_t length, nghttp2_data_source *source, void *user)
{
	enum { FRAME_HEADER = 9 };
	struct rpc_conn *conn = user;
	struct rpc_call *call = http2_call(session, frame->hd.stream_id);

	if (conn->out.length >= OUT_TARGET)
		return NGHTTP2_ERR_WOULDBLOCK;
	if (!call || call->queued < length)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* dropped since */
	buf_append(&conn->out, header, FRAME_HEADER);
	conn->made += FRAME_HEADER + length;
	call->queued -= length;
	while (length > 0) {
		struct rpc_packet *packet = call->packets;
		size_t count = MIN(length, packet->size - packet->sent);

		buf_append(&conn->out, packet->bytes + packet->sent, count);
		packet->sent += count;
		length -= count;
		if (packet->sent == packet->size) {
			call->packets = packet->next;
			free(packet);
		}
	}
	return 0;
}

static nghttp2_nv field(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value),
			     NGHTTP2_NV_FLAG_NONE };
}

/* The fields that tell a status; returns how many. `message` is room for their text. */
enum { STATUS_FIELDS = 3, STATUS_NUMBER_MAX = 12 };
static size_t status_fields(const struct cay_error *status, nghttp2_nv fields[STATUS_FIELDS],
			    char number[STATUS_NUMBER_MAX], char message[METADATA_MESSAGE_MAX])
{
	size_t count = 0;

	(void)snprintf(number, STATUS_NUMBER_MAX, "%d", cay_code_grpc_status(status->code));
	fields[count++] = field("grpc-status", number);
	if (status->code != CAY_OK) {
		(void)metadata_encode_message(status->message, message);
		fields[count++] = field("grpc-message", message);
		fields[count++] = field("cay-code", cay_code_token(status->code));
	}
	return count;
}

static void submit_trailers(struct rpc_call *call)
{
	nghttp2_nv fields[STATUS_FIELDS];
	char number[STATUS_NUMBER_MAX], message[METADATA_MESSAGE_MAX];
	size_t count = status_fields(&call->finish, fields, number, message);

	(void)nghttp2_submit_trailer(call->conn->session, call->stream_id, fields, count);
}

static ssize_t read_packets(nghttp2_session *session, int32_t stream_id, uint8_t *data,
			    size_t length, uint32_t *flags, nghttp2_data_source *source, void *user)
{
	struct rpc_conn *conn = user;
	struct rpc_call *call = http2_call(session, stream_id);
	size_t count;

	if (!call)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	count = MIN(length, call->queued);
	if (count == call->queued && call->send_done) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (conn->options.server) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			submit_trailers(call);
		}
	} else if (count == 0) {
		call->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (count > 0)
		*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	return (ssize_t)count;
}

static ssize_t on_read_length(nghttp2_session *session, uint8_t frame_type, int32_t stream_id,
			      int32_t session_window, int32_t stream_window, uint32_t frame_max,
			      void *user)
{
	return MIN(MIN(session_window, stream_window), MIN((int32_t)frame_max, FRAME_MAX));
}

/* Notes what nghttp2 sends of its own accord, and when a call's last frame has gone. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct rpc_conn *conn = user;
	struct rpc_call *call;

	if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR &&
	    !conn->fault[0])
		(void)snprintf(conn->fault, sizeof(conn->fault), "HTTP/2: %s: %.*s",
			       nghttp2_http2_strerror(frame->goaway.error_code),
			       (int)frame->goaway.opaque_data_len,
			       (const char *)frame->goaway.opaque_data);
	if (!conn->options.server || frame->hd.type != NGHTTP2_HEADERS ||
	    !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	call = http2_call(session, frame->hd.stream_id);
	if (!call)
		return 0;
	call->trailers_sent = true;
	/* A client that would go on sending is told to stop; the stream could not close otherwise.
	 */
	if (nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
		(void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
						NGHTTP2_NO_ERROR);
	return 0;
}

/* ---- the session ---- */

static int make_session(struct rpc_conn *conn, nghttp2_session_callbacks *callbacks,
			nghttp2_option *option)
{
	http2_set_input_callbacks(callbacks);
	nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
	nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
	nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, on_read_length);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);

	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_no_closed_streams(option, 1);
	nghttp2_option_set_max_outbound_ack(option, OUTBOUND_ACKS_MAX);

	if (conn->options.server)
		return nghttp2_session_server_new2(&conn->session, callbacks, conn, option);
	return nghttp2_session_client_new2(&conn->session, callbacks, conn, option);
}

static int submit_settings(struct rpc_conn *conn)
{
	const nghttp2_settings_entry entries[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, RPC_CALLS_MAX },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, RPC_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAME_MAX },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, RPC_HEADERS_MAX },
	};
	/* Servers may not name ENABLE_PUSH (RFC 9113, 6.5.2). */
	size_t skip = conn->options.server ? 1 : 0;
	int r = nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, entries + skip,
					ARRAY_SIZE(entries) - skip);

	if (r == 0)
		r = nghttp2_session_set_local_window_size(conn->session, NGHTTP2_FLAG_NONE, 0,
							  CONNECTION_WINDOW);
	return r;
}

int http2_new(struct rpc_conn *conn, struct cay_error *err)
{
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_option *option = NULL;
	int r = NGHTTP2_ERR_NOMEM;

	if (nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0)
		r = make_session(conn, callbacks, option);
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(callbacks);
	if (r == 0)
		r = submit_settings(conn);
	if (r == 0)
		return 0;
	nghttp2_session_del(conn->session);
	return cay_error_set(err, CAY_NO_SPACE, ENOMEM, "making a connection: %s",
			     nghttp2_strerror(r));
}

void http2_receive(struct rpc_conn *conn, const uint8_t *data, size_t size)
{
	ssize_t r = nghttp2_session_mem_recv(conn->session, data, size);

	if (r < 0) {
		conn->goaway = r == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM
							: NGHTTP2_PROTOCOL_ERROR;
		conn_end(conn, CAY_CORRUPT, EPROTO, "HTTP/2: %s", nghttp2_strerror((int)r));
	} else if (nghttp2_session_get_outbound_queue_size(conn->session) > OUTBOUND_FRAMES_MAX) {
		conn->goaway = NGHTTP2_ENHANCE_YOUR_CALM;
		conn_end(conn, CAY_CORRUPT, EPROTO,
			 "HTTP/2: the other side asks for more than it reads");
	}
}

void http2_fill(struct rpc_conn *conn)
{
	int r = nghttp2_session_send(conn->session);

	if (r < 0)
		conn_end(conn, CAY_INTERNAL, EIO, "HTTP/2: %s", nghttp2_strerror(r));
}

void http2_goaway(struct rpc_conn *conn)
{
	int32_t last = nghttp2_session_get_last_proc_stream_id(conn->session);

	/* Failing leaves the peer without a word, which it must bear anyway. */
	(void)nghttp2_submit_goaway(conn->session, NGHTTP2_FLAG_NONE, last, conn->goaway, NULL, 0);
}

bool http2_is_finished(const struct rpc_conn *conn)
{
	return !nghttp2_session_want_read(conn->session) &&
		!nghttp2_session_want_write(conn->session);
}

int32_t http2_request(struct rpc_call *call, const char *path, int64_t deadline_ms)
{
	nghttp2_data_provider provider = { .read_callback = read_packets };
	char timeout[METADATA_TIMEOUT_MAX] = "";
	nghttp2_nv fields[] = {
		field(":method", "POST"),
		field(":scheme", "http"),
		field(":path", path),
		field(":authority", "localhost"),
		field("content-type", "application/grpc"),
		field("te", "trailers"),
		field("grpc-accept-encoding", "identity"),
		field("user-agent", "cay/" CAY_VERSION),
		field("grpc-timeout", timeout),
	};
	size_t count = ARRAY_SIZE(fields) - (deadline_ms > 0 ? 0 : 1);

	if (deadline_ms > 0) {
		metadata_format_timeout(deadline_ms, timeout);
		fields[count - 1] = field("grpc-timeout", timeout);
	}
	return nghttp2_submit_request(call->conn->session, NULL, fields, count, &provider, call);
}

void http2_respond(struct rpc_call *call)
{
	nghttp2_data_provider provider = { .read_callback = read_packets };
	const nghttp2_nv fields[] = {
		field(":status", "200"),
		field("content-type", "application/grpc"),
	};

	(void)nghttp2_submit_response(call->conn->session, call->stream_id, fields,
				      ARRAY_SIZE(fields), &provider);
	conn_schedule(call->conn);
}

void http2_respond_only(struct rpc_call *call, const char *http_status)
{
	nghttp2_nv fields[3 + STATUS_FIELDS];
	char number[STATUS_NUMBER_MAX], message[METADATA_MESSAGE_MAX];
	size_t count = 0;

	fields[count++] = field(":status", http_status ? http_status : "200");
	if (!http_status) {
		fields[count++] = field("content-type", "application/grpc");
		fields[count++] = field("grpc-accept-encoding", "identity");
		count += status_fields(&call->finish, fields + count, number, message);
	}
	(void)nghttp2_submit_response(call->conn->session, call->stream_id, fields, count, NULL);
	conn_schedule(call->conn);
}

void http2_resume(struct rpc_call *call)
{
	if (call->deferred && call->stream_id) {
		call->deferred = false;
		(void)nghttp2_session_resume_data(call->conn->session, call->stream_id);
	}
	conn_schedule(call->conn);
}

void http2_consume(struct rpc_call *call, size_t size)
{
	if (call->stream_id)
		(void)nghttp2_session_consume_stream(call->conn->session, call->stream_id, size);
	conn_schedule(call->conn);
}

void http2_reset(struct rpc_call *call, uint32_t error_code)
{
	nghttp2_session *session = call->conn->session;

	if (!call->stream_id)
		return;
	(void)nghttp2_session_set_stream_user_data(session, call->stream_id, NULL);
	(void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, call->stream_id, error_code);
	call->stream_id = 0;
	conn_schedule(call->conn);
}
