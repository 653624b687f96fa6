/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets across the wall: listening ones in the guest whose connections
 * the host takes, and connections that the host makes to sockets in a
 * container's root.
 */
#pragma once

#include "rpc/rpc.h"

#include <sys/queue.h>
#include <vminitd.pb-c.h>

struct connecting;
struct guest;
struct socket_listener;

enum {
	SOCKETS_LISTENERS_MAX = 64,
	SOCKETS_WAITING_MAX = 16,    /* accepted on one listener and not yet taken */
	SOCKETS_CONNECTING_MAX = 16, /* children at once; other connections wait for one */
};

struct sockets {
	TAILQ_HEAD(socket_listener_list, socket_listener) listeners;
	size_t listener_count;
	uint64_t last_id;                              /* given to a connection */
	unsigned int connecting;                       /* children at work */
	TAILQ_HEAD(connecting_list, connecting) queue; /* as many as there are calls, at most */
};

void sockets_init(struct sockets *sockets);

/* Both answer the call, at once or later. */
void sockets_listen(struct guest *guest, struct rpc_call *call,
		    const Cay__Vminitd__V1__ListenSocketRequest *request);
void sockets_relay(struct guest *guest, struct rpc_call *call);
