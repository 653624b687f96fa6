/* SPDX-License-Identifier: Apache-2.0 */
/* What is learned of a container's places while it runs: its ports, its leases. */
#include "daemon/placement.h"

#include "base/alloc.h"
#include "daemon/networks-internal.h"

void networks_each_port(struct networks *networks, const struct container *container,
			void (*each)(const struct net_port *port, void *user), void *user)
{
	const struct placement *placement;

	(void)pthread_mutex_lock(&networks->lock);
	placement = placement_find(networks, container);
	for (size_t i = 0; placement && placement->publisher && i < placement->port_count; i++)
		each(&placement->ports[i], user);
	(void)pthread_mutex_unlock(&networks->lock);
}

/*
 * With the lock held: whether a DHCP server gives the endpoint its IPv4 address. Of any other a
 * guest has no news: it could take its neighbour's address for its own.
 */
static bool has_lease(const struct networks *networks, const struct endpoint *endpoint)
{
	const struct network *network = networks_by_name(networks, endpoint->config.network);

	return network && !net_address_is_set(&endpoint->addresses[NETWORK_IPV4]) &&
		(network->spec.driver == NETWORK_LAN || !networks->privileged /* passt */);
}

void networks_learn_address(struct networks *networks, struct container *container, const char *mac,
			    const char *address, const char *gateway)
{
	struct net_prefix prefix = { 0 };
	struct net_address router = { 0 };
	struct net_mac card;
	struct cay_error ignored; /* a guest may say anything */
	size_t count;
	_cleanup_free_ struct endpoint **endpoints = NULL;

	if (net_mac_parse(mac, &card, &ignored) < 0 ||
	    (address[0] != '\0' && net_prefix_parse(address, &prefix, &ignored) < 0) ||
	    (gateway[0] != '\0' && net_address_parse(gateway, &router, &ignored) < 0))
		return;
	(void)pthread_mutex_lock(&networks->lock);
	endpoints = endpoints_of(networks, container, &count);
	for (size_t i = 0; i < count; i++) {
		if (!endpoints[i]->active || !net_mac_equal(&endpoints[i]->mac, &card) ||
		    !has_lease(networks, endpoints[i]))
			continue;
		endpoints[i]->leases[prefix.address.family == AF_INET6] = prefix;
		endpoints[i]->lease_gateway = router;
	}
	(void)pthread_mutex_unlock(&networks->lock);
}
