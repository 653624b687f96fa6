/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of the sockets: listening on both sides, room for connections, the
 * end. Where there is no room left nothing is accepted here and the guest's
 * announcements are not read, so that whoever connects waits, as at any socket
 * whose program is busy.
 */
#include "shim/sockets-internal.h"

#include "base/alloc.h"
#include "base/log.h"
#include "sandbox/call.h"

#include "vminitd.pb-c.h"

#include <errno.h>
#include <sys/socket.h>
#include <time.h>

enum {
	RETRY_MS = 10,
	IN_USE_TRIES = 30,
	ANSWER_MS = 1000, /* for the guest's answer while draining */
};

/* ---- the end ---- */

static void free_all(struct sockets *sockets)
{
	for (size_t i = 0; i < sockets->count; i++)
		cay_close_p(&sockets->items[i].fd);
	free(sockets->items);
	free(sockets);
}

static void check_drained(struct sockets *sockets)
{
	if (!sockets->draining || sockets->asked || sockets->relay_count > 0)
		return;
	sockets->draining = false;
	(void)uv_timer_stop(&sockets->drain);
	sockets->drained(sockets->user);
}

void sockets_release(struct sockets *sockets)
{
	if (sockets->closing && sockets->relay_count == 0 && sockets->listening_count == 0 &&
	    sockets->open_handles == 0)
		free_all(sockets);
	else if (!sockets->closing)
		sockets_update(sockets);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct sockets *sockets = handle->data;

	sockets->open_handles--;
	sockets_release(sockets);
}

static void unpublish(struct sockets *sockets)
{
	for (size_t i = 0; i < sockets->count; i++) {
		struct host_socket *socket = &sockets->items[i];

		socket_file_remove(&socket->file);
		watch_close(TAKE_PTR(socket->watch));
		cay_close_p(&socket->fd);
		socket->fd = -1;
	}
}

void sockets_close(struct sockets *sockets)
{
	if (!sockets)
		return;
	sockets->closing = true;
	sockets->draining = false;
	unpublish(sockets);
	relays_break(sockets);
	for (size_t i = 0; i < sockets->count; i++)
		if (sockets->items[i].listening)
			rpc_call_cancel(sockets->items[i].listening);
	uv_close((uv_handle_t *)&sockets->retry, on_handle_closed);
	uv_close((uv_handle_t *)&sockets->drain, on_handle_closed);
}

static void on_drain_timer(uv_timer_t *timer)
{
	struct sockets *sockets = timer->data;

	sockets->draining = false;
	relays_break(sockets);
	sockets->drained(sockets->user);
}

/* Everything the guest had accepted before it answered has been announced by now. */
static void on_answer(const ProtobufCMessage *response, const struct cay_error *err, void *user)
{
	struct sockets *sockets = user;

	sockets->listening_count--;
	sockets->asked = false;
	if (sockets->closing)
		sockets_release(sockets);
	else
		check_drained(sockets);
}

void sockets_drain(struct sockets *sockets, void (*done)(void *user), void *user)
{
	Cay__Vminitd__V1__VersionRequest request = CAY__VMINITD__V1__VERSION_REQUEST__INIT;
	struct rpc_conn *conn = sockets ? sandbox_conn(sockets->sandbox) : NULL;

	if (!conn) {
		done(user);
		return;
	}
	if (sockets->draining)
		return;
	unpublish(sockets);
	sockets->drained = done;
	sockets->user = user;
	sockets->draining = sockets->asked = true;
	sockets->listening_count++; /* it is referred to by the call */
	(void)uv_timer_start(&sockets->drain, on_drain_timer, SOCKETS_DRAIN_MS, 0);
	sandbox_call(conn, "Version", &request.base, ANSWER_MS, on_answer, sockets);
}

/* ---- room ---- */

static bool has_room(const struct sockets *sockets)
{
	return sockets->relay_count < SOCKETS_CONNECTIONS_MAX && !sockets->short_of_room;
}

void sockets_update(struct sockets *sockets)
{
	const bool room = has_room(sockets);

	for (size_t i = 0; i < sockets->count; i++) {
		struct host_socket *socket = &sockets->items[i];

		if (socket->watch)
			watch_set(socket->watch, room ? UV_READABLE : 0);
		if (socket->listening && room)
			rpc_call_resume(socket->listening);
		else if (socket->listening)
			rpc_call_pause(socket->listening);
	}
	check_drained(sockets);
}

static void on_retry(uv_timer_t *timer)
{
	struct sockets *sockets = timer->data;

	sockets->short_of_room = false;
	relays_retry(sockets);
	sockets_update(sockets);
}

void sockets_retry_soon(struct sockets *sockets)
{
	if (!uv_is_active((uv_handle_t *)&sockets->retry))
		(void)uv_timer_start(&sockets->retry, on_retry, RETRY_MS, 0);
}

void sockets_note_failure(struct host_socket *socket, const struct cay_error *err)
{
	if (socket->failure == err->code && socket->failure_errno == err->err)
		return; /* it was told when it began */
	socket->failure = err->code;
	socket->failure_errno = err->err;
	log_warning("socket %s: %s", socket->config->host_path, err->message);
}

/* ---- the guest's sockets ---- */

static void on_announced(struct rpc_call *call, const ProtobufCMessage *message,
			 const uint8_t *data, size_t size, void *user)
{
	const Cay__Vminitd__V1__SocketConnection *connection = (const void *)message;
	struct host_socket *socket = user;

	if (connection->id == 0 || socket->sockets->closing)
		return;
	relay_to_host(socket, connection->id);
	sockets_update(socket->sockets);
}

static void on_listening_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct host_socket *socket = user;
	struct sockets *sockets = socket->sockets;
	struct cay_error why = *status;

	socket->listening = NULL;
	sockets->listening_count--;
	/* A lost connection is told of by the sandbox. */
	if (!sockets->closing && status->code != CAY_OK && status->code != CAY_UNAVAILABLE &&
	    status->code != CAY_CANCELLED) {
		(void)cay_error_prefix(&why, "the socket %s in the guest",
				       socket->config->guest_path);
		sandbox_fail(sockets->sandbox, &why);
	}
	sockets_release(sockets);
}

static void listen_in_guest(struct host_socket *socket, struct rpc_conn *conn)
{
	static const struct rpc_call_events events = { .on_message = on_announced,
						       .on_end = on_listening_end };
	Cay__Vminitd__V1__ListenSocketRequest request =
		CAY__VMINITD__V1__LISTEN_SOCKET_REQUEST__INIT;

	request.path = socket->config->guest_path;
	request.mode = socket->config->mode;
	request.uid = socket->config->uid;
	request.gid = socket->config->gid;
	socket->sockets->listening_count++;
	socket->listening = rpc_call_new(conn, &cay__vminitd__v1__vminitd__descriptor,
					 "ListenSocket", &request.base, 0, &events, socket);
}

/* ---- published sockets ---- */

static void on_client(struct watch *watch, int events, void *user)
{
	struct host_socket *socket = user;
	struct sockets *sockets = socket->sockets;
	/* cppcheck-suppress nullPointer; whose end it is does not matter */
	int fd = accept4(watch_fd(watch), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0) {
		relay_to_guest(socket, fd);
	} else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		struct cay_error err = { 0 };

		(void)cay_error_errno(&err, errno, "accepting a connection");
		sockets_note_failure(socket, &err);
		sockets->short_of_room = true;
		sockets_retry_soon(sockets);
	}
	sockets_update(sockets);
}

static int watch_clients(struct host_socket *socket)
{
	return watch_new(socket->sockets->loop, TAKE_FD(socket->fd), on_client, socket,
			 &socket->watch);
}

/* ---- the beginning ---- */

/* The shim of a container that has just ended may have the path for a moment still. */
static int listen_on_host(struct host_socket *socket, struct cay_error *err)
{
	const struct timespec pause = { .tv_nsec = RETRY_MS * 1000000 };
	int fd = socket_file_listen(socket->config->host_path, &socket->file, err);

	for (int tries = 0; fd == -EADDRINUSE && tries < IN_USE_TRIES; tries++) {
		(void)nanosleep(&pause, NULL); /* a short sleep is tried again all the same */
		cay_error_clear(err);
		fd = socket_file_listen(socket->config->host_path, &socket->file, err);
	}
	return fd;
}

int sockets_bind(const struct sandbox_config *config, uv_loop_t *loop, struct sockets **ret_sockets,
		 struct cay_error *err)
{
	struct sockets *sockets;

	if (config->socket_count == 0)
		return 0;
	sockets = xcalloc(1, sizeof(*sockets));
	sockets->config = config;
	sockets->loop = loop;
	LIST_INIT(&sockets->relays);
	sockets->items = xcalloc(config->socket_count, sizeof(*sockets->items));
	(void)uv_timer_init(loop, &sockets->retry); /* always 0 */
	(void)uv_timer_init(loop, &sockets->drain);
	sockets->retry.data = sockets->drain.data = sockets;
	sockets->open_handles = 2;
	for (size_t i = 0; i < config->socket_count; i++) {
		struct host_socket *socket = &sockets->items[sockets->count++];

		*socket = (struct host_socket){ .sockets = sockets,
						.config = &config->sockets[i],
						.fd = -1,
						.file.directory = -1 };
		if (!socket->config->publish)
			continue;
		socket->fd = listen_on_host(socket, err);
		if (socket->fd < 0) {
			int r = TAKE_FD(socket->fd);

			sockets_close(sockets);
			return r;
		}
	}
	*ret_sockets = sockets;
	return 0;
}

void sockets_start(struct sockets *sockets, struct sandbox *sandbox)
{
	struct rpc_conn *conn = sandbox_conn(sandbox);

	sockets->sandbox = sandbox;
	for (size_t i = 0; i < sockets->count && conn; i++) {
		struct host_socket *socket = &sockets->items[i];
		struct cay_error err = { 0 };
		int r = 0;

		if (!socket->config->publish)
			listen_in_guest(socket, conn);
		else
			r = watch_clients(socket);
		if (r < 0) {
			(void)cay_error_errno(&err, r, "watching the socket %s",
					      socket->config->host_path);
			sandbox_fail(sandbox, &err);
		}
	}
	sockets_update(sockets);
}
