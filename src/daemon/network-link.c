/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a network is on the host: its bridge with the gateways' addresses, its
 * part of the firewall, the name server on its gateways, and the host's own
 * resolver, told where containers' names are known.
 */
#include "daemon/networks-internal.h"

#include "base/alloc.h"
#include "base/log.h"
#include "net/bridge.h"
#include "net/dns-server.h"
#include "net/netlink.h"
#include "net/resolved.h"
#include "net/subnet.h"
#include "net/sysctl.h"
#include "net/tap.h"

#include <errno.h>
#include <string.h>

/* ---- subnets ---- */

bool networks_host_has_ipv6(void)
{
	struct cay_error ignored; /* for whatever reason: it can't be turned on for a bridge */
	int value;

	return sysctl_read("ipv6/conf", "all", "disable_ipv6", &value, &ignored) == 0;
}

static void add_others(struct networks *networks, const struct network *network,
		       struct subnet_set *taken)
{
	(void)pthread_mutex_lock(&networks->lock);
	for (size_t i = 0; i < networks->count; i++) {
		const struct network *other = networks->items[i];

		for (size_t j = 0; other != network && j < NETWORK_FAMILIES; j++)
			if (net_address_is_set(&other->spec.pools[j].subnet.address))
				subnet_set_add(taken, &other->spec.pools[j].subnet);
	}
	(void)pthread_mutex_unlock(&networks->lock);
}

static int choose_pool(struct networks *networks, struct network_pool *pool, unsigned int family,
		       const struct subnet_set *taken, struct cay_error *err)
{
	int r;

	if (net_address_is_set(&pool->subnet.address))
		r = subnet_check_free(&pool->subnet, taken, err);
	else if (family == NETWORK_IPV4)
		r = subnet_choose_ipv4(taken, &pool->subnet, err);
	else
		r = subnet_choose_ipv6(taken, &networks->ula, &pool->subnet, err);
	if (r == 0 && !net_address_is_set(&pool->gateway) &&
	    !net_prefix_nth(&pool->subnet, 1, &pool->gateway))
		r = cay_error_set(err, CAY_INVALID, EINVAL, "the subnet has no room for a gateway");
	return r;
}

static int choose_pools(struct networks *networks, struct network *network, struct cay_error *err)
{
	_cleanup_subnet_set_ struct subnet_set taken = { 0 };
	int r = subnet_host_taken(&taken, err);

	add_others(networks, network, &taken);
	for (unsigned int i = 0; r == 0 && i < NETWORK_FAMILIES; i++)
		if (network->spec.families[i])
			r = choose_pool(networks, &network->spec.pools[i], i, &taken, err);
	return r;
}

/* ---- the bridge ---- */

static int ensure_bridge(const struct networks *networks, const struct network *network,
			 struct cay_error *err)
{
	struct bridge_spec bridge = {
		.name = network->spec.link,
		.owner = networks->owner,
		.mtu = network->spec.mtu,
		.internal = network->spec.internal,
	};

	for (unsigned int i = 0; i < NETWORK_FAMILIES; i++) {
		const struct network_pool *pool = &network->spec.pools[i];

		if (net_address_is_set(&pool->gateway))
			bridge.gateways[i] = (struct net_prefix){ .address = pool->gateway,
								  .bits = pool->subnet.bits };
	}
	return bridge_ensure(&bridge, err);
}

/* What a LAN's containers are put on: any link but loopback, which has no neighbours. */
static int check_parent(const char *name, struct cay_error *err)
{
	_cleanup_netlink_ struct netlink *netlink = NULL;
	struct netlink_link link;
	int r = netlink_open(&netlink, err);

	if (r == 0)
		r = netlink_link_find(netlink, name, &link, err);
	if (r == -ENODEV) {
		cay_error_clear(err);
		return cay_error_set(err, CAY_NOT_FOUND, ENODEV,
				     "the interface %s (option parent) is not there", name);
	}
	if (r == 0 && link.loopback)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "the interface %s (option parent) leads to no LAN", name);
	return r;
}

/*
 * A link of the client's naming, bridge or parent, must not be another network's already: the
 * firewall knows networks by their links.
 */
static int check_link(struct networks *networks, const struct network *network,
		      struct cay_error *err)
{
	const struct network *taken = NULL;
	int r = 0;

	(void)pthread_mutex_lock(&networks->lock);
	for (size_t i = 0; i < networks->count; i++)
		if (networks->items[i] != network &&
		    strcmp(networks->items[i]->spec.link, network->spec.link) == 0)
			taken = networks->items[i];
	if (taken)
		r = cay_error_set(err, CAY_EXISTS, EEXIST,
				  "the interface %s is network %s's already: use that one, or give "
				  "this one another interface",
				  network->spec.link, taken->spec.name);
	(void)pthread_mutex_unlock(&networks->lock);
	if (r < 0)
		return r;
	return network->spec.driver == NETWORK_LAN ? check_parent(network->spec.link, err) : 0;
}

int network_settle(struct networks *networks, struct network *network, struct cay_error *err)
{
	_cleanup_close_ int lock_fd = -1;
	int r = check_link(networks, network, err);

	/* A LAN's addresses are the LAN's business. */
	if (r < 0 || network->spec.driver != NETWORK_BRIDGE)
		return r;
	r = subnet_lock(&lock_fd, err);
	if (r == 0)
		r = choose_pools(networks, network, err);
	if (r == 0)
		r = ensure_bridge(networks, network, err);
	return r;
}

/* ---- names ---- */

/*
 * Each network's gateway knows the names on all of them, and each link is told so: one without a
 * container on it has no carrier, and the host's resolver doesn't use it then.
 */
static void tell_host(const struct network *network)
{
	_cleanup_strv_ struct strv domains = { 0 };
	struct net_address servers[NETWORK_FAMILIES];
	struct cay_error fault = { 0 };
	size_t count = 0;

	strv_add(&domains, "cay");
	for (unsigned int i = 0; i < NETWORK_FAMILIES; i++) {
		const struct network_pool *pool = &network->spec.pools[i];

		if (!net_address_is_set(&pool->gateway))
			continue;
		servers[count++] = pool->gateway;
		resolved_add_reverse(&pool->subnet, &domains);
	}
	if (resolved_set_link(if_nametoindex(network->spec.link), servers, count, &domains,
			      &fault) < 0)
		log_warning("network %s: %s", network->spec.name, fault.message);
}

static bool serve_names(struct networks *networks, const struct network *network)
{
	for (unsigned int i = 0; i < NETWORK_FAMILIES; i++) {
		const struct net_address *gateway = &network->spec.pools[i].gateway;
		struct cay_error fault = { 0 };

		if (!net_address_is_set(gateway) ||
		    dns_server_add(networks->dns, network->id, gateway, &fault) == 0)
			continue;
		/* Its containers ask the host's servers then, and know no names of each other. */
		log_warning("network %s: %s", network->spec.name, fault.message);
		dns_server_remove(networks->dns, network->id);
		return false;
	}
	return true;
}

/* ---- all of it ---- */

static int add_to_firewall(struct networks *networks, const struct network *network,
			   struct cay_error *err)
{
	struct net_network known = {
		.lan = network->spec.driver == NETWORK_LAN,
		.internal = network->spec.internal,
		.no_masquerade = network->spec.no_masquerade,
		.metadata = network->spec.metadata,
	};

	memcpy(known.link, network->spec.link, sizeof(known.link));
	for (unsigned int i = 0; !known.lan && i < NETWORK_FAMILIES; i++)
		known.gateways[i] = network->spec.pools[i].gateway;
	return firewall_add_network(networks->firewall, &known, err);
}

/*
 * The host may have got a link or a route into a network's subnet while its bridge was away: after
 * an end with no container running, or a start of the machine.
 */
static int raise_bridge(struct networks *networks, struct network *network, struct cay_error *err)
{
	_cleanup_netlink_ struct netlink *netlink = NULL;
	struct netlink_link link;
	int r;

	if (!network_spec_has_addresses(&network->spec))
		return cay_error_set(
			err, CAY_NO_SPACE, EADDRNOTAVAIL,
			"it could not be given a subnet yet, as the daemon's log says");
	r = netlink_open(&netlink, err);
	if (r < 0)
		return r;
	r = netlink_link_find(netlink, network->spec.link, &link, err);
	if (r == -ENODEV) {
		cay_error_clear(err);
		return network_settle(networks, network, err);
	}
	return r < 0 ? r : ensure_bridge(networks, network, err);
}

int network_raise(struct networks *networks, struct network *network, struct cay_error *err)
{
	bool is_bridge = network->spec.driver == NETWORK_BRIDGE, has_names = false;
	int r = 0;

	if (network->removed)
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "network %s not found",
				     network->spec.name);
	if (network->ready || !networks->privileged ||
	    (!is_bridge && network->spec.driver != NETWORK_LAN))
		return 0;
	if (is_bridge)
		r = raise_bridge(networks, network, err);
	if (r == 0)
		r = add_to_firewall(networks, network, err);
	if (r < 0)
		return r;
	if (is_bridge) {
		has_names = serve_names(networks, network);
		tell_host(network);
	}
	(void)pthread_mutex_lock(&networks->lock);
	network->ready = true;
	network->has_names = has_names;
	(void)pthread_mutex_unlock(&networks->lock);
	return 0;
}

void network_lower(struct networks *networks, struct network *network)
{
	struct cay_error fault = { 0 };

	if (!networks->privileged)
		return;
	if (network->spec.driver == NETWORK_BRIDGE) {
		dns_server_remove(networks->dns, network->id);
		if (bridge_remove(network->spec.link, networks->owner, &fault) < 0)
			log_error("network %s: %s", network->spec.name, fault.message);
	}
	if (network->spec.driver == NETWORK_BRIDGE || network->ready)
		if (firewall_remove_network(networks->firewall, network->spec.link, &fault) < 0)
			log_error("network %s: %s", network->spec.name, fault.message);
	(void)pthread_mutex_lock(&networks->lock);
	network->ready = network->has_names = false;
	(void)pthread_mutex_unlock(&networks->lock);
}

/* With the lock held: a container of ours has, or could have, this device. */
static bool is_ours(const struct networks *networks, const char *device, bool running)
{
	const size_t prefix = strlen("cayt"), digits = 8;

	for (size_t i = 0; i < networks->endpoint_count; i++)
		if (networks->endpoints[i]->active == running &&
		    strncmp(device + prefix, networks->endpoints[i]->container->id, digits) == 0)
			return true;
	return false;
}

/* Unlike a tap, a macvtap outlives a shim that was killed together with the daemon. */
static void clear_macvtaps(struct networks *networks)
{
	_cleanup_netlink_ struct netlink *netlink = NULL;
	_cleanup_netlink_links_ struct netlink_links links = { 0 };
	struct cay_error fault = { 0 };

	if (netlink_open(&netlink, &fault) < 0 || netlink_link_list(netlink, &links, &fault) < 0) {
		log_warning("looking for links that an earlier daemon left: %s", fault.message);
		return;
	}
	for (size_t i = 0; i < links.count; i++) {
		const char *name = links.items[i].name;
		bool stray;

		if (strcmp(links.items[i].kind, "macvtap") != 0 || !starts_with(name, "cayt"))
			continue;
		(void)pthread_mutex_lock(&networks->lock);
		stray = is_ours(networks, name, false) && !is_ours(networks, name, true);
		(void)pthread_mutex_unlock(&networks->lock);
		if (stray && macvtap_remove(name, &fault) < 0)
			log_warning("%s", fault.message);
	}
}

void networks_clear_rests(struct networks *networks)
{
	_cleanup_strv_ struct strv bridges = { 0 };
	struct cay_error fault = { 0 };

	clear_macvtaps(networks);
	if (bridge_list(networks->owner, &bridges, &fault) < 0)
		log_warning("looking for bridges that an earlier daemon left: %s", fault.message);
	for (size_t i = 0; i < bridges.count; i++) {
		bool known = false;

		(void)pthread_mutex_lock(&networks->lock);
		for (size_t j = 0; j < networks->count && !known; j++)
			known = strcmp(networks->items[j]->spec.link, bridges.items[i]) == 0;
		(void)pthread_mutex_unlock(&networks->lock);
		if (!known && bridge_remove(bridges.items[i], networks->owner, &fault) < 0)
			log_warning("%s", fault.message);
	}
}
