/* SPDX-License-Identifier: Apache-2.0 */
/* A client and a server of the guest's service on one loop, and an ear for what a call tells. */
#pragma once

#include "test.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "rpc/rpc.h"
#include "vminitd.pb-c.h"

#include <errno.h>
#include <sys/socket.h>

#define VMINITD (&cay__vminitd__v1__vminitd__descriptor)

enum { PATIENCE_MS = 20 * 1000 };

/* ---- two connected ends ---- */

struct pair {
	uv_loop_t loop;
	struct rpc_conn *client, *server; /* NULL once closed */
	struct cay_error client_why, server_why;
	struct rpc_service service;
};

static inline cay_unused void on_pair_close(struct rpc_conn *conn, const struct cay_error *why,
					    void *user)
{
	struct pair *pair = user;

	if (conn == pair->client) {
		pair->client = NULL;
		pair->client_why = *why;
	} else {
		pair->server = NULL;
		pair->server_why = *why;
	}
}

static inline cay_unused void pair_open(struct pair *pair, const struct rpc_method *methods,
					size_t count, void *user)
{
	struct rpc_conn_options options = { .on_close = on_pair_close, .user = pair };
	struct cay_error err = { 0 };
	int fds[2];

	*pair = (struct pair){ .service = { VMINITD, methods, count, user } };
	assert_int_equal(uv_loop_init(&pair->loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_ok(rpc_conn_new(&pair->loop, fds[0], &options, NULL, 0, &pair->client, &err));
	options.server = true;
	options.services = &pair->service;
	options.service_count = 1;
	assert_ok(rpc_conn_new(&pair->loop, fds[1], &options, NULL, 0, &pair->server, &err));
}

/* Runs the loop until the flag is set; a test that waits in vain fails. */
static inline cay_unused void run_loop_until(uv_loop_t *loop, const bool *flag)
{
	int64_t end = clock_monotonic_ms() + PATIENCE_MS;

	while (!*flag) {
		assert_true(clock_monotonic_ms() < end);
		if (!uv_run(loop, UV_RUN_NOWAIT) && !*flag)
			fail_msg("the loop has nothing left to wait for");
		if (!*flag)
			usleep(50);
	}
}

static inline cay_unused void run_until(struct pair *pair, const bool *flag)
{
	run_loop_until(&pair->loop, flag);
}

/* Lets the loop run for a time. */
static inline cay_unused void run_for(struct pair *pair, int64_t ms)
{
	int64_t end = clock_monotonic_ms() + ms;

	while (clock_monotonic_ms() < end) {
		(void)uv_run(&pair->loop, UV_RUN_NOWAIT);
		usleep(50);
	}
}

static inline cay_unused void pair_close(struct pair *pair)
{
	if (pair->client)
		rpc_conn_close(pair->client);
	if (pair->server)
		rpc_conn_close(pair->server);
	(void)uv_run(&pair->loop, UV_RUN_DEFAULT);
	assert_null(pair->client);
	assert_null(pair->server);
	assert_int_equal(uv_loop_close(&pair->loop), 0);
}

/* ---- what a call has told ---- */

struct heard {
	unsigned int messages;
	size_t bytes;           /* of all messages, packed */
	ProtobufCMessage *last; /* a copy of the last message */
	struct buf raw;         /* the same, packed */
	unsigned int half_closes, writables, ends;
	bool half_closed, ended;
	struct cay_error status;
};

static inline cay_unused void heard_done(struct heard *heard)
{
	if (heard->last)
		protobuf_c_message_free_unpacked(heard->last, NULL);
	buf_done(&heard->raw);
}

static inline cay_unused void heard_message(struct rpc_call *call, const ProtobufCMessage *message,
					    const uint8_t *data, size_t size, void *user)
{
	struct heard *heard = user;

	assert_false(heard->ended);
	heard->messages++;
	heard->bytes += size;
	buf_clear(&heard->raw);
	buf_append(&heard->raw, data, size);
	if (heard->last)
		protobuf_c_message_free_unpacked(TAKE_PTR(heard->last), NULL);
	if (message)
		heard->last = protobuf_c_message_unpack(message->descriptor, NULL, size, data);
}

static inline cay_unused void heard_half_close(struct rpc_call *call, void *user)
{
	struct heard *heard = user;

	assert_false(heard->ended);
	heard->half_closes++;
	heard->half_closed = true;
}

static inline cay_unused void heard_writable(struct rpc_call *call, void *user)
{
	struct heard *heard = user;

	assert_false(heard->ended);
	heard->writables++;
}

static inline cay_unused void heard_end(struct rpc_call *call, const struct cay_error *status,
					void *user)
{
	struct heard *heard = user;

	assert_false(heard->ended);
	assert_int_equal(status->code == CAY_OK, status->message[0] == '\0');
	heard->ends++;
	heard->ended = true;
	heard->status = *status;
}

static const cay_unused struct rpc_call_events heard_events = {
	.on_message = heard_message,
	.on_half_close = heard_half_close,
	.on_writable = heard_writable,
	.on_end = heard_end,
};

/* ---- the two ends of Stdio, driven by hand ---- */

static inline cay_unused void send_text(struct rpc_call *call, const char *text)
{
	Cay__Vminitd__V1__StdioInput input = CAY__VMINITD__V1__STDIO_INPUT__INIT;

	input.data = (ProtobufCBinaryData){ strlen(text), (uint8_t *)text };
	(void)rpc_call_send(call, &input.base);
}

/* A server's end of Stdio, for tests that drive both ends by hand. */
struct served {
	struct rpc_call *call;
	bool begun;
	struct heard heard;
};

static inline cay_unused void serve(struct rpc_call *call, const ProtobufCMessage *request,
				    void *user)
{
	struct served *served = user;

	assert_null(request);
	assert_false(served->begun);
	served->call = call;
	served->begun = true;
	rpc_call_set_events(call, &heard_events, &served->heard);
}

static const cay_unused struct rpc_method stdio_method[] = { { "Stdio", true, serve } };

static inline cay_unused struct rpc_call *call_stdio(struct pair *pair, int64_t deadline_ms,
						     struct heard *heard)
{
	return rpc_call_new(pair->client, VMINITD, "Stdio", NULL, deadline_ms, &heard_events,
			    heard);
}

static inline cay_unused void run_until_messages(struct pair *pair, const struct heard *heard,
						 unsigned int count)
{
	int64_t end = clock_monotonic_ms() + PATIENCE_MS;

	while (heard->messages < count) {
		assert_true(clock_monotonic_ms() < end);
		assert_false(heard->ended);
		(void)uv_run(&pair->loop, UV_RUN_NOWAIT);
	}
}
