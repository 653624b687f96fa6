/* SPDX-License-Identifier: Apache-2.0 */
/* What the port relay's files share: ports.c the sockets, ports-tcp.c and ports-udp.c the relays.
 */
#pragma once

#include "shim/ports.h"

#include <netinet/in.h>
#include <sys/queue.h>
#include <sys/socket.h>

union port_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* One published port. */
struct listener {
	struct ports *ports;
	const struct sandbox_port *port;
	int fd; /* until the loop's handle has it; -1 where the host lacks the family */
	union {
		uv_handle_t any;
		uv_tcp_t tcp;
		uv_poll_t udp;
	} handle;
	char target[INET6_ADDRSTRLEN]; /* the container's address; "": none */
	bool started;
	bool waiting; /* TCP: a client is not accepted for lack of room */
};

struct connection;
struct session;

struct ports {
	const struct sandbox_config *config;
	uv_loop_t *loop; /* NULL before ports_start() */
	struct listener *listeners;
	size_t count;
	LIST_HEAD(connection_list, connection) connections;
	size_t connection_count;
	TAILQ_HEAD(session_list, session) sessions; /* the last used first */
	size_t session_count;
	uv_timer_t idle;     /* while there are sessions */
	size_t open_handles; /* of this struct, its listeners, connections and sessions */
	bool closing;
	char *datagram; /* room for the largest one */
};

/* Where the port leads to; -EADDRNOTAVAIL: nowhere. */
int ports_target(const struct listener *listener, union port_address *ret_address);
socklen_t port_address_length(const union port_address *address);
/* A handle of the relay has closed; the last one frees everything. */
void ports_release(struct ports *ports);

/* ---- ports-tcp.c ---- */

int ports_tcp_start(struct listener *listener, struct cay_error *err);
void ports_tcp_close_all(struct ports *ports);

/* ---- ports-udp.c ---- */

enum { DATAGRAM_MAX = 65536 };

int ports_udp_start(struct listener *listener, struct cay_error *err);
void ports_udp_close_all(struct ports *ports);
