/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of all kinds between a client and a server on one loop, over a socket pair. */
#include "test-rpc.h"

/* ---- one request, one response ---- */

static void version(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	Cay__Vminitd__V1__VersionResponse response = CAY__VMINITD__V1__VERSION_RESPONSE__INIT;

	assert_non_null(request);
	response.version = (char *)"1.2";
	response.memory_bytes = 77;
	rpc_call_reply(call, &response.base);
}

static void test_unary(void **state)
{
	static const struct rpc_method methods[] = { { "Version", false, version } };
	struct pair pair;
	struct heard heard = { 0 };
	Cay__Vminitd__V1__VersionRequest request = CAY__VMINITD__V1__VERSION_REQUEST__INIT;
	const Cay__Vminitd__V1__VersionResponse *response;

	pair_open(&pair, methods, ARRAY_SIZE(methods), NULL);
	(void)rpc_call_new(pair.client, VMINITD, "Version", &request.base, 0, &heard_events,
			   &heard);
	run_until(&pair, &heard.ended);
	assert_int_equal(heard.status.code, CAY_OK);
	assert_int_equal(heard.messages, 1);
	response = (const Cay__Vminitd__V1__VersionResponse *)heard.last;
	assert_string_equal(response->version, "1.2");
	assert_int_equal(response->memory_bytes, 77);
	heard_done(&heard);
	pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
