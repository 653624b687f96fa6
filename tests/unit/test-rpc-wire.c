/* SPDX-License-Identifier: Apache-2.0 */
/* What peers that are not ours may send: requests that are no gRPC, frames that lie. */
#include "test-rpc-wire.h"

/* ---- requests that are refused ---- */

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

/* Bytes read before the connection was made come first, whatever waits in the socket by then. */
static void test_initial_bytes(void **state)
{
	struct rpc_conn_options options = { .server = true, .on_close = on_pair_close };
	struct cay_error err = { 0 };
	struct wire wire;
	int fds[2];

	wire_open(&wire, version_method, 1, true, NULL);
	put_request(&wire.out, 1);
	/* The connection that wire_open() made gives way to one that has had half of the bytes. */
	rpc_conn_close(wire.pair.server);
	(void)uv_run(&wire.pair.loop, UV_RUN_DEFAULT);
	(void)close(wire.fd);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	wire.fd = fds[1];
	assert_int_equal(fcntl(wire.fd, F_SETFL, O_NONBLOCK), 0);
	options.user = &wire.pair;
	options.services = &wire.pair.service;
	options.service_count = 1;
	assert_int_equal(send(wire.fd, wire.out.data + 30, wire.out.length - 30, 0),
			 wire.out.length - 30);
	assert_ok(rpc_conn_new(&wire.pair.loop, fds[0], &options, wire.out.data, 30,
			       &wire.pair.server, &err));
	buf_clear(&wire.out);
	exchange(&wire, &wire.end_stream);
	assert_non_null(strstr(wire.fields, "grpc-status: 0\n"));
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

/* A mistake within one stream costs that stream; the connection's end is not blamed on it later. */
static void test_bad_header(void **state)
{
	_cleanup_buf_ struct buf block = { 0 };
	struct wire wire;

	wire_open(&wire, version_method, 1, true, NULL);
	put_request_fields(&block, "POST", "application/grpc");
	put_field(&block, "X-\033[31mUpper", "case");
	put_headers(&wire.out, 1, &block, 0);
	put_request(&wire.out, 3);
	exchange(&wire, &wire.end_stream);
	assert_non_null(strstr(wire.fields, "grpc-status: 0\n"));
	assert_true(wire.reset);
	put_frame(&wire.out, NGHTTP2_GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0", 8);
	exchange(&wire, &wire.closed);
	assert_int_equal(wire.pair.server_why.code, CAY_UNAVAILABLE);
	wire_close(&wire);
}

/* A frame that breaks the protocol costs the connection, and its end says why. */
static void test_broken_protocol(void **state)
{
	struct wire wire;

	wire_open(&wire, version_method, 1, true, NULL);
	put_frame(&wire.out, NGHTTP2_DATA, 0, 7, "x", 1);
	exchange(&wire, &wire.closed);
	assert_true(wire.goaway);
	assert_int_equal(wire.pair.server_why.code, CAY_CORRUPT);
	assert_non_null(strstr(wire.pair.server_why.message, "PROTOCOL_ERROR"));
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
	assert_true(wire.goaway);
	assert_int_equal(wire.error_code, NGHTTP2_PROTOCOL_ERROR);
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
		cmocka_unit_test(test_initial_bytes),
		cmocka_unit_test(test_refused_requests),
		cmocka_unit_test(test_compressed_message),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_lying_length),
		cmocka_unit_test(test_header_flood),
		cmocka_unit_test(test_bad_header),
		cmocka_unit_test(test_broken_protocol),
		cmocka_unit_test(test_unknown_frames),
		cmocka_unit_test(test_data_after_the_end),
		cmocka_unit_test(test_no_preface),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_headers_of_a_request),
		cmocka_unit_test(test_message_then_reset),
		cmocka_unit_test(test_open_end),
		cmocka_unit_test(test_goaway),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
