/* SPDX-License-Identifier: Apache-2.0 */
/* Which of a container's places leads where: the one with its default route, the bridged one. */
#include "daemon/placement.h"

#include "daemon/networks-internal.h"

/* Whether it leads out of its network. */
static bool leads_out(const struct networks *networks, const struct endpoint *endpoint,
		      unsigned int family)
{
	const struct network *network = networks_by_name(networks, endpoint->config.network);

	if (!network || network->spec.internal || network->spec.driver == NETWORK_NULL)
		return false;
	/* Where others give addresses, they are expected to. */
	return net_address_is_set(&endpoint->addresses[family])
		? net_address_is_set(&network->spec.pools[family].gateway)
		: !network_spec_has_addresses(&network->spec) && network->spec.families[family];
}

/* The better one of a family; NULL where neither leads out. */
static struct endpoint *choose_better(const struct networks *networks, struct endpoint *best,
				      struct endpoint *endpoint, unsigned int family)
{
	if (!endpoint || !leads_out(networks, endpoint, family))
		return best;
	if (best && endpoint->config.gateway_priority <= best->config.gateway_priority)
		return best;
	return endpoint;
}

struct endpoint *placement_choose_main(const struct networks *networks,
				       const struct placement *placement, unsigned int family)
{
	struct endpoint *best = NULL;

	for (size_t i = 0; i < placement->card_count; i++)
		best = choose_better(networks, best, placement->cards[i].endpoint, family);
	return best;
}

struct endpoint *placement_choose_bridged(const struct networks *networks,
					  const struct placement *placement, unsigned int family)
{
	struct endpoint *best = NULL;

	for (size_t i = 0; i < placement->card_count; i++) {
		struct endpoint *endpoint = placement->cards[i].endpoint;
		const struct network *network =
			endpoint ? networks_by_name(networks, endpoint->config.network) : NULL;

		if (network && network->spec.driver == NETWORK_BRIDGE)
			best = choose_better(networks, best, endpoint, family);
	}
	return best;
}
