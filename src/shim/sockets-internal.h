/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the sockets share: sockets.c their life, sockets-relay.c the connections. */
#pragma once

#include "shim/sockets.h"

#include "rpc/tunnel.h"
#include "rpc/watch.h"
#include "sandbox/socket-file.h"

#include <sys/queue.h>

/* One socket of the configuration. */
struct host_socket {
	struct sockets *sockets;
	const struct sandbox_socket *config;
	struct rpc_call *listening; /* the guest's end, of one that is not published */
	/* Of a published one: */
	int fd;              /* until there is a watch */
	struct watch *watch; /* NULL before sockets_start() and after its end */
	struct socket_file file;
	enum cay_code failure; /* the last connection's, told once */
	int failure_errno;
};

struct relay;

struct sockets {
	const struct sandbox_config *config;
	uv_loop_t *loop;
	struct sandbox *sandbox; /* NULL before sockets_start() */
	struct host_socket *items;
	size_t count;
	LIST_HEAD(relay_list, relay) relays;
	size_t relay_count;
	size_t listening_count; /* calls */
	uv_timer_t retry;       /* while a relay waits for a place in a queue, or a descriptor */
	uv_timer_t drain;
	unsigned int open_handles;
	bool short_of_room;
	bool draining, asked; /* asked: the guest has not answered since */
	bool closing;
	void (*drained)(void *user);
	void *user;
};

/* ---- sockets.c ---- */

/* Accepts as much as there is room for, on both sides. */
void sockets_update(struct sockets *sockets);
/* A relay, a call or a handle has ended; the last one frees everything. */
void sockets_release(struct sockets *sockets);
void sockets_note_failure(struct host_socket *socket, const struct cay_error *err);
/* Tries again soon what could not be done for lack of room. */
void sockets_retry_soon(struct sockets *sockets);

/* ---- sockets-relay.c ---- */

/* A connection in the guest: joined with one to the host's socket. */
void relay_to_host(struct host_socket *socket, uint64_t connection);
/* A client of a published socket, whose descriptor is taken over. */
void relay_to_guest(struct host_socket *socket, int client);
/* Those that wait for a place in a queue. */
void relays_retry(struct sockets *sockets);
void relays_break(struct sockets *sockets);
