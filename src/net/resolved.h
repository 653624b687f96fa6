/* SPDX-License-Identifier: Apache-2.0 */
/*
 * systemd-resolved: told which names are asked of a network's gateway, it lets
 * the host resolve containers' names. What it is told belongs to the link and
 * goes with it, so there is nothing to take back.
 *
 * org.freedesktop.resolve1(5)
 */
#pragma once

#include "base/strv.h"
#include "net/address.h"

enum {
	RESOLVED_SERVERS_MAX = 4,
	RESOLVED_REVERSE_MAX = 128, /* domains of one subnet */
	RESOLVED_DOMAINS_MAX = 2 * RESOLVED_REVERSE_MAX + 8,
};

/*
 * Adds the domains of a subnet's reverse names: as many as it takes to name it exactly, since what
 * is routed to a gateway is lost to the host's other servers. Sixteen for a /20, one for a /16.
 */
void resolved_add_reverse(const struct net_prefix *subnet, struct strv *domains);

/*
 * Sets the DNS servers of a link, and the domains ("cay", "17.172.in-addr.arpa") whose names are
 * asked there; no others are. Returns 1 when that was done, 0 on a host without systemd-resolved.
 * Runs a few programs and waits for them, some 50 ms in all.
 */
int resolved_set_link(unsigned int ifindex, const struct net_address *servers, size_t server_count,
		      const struct strv *domains, struct cay_error *err);
