/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server connection that gets the input for what a client sends after the
 * preface. Its methods do what real ones do: answer at once or later, stream,
 * pause, fail, close. Whatever comes, each call that was begun ends once, and
 * the connection closes once, after them.
 */
#include "base/clock.h"
#include "base/file.h"
#include "rpc/rpc.h"
#include "vminitd.pb-c.h"

#include <errno.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct run {
	unsigned int begun, ended, messages;
	bool closed;
};

static void require(bool good)
{
	if (!good)
		abort();
}

static void on_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct run *run = user;

	require(!run->closed);
	run->ended++;
}

static void on_message(struct rpc_call *call, const ProtobufCMessage *message, const uint8_t *data,
		       size_t size, void *user)
{
	struct run *run = user;

	require(!run->closed);
	run->messages++;
	(void)rpc_call_send_raw(call, data, size);
	if (run->messages % 3 == 1)
		rpc_call_pause(call);
	if (run->messages % 5 == 4)
		rpc_call_resume(call);
	if (run->messages % 11 == 10)
		rpc_call_cancel(call);
}

static void on_half_close(struct rpc_call *call, void *user)
{
	rpc_call_resume(call);
	rpc_call_finish(call, NULL);
}

static void on_writable(struct rpc_call *call, void *user)
{
	rpc_call_finish(call, NULL);
}

static const struct rpc_call_events events = {
	.on_message = on_message,
	.on_half_close = on_half_close,
	.on_writable = on_writable,
	.on_end = on_end,
};

static void listen_to(struct rpc_call *call, void *user)
{
	struct run *run = user;

	run->begun++;
	rpc_call_set_events(call, &events, user);
}

static void stdio(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	listen_to(call, user);
}

static void fallback(struct rpc_call *call, const char *path, void *user)
{
	listen_to(call, user);
}

static void version(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	Cay__Vminitd__V1__VersionResponse response = CAY__VMINITD__V1__VERSION_RESPONSE__INIT;

	require(request != NULL);
	rpc_call_reply(call, &response.base);
}

static void delete_container(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	struct cay_error status = { 0 };

	listen_to(call, user);
	(void)cay_error_set(&status, CAY_NOT_FOUND, ENOENT, "%s",
			    ((const Cay__Vminitd__V1__DeleteContainerRequest *)request)->id);
	rpc_call_finish(call, &status);
}

static void kernel_log(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	static const uint8_t text[20000];

	listen_to(call, user);
	while (rpc_call_send_raw(call, text, sizeof(text)))
		;
}

static void shutdown_machine(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	listen_to(call, user);
	rpc_conn_close(rpc_call_conn(call));
}

static void on_close(struct rpc_conn *conn, const struct cay_error *why, void *user)
{
	struct run *run = user;

	require(!run->closed && run->begun == run->ended);
	run->closed = true;
}

static const struct rpc_method methods[] = {
	{ "Version", false, version },      { "DeleteContainer", false, delete_container },
	{ "KernelLog", false, kernel_log }, { "Shutdown", false, shutdown_machine },
	{ "Stdio", true, stdio },
};

/* The rest comes in pieces; what the server answers is read and dropped. */
static void play(uv_loop_t *loop, struct run *run, int fd, const uint8_t *data, size_t size)
{
	static uint8_t answer[65536];
	unsigned int turns = 0;

	while (!run->closed && (size > 0 || turns < 4)) {
		ssize_t n = size > 0 ? send(fd, data, MIN(size, 4099), MSG_NOSIGNAL) : 0;

		turns = size > 0 ? 0 : turns + 1;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		} else if (n < 0 && errno != EAGAIN) {
			size = 0;
		}
		(void)uv_run(loop, UV_RUN_NOWAIT);
		while (recv(fd, answer, sizeof(answer), MSG_DONTWAIT) > 0)
			;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run run = { 0 };
	const struct rpc_service service = { &cay__vminitd__v1__vminitd__descriptor, methods,
					     ARRAY_SIZE(methods), &run };
	struct rpc_conn_options options = { .server = true,
					    .services = &service,
					    .service_count = 1,
					    .on_close = on_close,
					    .user = &run };
	struct rpc_conn *conn;
	uv_loop_t loop;
	int fds[2];

	if (size > 0 && data[0] & 1)
		options.fallback = fallback;
	require(uv_loop_init(&loop) == 0);
	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
	require(rpc_conn_new(&loop, fds[0], &options, preface, sizeof(preface) - 1, &conn, NULL) ==
		0);
	play(&loop, &run, fds[1], size ? data + 1 : data, size ? size - 1 : 0);
	(void)close(fds[1]);
	while (!run.closed)
		(void)uv_run(&loop, UV_RUN_ONCE);
	require(uv_loop_close(&loop) == 0);
	return 0;
}
