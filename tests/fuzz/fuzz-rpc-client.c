/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client connection with calls of all kinds under way that gets the input
 * for what the server sends: the guest is the server, and it is not trusted.
 * Each call ends once, and the connection closes once, after them.
 */
#include "rpc/rpc.h"
#include "vminitd.pb-c.h"

#include <errno.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CALLS = 5 };

struct run {
	struct rpc_call *calls[CALLS]; /* NULL once ended */
	unsigned int ended, messages;
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
	unsigned int found = 0;

	require(!run->closed);
	require(status->code == CAY_OK || status->message[0]);
	for (size_t i = 0; i < CALLS; i++) {
		if (run->calls[i] != call)
			continue;
		run->calls[i] = NULL;
		found++;
	}
	require(found == 1);
	run->ended++;
}

static void on_message(struct rpc_call *call, const ProtobufCMessage *message, const uint8_t *data,
		       size_t size, void *user)
{
	struct run *run = user;

	require(!run->closed);
	run->messages++;
	if (run->messages % 4 == 2)
		rpc_call_pause(call);
	for (size_t i = 0; i < CALLS && run->messages % 3 == 0; i++)
		if (run->calls[i])
			rpc_call_resume(run->calls[i]);
	if (run->messages % 13 == 12)
		rpc_call_cancel(call);
	if (run->messages % 7 == 6)
		(void)rpc_call_send_raw(call, data, size);
}

static const struct rpc_call_events events = { .on_message = on_message, .on_end = on_end };

static void on_close(struct rpc_conn *conn, const struct cay_error *why, void *user)
{
	struct run *run = user;

	require(!run->closed && run->ended == CALLS);
	run->closed = true;
}

static void start_calls(struct run *run, struct rpc_conn *conn)
{
	const ProtobufCServiceDescriptor *service = &cay__vminitd__v1__vminitd__descriptor;
	static const uint8_t data[70000];
	Cay__Vminitd__V1__VersionRequest version = CAY__VMINITD__V1__VERSION_REQUEST__INIT;
	Cay__Vminitd__V1__ListProcessesRequest list =
		CAY__VMINITD__V1__LIST_PROCESSES_REQUEST__INIT;
	Cay__Vminitd__V1__StdioInput input = CAY__VMINITD__V1__STDIO_INPUT__INIT;

	run->calls[0] = rpc_call_new(conn, service, "Version", &version.base, 0, &events, run);
	run->calls[1] =
		rpc_call_new(conn, service, "ListProcesses", &list.base, 60000, &events, run);
	run->calls[2] = rpc_call_new(conn, service, "Stdio", NULL, 0, &events, run);
	run->calls[3] = rpc_call_new_raw(conn, "/a.b/C", 0, &events, run);
	run->calls[4] = rpc_call_new(conn, service, "Stdio", NULL, 0, &events, run);
	input.data = (ProtobufCBinaryData){ sizeof(data), (uint8_t *)data };
	(void)rpc_call_send(run->calls[2], &input.base);
	rpc_call_half_close(run->calls[3]);
	rpc_call_pause(run->calls[4]);
}

/* The rest comes in pieces; what the client says is read and dropped. */
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
	const struct rpc_conn_options options = { .on_close = on_close, .user = &run };
	struct rpc_conn *conn;
	uv_loop_t loop;
	int fds[2];

	require(uv_loop_init(&loop) == 0);
	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
	require(rpc_conn_new(&loop, fds[0], &options, NULL, 0, &conn, NULL) == 0);
	start_calls(&run, conn);
	(void)uv_run(&loop, UV_RUN_NOWAIT);
	play(&loop, &run, fds[1], data, size);
	(void)close(fds[1]);
	while (!run.closed)
		(void)uv_run(&loop, UV_RUN_ONCE);
	require(uv_loop_close(&loop) == 0);
	return 0;
}
