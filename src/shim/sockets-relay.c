/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections of the sockets: a tunnel each, between a socket of the host
 * and a call of vminitd's. What the guest announces becomes a relay at once,
 * also where the host's program is not there, so that their number is known.
 */
#include "shim/sockets-internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/unix.h"

#include "vminitd.pb-c.h"

#include <errno.h>

struct relay {
	LIST_ENTRY(relay) link;
	struct host_socket *socket;
	struct rpc_tunnel *tunnel; /* NULL while it waits, and where it was refused */
	struct rpc_call *call;     /* of one that was refused */
	uint64_t connection;
	int64_t waits_until; /* for a place in the host's queue; 0: it doesn't wait */
};

static struct relay *relay_new(struct host_socket *socket, uint64_t connection)
{
	struct relay *relay = xcalloc(1, sizeof(*relay));

	relay->socket = socket;
	relay->connection = connection;
	LIST_INSERT_HEAD(&socket->sockets->relays, relay, link);
	socket->sockets->relay_count++;
	return relay;
}

static void relay_free(struct relay *relay)
{
	struct sockets *sockets = relay->socket->sockets;

	LIST_REMOVE(relay, link);
	sockets->relay_count--;
	free(relay);
	sockets_release(sockets);
}

static void on_tunnel_ended(struct rpc_tunnel *tunnel, const struct cay_error *status, void *user)
{
	struct relay *relay = user;

	if (status->code == CAY_OK)
		relay->socket->failure = CAY_OK;
	else if (status->code != CAY_CANCELLED && relay->socket->config->publish)
		sockets_note_failure(relay->socket, status);
	relay_free(relay);
}

static void on_refused_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	relay_free(user);
}

/* A call that has named its connection, or NULL where there is no guest any more. */
static struct rpc_call *begin(struct relay *relay, const struct rpc_call_events *events)
{
	Cay__Vminitd__V1__SocketData first = CAY__VMINITD__V1__SOCKET_DATA__INIT;
	const struct host_socket *socket = relay->socket;
	struct rpc_conn *conn = sandbox_conn(socket->sockets->sandbox);
	struct rpc_call *call;

	if (!conn)
		return NULL;
	if (socket->config->publish) {
		first.container_id = socket->config->container_id;
		first.path = socket->config->guest_path;
	} else {
		first.connection = relay->connection;
	}
	call = rpc_call_new(conn, &cay__vminitd__v1__vminitd__descriptor, "RelaySocket", NULL, 0,
			    events, relay);
	(void)rpc_call_send(call, &first.base);
	return call;
}

static void refuse(struct relay *relay)
{
	static const struct rpc_call_events events = { .on_end = on_refused_end };

	relay->waits_until = 0;
	relay->call = begin(relay, &events);
	if (relay->call)
		rpc_tunnel_refuse(relay->call);
	else
		relay_free(relay);
}

static void join(struct relay *relay, int fd)
{
	static const struct rpc_call_events no_events = { 0 };
	static const struct rpc_call_events refused_events = { .on_end = on_refused_end };
	struct rpc_call *call = begin(relay, &no_events);
	struct cay_error err = { 0 };
	int r;

	relay->waits_until = 0;
	if (!call) {
		(void)close(fd);
		relay_free(relay);
		return;
	}
	r = rpc_tunnel_new(relay->socket->sockets->loop, fd, call, false, false, on_tunnel_ended,
			   relay, &relay->tunnel);
	if (r < 0) {
		(void)cay_error_errno(&err, r, "watching a connection");
		sockets_note_failure(relay->socket, &err);
		relay->call = call;
		rpc_call_set_events(call, &refused_events, relay);
		rpc_tunnel_refuse(call);
	}
}

/*
 * The path has been made canonical. A container that has its directory could put a link in the
 * socket's place, and be connected with a server that nobody has named.
 */
static int connect_host(const char *path)
{
	_cleanup_close_ int file = open_canonical(path);
	_cleanup_free_ char *reached = NULL;

	if (file < 0)
		return file;
	reached = xasprintf("/proc/self/fd/%d", file);
	return unix_try_connect(reached);
}

/* A full queue is waited for, as connect() would. */
static void try_host(struct relay *relay)
{
	struct host_socket *socket = relay->socket;
	struct cay_error err = { 0 };
	int fd = connect_host(socket->config->host_path);

	if (fd >= 0) {
		socket->failure = CAY_OK;
		join(relay, fd);
	} else if (fd == -EAGAIN && clock_monotonic_ms() < relay->waits_until) {
		sockets_retry_soon(socket->sockets);
	} else {
		(void)cay_error_errno(&err, fd, "connecting to %s", socket->config->host_path);
		sockets_note_failure(socket, &err);
		refuse(relay);
	}
}

void relay_to_host(struct host_socket *socket, uint64_t connection)
{
	struct relay *relay = relay_new(socket, connection);

	relay->waits_until = clock_monotonic_ms() + SOCKETS_QUEUE_MS;
	try_host(relay);
}

void relay_to_guest(struct host_socket *socket, int client)
{
	join(relay_new(socket, 0), client);
}

void relays_retry(struct sockets *sockets)
{
	struct relay *relay, *next;

	for (relay = LIST_FIRST(&sockets->relays); relay; relay = next) {
		next = LIST_NEXT(relay, link);
		if (relay->waits_until)
			try_host(relay);
	}
}

void relays_break(struct sockets *sockets)
{
	struct relay *relay, *next;

	for (relay = LIST_FIRST(&sockets->relays); relay; relay = next) {
		next = LIST_NEXT(relay, link);
		if (relay->tunnel)
			rpc_tunnel_break(relay->tunnel);
		else if (relay->call)
			rpc_call_cancel(relay->call);
		else
			relay_free(relay);
	}
}
