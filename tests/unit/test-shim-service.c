/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole shim, with sandbox and jail, against guests that are good, bad and
 * gone. No VM is needed: this very program is given to the shim as its QEMU,
 * and started so it plays a guest on the channel. What the guest does is
 * chosen by the sandbox's id.
 */
#include "test.h"

#include "rpc/session.h"
#include "rpc/sync.h"
#include "sandbox/state.h"
#include "shim/shim.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"

#include "vminitd.pb-c.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

enum {
	CHANNEL_FD = 3,
	FLOOD_BYTES = 8 * 1024 * 1024,
	FLOOD_CHUNK = 100000,
	FLOOD_CODE = 3,
	VM_UID = 223355,
	CONNECT_TRIES = 500,
};

/* ---- the guest's side ---- */

/* One process is all a guest here has at a time. */
struct guest {
	const char *mode;
	struct rpc_call *stdio, *wait;
	bool exited;
	uint32_t code;
	size_t flooded;
};

static bool is(const struct guest *guest, const char *mode)
{
	return starts_with(guest->mode, mode);
}

static void answer_wait(struct guest *guest)
{
	Cay__Vminitd__V1__WaitProcessResponse response =
		CAY__VMINITD__V1__WAIT_PROCESS_RESPONSE__INIT;

	if (!guest->exited || !guest->wait)
		return;
	response.exit_code = guest->code;
	response.exited_ns = is(guest, "liar") ? -5 : clock_now_ns();
	rpc_call_reply(guest->wait, &response.base);
	guest->wait = NULL;
	guest->exited = false;
}

static void end_process(struct guest *guest, uint32_t code)
{
	guest->exited = true;
	guest->code = code;
	if (guest->stdio && !is(guest, "liar"))
		rpc_call_finish(guest->stdio, NULL);
	guest->stdio = NULL;
	answer_wait(guest);
}

static bool send_output(struct guest *guest, const void *data, size_t size)
{
	Cay__Vminitd__V1__StdioOutput output = CAY__VMINITD__V1__STDIO_OUTPUT__INIT;

	output.data = (ProtobufCBinaryData){ size, (uint8_t *)data };
	return rpc_call_send(guest->stdio, &output.base);
}

static void flood(struct guest *guest)
{
	static char block[FLOOD_CHUNK];

	memset(block, 'x', sizeof(block));
	while (guest->flooded < FLOOD_BYTES) {
		size_t size = MIN((size_t)FLOOD_CHUNK, FLOOD_BYTES - guest->flooded);

		guest->flooded += size;
		if (!send_output(guest, block, size))
			return;
	}
	end_process(guest, FLOOD_CODE);
}

static void on_stdio_message(struct rpc_call *call, const ProtobufCMessage *message,
			     const uint8_t *data, size_t size, void *user)
{
	const Cay__Vminitd__V1__StdioInput *input = (const void *)message;
	struct guest *guest = user;

	if (!guest->stdio) {
		guest->stdio = call;
		(void)send_output(guest, NULL, 0);
	} else if (input->data.len > 0) {
		(void)send_output(guest, input->data.data, input->data.len);
	}
}

static void on_stdio_half_close(struct rpc_call *call, void *user)
{
	struct guest *guest = user;

	if (is(guest, "echo") && guest->stdio)
		end_process(guest, 0);
}

static void on_stdio_writable(struct rpc_call *call, void *user)
{
	struct guest *guest = user;

	if (is(guest, "flood") && guest->stdio)
		flood(guest);
}

static void stdio_begin(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	static const struct rpc_call_events events = {
		.on_message = on_stdio_message,
		.on_half_close = on_stdio_half_close,
		.on_writable = on_stdio_writable,
	};

	rpc_call_set_events(call, &events, user);
}

static void version_begin(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	Cay__Vminitd__V1__VersionResponse response = CAY__VMINITD__V1__VERSION_RESPONSE__INIT;
	struct guest *guest = user;

	if (is(guest, "garbage"))
		(void)!write(CHANNEL_FD, "this is not HTTP/2 at all, is it?", 33);
	response.kernel = (char *)"6.1-test";
	rpc_call_reply(call, &response.base);
}

static void start_begin(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	Cay__Vminitd__V1__StartProcessResponse response =
		CAY__VMINITD__V1__START_PROCESS_RESPONSE__INIT;
	struct cay_error err = { 0 };
	struct guest *guest = user;

	if (is(guest, "quitter"))
		_exit(9);
	if (is(guest, "nocommand")) {
		(void)cay_error_set(&err, CAY_NO_COMMAND, ENOENT, "exec: \"x\": not found");
		rpc_call_finish(call, &err);
		return;
	}
	response.pid = 42;
	response.started_ns = is(guest, "liar") ? INT64_MAX : clock_now_ns();
	rpc_call_reply(call, &response.base);
	if (is(guest, "flood"))
		flood(guest);
	if (is(guest, "liar"))
		end_process(guest, 100000);
}

static void wait_begin(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	struct guest *guest = user;

	guest->wait = call;
	answer_wait(guest);
}

static void signal_begin(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Cay__Vminitd__V1__SignalProcessRequest *request = (const void *)message;
	Cay__Vminitd__V1__SignalProcessResponse response =
		CAY__VMINITD__V1__SIGNAL_PROCESS_RESPONSE__INIT;

	if (is(user, "deaf"))
		return;
	rpc_call_reply(call, &response.base);
	end_process(user, 128 + request->signal);
}

/* An empty message is a response of any type that has nothing to tell. */
static void empty_begin(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	(void)rpc_call_send_raw(call, "", 0);
	rpc_call_finish(call, NULL);
}

static void silent_begin(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
}

static int play_guest(const char *mode)
{
	static const struct rpc_method methods[] = {
		{ "Version", false, version_begin },      { "SetTime", false, empty_begin },
		{ "AddEntropy", false, empty_begin },     { "Events", false, silent_begin },
		{ "KernelLog", false, silent_begin },     { "CreateContainer", false, empty_begin },
		{ "CreateProcess", false, empty_begin },  { "DeleteProcess", false, empty_begin },
		{ "Sync", false, empty_begin },           { "Stdio", true, stdio_begin },
		{ "StartProcess", false, start_begin },   { "WaitProcess", false, wait_begin },
		{ "SignalProcess", false, signal_begin },
	};
	struct guest guest = { .mode = mode };
	const struct rpc_service service = {
		.descriptor = &cay__vminitd__v1__vminitd__descriptor,
		.methods = methods,
		.method_count = ARRAY_SIZE(methods),
		.user = &guest,
	};
	const struct rpc_conn_options options = {
		.server = true,
		.services = &service,
		.service_count = 1,
	};
	char line[SESSION_LINE_LENGTH];
	struct rpc_conn *conn;
	struct cay_error err;

	if (read_full(CHANNEL_FD, line, sizeof(line)) != sizeof(line))
		return 1;
	/* What another session left behind comes first and must be passed over. */
	(void)!write(CHANNEL_FD, "CAY 0123 leftovers", 18);
	(void)!write(CHANNEL_FD, line, sizeof(line));
	if (rpc_conn_new(uv_default_loop(), CHANNEL_FD, &options, NULL, 0, &conn, &err) < 0)
		return 1;
	(void)uv_run(uv_default_loop(), UV_RUN_DEFAULT);
	return 0;
}

/* ---- the host's side ---- */

struct fixture {
	char directory[64];
	pid_t shim;
	struct rpc_client *client;
};

static char *config_text(const struct fixture *fixture, const char *mode, bool stdin_once)
{
	_cleanup_free_ char *self = realpath("/proc/self/exe", NULL);

	return xasprintf(
		"{\"id\":\"%s\",\"run_directory\":\"%s\",\"boot_log_path\":\"%s/boot.log\","
		"\"kernel\":\"%s\",\"initramfs\":\"%s\",\"qemu\":\"%s\","
		"\"acceleration\":\"tcg\",\"memory_bytes\":67108864,\"vm_uid\":%d,"
		"\"containers\":[{\"id\":\"c\",\"oci_config\":\"{}\",\"open_stdin\":true,"
		"\"stdin_once\":%s,\"log_path\":\"%s/log\",\"state_path\":\"%s/state\"}]}",
		mode, fixture->directory, fixture->directory, self, self, self,
		geteuid() == 0 ? VM_UID : 0, stdin_once ? "true" : "false", fixture->directory,
		fixture->directory);
}

static void set_up(struct fixture *fixture, const char *mode, bool stdin_once)
{
	_cleanup_free_ char *socket = NULL, *text = NULL;
	struct cay_error err = { 0 };

	*fixture = (struct fixture){ 0 };
	make_test_directory(fixture->directory);
	text = config_text(fixture, mode, stdin_once);
	fixture->shim = fork();
	assert_true(fixture->shim >= 0);
	if (fixture->shim == 0) {
		struct sandbox_config *config;

		(void)signal(SIGPIPE, SIG_IGN);
		log_init("cay-shim", LOG_LEVEL_ERROR);
		if (sandbox_config_parse(text, strlen(text), &config, &err) < 0 ||
		    shim_run(config, NULL, clock_monotonic_us(), &err) < 0)
			die("%s", err.message);
		_exit(0);
	}
	socket = path_join(fixture->directory, "shim.sock");
	for (unsigned int i = 0; i < CONNECT_TRIES && !fixture->client; i++) {
		if (rpc_client_new(socket, &fixture->client, &err) < 0)
			(void)usleep(10000);
	}
	assert_non_null(fixture->client);
}

/* The shim ends by itself, with nothing left behind. */
static void tear_down(struct fixture *fixture)
{
	_cleanup_free_ char *socket = path_join(fixture->directory, "shim.sock");
	struct cay_error err = { 0 };
	int status = -1;

	rpc_client_free(fixture->client);
	assert_int_equal(process_wait(fixture->shim, &status), 0);
	assert_int_equal(process_exit_code(status), 0);
	assert_false(file_exists(socket));
	assert_ok(remove_tree(fixture->directory, &err));
}

static int call(struct fixture *fixture, const char *method, const void *request, void **ret,
		struct cay_error *err)
{
	ProtobufCMessage *response = NULL;
	int r = rpc_client_call(fixture->client, &cay__shim__v1__shim__descriptor, method, request,
				30000, &response, err);

	if (r == 0 && ret)
		*ret = response;
	else if (r == 0)
		protobuf_c_message_free_unpacked(response, NULL);
	return r;
}

static int start(struct fixture *fixture, struct cay_error *err)
{
	Cay__Shim__V1__StartRequest request = CAY__SHIM__V1__START_REQUEST__INIT;

	request.container_id = (char *)"c";
	return call(fixture, "Start", &request, NULL, err);
}

static int64_t wait_for_exit(struct fixture *fixture)
{
	Cay__Shim__V1__WaitRequest request = CAY__SHIM__V1__WAIT_REQUEST__INIT;
	Cay__Shim__V1__WaitResponse *response = NULL;
	struct cay_error err = { 0 };
	int64_t code;

	request.container_id = (char *)"c";
	assert_ok(call(fixture, "Wait", &request, (void **)&response, &err));
	code = response->exit_code;
	/* Whatever the guest says, its times lie in this test's own time. */
	assert_true(response->exited_ns > clock_now_ns() - 60000000000LL);
	assert_true(response->exited_ns <= clock_now_ns());
	cay__shim__v1__wait_response__free_unpacked(response, NULL);
	return code;
}

static struct sandbox_state final_state(const struct fixture *fixture)
{
	_cleanup_free_ char *path = path_join(fixture->directory, "state");
	struct sandbox_state state = { 0 };
	struct cay_error err = { 0 };

	assert_ok(sandbox_state_load(path, &state, &err));
	assert_int_equal(state.status, SANDBOX_EXITED);
	return state;
}

/* ---- attaching ---- */

struct client {
	struct fixture *fixture;
	struct rpc_call *call;
	size_t received;
	uint32_t sum; /* of what was sent and received, to be compared */
	unsigned int messages;
	bool ended;
	enum cay_code code;
};

static void on_output(struct rpc_call *call, const ProtobufCMessage *message, const uint8_t *data,
		      size_t size, void *user)
{
	const Cay__Shim__V1__AttachOutput *output = (const void *)message;
	struct client *client = user;

	client->messages++;
	client->received += output->data.len;
	for (size_t i = 0; i < output->data.len; i++)
		client->sum = client->sum * 31 + output->data.data[i];
}

static void on_attach_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct client *client = user;

	client->ended = true;
	client->code = status->code;
}

/* Attaches and runs the loop until the shim has confirmed it. */
static void attach(struct fixture *fixture, struct client *client, const char *id)
{
	static const struct rpc_call_events events = { .on_message = on_output,
						       .on_end = on_attach_end };
	Cay__Shim__V1__AttachInput input = CAY__SHIM__V1__ATTACH_INPUT__INIT;

	*client = (struct client){ .fixture = fixture };
	client->call =
		rpc_call_new(rpc_client_conn(fixture->client), &cay__shim__v1__shim__descriptor,
			     "Attach", NULL, 0, &events, client);
	input.container_id = (char *)id;
	input.stdin = input.stdout = input.stderr = true;
	(void)rpc_call_send(client->call, &input.base);
	while (client->messages == 0 && !client->ended)
		(void)uv_run(rpc_client_loop(fixture->client), UV_RUN_ONCE);
}

static void run_to_end(struct client *client)
{
	while (!client->ended)
		(void)uv_run(rpc_client_loop(client->fixture->client), UV_RUN_ONCE);
}

/* ---- tests ---- */

static void test_echo(void **state)
{
	Cay__Shim__V1__AttachInput input = CAY__SHIM__V1__ATTACH_INPUT__INIT;
	static uint8_t data[300000];
	struct cay_error err = { 0 };
	struct fixture fixture;
	struct client client;
	uint32_t sum = 0;

	set_up(&fixture, "echo", true);
	attach(&fixture, &client, "c");
	/* Input that comes before the process exists is kept for it. */
	for (size_t i = 0; i < sizeof(data); i++) {
		data[i] = (uint8_t)(i * 7 + i / 1000);
		sum = sum * 31 + data[i];
	}
	input.data = (ProtobufCBinaryData){ sizeof(data), data };
	(void)rpc_call_send(client.call, &input.base);
	rpc_call_half_close(client.call);
	assert_ok(start(&fixture, &err));
	run_to_end(&client);
	assert_int_equal(client.code, CAY_OK);
	assert_int_equal(client.received, sizeof(data));
	assert_int_equal(client.sum, sum);
	assert_int_equal(wait_for_exit(&fixture), 0);
	assert_string_equal(final_state(&fixture).error, "");
	tear_down(&fixture);
}

static void test_flood(void **state)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_buf_ struct buf log = { 0 };
	struct cay_error err = { 0 };
	struct fixture fixture;
	struct client client;
	size_t logged = 0;

	set_up(&fixture, "flood", false);
	attach(&fixture, &client, "c");
	assert_ok(start(&fixture, &err));
	run_to_end(&client);
	assert_int_equal(client.received, FLOOD_BYTES);
	assert_int_equal(wait_for_exit(&fixture), FLOOD_CODE);
	/* The log was whole before the end was told. */
	path = path_join(fixture.directory, "log");
	assert_ok(file_read(path, 64 * MIB, &log, &err));
	for (size_t i = 0; i < log.length; i++)
		logged += log.data[i] == 'x';
	assert_int_equal(logged, FLOOD_BYTES);
	tear_down(&fixture);
}

/* A client that leaves does not take the container's input or output with it. */
static void test_leaving_client(void **state)
{
	Cay__Shim__V1__KillRequest kill = CAY__SHIM__V1__KILL_REQUEST__INIT;
	struct cay_error err = { 0 };
	struct fixture fixture;
	struct client client;

	set_up(&fixture, "stay", false);
	attach(&fixture, &client, "c");
	assert_ok(start(&fixture, &err));
	for (unsigned int i = 0; i < 200; i++) {
		rpc_call_cancel(client.call);
		run_to_end(&client);
		attach(&fixture, &client, "c");
		assert_false(client.ended);
	}
	kill.container_id = (char *)"c";
	kill.signal = SIGTERM;
	assert_ok(call(&fixture, "Kill", &kill, NULL, &err));
	run_to_end(&client);
	assert_int_equal(wait_for_exit(&fixture), 128 + SIGTERM);
	tear_down(&fixture);
}

static void test_refusals(void **state)
{
	Cay__Shim__V1__KillRequest kill = CAY__SHIM__V1__KILL_REQUEST__INIT;
	Cay__Shim__V1__CreateExecRequest exec = CAY__SHIM__V1__CREATE_EXEC_REQUEST__INIT;
	Cay__Shim__V1__ShutdownRequest shutdown = CAY__SHIM__V1__SHUTDOWN_REQUEST__INIT;
	struct cay_error err = { 0 };
	struct fixture fixture;
	struct client client;

	set_up(&fixture, "stay", false);
	kill.container_id = exec.container_id = (char *)"c";
	kill.signal = SIGTERM;
	exec.exec_id = (char *)"e";
	assert_true(call(&fixture, "Kill", &kill, NULL, &err) < 0);
	assert_int_equal(err.code, CAY_CONFLICT);
	assert_true(call(&fixture, "CreateExec", &exec, NULL, &err) < 0);
	assert_int_equal(err.code, CAY_CONFLICT);
	attach(&fixture, &client, "other");
	assert_int_equal(client.code, CAY_NOT_FOUND);
	assert_ok(start(&fixture, &err));
	assert_true(start(&fixture, &err) < 0);
	assert_int_equal(err.code, CAY_CONFLICT);
	assert_true(call(&fixture, "CreateExec", &exec, NULL, &err) < 0);
	assert_int_equal(err.code, CAY_INVALID); /* no JSON */
	kill.signal = 65;
	assert_true(call(&fixture, "Kill", &kill, NULL, &err) < 0);
	assert_int_equal(err.code, CAY_INVALID);
	assert_ok(call(&fixture, "Shutdown", &shutdown, NULL, &err));
	assert_int_equal(final_state(&fixture).exit_code, 137);
	tear_down(&fixture);
}

static void test_no_command(void **state)
{
	struct cay_error err = { 0 };
	struct fixture fixture;

	set_up(&fixture, "nocommand", false);
	assert_true(start(&fixture, &err) < 0);
	assert_int_equal(err.code, CAY_NO_COMMAND);
	assert_string_equal(err.message, "exec: \"x\": not found");
	assert_int_equal(final_state(&fixture).exit_code, 127);
	assert_int_equal(final_state(&fixture).started_ns, 0);
	tear_down(&fixture);
}

static void test_quitter(void **state)
{
	struct cay_error err = { 0 };
	struct fixture fixture;

	set_up(&fixture, "quitter", false);
	assert_true(start(&fixture, &err) < 0);
	assert_int_equal(err.code, CAY_UNAVAILABLE);
	assert_non_null(strstr(err.message, "the VM ended: QEMU failed with status 9"));
	tear_down(&fixture);
}

static void test_garbage(void **state)
{
	struct cay_error err = { 0 };
	struct fixture fixture;

	set_up(&fixture, "garbage", false);
	assert_true(start(&fixture, &err) < 0);
	assert_int_equal(final_state(&fixture).status, SANDBOX_EXITED);
	assert_true(final_state(&fixture).error[0] != '\0');
	tear_down(&fixture);
}

/* Streams that never end, an exit code and times that can't be: the end comes all the same. */
static void test_liar(void **state)
{
	struct cay_error err = { 0 };
	struct fixture fixture;
	struct sandbox_state final;

	set_up(&fixture, "liar", false);
	assert_ok(start(&fixture, &err));
	assert_int_equal(wait_for_exit(&fixture), 255);
	final = final_state(&fixture);
	assert_true(final.started_ns <= final.finished_ns);
	tear_down(&fixture);
}

/* A guest that no longer answers is ended by SIGKILL, as a process would be. */
static void test_deaf(void **state)
{
	Cay__Shim__V1__KillRequest kill = CAY__SHIM__V1__KILL_REQUEST__INIT;
	struct cay_error err = { 0 };
	struct fixture fixture;

	set_up(&fixture, "deaf", false);
	assert_ok(start(&fixture, &err));
	kill.container_id = (char *)"c";
	kill.signal = SIGKILL;
	assert_ok(call(&fixture, "Kill", &kill, NULL, &err));
	assert_int_equal(wait_for_exit(&fixture), 137);
	assert_non_null(strstr(final_state(&fixture).error, "the guest does not answer"));
	tear_down(&fixture);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),           cmocka_unit_test(test_flood),
		cmocka_unit_test(test_leaving_client), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_no_command),     cmocka_unit_test(test_quitter),
		cmocka_unit_test(test_garbage),        cmocka_unit_test(test_liar),
		cmocka_unit_test(test_deaf),
	};

	if (argc > 2 && strcmp(argv[1], "-name") == 0)
		return play_guest(argv[2]);
	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
