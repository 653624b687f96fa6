/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay of TCP connections. Each direction has one buffer: it is read,
 * then written, then read again, so that a slow reader holds its writer back.
 * The end of one direction is passed on and leaves the other as it is; an
 * error of one side resets both.
 */
#include "shim/ports-internal.h"

#include "base/alloc.h"
#include "base/log.h"

#include <errno.h>

enum { BUFFER_SIZE = 32 * 1024, KEEPALIVE_S = 60, CLIENT = 0, CONTAINER = 1 };

/* One side of a connection, and what was read from it. */
struct side {
	struct connection *connection;
	uv_tcp_t tcp;
	uv_write_t write;       /* of `buffer`, to the other side */
	uv_shutdown_t shutdown; /* of the other side */
	bool ended;             /* its last byte was passed on */
	char buffer[BUFFER_SIZE];
};

struct connection {
	LIST_ENTRY(connection) link;
	struct ports *ports;
	struct listener *listener;
	uv_connect_t connect;
	struct side sides[2];
	unsigned int open_handles;
	bool closing;
};

static void accept_client(struct listener *listener);

static struct side *other(struct side *side)
{
	return &side->connection
			->sides[side == &side->connection->sides[CLIENT] ? CONTAINER : CLIENT];
}

/* ---- the end ---- */

/* There is room again for those that wait at a port. */
static void admit_waiting(struct ports *ports)
{
	for (size_t i = 0; i < ports->count; i++) {
		struct listener *listener = &ports->listeners[i];

		if (!listener->waiting || ports->connection_count >= PORTS_CONNECTIONS_MAX)
			continue;
		listener->waiting = false;
		accept_client(listener);
	}
}

static void on_closed(uv_handle_t *handle)
{
	struct connection *connection = ((struct side *)handle->data)->connection;
	struct ports *ports = connection->ports;

	if (--connection->open_handles == 0) {
		LIST_REMOVE(connection, link);
		ports->connection_count--;
		free(connection);
		if (!ports->closing)
			admit_waiting(ports);
	}
	ports_release(ports);
}

static void finish(struct connection *connection, bool reset)
{
	if (connection->closing)
		return;
	connection->closing = true;
	for (size_t i = 0; i < ARRAY_SIZE(connection->sides); i++) {
		uv_tcp_t *tcp = &connection->sides[i].tcp;

		/* A reset is refused while the side's shutdown is under way. */
		if (!reset || uv_tcp_close_reset(tcp, on_closed) < 0)
			uv_close((uv_handle_t *)tcp, on_closed);
	}
}

void ports_tcp_close_all(struct ports *ports)
{
	struct connection *connection, *next;

	for (connection = LIST_FIRST(&ports->connections); connection; connection = next) {
		next = LIST_NEXT(connection, link);
		finish(connection, true);
	}
}

/* ---- data ---- */

static void read_on(struct side *side);

static void on_shutdown(uv_shutdown_t *request, int status)
{
	struct side *side = request->data;

	if (status == UV_ECANCELED)
		return;
	side->ended = true;
	if (status < 0)
		finish(side->connection, true);
	else if (other(side)->ended)
		finish(side->connection, false);
}

static void on_written(uv_write_t *request, int status)
{
	struct side *side = request->data;

	if (status == UV_ECANCELED)
		return;
	if (status < 0)
		finish(side->connection, true);
	else
		read_on(side);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
	struct side *side = handle->data;

	*buffer = uv_buf_init(side->buffer, sizeof(side->buffer));
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
	struct side *side = stream->data;
	uv_stream_t *to = (uv_stream_t *)&other(side)->tcp;
	const uv_buf_t data = uv_buf_init(side->buffer, size > 0 ? (unsigned int)size : 0);
	int r = 0;

	if (size == 0)
		return; /* nothing after all */
	(void)uv_read_stop(stream);
	if (size == UV_EOF)
		r = uv_shutdown(&side->shutdown, to, on_shutdown);
	else if (size > 0)
		r = uv_write(&side->write, to, &data, 1, on_written);
	if (r < 0 || (size < 0 && size != UV_EOF))
		finish(side->connection, true);
}

static void read_on(struct side *side)
{
	if (!side->connection->closing &&
	    uv_read_start((uv_stream_t *)&side->tcp, on_alloc, on_read) < 0)
		finish(side->connection, true);
}

/* ---- the beginning ---- */

static void on_connected(uv_connect_t *request, int status)
{
	struct connection *connection = request->data;

	if (status == UV_ECANCELED || connection->closing)
		return;
	if (status < 0) { /* nobody listens in the container: the client hears of it */
		log_debug("port %u: %s", connection->listener->port->host_port,
			  uv_strerror(status));
		finish(connection, true);
		return;
	}
	read_on(&connection->sides[CLIENT]);
	read_on(&connection->sides[CONTAINER]);
}

static struct connection *connection_new(struct listener *listener)
{
	struct ports *ports = listener->ports;
	struct connection *connection = xcalloc(1, sizeof(*connection));

	connection->ports = ports;
	connection->listener = listener;
	connection->connect.data = connection;
	for (size_t i = 0; i < ARRAY_SIZE(connection->sides); i++) {
		struct side *side = &connection->sides[i];

		side->connection = connection;
		(void)uv_tcp_init(ports->loop, &side->tcp); /* opens nothing yet */
		side->tcp.data = side;
		side->write.data = side;
		side->shutdown.data = side;
		connection->open_handles++;
		ports->open_handles++;
	}
	LIST_INSERT_HEAD(&ports->connections, connection, link);
	ports->connection_count++;
	return connection;
}

static void accept_client(struct listener *listener)
{
	struct connection *connection = connection_new(listener);
	uv_tcp_t *client = &connection->sides[CLIENT].tcp;
	uv_tcp_t *container = &connection->sides[CONTAINER].tcp;
	union port_address target;

	if (uv_accept((uv_stream_t *)&listener->handle.tcp, (uv_stream_t *)client) < 0) {
		finish(connection, false); /* it has left */
		return;
	}
	(void)uv_tcp_nodelay(client, 1); /* the two ends decide what waits for what */
	(void)uv_tcp_keepalive(client, 1, KEEPALIVE_S);
	if (ports_target(listener, &target) < 0 ||
	    uv_tcp_connect(&connection->connect, container, &target.any, on_connected) < 0) {
		finish(connection, true);
		return;
	}
	(void)uv_tcp_nodelay(container, 1);
	(void)uv_tcp_keepalive(container, 1, KEEPALIVE_S);
}

static void on_client(uv_stream_t *stream, int status)
{
	struct listener *listener = stream->data;

	if (status < 0 || listener->ports->closing)
		return; /* a client that has left, or no descriptor for it: the next one may do */
	if (listener->ports->connection_count >= PORTS_CONNECTIONS_MAX)
		listener->waiting = true; /* not accepted, libuv stops listening */
	else
		accept_client(listener);
}

int ports_tcp_start(struct listener *listener, struct cay_error *err)
{
	uv_tcp_t *tcp = &listener->handle.tcp;
	int r;

	(void)uv_tcp_init(listener->ports->loop, tcp);
	tcp->data = listener;
	listener->started = true;
	listener->ports->open_handles++;
	r = uv_tcp_open(tcp, listener->fd);
	if (r == 0) {
		listener->fd = -1; /* the handle's now */
		r = uv_listen((uv_stream_t *)tcp, SOMAXCONN, on_client);
	}
	return r < 0 ? cay_error_errno(err, r, "listening on port %u", listener->port->host_port)
		     : 0;
}
