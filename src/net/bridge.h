/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bridge of a network: a link with the network's gateway addresses, and the
 * kernel settings that it and the host need to route for it. Each call opens
 * its own netlink socket, in the calling thread's network namespace; all of
 * them may be called from any thread.
 */
#pragma once

#include "base/strv.h"
#include "net/netlink.h"

struct bridge_spec {
	const char *name;              /* the link's */
	const char *owner;             /* who made it: "cay_1a2b3c4d"; kept as the link's alias */
	struct net_prefix gateways[2]; /* IPv4 and IPv6 with the subnet's length; unset: none */
	uint32_t mtu;                  /* 0: 1500 */
	bool internal;                 /* no forwarding needed: the host's is left as it is */
};

/*
 * Makes the bridge, or mends the one that is there and has the same owner: addresses, MTU, state
 * and kernel settings are as asked then. CAY_EXISTS where a link of this name belongs to somebody
 * else. Turns the host's IP forwarding on (of the families that have a gateway) unless internal.
 * On failure a bridge that was not there before is not there after.
 */
int bridge_ensure(const struct bridge_spec *spec, struct cay_error *err);
/*
 * Its ports lose their master and stay. No link of this name is success; one that belongs to
 * somebody else is CAY_CONFLICT.
 */
int bridge_remove(const char *name, const char *owner, struct cay_error *err);
/* Adds the names of all bridges with this owner to `names`. */
int bridge_list(const char *owner, struct strv *names, struct cay_error *err);

/*
 * Lets the host route packets of this family between links. Where that makes the kernel deaf to
 * router advertisements on links that listen to them, they go on listening (accept_ra 2).
 */
int bridge_enable_forwarding(int family, struct cay_error *err);
