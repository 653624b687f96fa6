/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets across the wall. For a host's socket vminitd listens in the
 * guest, and each connection there is one to the host's socket, made when it
 * comes; a published socket is held here for as long as the sandbox lives, and
 * each connection is one to a socket in a container. Bounded in connections,
 * each of which holds less than a megabyte however the guest behaves.
 */
#pragma once

#include "sandbox/sandbox.h"

#include <uv.h>

enum {
	SOCKETS_CONNECTIONS_MAX = 128, /* of a sandbox; more wait in the sockets' queues */
	SOCKETS_QUEUE_MS = 60 * 1000,  /* for a place in the queue of a host's program */
	SOCKETS_DRAIN_MS = 2 * 1000,   /* for last words, after the containers' end */
};

struct sockets;

/*
 * Listens on the published sockets of the configuration, which must outlive it; on none where one
 * can't be (CAY_EXISTS where it is in use). Clients may connect from now on, and wait for
 * sockets_start(). *ret_sockets is NULL where nothing is configured.
 */
int sockets_bind(const struct sandbox_config *config, uv_loop_t *loop, struct sockets **ret_sockets,
		 struct cay_error *err);
/*
 * The sandbox is ready and no container is made yet: vminitd is told to listen, before it hears of
 * any container, and relaying begins. A socket that can't be made in the guest fails the sandbox.
 */
void sockets_start(struct sockets *sockets, struct sandbox *sandbox);
/*
 * Nothing runs in the guest any more: published sockets are removed; `done` comes from the loop
 * when what the containers have said is with its readers, or SOCKETS_DRAIN_MS are over. With NULL
 * for sockets it comes at once, from here.
 */
void sockets_drain(struct sockets *sockets, void (*done)(void *user), void *user);
/* Closes everything; frees once the loop has seen to it. Connections break. NULL is allowed. */
void sockets_close(struct sockets *sockets);
