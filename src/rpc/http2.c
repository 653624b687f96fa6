/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP/2 session: nghttp2's callbacks and what is submitted to it. The
 * callbacks for input call users (a message, a request); those for output only
 * move bytes and note what has happened.
 *
 * Windows: bytes count as consumed for the connection when they arrive, so that
 * a call that is paused holds up no other, and for their stream when the
 * message they belong to was delivered (call.c).
 */
#include "rpc/rpc-internal.h"

#include "base/alloc.h"

#include <errno.h>

enum {
	CONNECTION_WINDOW = 4 * 1024 * 1024, /* only ever as much as is on its way */
	FRAME_MAX = 64 * 1024,
	OUT_TARGET = 64 * 1024,     /* filled until it holds this; at most one frame more */
	OUTBOUND_ACKS_MAX = 256,    /* answers to PING and SETTINGS a peer may let pile up */
	OUTBOUND_FRAMES_MAX = 4096, /* frames of all other kinds, DATA aside */
};

static struct rpc_call *call_of(nghttp2_session *session, int32_t stream_id)
{
	return nghttp2_session_get_stream_user_data(session, stream_id);
}

/* ---- input ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct rpc_conn *conn = user;
	struct rpc_call *call;

	if (frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	call = call_of(session, frame->hd.stream_id);
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
	struct rpc_call *call = call_of(session, frame->hd.stream_id);
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
	call = call_of(session, frame->hd.stream_id);
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
	struct rpc_call *call = call_of(session, stream_id);

	(void)nghttp2_session_consume_connection(session, length); /* fails for lack of memory */
	if (call)
		call_receive(call, data, length);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
			   void *user)
{
	struct rpc_conn *conn = user;
	struct rpc_call *call = call_of(session, stream_id);
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

static int on_error(nghttp2_session *session, int error_code, const char *text, size_t length,
		    void *user)
{
	struct rpc_conn *conn = user;

	if (!conn->fault[0])
		(void)snprintf(conn->fault, sizeof(conn->fault), "HTTP/2: %.*s", (int)length, text);
	return 0;
}

/* ---- output ---- */

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
	struct rpc_call *call = call_of(session, frame->hd.stream_id);

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
	struct rpc_call *call = call_of(session, stream_id);
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
		(void)snprintf(conn->fault, sizeof(conn->fault), "HTTP/2: %s",
			       nghttp2_http2_strerror(frame->goaway.error_code));
	if (!conn->options.server || frame->hd.type != NGHTTP2_HEADERS ||
	    !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	call = call_of(session, frame->hd.stream_id);
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
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	nghttp2_session_callbacks_set_error_callback2(callbacks, on_error);
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
