/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets for the host, and the calls that relay a connection. A
 * connection is accepted only while few wait to be taken, so that a container
 * that floods its socket fills the socket's own queue and nothing else.
 */
#include "guest/sockets.h"

#include "guest/container.h"
#include "guest/guest.h"
#include "guest/sockets-connect.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/unix.h"
#include "rpc/tunnel.h"
#include "rpc/watch.h"

#include <errno.h>
#include <sys/socket.h>

enum { SHORTAGE_MS = 100 }; /* until the next attempt when descriptors have run out */

struct waiting {
	TAILQ_ENTRY(waiting) link;
	uint64_t id;
	int fd;
};

struct socket_listener {
	TAILQ_ENTRY(socket_listener) link;
	struct guest *guest;
	struct rpc_call *call;
	char *path;
	struct watch *watch;
	uv_timer_t timer;
	bool held_up; /* the call's queue is full */
	bool short_of_room;
	TAILQ_HEAD(waiting_list, waiting) waiting;
	unsigned int waiting_count;
};

void sockets_init(struct sockets *sockets)
{
	TAILQ_INIT(&sockets->listeners);
	TAILQ_INIT(&sockets->queue);
}

/* ---- listening ---- */

static void update(struct socket_listener *listener)
{
	const bool accept = !listener->held_up && !listener->short_of_room &&
		listener->waiting_count < SOCKETS_WAITING_MAX;

	watch_set(listener->watch, accept ? UV_READABLE : 0);
}

static void on_timer(uv_timer_t *timer)
{
	struct socket_listener *listener = timer->data;

	listener->short_of_room = false;
	update(listener);
}

static void announce(struct socket_listener *listener, uint64_t id)
{
	Cay__Vminitd__V1__SocketConnection message = CAY__VMINITD__V1__SOCKET_CONNECTION__INIT;

	message.id = id;
	if (!rpc_call_send(listener->call, &message.base))
		listener->held_up = true;
}

static void add_waiting(struct socket_listener *listener, int fd)
{
	struct waiting *waiting = xmalloc(sizeof(*waiting));

	*waiting = (struct waiting){ .id = ++listener->guest->sockets.last_id, .fd = fd };
	TAILQ_INSERT_TAIL(&listener->waiting, waiting, link);
	listener->waiting_count++;
	announce(listener, waiting->id);
}

static void on_connection(struct watch *watch, int events, void *user)
{
	struct socket_listener *listener = user;

	(void)events;
	while (!listener->held_up && listener->waiting_count < SOCKETS_WAITING_MAX) {
		/* cppcheck-suppress nullPointer; whose end it is does not matter */
		int fd = accept4(watch_fd(watch), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			add_waiting(listener, fd);
		} else if (errno != EINTR && errno != ECONNABORTED) {
			if (errno == EAGAIN)
				break;
			log_warning("accepting on %s: %s", listener->path, errno_text(errno));
			listener->short_of_room = true;
			(void)uv_timer_start(&listener->timer, on_timer, SHORTAGE_MS, 0);
			break;
		}
	}
	update(listener);
}

/* The connection's descriptor, which is the caller's. */
static int take(struct socket_listener *listener, struct waiting *waiting)
{
	int fd = waiting->fd;

	TAILQ_REMOVE(&listener->waiting, waiting, link);
	listener->waiting_count--;
	free(waiting);
	return fd;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct socket_listener *listener = handle->data;

	free(listener->path);
	free(listener);
}

static void on_listen_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct socket_listener *listener = user;
	struct sockets *sockets = &listener->guest->sockets;
	struct waiting *waiting, *next;

	(void)call;
	(void)status;
	for (waiting = TAILQ_FIRST(&listener->waiting); waiting; waiting = next) {
		next = TAILQ_NEXT(waiting, link);
		(void)close(waiting->fd);
		free(waiting);
	}
	watch_close(TAKE_PTR(listener->watch));
	if (unlink(listener->path) < 0)
		log_debug("removing %s: %s", listener->path, errno_text(errno));
	TAILQ_REMOVE(&sockets->listeners, listener, link);
	sockets->listener_count--;
	uv_close((uv_handle_t *)&listener->timer, on_timer_closed);
}

static void on_listen_writable(struct rpc_call *call, void *user)
{
	struct socket_listener *listener = user;

	(void)call;
	listener->held_up = false;
	update(listener);
}

/* The listening descriptor, or -errno with nothing left behind. */
static int open_listener(const Cay__Vminitd__V1__ListenSocketRequest *request,
			 struct cay_error *err)
{
	_cleanup_free_ char *parent = NULL;
	int fd, r;

	if (request->path[0] != '/' || *path_last(request->path) == '\0')
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "\"%.200s\" is no absolute path of a socket", request->path);
	if (file_exists(request->path))
		return cay_error_set(err, CAY_EXISTS, EEXIST, "%s exists", request->path);
	parent = xstrndup(request->path, (size_t)(path_last(request->path) - request->path));
	r = make_dirs(parent, 0755, err);
	if (r < 0)
		return r;
	fd = unix_listen(request->path, request->mode & 0777, err);
	if (fd >= 0 && lchown(request->path, request->uid, request->gid) < 0) {
		r = cay_error_errno(err, errno, "giving away %s", request->path);
		(void)close(fd);
		(void)unlink(request->path);
		return r;
	}
	return fd;
}

static struct socket_listener *listener_new(struct guest *guest, struct rpc_call *call,
					    const Cay__Vminitd__V1__ListenSocketRequest *request,
					    struct cay_error *err)
{
	_cleanup_free_ struct socket_listener *listener = NULL;
	int fd, r;

	if (guest->sockets.listener_count >= SOCKETS_LISTENERS_MAX) {
		(void)cay_error_set(err, CAY_NO_SPACE, EMFILE, "more than %d listening sockets",
				    SOCKETS_LISTENERS_MAX);
		return NULL;
	}
	fd = open_listener(request, err);
	if (fd < 0)
		return NULL;
	listener = xcalloc(1, sizeof(*listener));
	TAILQ_INIT(&listener->waiting);
	r = watch_new(&guest->loop, fd, on_connection, listener, &listener->watch);
	if (r < 0) {
		(void)unlink(request->path);
		(void)cay_error_errno(err, r, "watching %s", request->path);
		return NULL;
	}
	listener->guest = guest;
	listener->call = call;
	listener->path = xstrdup(request->path);
	(void)uv_timer_init(&guest->loop, &listener->timer); /* always 0 */
	listener->timer.data = listener;
	TAILQ_INSERT_TAIL(&guest->sockets.listeners, listener, link);
	guest->sockets.listener_count++;
	return TAKE_PTR(listener);
}

void sockets_listen(struct guest *guest, struct rpc_call *call,
		    const Cay__Vminitd__V1__ListenSocketRequest *request)
{
	static const struct rpc_call_events events = { .on_writable = on_listen_writable,
						       .on_end = on_listen_end };
	struct cay_error err = { 0 };
	struct socket_listener *listener = listener_new(guest, call, request, &err);

	if (!listener) {
		rpc_call_finish(call, &err);
		return;
	}
	rpc_call_set_events(call, &events, listener);
	announce(listener, 0);
	update(listener);
}

/* ---- relaying ---- */

static void on_tunnel_ended(struct rpc_tunnel *tunnel, const struct cay_error *status, void *user)
{
	(void)tunnel;
	(void)status;
	(void)user;
}

static void join(struct guest *guest, int fd, struct rpc_call *call, bool input_ended)
{
	struct cay_error err = { 0 };
	struct rpc_tunnel *tunnel;
	int r = rpc_tunnel_new(&guest->loop, fd, call, true, input_ended, on_tunnel_ended, NULL,
			       &tunnel);

	if (r < 0) {
		(void)cay_error_errno(&err, r, "watching a connection");
		rpc_call_finish(call, &err);
	}
}

static struct waiting *find_waiting(const struct socket_listener *listener, uint64_t id)
{
	struct waiting *waiting = TAILQ_FIRST(&listener->waiting);

	while (waiting && waiting->id != id)
		waiting = TAILQ_NEXT(waiting, link);
	return waiting;
}

/* The announced connection of this id: a descriptor, or -ENOENT. */
static int take_connection(struct guest *guest, uint64_t id)
{
	struct socket_listener *listener;

	for (listener = TAILQ_FIRST(&guest->sockets.listeners); listener;
	     listener = TAILQ_NEXT(listener, link)) {
		struct waiting *waiting = find_waiting(listener, id);

		if (waiting) {
			int fd = take(listener, waiting);

			update(listener);
			return fd;
		}
	}
	return -ENOENT;
}

/* A relay whose connection is being made, or waits for that. */
struct connecting {
	TAILQ_ENTRY(connecting) link;
	struct guest *guest;
	struct rpc_call *call; /* NULL once its caller has given up */
	char *container_id, *path;
	bool started;
	bool input_ended;
};

static void connecting_free(struct connecting *connecting)
{
	free(connecting->container_id);
	free(connecting->path);
	free(connecting);
}

static void on_connecting_half_close(struct rpc_call *call, void *user)
{
	struct connecting *connecting = user;

	(void)call;
	connecting->input_ended = true;
}

static void on_connecting_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct connecting *connecting = user;

	(void)call;
	(void)status;
	connecting->call = NULL;
	if (connecting->started)
		return; /* on_connected() is still to come */
	TAILQ_REMOVE(&connecting->guest->sockets.queue, connecting, link);
	connecting_free(connecting);
}

/* Its caller learns of the descriptor, or of the failure where that is negative. */
static void conclude(struct connecting *connecting, int fd, const struct cay_error *err)
{
	static const struct rpc_call_events no_events = { 0 };
	struct rpc_call *call = connecting->call;

	if (call) {
		rpc_call_set_events(call, &no_events, NULL);
		rpc_call_resume(call);
	}
	if (call && fd >= 0)
		join(connecting->guest, fd, call, connecting->input_ended);
	else if (call)
		rpc_call_finish(call, err);
	else if (fd >= 0)
		(void)close(fd);
	connecting_free(connecting);
}

static void start_next(struct guest *guest);

static void on_connected(int result, uint64_t value, const struct cay_error *err, void *user)
{
	struct connecting *connecting = user;
	struct guest *guest = connecting->guest;

	guest->sockets.connecting--;
	conclude(connecting, result < 0 ? -1 : (int)value, err);
	start_next(guest);
}

static void start_next(struct guest *guest)
{
	struct sockets *sockets = &guest->sockets;
	struct connecting *connecting, *next;

	for (connecting = TAILQ_FIRST(&sockets->queue);
	     connecting && sockets->connecting < SOCKETS_CONNECTING_MAX; connecting = next) {
		struct cay_error err = { 0 };
		const struct container *container =
			container_find(guest, connecting->container_id, &err);

		next = TAILQ_NEXT(connecting, link);
		TAILQ_REMOVE(&sockets->queue, connecting, link);
		connecting->started = true;
		if (container &&
		    sockets_connect(container, connecting->path, on_connected, connecting, &err) >=
			    0)
			sockets->connecting++;
		else
			conclude(connecting, -1, &err);
	}
}

static void relay_to_path(struct guest *guest, struct rpc_call *call,
			  const Cay__Vminitd__V1__SocketData *first)
{
	static const struct rpc_call_events events = { .on_half_close = on_connecting_half_close,
						       .on_end = on_connecting_end };
	struct connecting *connecting = xcalloc(1, sizeof(*connecting));

	connecting->guest = guest;
	connecting->call = call;
	connecting->container_id = xstrdup(first->container_id);
	connecting->path = xstrdup(first->path);
	rpc_call_pause(call); /* what it has to say waits for the connection */
	rpc_call_set_events(call, &events, connecting);
	TAILQ_INSERT_TAIL(&guest->sockets.queue, connecting, link);
	start_next(guest);
}

/* The first message names what to join. */
static void on_first_message(struct rpc_call *call, const ProtobufCMessage *message,
			     const uint8_t *data, size_t size, void *user)
{
	const Cay__Vminitd__V1__SocketData *first = (const void *)message;
	struct guest *guest = user;
	struct cay_error err = { 0 };
	int fd;

	(void)data;
	(void)size;
	if (first->path[0] != '\0') {
		relay_to_path(guest, call, first);
		return;
	}
	fd = take_connection(guest, first->connection);
	if (fd >= 0) {
		join(guest, fd, call, false);
		return;
	}
	(void)cay_error_set(&err, CAY_NOT_FOUND, ENOENT, "no connection %llu waits",
			    (unsigned long long)first->connection);
	rpc_call_finish(call, &err);
}

static void on_early_half_close(struct rpc_call *call, void *user)
{
	struct cay_error err = { 0 };

	(void)user;
	(void)cay_error_set(&err, CAY_INVALID, EINVAL, "the first message must name a connection");
	rpc_call_finish(call, &err);
}

void sockets_relay(struct guest *guest, struct rpc_call *call)
{
	static const struct rpc_call_events events = { .on_message = on_first_message,
						       .on_half_close = on_early_half_close };

	rpc_call_set_events(call, &events, guest);
}
