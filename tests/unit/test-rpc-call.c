/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of all kinds between a client and a server on one loop, over a socket pair. */
#include "test-rpc.h"

static const char *const no_ascii = "f\xc3\xa4hrt: 100% \xe2\x82\xac\xf0\x9f\x90\xb3";

static struct rpc_call *call_version(struct pair *pair, int64_t deadline_ms, struct heard *heard)
{
	Cay__Vminitd__V1__VersionRequest request = CAY__VMINITD__V1__VERSION_REQUEST__INIT;

	return rpc_call_new(pair->client, VMINITD, "Version", &request.base, deadline_ms,
			    &heard_events, heard);
}

/* ---- one request, one response ---- */

static void version(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	Cay__Vminitd__V1__VersionResponse response = CAY__VMINITD__V1__VERSION_RESPONSE__INIT;

	assert_non_null(request);
	response.version = (char *)"1.2";
	response.memory_bytes = 77;
	rpc_call_reply(call, &response.base);
}

static const struct rpc_method version_method[] = { { "Version", false, version } };

static void test_unary(void **state)
{
	struct pair pair;
	struct heard heard = { 0 };
	const Cay__Vminitd__V1__VersionResponse *response;

	pair_open(&pair, version_method, 1, NULL);
	(void)call_version(&pair, 0, &heard);
	run_until(&pair, &heard.ended);
	assert_int_equal(heard.status.code, CAY_OK);
	assert_int_equal(heard.messages, 1);
	response = (const Cay__Vminitd__V1__VersionResponse *)heard.last;
	assert_string_equal(response->version, "1.2");
	assert_int_equal(response->memory_bytes, 77);
	heard_done(&heard);
	pair_close(&pair);
}

static void fail_with(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	struct cay_error status = { 0 };

	(void)cay_error_set(&status, *(enum cay_code *)user, EIO, "%s", no_ascii);
	rpc_call_finish(call, &status);
}

static void test_exact_codes_and_messages(void **state)
{
	enum cay_code code;
	const struct rpc_method methods[] = { { "Version", false, fail_with } };
	struct pair pair;

	pair_open(&pair, methods, 1, &code);
	for (code = CAY_INVALID; code < CAY_CODE_COUNT; code++) {
		struct heard heard = { 0 };

		(void)call_version(&pair, 0, &heard);
		run_until(&pair, &heard.ended);
		assert_int_equal(heard.status.code, code);
		assert_string_equal(heard.status.message, no_ascii);
		assert_int_equal(heard.messages, 0);
	}
	pair_close(&pair);
}

static void test_unlisted_method(void **state)
{
	struct pair pair;
	struct heard heard = { 0 }, other = { 0 };
	Cay__Vminitd__V1__SyncRequest request = CAY__VMINITD__V1__SYNC_REQUEST__INIT;

	pair_open(&pair, version_method, 1, NULL);
	(void)rpc_call_new(pair.client, VMINITD, "Sync", &request.base, 0, &heard_events, &heard);
	run_until(&pair, &heard.ended);
	assert_int_equal(heard.status.code, CAY_UNSUPPORTED);
	(void)rpc_call_new_raw(pair.client, "/no.Service/Version", 0, &heard_events, &other);
	run_until(&pair, &other.ended);
	assert_int_equal(other.status.code, CAY_UNSUPPORTED);
	pair_close(&pair);
}

/* More calls than the server lets run at once: the rest wait their turn. */
static void test_many_calls(void **state)
{
	enum { COUNT = RPC_CALLS_MAX + 200 };
	static struct heard heard[COUNT];
	struct pair pair;

	memset(heard, 0, sizeof(heard));
	pair_open(&pair, version_method, 1, NULL);
	for (size_t i = 0; i < COUNT; i++)
		(void)call_version(&pair, 0, &heard[i]);
	for (size_t i = 0; i < COUNT; i++) {
		run_until(&pair, &heard[i].ended);
		assert_int_equal(heard[i].status.code, CAY_OK);
		heard_done(&heard[i]);
	}
	pair_close(&pair);
}

/* ---- streams ---- */

static void three_texts(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	static const char *const texts[] = { "one", "", "three" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		Cay__Vminitd__V1__KernelLogResponse response =
			CAY__VMINITD__V1__KERNEL_LOG_RESPONSE__INIT;

		response.text = (ProtobufCBinaryData){ strlen(texts[i]), (uint8_t *)texts[i] };
		assert_true(rpc_call_send(call, &response.base));
	}
	rpc_call_finish(call, NULL);
	assert_false(rpc_call_send_raw(call, "late", 4)); /* dropped */
}

static void test_server_stream(void **state)
{
	const struct rpc_method methods[] = { { "KernelLog", false, three_texts } };
	Cay__Vminitd__V1__KernelLogRequest request = CAY__VMINITD__V1__KERNEL_LOG_REQUEST__INIT;
	struct pair pair;
	struct heard heard = { 0 };

	pair_open(&pair, methods, 1, NULL);
	(void)rpc_call_new(pair.client, VMINITD, "KernelLog", &request.base, 0, &heard_events,
			   &heard);
	run_until(&pair, &heard.ended);
	assert_int_equal(heard.status.code, CAY_OK);
	assert_int_equal(heard.messages, 3);
	assert_int_equal(((const Cay__Vminitd__V1__KernelLogResponse *)heard.last)->text.len, 5);
	heard_done(&heard);
	pair_close(&pair);
}

static void test_bidi(void **state)
{
	struct pair pair;
	struct served served = { 0 };
	struct heard heard = { 0 };
	struct rpc_call *call;

	pair_open(&pair, stdio_method, 1, &served);
	call = call_stdio(&pair, 0, &heard);
	run_until(&pair, &served.begun);
	for (unsigned int i = 1; i <= 3; i++) {
		send_text(call, "ping");
		run_until_messages(&pair, &served.heard, i);
		send_text(served.call, "pong!");
		run_until_messages(&pair, &heard, i);
	}
	assert_false(served.heard.half_closed);
	send_text(call, "last");
	rpc_call_half_close(call);
	send_text(call, "dropped");
	run_until(&pair, &served.heard.half_closed);
	assert_int_equal(served.heard.messages, 4);
	send_text(served.call, "bye");
	rpc_call_finish(served.call, NULL);
	run_until(&pair, &heard.ended);
	run_until(&pair, &served.heard.ended);
	assert_int_equal(heard.status.code, CAY_OK);
	assert_int_equal(heard.messages, 4);
	assert_int_equal(served.heard.status.code, CAY_OK);
	assert_int_equal(served.heard.half_closes, 1);
	heard_done(&heard);
	heard_done(&served.heard);
	pair_close(&pair);
}

/* The server's end is the call's end, though the client had more to say. */
static void test_server_finishes_first(void **state)
{
	struct cay_error status = { .code = CAY_CONFLICT, .message = "not now" };
	struct pair pair;
	struct served served = { 0 };
	struct heard heard = { 0 };
	struct rpc_call *call;

	pair_open(&pair, stdio_method, 1, &served);
	call = call_stdio(&pair, 0, &heard);
	send_text(call, "hello");
	run_until_messages(&pair, &served.heard, 1);
	rpc_call_finish(served.call, &status);
	run_until(&pair, &heard.ended);
	run_until(&pair, &served.heard.ended);
	assert_int_equal(heard.status.code, CAY_CONFLICT);
	assert_string_equal(heard.status.message, "not now");
	assert_int_equal(served.heard.status.code, CAY_OK);
	heard_done(&served.heard);
	pair_close(&pair);
}

/* ---- giving up ---- */

static void test_cancel(void **state)
{
	struct pair pair;
	struct served served = { 0 };
	struct heard heard = { 0 }, unsent = { 0 };
	struct rpc_call *call;

	pair_open(&pair, stdio_method, 1, &served);
	call = call_stdio(&pair, 0, &heard);
	run_until(&pair, &served.begun);
	rpc_call_cancel(call);
	rpc_call_cancel(call);
	assert_false(heard.ended); /* nobody is called from inside */
	run_until(&pair, &heard.ended);
	run_until(&pair, &served.heard.ended);
	assert_int_equal(heard.status.code, CAY_CANCELLED);
	assert_int_equal(served.heard.status.code, CAY_CANCELLED);
	/* One that never left. */
	rpc_call_cancel(call_stdio(&pair, 0, &unsent));
	run_until(&pair, &unsent.ended);
	assert_int_equal(unsent.status.code, CAY_CANCELLED);
	pair_close(&pair);
}

static void test_deadline_on_both_sides(void **state)
{
	struct pair pair;
	struct served served = { 0 };
	struct heard heard = { 0 };
	int64_t left, began = clock_monotonic_ms();

	pair_open(&pair, stdio_method, 1, &served);
	(void)call_stdio(&pair, 100, &heard);
	run_until(&pair, &served.begun);
	left = rpc_call_deadline_ms(served.call);
	assert_true(left > 0 && left <= 100);
	run_until(&pair, &heard.ended);
	run_until(&pair, &served.heard.ended);
	assert_true(clock_monotonic_ms() - began >= 100);
	assert_int_equal(heard.status.code, CAY_TIMEOUT);
	/* Whose timer is first is chance; either way the server's end is told. */
	assert_true(served.heard.status.code == CAY_TIMEOUT ||
		    served.heard.status.code == CAY_CANCELLED);
	pair_close(&pair);
}

static void test_no_deadline(void **state)
{
	struct pair pair;
	struct served served = { 0 };
	struct heard heard = { 0 };

	pair_open(&pair, stdio_method, 1, &served);
	(void)call_stdio(&pair, 0, &heard);
	run_until(&pair, &served.begun);
	assert_int_equal(rpc_call_deadline_ms(served.call), -1);
	pair_close(&pair);
	assert_int_equal(heard.status.code, CAY_CANCELLED);
	assert_int_equal(served.heard.status.code, CAY_CANCELLED);
}

/* ---- what can't be unpacked, or is too large ---- */

static void malformed_answer(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	(void)rpc_call_send_raw(call, "\xff\xff\xff", 3);
	rpc_call_finish(call, NULL);
}

static void test_malformed_messages(void **state)
{
	const struct rpc_method methods[] = { { "Version", false, malformed_answer } };
	struct pair pair;
	struct heard heard = { 0 }, request = { 0 }, none = { 0 };
	struct rpc_call *call;

	pair_open(&pair, methods, 1, NULL);
	(void)call_version(&pair, 0, &heard);
	run_until(&pair, &heard.ended);
	assert_int_equal(heard.status.code, CAY_CORRUPT);
	assert_int_equal(heard.messages, 0);

	call = rpc_call_new_raw(pair.client, "/cay.vminitd.v1.Vminitd/Version", 0, &heard_events,
				&request);
	(void)rpc_call_send_raw(call, "\xff\xff\xff", 3);
	run_until(&pair, &request.ended);
	assert_int_equal(request.status.code, CAY_INVALID);

	call = rpc_call_new_raw(pair.client, "/cay.vminitd.v1.Vminitd/Version", 0, &heard_events,
				&none);
	rpc_call_half_close(call);
	run_until(&pair, &none.ended);
	assert_int_equal(none.status.code, CAY_INVALID);
	pair_close(&pair);
}

static void never(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	struct heard *heard = user;

	rpc_call_set_events(call, &heard_events, heard);
}

static void test_two_requests_where_one_is_due(void **state)
{
	const struct rpc_method methods[] = { { "Version", false, never } };
	struct heard served = { 0 }, heard = { 0 };
	struct pair pair;
	struct rpc_call *call;

	pair_open(&pair, methods, 1, &served);
	call = rpc_call_new_raw(pair.client, "/cay.vminitd.v1.Vminitd/Version", 0, &heard_events,
				&heard);
	(void)rpc_call_send_raw(call, "", 0);
	(void)rpc_call_send_raw(call, "", 0);
	run_until(&pair, &heard.ended);
	run_until(&pair, &served.ended);
	assert_int_equal(heard.status.code, CAY_INVALID);
	assert_int_equal(served.status.code, CAY_INVALID);
	pair_close(&pair);
}

/* A few bytes a field, a structure each: not more memory than the limit is spent on them. */
static void test_messages_that_swell(void **state)
{
	struct pair pair;
	struct heard heard = { 0 };
	struct rpc_call *call;
	_cleanup_free_ uint8_t *many = xmalloc(RPC_MESSAGE_MAX);

	/* CreateContainerRequest.mounts, each empty: two bytes that become fifty-odd. */
	for (size_t i = 0; i < RPC_MESSAGE_MAX; i += 2) {
		many[i] = 3 << 3 | 2;
		many[i + 1] = 0;
	}
	const struct rpc_method methods[] = { { "CreateContainer", false, version } };
	pair_open(&pair, methods, 1, NULL);
	call = rpc_call_new_raw(pair.client, "/cay.vminitd.v1.Vminitd/CreateContainer", 0,
				&heard_events, &heard);
	(void)rpc_call_send_raw(call, many, RPC_MESSAGE_MAX);
	run_until(&pair, &heard.ended);
	assert_int_equal(heard.status.code, CAY_INVALID);
	pair_close(&pair);
}

static void test_largest_message(void **state)
{
	_cleanup_free_ uint8_t *data = xmalloc(RPC_MESSAGE_MAX + 1);
	struct pair pair;
	struct served served = { 0 };
	struct heard heard = { 0 };
	struct rpc_call *call;
	enum { OVERHEAD = 5 }; /* tag and length of the field */
	Cay__Vminitd__V1__StdioInput input = CAY__VMINITD__V1__STDIO_INPUT__INIT;
	Cay__Vminitd__V1__StdioOutput output = CAY__VMINITD__V1__STDIO_OUTPUT__INIT;

	for (size_t i = 0; i < RPC_MESSAGE_MAX; i++)
		data[i] = (uint8_t)(i * 31 + (i >> 12));
	input.data = output.data = (ProtobufCBinaryData){ RPC_MESSAGE_MAX - OVERHEAD, data };
	assert_int_equal(protobuf_c_message_get_packed_size(&input.base), RPC_MESSAGE_MAX);
	pair_open(&pair, stdio_method, 1, &served);
	call = call_stdio(&pair, 0, &heard);
	assert_false(rpc_call_send(call, &input.base));
	run_until_messages(&pair, &served.heard, 1);
	assert_memory_equal(((Cay__Vminitd__V1__StdioInput *)served.heard.last)->data.data, data,
			    input.data.len);
	(void)rpc_call_send(served.call, &output.base);
	run_until_messages(&pair, &heard, 1);
	assert_memory_equal(((Cay__Vminitd__V1__StdioOutput *)heard.last)->data.data, data,
			    output.data.len);
	/* One byte more is refused where it would leave. */
	input.data.len++;
	assert_false(rpc_call_send(call, &input.base));
	run_until(&pair, &heard.ended);
	run_until(&pair, &served.heard.ended);
	assert_int_equal(heard.status.code, CAY_TOO_LARGE);
	heard_done(&heard);
	heard_done(&served.heard);
	pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unary),
		cmocka_unit_test(test_exact_codes_and_messages),
		cmocka_unit_test(test_unlisted_method),
		cmocka_unit_test(test_many_calls),
		cmocka_unit_test(test_server_stream),
		cmocka_unit_test(test_bidi),
		cmocka_unit_test(test_server_finishes_first),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_deadline_on_both_sides),
		cmocka_unit_test(test_no_deadline),
		cmocka_unit_test(test_malformed_messages),
		cmocka_unit_test(test_two_requests_where_one_is_due),
		cmocka_unit_test(test_messages_that_swell),
		cmocka_unit_test(test_largest_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
