/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that block: a client runs its own small loop until the call has ended. */
#include "rpc/sync.h"

#include "rpc/rpc-internal.h"

#include "base/alloc.h"
#include "base/unix.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/queue.h>

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

/* ---- the interrupt ---- */

/*
 * libuv makes a descriptor it polls non-blocking, for everyone who has it. The caller's is only
 * lent, so an epoll instance of our own stands between.
 */
struct interrupt {
	int epoll;
	uv_poll_t poll;
	bool open;
};

struct response {
	STAILQ_ENTRY(response) link;
	ProtobufCMessage *message;
};

/* A call whose responses are taken one by one. */
struct rpc_stream {
	struct rpc_client *client;
	struct rpc_call *call;   /* NULL once it has ended */
	struct cay_error status; /* then */
	/*
	 * Those that were not taken yet, while which the call is paused; more than one where the
	 * connection broke and gave all it held.
	 */
	STAILQ_HEAD(response_queue, response) responses;
	ProtobufCMessage *taken; /* the user's until the next one */
	struct interrupt interrupt;
};

static void on_interrupt(uv_poll_t *poll, int status, int events)
{
	struct rpc_stream *stream = poll->data;

	(void)uv_poll_stop(poll);
	if (stream->call)
		rpc_call_cancel(stream->call);
}

static int interrupt_open(struct rpc_stream *stream, int fd, struct cay_error *err)
{
	struct interrupt *interrupt = &stream->interrupt;
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP };
	int r;

	interrupt->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (interrupt->epoll < 0)
		return cay_error_errno(err, errno, "watching for an interrupt");
	r = epoll_ctl(interrupt->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
	if (r == 0)
		r = uv_poll_init(&stream->client->loop, &interrupt->poll, interrupt->epoll);
	if (r < 0)
		return cay_error_errno(err, r, "watching for an interrupt");
	interrupt->open = true;
	interrupt->poll.data = stream;
	(void)uv_poll_start(&interrupt->poll, UV_READABLE, on_interrupt);
	return 0;
}

static void on_interrupt_closed(uv_handle_t *handle)
{
	struct rpc_stream *stream = handle->data;

	stream->interrupt.open = false;
}

static void interrupt_close(struct rpc_stream *stream)
{
	struct interrupt *interrupt = &stream->interrupt;

	if (interrupt->open)
		uv_close((uv_handle_t *)&interrupt->poll, on_interrupt_closed);
	while (interrupt->open)
		(void)uv_run(&stream->client->loop, UV_RUN_NOWAIT);
	if (interrupt->epoll >= 0)
		(void)close(interrupt->epoll);
}

/* ---- streams ---- */

static void on_streamed(struct rpc_call *call, const ProtobufCMessage *message, const uint8_t *data,
			size_t size, void *user)
{
	struct response *response = xcalloc(1, sizeof(*response));
	struct rpc_stream *stream = user;

	response->message = TAKE_PTR(call->message); /* ours, then */
	STAILQ_INSERT_TAIL(&stream->responses, response, link);
	rpc_call_pause(call);
}

static void on_stream_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct rpc_stream *stream = user;

	stream->call = NULL;
	stream->status = *status;
}

static void free_message(ProtobufCMessage *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
}

static ProtobufCMessage *take_first(struct rpc_stream *stream)
{
	struct response *response = STAILQ_FIRST(&stream->responses);
	ProtobufCMessage *message = response->message;

	STAILQ_REMOVE_HEAD(&stream->responses, link);
	free(response);
	return message;
}

int rpc_stream_open(struct rpc_client *client, const ProtobufCServiceDescriptor *service,
		    const char *method, const ProtobufCMessage *request, int interrupt_fd,
		    struct rpc_stream **ret_stream, struct cay_error *err)
{
	static const struct rpc_call_events events = { .on_message = on_streamed,
						       .on_end = on_stream_end };
	_cleanup_rpc_stream_ struct rpc_stream *stream = NULL;
	int r = check_conn(client, err);

	if (r < 0)
		return r;
	stream = xcalloc(1, sizeof(*stream));
	stream->client = client;
	stream->interrupt.epoll = -1;
	STAILQ_INIT(&stream->responses);
	if (interrupt_fd >= 0)
		r = interrupt_open(stream, interrupt_fd, err);
	if (r < 0)
		return r;
	stream->call = rpc_call_new(client->conn, service, method, request, 0, &events, stream);
	*ret_stream = TAKE_PTR(stream);
	return 0;
}

int rpc_stream_next(struct rpc_stream *stream, const ProtobufCMessage **ret_response,
		    struct cay_error *err)
{
	free_message(TAKE_PTR(stream->taken));
	if (stream->call && STAILQ_EMPTY(&stream->responses))
		rpc_call_resume(stream->call);
	while (stream->call && STAILQ_EMPTY(&stream->responses))
		(void)uv_run(&stream->client->loop, UV_RUN_ONCE);
	if (!STAILQ_EMPTY(&stream->responses)) {
		*ret_response = stream->taken = take_first(stream);
		return 1;
	}
	if (stream->status.code == CAY_OK)
		return 0;
	if (err)
		*err = stream->status;
	return -stream->status.err;
}

void rpc_stream_close(struct rpc_stream *stream)
{
	if (!stream)
		return;
	if (stream->call)
		rpc_call_cancel(stream->call);
	while (stream->call)
		(void)uv_run(&stream->client->loop, UV_RUN_ONCE);
	interrupt_close(stream);
	free_message(stream->taken);
	while (!STAILQ_EMPTY(&stream->responses))
		free_message(take_first(stream));
	free(stream);
}

int rpc_client_stream(struct rpc_client *client, const ProtobufCServiceDescriptor *service,
		      const char *method, const ProtobufCMessage *request, int interrupt_fd,
		      bool (*each)(const ProtobufCMessage *response, void *user), void *user,
		      struct cay_error *err)
{
	_cleanup_rpc_stream_ struct rpc_stream *stream = NULL;
	const ProtobufCMessage *response;
	int r = rpc_stream_open(client, service, method, request, interrupt_fd, &stream, err);

	while (r == 0 && (r = rpc_stream_next(stream, &response, err)) > 0)
		r = each(response, user) ? 0 : 1;
	return MIN(r, 0);
}
