/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of published ports: sockets that hold them for as long as
 * the sandbox lives, and a relay for what reaches them, which are connections
 * from the host itself; what comes from elsewhere the firewall sends to the
 * container before it gets here. Bounded in connections, buffers and time.
 */
#pragma once

#include "sandbox/config.h"

#include <uv.h>

enum {
	PORTS_CONNECTIONS_MAX = 1024, /* TCP, of a sandbox; more wait to be accepted */
	PORTS_SESSIONS_MAX = 1024,    /* UDP; the one that was silent longest makes room */
	PORTS_SESSION_IDLE_MS = 60 * 1000,
};

struct ports;

/*
 * Binds every port of the configuration, which must outlive it; none where one is taken
 * (CAY_EXISTS). TCP clients may connect from now on, and wait for ports_start().
 */
int ports_bind(const struct sandbox_config *config, struct ports **ret_ports,
	       struct cay_error *err);
/* Begins to relay on the loop. */
int ports_start(struct ports *ports, uv_loop_t *loop, struct cay_error *err);
/*
 * Where the ports lead to from now on, by address; "" for a family that the container has not got,
 * whose ports then lead to the other. With neither, clients are refused. What is connected already
 * stays, but for UDP. CAY_INVALID for what is no address: then nothing has changed.
 */
int ports_lead(struct ports *ports, const char *ipv4, const char *ipv6, struct cay_error *err);
/* Closes everything; frees once the loop has seen to it. Connections break. NULL is allowed. */
void ports_close(struct ports *ports);
