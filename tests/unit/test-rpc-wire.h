/* SPDX-License-Identifier: Apache-2.0 */
/* A peer that is not ours: frames written and read byte by byte at one end of a socket pair. */
#pragma once

#include "test-rpc.h"

#include "rpc/frame.h"

#include <fcntl.h>
#include <nghttp2/nghttp2.h>

static const cay_unused char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* ---- frames, written and read by hand ---- */

static inline cay_unused void put_frame(struct buf *out, uint8_t type, uint8_t flags,
					uint32_t stream, const void *payload, size_t size)
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
static inline cay_unused void put_length(struct buf *block, size_t length)
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

static inline cay_unused void put_field(struct buf *block, const char *name, const char *value)
{
	buf_putc(block, 0);
	put_length(block, strlen(name));
	buf_puts(block, name);
	put_length(block, strlen(value));
	buf_puts(block, value);
}

static inline cay_unused void put_request_fields(struct buf *block, const char *method,
						 const char *type)
{
	put_field(block, ":method", method);
	put_field(block, ":scheme", "http");
	put_field(block, ":path", "/cay.vminitd.v1.Vminitd/Version");
	put_field(block, ":authority", "x");
	if (type)
		put_field(block, "content-type", type);
}

static inline cay_unused void put_headers(struct buf *out, uint32_t stream, const struct buf *block,
					  uint8_t flags)
{
	put_frame(out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | flags, stream, block->data,
		  block->length);
}

/* A whole request of Version. */
static inline cay_unused void put_request(struct buf *out, uint32_t stream)
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

static inline cay_unused void wire_open(struct wire *wire, const struct rpc_method *methods,
					size_t count, bool server, void *user)
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

static inline cay_unused void wire_close(struct wire *wire)
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

static inline cay_unused void read_fields(struct wire *wire, const uint8_t *data, size_t size)
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

static inline cay_unused void look_at_frame(struct wire *wire, const uint8_t *frame, size_t size)
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

static inline cay_unused void look(struct wire *wire)
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
static inline cay_unused void exchange(struct wire *wire, const bool *until)
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
static inline cay_unused void shout(struct wire *wire, const struct buf *chunk, unsigned int times)
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

/* ---- methods ---- */

static inline cay_unused void wire_reply(struct rpc_call *call, const ProtobufCMessage *request,
					 void *user)
{
	Cay__Vminitd__V1__VersionResponse response = CAY__VMINITD__V1__VERSION_RESPONSE__INIT;

	if (user)
		++*(unsigned int *)user;
	rpc_call_reply(call, &response.base);
}

/* Counts its calls in `user`, if there is one. */
static const cay_unused struct rpc_method version_method[] = { { "Version", false, wire_reply } };
