/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that block: a client runs its own small loop until the call has ended. */
#include "rpc/sync.h"

#include "rpc/rpc-internal.h"

#include "base/alloc.h"
#include "base/unix.h"

#include <errno.h>
#include <sys/epoll.h>

struct rpc_client {
	uv_loop_t loop;
	struct rpc_conn *conn; /* NULL once it has closed */
	struct cay_error why;  /* then */
};

static void on_conn_close(struct rpc_conn *conn, const struct cay_error *why, void *user)
{
	struct rpc_client *client = user;

	client->conn = NULL;
	client->why = *why;
}

static void close_loop(struct rpc_client *client)
{
	int r;

	while (client->conn)
		(void)uv_run(&client->loop, UV_RUN_ONCE);
	/* Handles of the user's that are closing have one more turn. */
	(void)uv_run(&client->loop, UV_RUN_NOWAIT);
	r = uv_loop_close(&client->loop);
	assert(r == 0);
	(void)r;
}

int rpc_client_new(const char *path, struct rpc_client **ret_client, struct cay_error *err)
{
	_cleanup_close_ int fd = unix_connect(path, err);
	_cleanup_free_ struct rpc_client *client = NULL;
	struct rpc_conn_options options = { .on_close = on_conn_close };
	int r;

	if (fd < 0)
		return fd;
	client = xcalloc(1, sizeof(*client));
	r = uv_loop_init(&client->loop);
	if (r < 0)
		return cay_error_errno(err, r, "making an event loop");
	options.user = client;
	r = rpc_conn_new(&client->loop, TAKE_FD(fd), &options, NULL, 0, &client->conn, err);
	if (r < 0) {
		close_loop(client);
		return r;
	}
	*ret_client = TAKE_PTR(client);
	return 0;
}

void rpc_client_free(struct rpc_client *client)
{
	if (!client)
		return;
	if (client->conn)
		rpc_conn_close(client->conn);
	close_loop(client);
	free(client);
}

uv_loop_t *rpc_client_loop(struct rpc_client *client)
{
	return &client->loop;
}

struct rpc_conn *rpc_client_conn(struct rpc_client *client)
{
	return client->conn;
}

/* ---- one call ---- */

struct sync_call {
	struct rpc_call *call;      /* NULL once it has ended */
	struct cay_error status;    /* then */
	ProtobufCMessage *response; /* unary */
	size_t responses;
	bool stopped; /* `each` wanted no more */
	bool (*each)(const ProtobufCMessage *response, void *user);
	void *user;
};

static void on_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct sync_call *sync = user;

	sync->call = NULL;
	sync->status = *status;
}

static int check_conn(const struct rpc_client *client, struct cay_error *err)
{
	if (client->conn)
		return 0;
	return cay_error_set(err, CAY_UNAVAILABLE, ENOTCONN, "%s", client->why.message);
}

static void run_call(struct rpc_client *client, struct sync_call *sync)
{
	while (sync->call)
		(void)uv_run(&client->loop, UV_RUN_ONCE);
}

static int sync_result(const struct sync_call *sync, struct cay_error *err)
{
	if (sync->status.code == CAY_OK)
		return 0;
	if (err)
		*err = sync->status;
	return -sync->status.err;
}

static void on_response(struct rpc_call *call, const ProtobufCMessage *message, const uint8_t *data,
			size_t size, void *user)
{
	struct sync_call *sync = user;

	if (sync->responses++ == 0)
		sync->response = TAKE_PTR(call->message); /* the caller's, then */
}

int rpc_client_call(struct rpc_client *client, const ProtobufCServiceDescriptor *service,
		    const char *method, const ProtobufCMessage *request, int64_t deadline_ms,
		    ProtobufCMessage **ret_response, struct cay_error *err)
{
	static const struct rpc_call_events events = { .on_message = on_response,
						       .on_end = on_end };
	struct sync_call sync = { 0 };
	int r = check_conn(client, err);

	if (r < 0)
		return r;
	sync.call =
		rpc_call_new(client->conn, service, method, request, deadline_ms, &events, &sync);
	run_call(client, &sync);
	r = sync_result(&sync, err);
	if (r == 0 && sync.responses != 1)
		r = cay_error_set(err, CAY_CORRUPT, EPROTO, "%s had %zu answers", method,
				  sync.responses);
	if (r == 0 && ret_response)
		*ret_response = TAKE_PTR(sync.response);
	if (sync.response)
		protobuf_c_message_free_unpacked(sync.response, NULL);
	return r;
}

static void on_streamed(struct rpc_call *call, const ProtobufCMessage *message, const uint8_t *data,
			size_t size, void *user)
{
	struct sync_call *sync = user;

	if (sync->each(message, sync->user))
		return;
	sync->stopped = true;
	rpc_call_cancel(call);
}

/* ---- the interrupt ---- */

/*
 * libuv makes a descriptor it polls non-blocking, for everyone who has it. The caller's is only
 * lent, so an epoll instance of our own stands between.
 */
struct interrupt {
	int epoll;
	uv_poll_t poll;
	struct sync_call *sync;
	bool open;
};

static void on_interrupt(uv_poll_t *poll, int status, int events)
{
	struct interrupt *interrupt = poll->data;

	(void)uv_poll_stop(poll);
	if (interrupt->sync->call)
		rpc_call_cancel(interrupt->sync->call);
}

static int interrupt_open(struct interrupt *interrupt, struct rpc_client *client, int fd,
			  struct sync_call *sync, struct cay_error *err)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP };
	int r;

	interrupt->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (interrupt->epoll < 0)
		return cay_error_errno(err, errno, "watching for an interrupt");
	r = epoll_ctl(interrupt->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
	if (r == 0)
		r = uv_poll_init(&client->loop, &interrupt->poll, interrupt->epoll);
	if (r < 0)
		return cay_error_errno(err, r, "watching for an interrupt");
	interrupt->open = true;
	interrupt->sync = sync;
	interrupt->poll.data = interrupt;
	(void)uv_poll_start(&interrupt->poll, UV_READABLE, on_interrupt);
	return 0;
}

static void on_interrupt_closed(uv_handle_t *handle)
{
	struct interrupt *interrupt = handle->data;

	interrupt->open = false;
}

static void interrupt_close(struct interrupt *interrupt, struct rpc_client *client)
{
	if (interrupt->open)
		uv_close((uv_handle_t *)&interrupt->poll, on_interrupt_closed);
	while (interrupt->open)
		(void)uv_run(&client->loop, UV_RUN_NOWAIT);
	if (interrupt->epoll >= 0)
		(void)close(interrupt->epoll);
}

int rpc_client_stream(struct rpc_client *client, const ProtobufCServiceDescriptor *service,
		      const char *method, const ProtobufCMessage *request, int interrupt_fd,
		      bool (*each)(const ProtobufCMessage *response, void *user), void *user,
		      struct cay_error *err)
{
	static const struct rpc_call_events events = { .on_message = on_streamed,
						       .on_end = on_end };
	struct sync_call sync = { .each = each, .user = user };
	struct interrupt interrupt = { .epoll = -1 };
	int r = check_conn(client, err);

	if (r == 0 && interrupt_fd >= 0)
		r = interrupt_open(&interrupt, client, interrupt_fd, &sync, err);
	if (r == 0) {
		sync.call = rpc_call_new(client->conn, service, method, request, 0, &events, &sync);
		run_call(client, &sync);
		r = sync.stopped ? 0 : sync_result(&sync, err);
	}
	interrupt_close(&interrupt, client);
	return r;
}
