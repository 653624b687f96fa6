/* SPDX-License-Identifier: Apache-2.0 */
/* Orders to the kernel that network.c and network-lease.c share. */
#pragma once

#include "guest/netlink.h"
#include "guest/network.h"

#include <netinet/in.h>

struct network_address {
	int family;
	union {
		struct in_addr v4;
		struct in6_addr v6;
	};
	unsigned int prefix;
};

/* An address without delay; it replaces one that is there. */
void network_put_address(struct netlink *netlink, int index, const struct network_address *address);
void network_put_no_address(struct netlink *netlink, int index,
			    const struct network_address *address);
/* The default route of the gateway's family; on_link: it is, whatever the prefix says. */
void network_put_default_route(struct netlink *netlink, int index,
			       const struct network_address *gateway, bool on_link);
/* Answers those who wait, if nobody has to any more. */
void network_answer_waits(struct guest *guest);
