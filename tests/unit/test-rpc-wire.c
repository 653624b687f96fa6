/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What peers that are not ours may send, byte by byte: requests that are no
 * gRPC, frames that lie, floods. The test is one end of a socket pair itself.
 */
#include "test-rpc.h"

#include "rpc/frame.h"

#include <fcntl.h>
#include <nghttp2/nghttp2.h>

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* ---- frames, written and read by hand ---- */

static void put_frame(struct buf *out, uint8_t type, uint8_t flags, uint32_t stream,
		      const void *payload, size_t size)
{
	const uint8_t header[] = { (uint8_t)(size >> 16),
				   (uint8_t)(size >> 8),
				   (uint8_t)size,
				   type,
				   flags,
				   (uint8_t)(stream >> 24),
				   (uint8_t)(stream >> 16),
				   (uint8_t)(stream >> 8),
				   (uint8_t)stream };

	buf_append(out, header, sizeof(header));
	buf_append(out, payload, size);
}

/* One field as a literal without indexing or Huffman coding (RFC 7541, 6.2.2). */
static void put_length(struct buf *block, size_t length)
{
	if (length < 127) {
		buf_putc(block, (char)length);
		return;
	}
	buf_putc(block, 127);
	for (length -= 127; length >= 128; length >>= 7)
		buf_putc(block, (char)((length & 0x7f) | 0x80));
	buf_putc(block, (char)length);
}

static void put_field(struct buf *block, const char *name, const char *value)
{
	buf_putc(block, 0);
	put_length(block, strlen(name));
	buf_puts(block, name);
	put_length(block, strlen(value));
	buf_puts(block, value);
}

static void put_request_fields(struct buf *block, const char *method, const char *type)
{
	put_field(block, ":method", method);
	put_field(block, ":scheme", "http");
	put_field(block, ":path", "/cay.vminitd.v1.Vminitd/Version");
	put_field(block, ":authority", "x");
	if (type)
		put_field(block, "content-type", type);
}

static void put_headers(struct buf *out, uint32_t stream, const struct buf *block, uint8_t flags)
{
	put_frame(out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | flags, stream, block->data,
		  block->length);
}

/* A whole request of Version. */
static void put_request(struct buf *out, uint32_t stream)
{
	_cleanup_buf_ struct buf block = { 0 };

	put_request_fields(&block, "POST", "application/grpc");
	put_headers(out, stream, &block, 0);
	put_frame(out, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream, "\0\0\0\0", FRAME_PREFIX);
}

/* ---- the test's end of a connection ---- */

struct wire {
	struct pair pair; /* only one of its two connections is used */
	int fd, conn_fd;  /* ours, and the connection's */
	struct buf out;   /* to be sent */
	struct buf in;    /* what has arrived */
	size_t at;        /* how much of it was looked at */
	nghttp2_hd_inflater *inflater;
	/* What the last look() has found. */
	char fields[4096]; /* "name: value\n" of all header blocks */
	bool end_stream;   /* of any stream */
	bool reset, goaway;
	uint32_t error_code; /* of the last of these two */
	unsigned int acks;   /* of PING and SETTINGS */
	unsigned int resets;
	bool closed;
};

static void wire_open(struct wire *wire, const struct rpc_method *methods, size_t count,
		      bool server, void *user)
{
	struct rpc_conn_options options = { .on_close = on_pair_close, .user = &wire->pair };
	struct cay_error err = { 0 };
	struct rpc_conn **conn = server ? &wire->pair.server : &wire->pair.client;
	int fds[2];

	*wire = (struct wire){ .pair.service = { VMINITD, methods, count, user } };
	assert_int_equal(uv_loop_init(&wire->pair.loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(nghttp2_hd_inflate_new(&wire->inflater), 0);
	options.server = server;
	options.services = &wire->pair.service;
	options.service_count = 1;
	assert_ok(rpc_conn_new(&wire->pair.loop, fds[0], &options, NULL, 0, conn, &err));
	wire->fd = fds[1];
	wire->conn_fd = fds[0];
	assert_int_equal(fcntl(wire->fd, F_SETFL, O_NONBLOCK), 0);
	if (server)
		buf_puts(&wire->out, preface);
	else
		wire->at = strlen(preface); /* the client's is passed over */
	put_frame(&wire->out, NGHTTP2_SETTINGS, 0, 0, "", 0);
}

static void wire_close(struct wire *wire)
{
	(void)close(wire->fd);
	if (wire->pair.client)
		rpc_conn_close(wire->pair.client);
	if (wire->pair.server)
		rpc_conn_close(wire->pair.server);
	(void)uv_run(&wire->pair.loop, UV_RUN_DEFAULT);
	assert_null(wire->pair.server);
	assert_null(wire->pair.client);
	assert_int_equal(uv_loop_close(&wire->pair.loop), 0);
	nghttp2_hd_inflate_del(wire->inflater);
	buf_done(&wire->out);
	buf_done(&wire->in);
}

static void read_fields(struct wire *wire, const uint8_t *data, size_t size)
{
	size_t length = strlen(wire->fields);

	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t n = nghttp2_hd_inflate_hd2(wire->inflater, &nv, &flags, data, size, 1);

		assert_true(n >= 0);
		data += n;
		size -= (size_t)n;
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			length += (size_t)snprintf(wire->fields + length,
						   sizeof(wire->fields) - length, "%.*s: %.*s\n",
						   (int)nv.namelen, nv.name, (int)nv.valuelen,
						   nv.value);
		assert_true(length < sizeof(wire->fields));
		if (flags & NGHTTP2_HD_INFLATE_FINAL)
			break;
	}
	(void)nghttp2_hd_inflate_end_headers(wire->inflater);
}

static void look_at_frame(struct wire *wire, const uint8_t *frame, size_t size)
{
	const uint8_t *payload = frame + 9;
	uint8_t type = frame[3], flags = frame[4];

	if ((type == NGHTTP2_HEADERS || type == NGHTTP2_DATA) && flags & NGHTTP2_FLAG_END_STREAM)
		wire->end_stream = true;
	if (type == NGHTTP2_HEADERS)
		read_fields(wire, payload, size);
	if ((type == NGHTTP2_PING || type == NGHTTP2_SETTINGS) && flags & NGHTTP2_FLAG_ACK)
		wire->acks++;
	if (type == NGHTTP2_RST_STREAM) {
		wire->reset = true;
		wire->resets++;
		wire->error_code = payload[3];
	}
	if (type == NGHTTP2_GOAWAY) {
		wire->goaway = true;
		wire->error_code = payload[7];
	}
}

static void look(struct wire *wire)
{
	while (wire->in.length >= wire->at + 9) {
		const uint8_t *frame = (const uint8_t *)wire->in.data + wire->at;
		size_t size = (size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2];

		if (wire->in.length - wire->at < 9 + size)
			return;
		look_at_frame(wire, frame, size);
		wire->at += 9 + size;
	}
}

/* Sends what is queued and takes what comes, until the flag is set or the other end has closed. */
static void exchange(struct wire *wire, const bool *until)
{
	int64_t end = clock_monotonic_ms() + PATIENCE_MS;

	while (!wire->closed && !*until) {
		ssize_t n = send(wire->fd, wire->out.data, wire->out.length, MSG_NOSIGNAL);

		assert_true(clock_monotonic_ms() < end);
		if (n > 0)
			buf_consume(&wire->out, (size_t)n);
		(void)uv_run(&wire->pair.loop, UV_RUN_NOWAIT);
		n = recv(wire->fd, buf_reserve(&wire->in, 65536), 65536, 0);
		if (n > 0)
			wire->in.length += (size_t)n;
		else if (n == 0 || errno != EAGAIN)
			wire->closed = true;
		look(wire);
	}
}

/* Sends all that is queued without ever reading, until the other end has closed. */
static void shout(struct wire *wire, const struct buf *chunk, unsigned int times)
{
	int64_t end = clock_monotonic_ms() + PATIENCE_MS;

	for (unsigned int i = 0; i < times || wire->out.length; i++) {
		ssize_t n;

		if (i < times)
			buf_append(&wire->out, chunk->data, chunk->length);
		n = send(wire->fd, wire->out.data, wire->out.length, MSG_NOSIGNAL);
		if (n > 0)
			buf_consume(&wire->out, (size_t)n);
		else if (errno != EAGAIN)
			return;
		(void)uv_run(&wire->pair.loop, UV_RUN_NOWAIT);
		assert_true(clock_monotonic_ms() < end);
	}
}

/* ---- requests that are refused ---- */

static void reply(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	Cay__Vminitd__V1__VersionResponse response = CAY__VMINITD__V1__VERSION_RESPONSE__INIT;

	if (user)
		++*(unsigned int *)user;
	rpc_call_reply(call, &response.base);
}

static const struct rpc_method version_method[] = { { "Version", false, reply } };

static void test_good_request(void **state)
{
	struct wire wire;

	wire_open(&wire, version_method, 1, true, NULL);
	put_request(&wire.out, 1);
	exchange(&wire, &wire.end_stream);
	assert_string_equal(wire.fields,
			    ":status: 200\ncontent-type: application/grpc\n"
			    "grpc-status: 0\n");
	assert_false(wire.reset);
	wire_close(&wire);
}

struct refusal {
	const char *method, *type, *field, *value; /* a further field */
	const char *expected;                      /* stands in the answer */
};

static void test_refused_requests(void **state)
{
	static const struct refusal refusals[] = {
		{ "GET", "application/grpc", NULL, NULL, ":status: 405\n" },
		{ "POST", "text/html", NULL, NULL, ":status: 415\n" },
		{ "POST", NULL, NULL, NULL, ":status: 415\n" },
		{ "POST", "application/grpc-web", NULL, NULL, ":status: 415\n" },
		{ "POST", "application/grpc+proto", "grpc-timeout", "5 minutes",
		  "grpc-status: 3\n" },
		{ "POST", "application/grpc", "grpc-encoding", "gzip",
		  "grpc-accept-encoding: identity\ngrpc-status: 12\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		const struct refusal *refusal = &refusals[i];
		_cleanup_buf_ struct buf block = { 0 };
		struct wire wire;
		unsigned int begun = 0;

		wire_open(&wire, version_method, 1, true, &begun);
		put_request_fields(&block, refusal->method, refusal->type);
		if (refusal->field)
			put_field(&block, refusal->field, refusal->value);
		put_headers(&wire.out, 1, &block, 0);
		exchange(&wire, &wire.end_stream);
		assert_non_null(strstr(wire.fields, refusal->expected));
		assert_int_equal(begun, 0);
		wire_close(&wire);
	}
}

static void test_compressed_message(void **state)
{
	_cleanup_buf_ struct buf block = { 0 };
	struct wire wire;

	wire_open(&wire, version_method, 1, true, NULL);
	put_request_fields(&block, "POST", "application/grpc");
	put_headers(&wire.out, 1, &block, 0);
	put_frame(&wire.out, NGHTTP2_DATA, 0, 1, "\1\0\0\0\1x", 6);
	exchange(&wire, &wire.end_stream);
	assert_non_null(strstr(wire.fields, "grpc-status: 12\n"));
	wire_close(&wire);
}

/* A client whose own clock stands still is told by the server's. */
static void never(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	rpc_call_set_events(call, &heard_events, user);
}

static void test_deadline(void **state)
{
	const struct rpc_method methods[] = { { "Version", false, never } };
	_cleanup_buf_ struct buf block = { 0 };
	struct wire wire;
	struct heard heard = { 0 };

	wire_open(&wire, methods, 1, true, &heard);
	put_request_fields(&block, "POST", "application/grpc");
	put_field(&block, "grpc-timeout", "30m");
	put_headers(&wire.out, 1, &block, 0);
	put_frame(&wire.out, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "\0\0\0\0", FRAME_PREFIX);
	exchange(&wire, &wire.end_stream);
	assert_non_null(strstr(wire.fields, "grpc-status: 4\n"));
	assert_non_null(strstr(wire.fields, "cay-code: timeout\n"));
	assert_int_equal(heard.status.code, CAY_TIMEOUT);
	wire_close(&wire);
}

static void test_lying_length(void **state)
{
	_cleanup_buf_ struct buf block = { 0 };
	struct wire wire;

	wire_open(&wire, version_method, 1, true, NULL);
	put_request_fields(&block, "POST", "application/grpc");
	put_headers(&wire.out, 1, &block, 0);
	put_frame(&wire.out, NGHTTP2_DATA, 0, 1, "\0\xff\xff\xff\xff", FRAME_PREFIX);
	exchange(&wire, &wire.end_stream);
	assert_non_null(strstr(wire.fields, "cay-code: too-large\n"));
	/* One that stops short. */
	wire.end_stream = false;
	put_headers(&wire.out, 3, &block, 0);
	put_frame(&wire.out, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 3, "\0\0\1\0\0abc", 8);
	exchange(&wire, &wire.end_stream);
	assert_non_null(strstr(wire.fields, "cay-code: invalid\n"));
	wire_close(&wire);
}

static void test_header_flood(void **state)
{
	_cleanup_buf_ struct buf block = { 0 };
	_cleanup_free_ char *value = xcalloc(1, 4001);
	struct wire wire;
	unsigned int begun = 0;

	memset(value, 'v', 4000);
	wire_open(&wire, version_method, 1, true, &begun);
	put_request_fields(&block, "POST", "application/grpc");
	for (unsigned int i = 0; i < 6; i++)
		put_field(&block, "x-large", value);
	put_frame(&wire.out, NGHTTP2_HEADERS, 0, 1, block.data, 16000);
	put_frame(&wire.out, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, block.data + 16000,
		  block.length - 16000);
	exchange(&wire, &wire.end_stream);
	assert_non_null(strstr(wire.fields, "cay-code: too-large\n"));
	assert_int_equal(begun, 0);
	/* The connection goes on. */
	put_request(&wire.out, 3);
	wire.end_stream = false;
	exchange(&wire, &wire.end_stream);
	assert_int_equal(begun, 1);
	wire_close(&wire);
}

static void test_unknown_frames(void **state)
{
	struct wire wire;

	wire_open(&wire, version_method, 1, true, NULL);
	put_frame(&wire.out, 0x77, 0xff, 0, "what", 4);
	put_frame(&wire.out, 0x78, 0xff, 1, "what", 4);
	put_request(&wire.out, 1);
	exchange(&wire, &wire.end_stream);
	assert_non_null(strstr(wire.fields, "grpc-status: 0\n"));
	wire_close(&wire);
}

static void test_data_after_the_end(void **state)
{
	const struct rpc_method methods[] = { { "Version", false, never } };
	struct wire wire;
	struct heard heard = { 0 };

	wire_open(&wire, methods, 1, true, &heard);
	put_request(&wire.out, 1);
	put_frame(&wire.out, NGHTTP2_DATA, 0, 1, "\0\0\0\0", FRAME_PREFIX);
	exchange(&wire, &heard.ended);
	assert_int_equal(heard.messages, 0);
	assert_int_equal(heard.status.code, CAY_CANCELLED);
	wire_close(&wire);
}

static void test_no_preface(void **state)
{
	struct wire wire;
	bool never_set = false;

	wire_open(&wire, version_method, 1, true, NULL);
	buf_clear(&wire.out);
	buf_puts(&wire.out, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	exchange(&wire, &never_set);
	assert_true(wire.closed);
	assert_null(wire.pair.server);
	assert_int_equal(wire.pair.server_why.code, CAY_CORRUPT);
	wire_close(&wire);
}

static void forget(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
}

static const struct rpc_method forget_method[] = { { "Version", false, forget } };

static void test_too_many_streams(void **state)
{
	struct wire wire;

	wire_open(&wire, forget_method, 1, true, NULL);
	/* Without acknowledging the settings: those over the limit are refused, the rest live. */
	for (uint32_t i = 0; i < RPC_CALLS_MAX + 3; i++)
		put_request(&wire.out, 2 * i + 1);
	exchange(&wire, &wire.reset);
	while (wire.resets < 3)
		exchange(&wire, &wire.closed);
	assert_int_equal(wire.error_code, NGHTTP2_REFUSED_STREAM);
	assert_false(wire.goaway);
	wire_close(&wire);
}

/* ---- peers that do not read ---- */

static void large_reply(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	static const uint8_t data[60000];

	rpc_call_set_events(call, &heard_events, user);
	(void)rpc_call_send_raw(call, data, sizeof(data));
	rpc_call_finish(call, NULL);
}

/* A finished call is over when its last byte has left, and not well if that never happens. */
static void test_slow_reader(void **state)
{
	const struct rpc_method methods[] = { { "Version", false, large_reply } };
	bool never_set = false;

	for (unsigned int reads = 0; reads < 2; reads++) {
		struct heard heard = { 0 };
		struct wire wire;

		wire_open(&wire, methods, 1, true, &heard);
		assert_int_equal(setsockopt(wire.conn_fd, SOL_SOCKET, SO_SNDBUF, &(int){ 4096 },
					    sizeof(int)),
				 0);
		put_request(&wire.out, 1);
		shout(&wire, NULL, 0);
		for (unsigned int i = 0; i < 100; i++)
			(void)uv_run(&wire.pair.loop, UV_RUN_NOWAIT);
		assert_false(heard.ended);
		if (reads) {
			exchange(&wire, &heard.ended);
			assert_int_equal(heard.status.code, CAY_OK);
		} else {
			rpc_conn_close(wire.pair.server);
			while (wire.pair.server)
				(void)uv_run(&wire.pair.loop, UV_RUN_ONCE);
			exchange(&wire, &never_set);
			assert_int_equal(heard.status.code, CAY_CANCELLED);
		}
		wire_close(&wire);
	}
}

/* A peer that will not read, but stays, gets no answer: it is not waited for. */
static void test_deaf_peer(void **state)
{
	struct wire wire;
	unsigned int begun = 0;
	int64_t end = clock_monotonic_ms() + PATIENCE_MS;

	wire_open(&wire, version_method, 1, true, &begun);
	put_request(&wire.out, 1);
	shout(&wire, NULL, 0);
	assert_int_equal(shutdown(wire.fd, SHUT_RD), 0);
	put_request(&wire.out, 3);
	shout(&wire, NULL, 0);
	while (wire.pair.server) {
		assert_true(clock_monotonic_ms() < end);
		(void)uv_run(&wire.pair.loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(wire.pair.server_why.code, CAY_UNAVAILABLE);
	assert_int_equal(begun, 2);
	wire_close(&wire);
}

/* ---- floods ---- */

/* The connection ends with ENHANCE_YOUR_CALM, and memory stays what it was. */
static void flood_with(const struct buf *chunk, unsigned int times, bool reads)
{
	struct wire wire;
	bool never_set = false;

	wire_open(&wire, version_method, 1, true, NULL);
	if (reads) {
		for (unsigned int i = 0; i < times; i++)
			buf_append(&wire.out, chunk->data, chunk->length);
		exchange(&wire, &never_set);
	} else {
		shout(&wire, chunk, times);
	}
	for (unsigned int i = 0; wire.pair.server && i < 1000; i++)
		(void)uv_run(&wire.pair.loop, UV_RUN_NOWAIT);
	assert_null(wire.pair.server);
	assert_int_equal(wire.pair.server_why.code, CAY_CORRUPT);
	wire_close(&wire);
}

static void test_ping_flood(void **state)
{
	_cleanup_buf_ struct buf chunk = { 0 };

	for (unsigned int i = 0; i < 1000; i++)
		put_frame(&chunk, NGHTTP2_PING, 0, 0, "12345678", 8);
	flood_with(&chunk, 1000, false);
}

static void test_settings_flood(void **state)
{
	_cleanup_buf_ struct buf chunk = { 0 };

	for (unsigned int i = 0; i < 1000; i++)
		put_frame(&chunk, NGHTTP2_SETTINGS, 0, 0, "", 0);
	flood_with(&chunk, 1000, false);
}

/* Streams opened and reset at once, over and over (CVE-2023-44487). */
static void test_rapid_reset(void **state)
{
	_cleanup_buf_ struct buf chunk = { 0 };

	for (uint32_t i = 0; i < 20000; i++) {
		put_request(&chunk, 2 * i + 1);
		put_frame(&chunk, NGHTTP2_RST_STREAM, 0, 2 * i + 1, "\0\0\0\x08", 4);
	}
	flood_with(&chunk, 1, true);
}

/* Streams over the limit are refused with a frame each, which is never read. */
static void test_refusal_flood(void **state)
{
	_cleanup_buf_ struct buf chunk = { 0 };
	struct wire wire;

	for (uint32_t i = 0; i < 100000; i++)
		put_request(&chunk, 2 * i + 1);
	wire_open(&wire, forget_method, 1, true, NULL);
	shout(&wire, &chunk, 1);
	assert_null(wire.pair.server);
	assert_int_equal(wire.pair.server_why.code, CAY_CORRUPT);
	wire_close(&wire);
}

/* ---- servers that misbehave ---- */

static void answer(struct wire *wire, const char *status, const char *type, const char *name,
		   const char *value, struct heard *heard)
{
	Cay__Vminitd__V1__VersionRequest request = CAY__VMINITD__V1__VERSION_REQUEST__INIT;
	_cleanup_buf_ struct buf block = { 0 };

	wire_open(wire, NULL, 0, false, NULL);
	(void)rpc_call_new(wire->pair.client, VMINITD, "Version", &request.base, 0, &heard_events,
			   heard);
	exchange(wire, &wire->end_stream);
	put_field(&block, ":status", status);
	if (type)
		put_field(&block, "content-type", type);
	if (name)
		put_field(&block, name, value);
	put_headers(&wire->out, 1, &block, NGHTTP2_FLAG_END_STREAM);
	exchange(wire, &heard->ended);
}

static void test_answers(void **state)
{
	static const struct {
		const char *status, *type, *name, *value;
		enum cay_code code;
	} rows[] = {
		{ "200", "application/grpc", "grpc-status", "0", CAY_OK },
		{ "200", "application/grpc", "grpc-status", "14", CAY_UNAVAILABLE },
		{ "200", "application/grpc", "grpc-status", "many", CAY_CORRUPT },
		{ "200", "application/grpc", NULL, NULL, CAY_CORRUPT },
		{ "503", NULL, NULL, NULL, CAY_UNAVAILABLE },
		{ "404", "text/html", NULL, NULL, CAY_UNSUPPORTED },
		{ "503", "text/html", "grpc-status", "5", CAY_NOT_FOUND },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct wire wire;
		struct heard heard = { 0 };

		answer(&wire, rows[i].status, rows[i].type, rows[i].name, rows[i].value, &heard);
		assert_int_equal(heard.status.code, rows[i].code);
		wire_close(&wire);
	}
}

static void test_headers_of_a_request(void **state)
{
	Cay__Vminitd__V1__VersionRequest request = CAY__VMINITD__V1__VERSION_REQUEST__INIT;
	struct wire wire;
	struct heard heard = { 0 };

	wire_open(&wire, NULL, 0, false, NULL);
	(void)rpc_call_new(wire.pair.client, VMINITD, "Version", &request.base, 1500, &heard_events,
			   &heard);
	exchange(&wire, &wire.end_stream);
	assert_non_null(strstr(wire.fields, ":method: POST\n"));
	assert_non_null(strstr(wire.fields, ":path: /cay.vminitd.v1.Vminitd/Version\n"));
	assert_non_null(strstr(wire.fields, "content-type: application/grpc\n"));
	assert_non_null(strstr(wire.fields, "te: trailers\n"));
	assert_non_null(strstr(wire.fields, "grpc-timeout: 1500m\n"));
	wire_close(&wire);
}

static void test_message_then_reset(void **state)
{
	static const struct {
		char error_code;
		enum cay_code code;
	} rows[] = { { NGHTTP2_CANCEL, CAY_CANCELLED },
		     { NGHTTP2_REFUSED_STREAM, CAY_UNAVAILABLE },
		     { NGHTTP2_INTERNAL_ERROR, CAY_INTERNAL },
		     { NGHTTP2_NO_ERROR, CAY_INTERNAL } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		Cay__Vminitd__V1__VersionRequest request = CAY__VMINITD__V1__VERSION_REQUEST__INIT;
		const char code[4] = { 0, 0, 0, rows[i].error_code };
		_cleanup_buf_ struct buf block = { 0 };
		struct wire wire;
		struct heard heard = { 0 };

		wire_open(&wire, NULL, 0, false, NULL);
		(void)rpc_call_new(wire.pair.client, VMINITD, "Version", &request.base, 0,
				   &heard_events, &heard);
		exchange(&wire, &wire.end_stream);
		put_field(&block, ":status", "200");
		put_field(&block, "content-type", "application/grpc");
		put_headers(&wire.out, 1, &block, 0);
		put_frame(&wire.out, NGHTTP2_DATA, 0, 1, "\0\0\0\0", FRAME_PREFIX);
		put_frame(&wire.out, NGHTTP2_RST_STREAM, 0, 1, code, sizeof(code));
		exchange(&wire, &heard.ended);
		assert_int_equal(heard.messages, 1);
		assert_int_equal(heard.status.code, rows[i].code);
		heard_done(&heard);
		wire_close(&wire);
	}
}

/* A server that ends a call says no more about it; that we would go on sending must be told it. */
static void test_open_end(void **state)
{
	_cleanup_buf_ struct buf block = { 0 };
	struct heard heard = { 0 };
	struct wire wire;
	struct rpc_call *call;

	wire_open(&wire, NULL, 0, false, NULL);
	call = call_stdio(&wire.pair, 0, &heard);
	send_text(call, "hello");
	put_field(&block, ":status", "200");
	put_field(&block, "content-type", "application/grpc");
	put_field(&block, "grpc-status", "0");
	(void)uv_run(&wire.pair.loop, UV_RUN_NOWAIT);
	put_headers(&wire.out, 1, &block, NGHTTP2_FLAG_END_STREAM);
	exchange(&wire, &heard.ended);
	assert_int_equal(heard.status.code, CAY_OK);
	exchange(&wire, &wire.reset);
	assert_int_equal(wire.error_code, NGHTTP2_NO_ERROR);
	wire_close(&wire);
}

static void test_goaway(void **state)
{
	Cay__Vminitd__V1__VersionRequest request = CAY__VMINITD__V1__VERSION_REQUEST__INIT;
	struct wire wire;
	struct heard heard = { 0 };

	wire_open(&wire, NULL, 0, false, NULL);
	(void)rpc_call_new(wire.pair.client, VMINITD, "Version", &request.base, 0, &heard_events,
			   &heard);
	/* The server has seen no stream at all and will take none. */
	put_frame(&wire.out, NGHTTP2_GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0", 8);
	exchange(&wire, &heard.ended);
	assert_int_equal(heard.status.code, CAY_UNAVAILABLE);
	while (wire.pair.client)
		(void)uv_run(&wire.pair.loop, UV_RUN_ONCE);
	assert_int_equal(wire.pair.client_why.code, CAY_UNAVAILABLE);
	wire_close(&wire);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_request),
		cmocka_unit_test(test_refused_requests),
		cmocka_unit_test(test_compressed_message),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_lying_length),
		cmocka_unit_test(test_header_flood),
		cmocka_unit_test(test_unknown_frames),
		cmocka_unit_test(test_data_after_the_end),
		cmocka_unit_test(test_no_preface),
		cmocka_unit_test(test_too_many_streams),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_deaf_peer),
		cmocka_unit_test(test_ping_flood),
		cmocka_unit_test(test_settings_flood),
		cmocka_unit_test(test_rapid_reset),
		cmocka_unit_test(test_refusal_flood),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_headers_of_a_request),
		cmocka_unit_test(test_message_then_reset),
		cmocka_unit_test(test_open_end),
		cmocka_unit_test(test_goaway),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
