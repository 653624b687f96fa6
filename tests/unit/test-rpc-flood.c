/* SPDX-License-Identifier: Apache-2.0 */
/* Peers that ask for more than they take: they read late or never, or flood the connection. */
#include "test-rpc-wire.h"

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
	enum { READS, IS_CLOSED, LEAVES, WAYS };

	for (unsigned int way = 0; way < WAYS; way++) {
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
		if (way == IS_CLOSED)
			rpc_conn_close(wire.pair.server);
		if (way == LEAVES)
			assert_int_equal(shutdown(wire.fd, SHUT_RDWR), 0);
		if (way == READS)
			exchange(&wire, &heard.ended);
		else
			run_until(&wire.pair, &heard.ended);
		assert_int_equal(heard.status.code, way == READS ? CAY_OK : CAY_CANCELLED);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slow_reader),      cmocka_unit_test(test_deaf_peer),
		cmocka_unit_test(test_too_many_streams), cmocka_unit_test(test_ping_flood),
		cmocka_unit_test(test_settings_flood),   cmocka_unit_test(test_rapid_reset),
		cmocka_unit_test(test_refusal_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
