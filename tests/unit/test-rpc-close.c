/* SPDX-License-Identifier: Apache-2.0 */
/* How connections end, and that users may do anything from any callback. */
#include "test-rpc.h"

#include <fcntl.h>
#include <pty.h>

static void reply(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	Cay__Vminitd__V1__VersionResponse response = CAY__VMINITD__V1__VERSION_RESPONSE__INIT;

	rpc_call_reply(call, &response.base);
}

static void test_our_close(void **state)
{
	struct pair pair;
	struct served served = { 0 };
	struct heard heard = { 0 };

	pair_open(&pair, stdio_method, 1, &served);
	(void)call_stdio(&pair, 0, &heard);
	run_until(&pair, &served.begun);
	rpc_conn_close(pair.client);
	rpc_conn_close(pair.client);
	assert_false(heard.ended);
	run_until(&pair, &served.heard.ended);
	assert_int_equal(heard.status.code, CAY_CANCELLED);
	assert_int_equal(served.heard.status.code, CAY_CANCELLED);
	while (pair.server)
		(void)uv_run(&pair.loop, UV_RUN_ONCE);
	assert_null(pair.client);
	assert_int_equal(pair.client_why.code, CAY_CANCELLED);
	assert_int_equal(pair.server_why.code, CAY_UNAVAILABLE);
	pair_close(&pair);
}

static void test_their_close(void **state)
{
	struct pair pair;
	struct served served = { 0 };
	struct heard heard = { 0 };

	pair_open(&pair, stdio_method, 1, &served);
	(void)call_stdio(&pair, 0, &heard);
	run_until(&pair, &served.begun);
	rpc_conn_close(pair.server);
	run_until(&pair, &heard.ended);
	assert_int_equal(heard.status.code, CAY_UNAVAILABLE);
	assert_int_equal(served.heard.status.code, CAY_CANCELLED);
	while (pair.client)
		(void)uv_run(&pair.loop, UV_RUN_ONCE);
	assert_int_equal(pair.client_why.code, CAY_UNAVAILABLE);
	pair_close(&pair);
}

/* An answer that was queued before the close arrives. */
static void reply_and_close(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	reply(call, request, user);
	rpc_conn_close(rpc_call_conn(call));
}

static void test_answer_then_close(void **state)
{
	const struct rpc_method methods[] = { { "Shutdown", false, reply_and_close } };
	Cay__Vminitd__V1__ShutdownRequest request = CAY__VMINITD__V1__SHUTDOWN_REQUEST__INIT;
	struct pair pair;
	struct heard heard = { 0 };

	pair_open(&pair, methods, 1, NULL);
	(void)rpc_call_new(pair.client, VMINITD, "Shutdown", &request.base, 0, &heard_events,
			   &heard);
	run_until(&pair, &heard.ended);
	assert_int_equal(heard.status.code, CAY_OK);
	assert_int_equal(heard.messages, 1);
	heard_done(&heard);
	pair_close(&pair);
}

/* Messages and the end that had arrived before the connection broke are not lost to a pause. */
static void test_paused_when_it_breaks(void **state)
{
	struct pair pair;
	struct served served = { 0 };
	struct heard heard = { 0 }, ended = { 0 };
	struct rpc_call *call;

	pair_open(&pair, stdio_method, 1, &served);
	call = call_stdio(&pair, 0, &heard);
	rpc_call_pause(call);
	run_until(&pair, &served.begun);
	send_text(served.call, "one");
	send_text(served.call, "two");
	run_for(&pair, 20);
	assert_int_equal(heard.messages, 0);

	served.begun = false;
	call = call_stdio(&pair, 0, &ended);
	rpc_call_pause(call);
	run_until(&pair, &served.begun);
	served.heard.ended = false; /* its ear is the first call's too */
	send_text(served.call, "three");
	rpc_call_finish(served.call, NULL);
	run_for(&pair, 20);
	assert_int_equal(ended.messages, 0);

	served.heard.ended = false;
	rpc_conn_close(pair.server);
	run_until(&pair, &heard.ended);
	run_until(&pair, &ended.ended);
	assert_int_equal(heard.messages, 2);
	assert_int_equal(heard.status.code, CAY_UNAVAILABLE);
	assert_int_equal(ended.messages, 1);
	assert_int_equal(ended.status.code, CAY_OK);
	heard_done(&heard);
	heard_done(&ended);
	pair_close(&pair);
}

static void test_call_on_a_dead_connection(void **state)
{
	Cay__Vminitd__V1__VersionRequest request = CAY__VMINITD__V1__VERSION_REQUEST__INIT;
	struct pair pair;
	struct heard heard = { 0 };
	struct rpc_call *call;

	pair_open(&pair, NULL, 0, NULL);
	run_for(&pair, 5);
	rpc_conn_close(pair.client);
	call = rpc_call_new(pair.client, VMINITD, "Version", &request.base, 1000, &heard_events,
			    &heard);
	assert_non_null(call);
	(void)rpc_call_send(call, &request.base);
	run_until(&pair, &heard.ended);
	assert_int_equal(heard.status.code, CAY_CANCELLED);
	pair_close(&pair);
}

/* Between the end of a connection and the word about it a call may still be started. */
struct latecomer {
	struct pair *pair;
	struct heard heard;
	bool started;
};

static void start_late(uv_check_t *check)
{
	struct latecomer *late = check->data;

	if (!late->pair->client)
		return;
	late->started = true;
	late->heard.ended = false;
	(void)call_stdio(late->pair, 0, &late->heard);
}

static void test_call_at_the_last_moment(void **state)
{
	struct pair pair;
	struct latecomer late = { .pair = &pair };
	uv_check_t check;

	pair_open(&pair, NULL, 0, NULL);
	run_for(&pair, 5);
	/* Handles that were started first run last: after the connection has begun to go. */
	assert_int_equal(uv_check_init(&pair.loop, &check), 0);
	check.data = &late;
	assert_int_equal(uv_check_start(&check, start_late), 0);
	rpc_conn_close(pair.client);
	(void)uv_run(&pair.loop, UV_RUN_NOWAIT);
	assert_true(late.started);
	assert_null(pair.client);
	assert_true(late.heard.ended);
	assert_int_equal(late.heard.status.code, CAY_CANCELLED);
	uv_close((uv_handle_t *)&check, NULL);
	pair_close(&pair);
}

/* ---- descriptors that are no sockets ---- */

/* A terminal stands for the virtio port: a device that is read and written, and hangs up. */
static void test_device(void **state)
{
	const struct rpc_method methods[] = { { "Version", false, reply } };
	Cay__Vminitd__V1__VersionRequest request = CAY__VMINITD__V1__VERSION_REQUEST__INIT;
	struct pair pair = { .service = { VMINITD, methods, ARRAY_SIZE(methods), NULL } };
	struct rpc_conn_options options = { .on_close = on_pair_close, .user = &pair };
	struct heard heard = { 0 };
	struct cay_error err = { 0 };
	struct termios raw;
	int host, guest;

	assert_int_equal(openpty(&host, &guest, NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(guest, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(guest, TCSANOW, &raw), 0);
	assert_int_equal(uv_loop_init(&pair.loop), 0);
	assert_ok(rpc_conn_new(&pair.loop, host, &options, NULL, 0, &pair.client, &err));
	options.server = true;
	options.services = &pair.service;
	options.service_count = 1;
	assert_ok(rpc_conn_new(&pair.loop, guest, &options, NULL, 0, &pair.server, &err));
	(void)rpc_call_new(pair.client, VMINITD, "Version", &request.base, 0, &heard_events,
			   &heard);
	run_until(&pair, &heard.ended);
	assert_int_equal(heard.status.code, CAY_OK);
	heard_done(&heard);
	rpc_conn_close(pair.client);
	while (pair.server)
		(void)uv_run(&pair.loop, UV_RUN_ONCE);
	assert_int_equal(pair.server_why.code, CAY_UNAVAILABLE);
	pair_close(&pair);
}

/* What can't be waited for is refused, and closed as promised. */
static void test_plain_file(void **state)
{
	const struct rpc_conn_options options = { .server = true };
	struct rpc_conn *conn = NULL;
	struct cay_error err = { 0 };
	uv_loop_t loop;
	int fd = memfd_with("file", "x", 1);

	assert_true(fd >= 0);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_true(rpc_conn_new(&loop, fd, &options, NULL, 0, &conn, &err) < 0);
	assert_null(conn);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* ---- callbacks that do the worst ---- */

enum deed { CANCEL, CLOSE, START_MORE, PAUSE_AND_RESUME, DEED_COUNT };

struct doer {
	struct pair *pair;
	enum deed deed;
	unsigned int started, ends;
	bool ended;
};

static void doer_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct doer *doer = user;

	doer->ends++;
	doer->ended = true;
	if (doer->deed == CLOSE && doer->pair->client)
		rpc_conn_close(doer->pair->client);
}

static void doer_message(struct rpc_call *call, const ProtobufCMessage *message,
			 const uint8_t *data, size_t size, void *user);

static const struct rpc_call_events doer_events = { .on_message = doer_message,
						    .on_end = doer_end };

static void doer_message(struct rpc_call *call, const ProtobufCMessage *message,
			 const uint8_t *data, size_t size, void *user)
{
	struct doer *doer = user;

	if (doer->deed == CANCEL)
		rpc_call_cancel(call);
	else if (doer->deed == CLOSE)
		rpc_conn_close(rpc_call_conn(call));
	else if (doer->deed == START_MORE && doer->started++ < 3)
		(void)rpc_call_new(rpc_call_conn(call), VMINITD, "Stdio", NULL, 0, &doer_events,
				   doer);
	rpc_call_pause(call);
	rpc_call_resume(call);
	/* What was handed over is still there after all that. */
	assert_int_equal(size, protobuf_c_message_get_packed_size(message));
	if (size)
		assert_int_equal(data[0], 2 << 3 | 2);
}

static void echo_message(struct rpc_call *call, const ProtobufCMessage *message,
			 const uint8_t *data, size_t size, void *user)
{
	const Cay__Vminitd__V1__StdioInput *input = (const void *)message;
	Cay__Vminitd__V1__StdioOutput output = CAY__VMINITD__V1__STDIO_OUTPUT__INIT;

	output.data = input->data;
	(void)rpc_call_send(call, &output.base);
	(void)rpc_call_send(call, &output.base);
	rpc_call_finish(call, NULL);
}

static void echo(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	static const struct rpc_call_events events = { .on_message = echo_message };

	rpc_call_set_events(call, &events, NULL);
}

static void test_deeds(void **state)
{
	const struct rpc_method methods[] = { { "Stdio", true, echo } };

	for (enum deed deed = 0; deed < DEED_COUNT; deed++) {
		struct pair pair;
		struct doer doer = { .pair = &pair, .deed = deed };
		struct rpc_call *call;

		pair_open(&pair, methods, 1, NULL);
		call = rpc_call_new(pair.client, VMINITD, "Stdio", NULL, 0, &doer_events, &doer);
		send_text(call, "some text");
		run_until(&pair, &doer.ended);
		pair_close(&pair);
		assert_int_equal(doer.ends, deed == START_MORE ? 3 : 1);
	}
}

/* A call that is tried again from its own end, on a connection that is gone, ends again. */
static void again(struct rpc_call *call, const struct cay_error *status, void *user)
{
	static const struct rpc_call_events events = { .on_end = again };
	unsigned int *tries = user;

	if ((*tries)++ < 5)
		(void)rpc_call_new(rpc_call_conn(call), VMINITD, "Stdio", NULL, 0, &events, tries);
}

static void test_trying_again_at_once(void **state)
{
	static const struct rpc_call_events events = { .on_end = again };
	struct pair pair;
	unsigned int tries = 0;

	pair_open(&pair, NULL, 0, NULL);
	(void)rpc_call_new(pair.client, VMINITD, "Stdio", NULL, 0, &events, &tries);
	rpc_conn_close(pair.server);
	while (pair.client)
		(void)uv_run(&pair.loop, UV_RUN_ONCE);
	assert_int_equal(tries, 6);
	pair_close(&pair);
}

/* ---- what is passed on ---- */

/*
 * A proxy as the shim is one: calls its own service lacks go to another connection, their messages
 * packed, each side paused while the other is full.
 */
struct proxy {
	struct rpc_conn *onward;
};
struct leg {
	struct rpc_call *server, *client; /* NULL once ended */
};

static void leg_free_if_done(struct leg *leg)
{
	if (!leg->server && !leg->client)
		free(leg);
}

static void to_client(struct rpc_call *call, const ProtobufCMessage *message, const uint8_t *data,
		      size_t size, void *user)
{
	struct leg *leg = user;

	assert_null(message);
	if (leg->client && !rpc_call_send_raw(leg->client, data, size))
		rpc_call_pause(call);
}

static void client_half_close(struct rpc_call *call, void *user)
{
	struct leg *leg = user;

	if (leg->client)
		rpc_call_half_close(leg->client);
}

static void client_writable(struct rpc_call *call, void *user)
{
	struct leg *leg = user;

	if (leg->server)
		rpc_call_resume(leg->server);
}

static void server_ended(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct leg *leg = user;

	leg->server = NULL;
	if (leg->client)
		rpc_call_cancel(leg->client);
	leg_free_if_done(leg);
}

static void to_server(struct rpc_call *call, const ProtobufCMessage *message, const uint8_t *data,
		      size_t size, void *user)
{
	struct leg *leg = user;

	if (leg->server && !rpc_call_send_raw(leg->server, data, size))
		rpc_call_pause(call);
}

static void server_writable(struct rpc_call *call, void *user)
{
	struct leg *leg = user;

	if (leg->client)
		rpc_call_resume(leg->client);
}

static void client_ended(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct leg *leg = user;

	leg->client = NULL;
	if (leg->server)
		rpc_call_finish(leg->server, status->code == CAY_OK ? NULL : status);
	leg_free_if_done(leg);
}

static void pass_on(struct rpc_call *call, const char *path, void *user)
{
	static const struct rpc_call_events server_side = { .on_message = to_client,
							    .on_half_close = client_half_close,
							    .on_writable = server_writable,
							    .on_end = server_ended };
	static const struct rpc_call_events client_side = { .on_message = to_server,
							    .on_writable = client_writable,
							    .on_end = client_ended };
	struct proxy *proxy = user;
	struct leg *leg = xcalloc(1, sizeof(*leg));

	leg->server = call;
	leg->client = rpc_call_new_raw(proxy->onward, path, rpc_call_deadline_ms(call),
				       &client_side, leg);
	rpc_call_set_events(call, &server_side, leg);
}

static void no_command(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	struct cay_error status = { .code = CAY_NO_COMMAND, .message = "sh\xc3\xb6: not found" };

	rpc_call_finish(call, &status);
}

static void flood(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	static const uint8_t data[100000];

	for (unsigned int i = 0; i < 40; i++)
		(void)rpc_call_send_raw(call, data, sizeof(data));
	rpc_call_finish(call, NULL);
}

static void test_proxy(void **state)
{
	const struct rpc_method methods[] = { { "Version", false, reply },
					      { "DeleteContainer", false, no_command },
					      { "Sync", false, flood },
					      { "Stdio", true, echo } };
	const char *service = "/cay.vminitd.v1.Vminitd/";
	struct pair pair;
	struct proxy proxy;
	struct rpc_conn_options options = { .server = true, .fallback = pass_on, .user = &proxy };
	struct heard heard[4] = { 0 };
	struct rpc_conn *front, *proxy_server;
	struct cay_error err = { 0 };
	static const char *const names[] = { "Version", "DeleteContainer", "Sync", "Stdio" };
	int fds[2];

	pair_open(&pair, methods, ARRAY_SIZE(methods), NULL);
	proxy.onward = pair.client;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0, 1);
	assert_ok(rpc_conn_new(&pair.loop, fds[0], &options, NULL, 0, &proxy_server, &err));
	options = (struct rpc_conn_options){ 0 };
	assert_ok(rpc_conn_new(&pair.loop, fds[1], &options, NULL, 0, &front, &err));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = xasprintf("%s%s", service, names[i]);
		struct rpc_call *call =
			rpc_call_new_raw(front, path, 10000, &heard_events, &heard[i]);

		(void)rpc_call_send_raw(call, "", 0);
		rpc_call_half_close(call);
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		run_until(&pair, &heard[i].ended);
	assert_int_equal(heard[0].status.code, CAY_OK);
	assert_int_equal(heard[0].messages, 1);
	assert_int_equal(heard[1].status.code, CAY_NO_COMMAND);
	assert_string_equal(heard[1].status.message, "sh\xc3\xb6: not found");
	assert_int_equal(heard[2].status.code, CAY_OK);
	assert_int_equal(heard[2].bytes, 40 * 100000);
	assert_int_equal(heard[3].messages, 2);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		heard_done(&heard[i]);
	rpc_conn_close(front);
	rpc_conn_close(proxy_server);
	pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_our_close),
		cmocka_unit_test(test_their_close),
		cmocka_unit_test(test_answer_then_close),
		cmocka_unit_test(test_paused_when_it_breaks),
		cmocka_unit_test(test_call_on_a_dead_connection),
		cmocka_unit_test(test_call_at_the_last_moment),
		cmocka_unit_test(test_device),
		cmocka_unit_test(test_plain_file),
		cmocka_unit_test(test_deeds),
		cmocka_unit_test(test_trying_again_at_once),
		cmocka_unit_test(test_proxy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
