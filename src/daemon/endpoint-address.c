/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses of containers' places on networks: asked for, kept, or the
 * next that is free. All with the lock held.
 */
#include "daemon/networks-internal.h"

#include "base/alloc.h"
#include "net/subnet.h"

#include <errno.h>

enum { RESERVED_MAX = 2 + NETWORK_OPTIONS_MAX };

/* What no container may have: the gateway and the client's auxiliary addresses. */
static size_t list_reserved(const struct network_pool *pool, struct net_address *list)
{
	size_t count = 0;
	json_t *value;
	const char *name;

	if (net_address_is_set(&pool->gateway))
		list[count++] = pool->gateway;
	json_object_foreach(pool->reserved, name, value) {
		struct cay_error ignored; /* they were checked when the network was made */

		if (count < RESERVED_MAX &&
		    net_address_parse(json_string_value(value), &list[count], &ignored) == 0)
			count++;
	}
	return count;
}

/* All that is taken of a family but by `own`; what endpoints asked for is theirs for later too. */
static struct net_address *list_taken(const struct networks *networks,
				      const struct network *network, const struct endpoint *own,
				      unsigned int family, size_t *ret_count)
{
	struct net_address *list =
		xcalloc(RESERVED_MAX + 2 * networks->endpoint_count, sizeof(*list));
	size_t count = list_reserved(&network->spec.pools[family], list);

	for (size_t i = 0; i < networks->endpoint_count; i++) {
		const struct endpoint *other = networks->endpoints[i];

		if (other == own || !endpoint_is_on(other, network))
			continue;
		if (net_address_is_set(&other->addresses[family]))
			list[count++] = other->addresses[family];
		if (net_address_is_set(&other->config.addresses[family]))
			list[count++] = other->config.addresses[family];
	}
	*ret_count = count;
	return list;
}

/*
 * Another endpoint with this address, or NULL: one that is active before all others. Several may
 * have it on record, as a container that lost its address finds it in its row again when the daemon
 * starts.
 */
static struct endpoint *find_holder(const struct networks *networks, const struct network *network,
				    const struct endpoint *own, const struct net_address *address,
				    unsigned int family)
{
	struct endpoint *found = NULL;

	for (size_t i = 0; i < networks->endpoint_count; i++) {
		struct endpoint *other = networks->endpoints[i];

		if (other == own || !endpoint_is_on(other, network) ||
		    !net_address_equal(&other->addresses[family], address))
			continue;
		if (!found || other->active)
			found = other;
	}
	return found;
}

int endpoint_take_asked(struct networks *networks, const struct network *network,
			struct endpoint *endpoint, unsigned int family, struct cay_error *err)
{
	const struct net_address *asked = &endpoint->config.addresses[family];
	const struct network_pool *pool = &network->spec.pools[family];
	struct net_address reserved[RESERVED_MAX];
	size_t count = list_reserved(pool, reserved);
	struct endpoint *holder;
	int r;

	if (!net_address_is_set(&pool->subnet.address) ||
	    !net_prefix_contains(&pool->subnet, asked))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "invalid endpoint settings: no configured subnet contains the "
				     "address that was asked for on network %s",
				     network->spec.name);
	r = subnet_check_address(&pool->subnet, asked, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++)
		if (net_address_equal(&reserved[i], asked))
			return cay_error_set(err, CAY_CONFLICT, EADDRINUSE,
					     "Address already in use: it is reserved on network %s",
					     network->spec.name);
	holder = find_holder(networks, network, endpoint, asked, family);
	if (holder && holder->active)
		return cay_error_set(err, CAY_CONFLICT, EADDRINUSE,
				     "Address already in use: container %s has it on network %s",
				     holder->container_name, network->spec.name);
	while (holder) {
		holder->addresses[family] = (struct net_address){ 0 };
		holder = find_holder(networks, network, endpoint, asked, family);
	}
	endpoint->addresses[family] = *asked;
	return 0;
}

/* One of a container that does not run; the oldest is the likeliest not to run again. */
static int reclaim(struct networks *networks, const struct network *network,
		   struct endpoint *endpoint, unsigned int family)
{
	for (size_t i = 0; i < networks->endpoint_count; i++) {
		struct endpoint *other = networks->endpoints[i];

		if (other == endpoint || other->active || !endpoint_is_on(other, network) ||
		    !net_address_is_set(&other->addresses[family]) ||
		    net_address_is_set(&other->config.addresses[family]))
			continue;
		endpoint->addresses[family] = other->addresses[family];
		other->addresses[family] = (struct net_address){ 0 };
		return 0;
	}
	return -ENOSPC;
}

static int take_free(struct networks *networks, struct network *network, struct endpoint *endpoint,
		     unsigned int family, struct cay_error *err)
{
	const struct network_pool *pool = &network->spec.pools[family];
	struct net_address *next = &network->next[family];
	size_t count;
	_cleanup_free_ struct net_address *taken =
		list_taken(networks, network, endpoint, family, &count);
	int r = subnet_allocate(&pool->subnet, &pool->range, next, taken, count,
				&endpoint->addresses[family], err);

	if (r == 0 && !net_address_next(&endpoint->addresses[family], next))
		*next = (struct net_address){ 0 };
	if (r < 0 && err->code == CAY_NO_SPACE &&
	    reclaim(networks, network, endpoint, family) == 0) {
		cay_error_clear(err);
		r = 0;
	}
	return r < 0 ? cay_error_prefix(err, "network %s", network->spec.name) : 0;
}

/* An address that it had: not where the network of this name was made anew, or another runs with
 * it. */
static bool may_keep(const struct networks *networks, const struct network *network,
		     const struct endpoint *endpoint, unsigned int family)
{
	const struct net_address *address = &endpoint->addresses[family];
	const struct endpoint *holder;

	if (!net_prefix_contains(&network->spec.pools[family].subnet, address))
		return false;
	holder = find_holder(networks, network, endpoint, address, family);
	return !holder || !holder->active;
}

int endpoint_allocate(struct networks *networks, struct network *network, struct endpoint *endpoint,
		      bool *ret_changed, struct cay_error *err)
{
	bool changed = false;

	for (unsigned int i = 0; i < NETWORK_FAMILIES; i++) {
		const struct net_prefix *subnet = &network->spec.pools[i].subnet;
		bool asked = net_address_is_set(&endpoint->config.addresses[i]);
		struct net_address *address = &endpoint->addresses[i], old = *address;
		int r = 0;

		if (net_address_is_set(address) && !may_keep(networks, network, endpoint, i))
			*address = (struct net_address){ 0 };
		if (asked)
			r = endpoint_take_asked(networks, network, endpoint, i, err);
		else if (!net_address_is_set(address) && net_address_is_set(&subnet->address))
			r = take_free(networks, network, endpoint, i, err);
		if (r < 0)
			return r;
		changed = changed || !net_address_equal(&old, address);
	}
	*ret_changed = changed;
	return 0;
}
