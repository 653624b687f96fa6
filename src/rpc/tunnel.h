/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream socket joined with a RelaySocket call, on either side of it: bytes
 * both ways, slowed down where one side does not keep up; the end of each
 * direction by itself; the end of both once the socket's peer is gone.
 */
#pragma once

#include "rpc/rpc.h"

struct rpc_tunnel;

enum { RPC_TUNNEL_DATA_MAX = 64 * 1024 }; /* bytes in one message */

/*
 * Takes over `fd`, a connected socket, and `call` with its events, which has sent and received
 * what names the connection. input_ended says that the caller has half-closed it. `ended` comes
 * once, when the socket is closed and the call over, with the call's status; the tunnel is gone
 * when it returns. It never comes from inside this function. -errno where the descriptor can't be
 * watched: it is closed then and the call left as it was.
 */
int rpc_tunnel_new(uv_loop_t *loop, int fd, struct rpc_call *call, bool server, bool input_ended,
		   void (*ended)(struct rpc_tunnel *tunnel, const struct cay_error *status,
				 void *user),
		   void *user, struct rpc_tunnel **ret_tunnel);

/* Breaks it off, whatever is still on its way. `ended` comes now or later. */
void rpc_tunnel_break(struct rpc_tunnel *tunnel);

/* Tells the other side of a call that the socket it means could not be reached. */
void rpc_tunnel_refuse(struct rpc_call *call);
