/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server with a few of the guest's methods, for foreign gRPC clients to try
 * themselves on: usage rpc-echo SOCKET. It ends when its standard input does.
 *
 *   Version          features: how many calls were cancelled, how many ran into their deadline
 *   KernelLog        three texts, or with `follow` one after the other until the client leaves
 *   CreateContainer  pid: the size of oci_config
 *   DeleteContainer  fails with the code whose token is the id
 *   WaitProcess      never answers
 *   Stdio            sends every input's data back, and says goodbye after the last
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "rpc/rpc.h"
#include "vminitd.pb-c.h"

#include <errno.h>

struct echo {
	unsigned int cancelled, expired;
	struct rpc_listener *listener;
};

static void version(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	Cay__Vminitd__V1__VersionResponse response = CAY__VMINITD__V1__VERSION_RESPONSE__INIT;
	struct echo *echo = user;
	_cleanup_free_ char *cancelled = xasprintf("cancelled=%u", echo->cancelled);
	_cleanup_free_ char *expired = xasprintf("expired=%u", echo->expired);
	char *features[] = { cancelled, expired };

	response.version = (char *)CAY_VERSION;
	response.kernel = (char *)"none \xc3\xa9\xe2\x82\xac";
	response.booted_monotonic_us = clock_monotonic_us();
	response.features = features;
	response.n_features = ARRAY_SIZE(features);
	rpc_call_reply(call, &response.base);
}

static void count_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct echo *echo = user;

	if (status->code == CAY_CANCELLED)
		echo->cancelled++;
	else if (status->code == CAY_TIMEOUT)
		echo->expired++;
}

static void send_text(struct rpc_call *call, void *user)
{
	Cay__Vminitd__V1__KernelLogResponse response = CAY__VMINITD__V1__KERNEL_LOG_RESPONSE__INIT;
	uint8_t text[1024];

	memset(text, 'x', sizeof(text));
	response.text = (ProtobufCBinaryData){ sizeof(text), text };
	while (rpc_call_send(call, &response.base))
		;
}

static void kernel_log(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	static const struct rpc_call_events events = { .on_writable = send_text,
						       .on_end = count_end };
	const Cay__Vminitd__V1__KernelLogRequest *asked = (const void *)request;
	Cay__Vminitd__V1__KernelLogResponse response = CAY__VMINITD__V1__KERNEL_LOG_RESPONSE__INIT;
	static const char *const texts[] = { "one", "", "three" };

	rpc_call_set_events(call, &events, user);
	if (asked->follow) {
		send_text(call, user);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		response.text = (ProtobufCBinaryData){ strlen(texts[i]), (uint8_t *)texts[i] };
		(void)rpc_call_send(call, &response.base);
	}
	rpc_call_finish(call, NULL);
}

static void create_container(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	const Cay__Vminitd__V1__CreateContainerRequest *asked = (const void *)request;
	Cay__Vminitd__V1__CreateContainerResponse response =
		CAY__VMINITD__V1__CREATE_CONTAINER_RESPONSE__INIT;

	response.pid = (int32_t)asked->oci_config.len;
	rpc_call_reply(call, &response.base);
}

static void delete_container(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	const Cay__Vminitd__V1__DeleteContainerRequest *asked = (const void *)request;
	enum cay_code code = cay_code_from_token(asked->id);
	struct cay_error status = { 0 };

	if (code == CAY_CODE_COUNT)
		code = CAY_INVALID;
	(void)cay_error_set(&status, code, EIO, "100%% of \xc2\xab%s\xc2\xbb failed", asked->id);
	rpc_call_finish(call, &status);
}

static void wait_process(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	static const struct rpc_call_events events = { .on_end = count_end };

	rpc_call_set_events(call, &events, user);
}

static void send_data(struct rpc_call *call, ProtobufCBinaryData data)
{
	Cay__Vminitd__V1__StdioOutput output = CAY__VMINITD__V1__STDIO_OUTPUT__INIT;

	output.data = data;
	if (!rpc_call_send(call, &output.base))
		rpc_call_pause(call);
}

static void echo_input(struct rpc_call *call, const ProtobufCMessage *message, const uint8_t *data,
		       size_t size, void *user)
{
	send_data(call, ((const Cay__Vminitd__V1__StdioInput *)message)->data);
}

static void echo_more(struct rpc_call *call, void *user)
{
	rpc_call_resume(call);
}

static void echo_end(struct rpc_call *call, void *user)
{
	send_data(call, (ProtobufCBinaryData){ 3, (uint8_t *)"bye" });
	rpc_call_finish(call, NULL);
}

static void stdio(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	static const struct rpc_call_events events = { .on_message = echo_input,
						       .on_half_close = echo_end,
						       .on_writable = echo_more,
						       .on_end = count_end };

	rpc_call_set_events(call, &events, user);
}

static void on_stdin(uv_poll_t *poll, int status, int events)
{
	struct echo *echo = poll->data;
	char byte;

	if (read(STDIN_FILENO, &byte, 1) > 0)
		return;
	rpc_listener_close(echo->listener);
	uv_stop(poll->loop);
}

int main(int argc, char **argv)
{
	static const struct rpc_method methods[] = {
		{ "Version", false, version },
		{ "KernelLog", false, kernel_log },
		{ "CreateContainer", false, create_container },
		{ "DeleteContainer", false, delete_container },
		{ "WaitProcess", false, wait_process },
		{ "Stdio", true, stdio },
	};
	struct echo echo = { 0 };
	const struct rpc_service service = { &cay__vminitd__v1__vminitd__descriptor, methods,
					     ARRAY_SIZE(methods), &echo };
	const struct rpc_conn_options options = { .server = true,
						  .services = &service,
						  .service_count = 1 };
	uv_loop_t *loop = uv_default_loop();
	struct cay_error err = { 0 };
	uv_poll_t input;

	log_init("rpc-echo", LOG_LEVEL_INFO);
	if (argc != 2)
		die("usage: rpc-echo SOCKET");
	if (rpc_listener_new(loop, argv[1], &options, &echo.listener, &err) < 0)
		die("%s", err.message);
	if (uv_poll_init(loop, &input, STDIN_FILENO) < 0)
		die("standard input can't be waited for");
	input.data = &echo;
	(void)uv_poll_start(&input, UV_READABLE, on_stdin);
	(void)uv_run(loop, UV_RUN_DEFAULT);
	return 0;
}
