/* SPDX-License-Identifier: Apache-2.0 */
/* The bridge of a network, its gateway addresses and kernel settings. */
#include "net/bridge.h"

#include "net/sysctl.h"

#include <errno.h>
#include <string.h>

enum { BRIDGE_MTU = 1500 };

struct setting {
	const char *directory, *file;
	int value;
};

/*
 * What a bridge of ours must not do, whatever the host's defaults for new links are. The kernel
 * also heeds "all", for send_redirects and route_localnet where either is on: those are the host's
 * to say.
 */
static const struct setting settings[] = {
	{ "ipv4/conf", "accept_redirects", 0 }, /* guests don't tell the host where to send */
	{ "ipv4/conf", "send_redirects", 0 },
	{ "ipv4/conf", "route_localnet", 0 }, /* 127.0.0.0/8 is not reached from a guest */
	{ "ipv4/conf", "arp_ignore", 1 },     /* answers only for this bridge's own addresses */
	{ "ipv6/conf", "accept_ra", 0 },
	{ "ipv6/conf", "autoconf", 0 },
	{ "ipv6/conf", "accept_redirects", 0 },
	/* An address is usable at once, also while the bridge has no port and thus no carrier. */
	{ "ipv6/conf", "accept_dad", 0 },
	{ "ipv6/conf", "dad_transmits", 0 },
};

static bool wants(const struct bridge_spec *spec, int family)
{
	for (size_t i = 0; i < ARRAY_SIZE(spec->gateways); i++)
		if (spec->gateways[i].address.family == family)
			return true;
	return false;
}

static int apply_settings(const struct bridge_spec *spec, struct cay_error *err)
{
	struct cay_error failure = { 0 };
	int r;

	/* Without an IPv6 subnet the bridge has no IPv6 at all, not even a link-local address. */
	r = sysctl_write("ipv6/conf", spec->name, "disable_ipv6", !wants(spec, AF_INET6), &failure);
	if (r < 0 && (r != -ENOENT || wants(spec, AF_INET6))) {
		if (err)
			*err = failure;
		return r;
	}
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		const struct setting *setting = &settings[i];

		cay_error_clear(&failure);
		r = sysctl_write(setting->directory, spec->name, setting->file, setting->value,
				 &failure);
		if (r < 0 && r != -ENOENT) {
			if (err)
				*err = failure;
			return r;
		}
	}
	return 0;
}

/* Links that take router advertisements as hosts do go on doing so when the host routes. */
static int keep_listening(struct cay_error *err)
{
	_cleanup_netlink_links_ struct netlink_links links = { 0 };
	_cleanup_netlink_ struct netlink *netlink = NULL;
	int r, value;

	r = netlink_open(&netlink, err);
	if (r == 0)
		r = netlink_link_list(netlink, &links, err);
	for (size_t i = 0; r == 0 && i < links.count; i++) {
		const char *name = links.items[i].name;

		/* Only where a router may be: a link that is gone, or has no IPv6, is none. */
		if (links.items[i].loopback || links.items[i].master ||
		    sysctl_read("ipv6/conf", name, "accept_ra", &value, NULL) < 0 || value != 1)
			continue;
		r = sysctl_write("ipv6/conf", name, "accept_ra", 2, err);
		if (r == -ENOENT)
			r = 0;
	}
	return r;
}

int bridge_enable_forwarding(int family, struct cay_error *err)
{
	const char *directory = family == AF_INET6 ? "ipv6/conf" : "ipv4/conf";
	int r, value;

	r = sysctl_read(directory, "all", "forwarding", &value, err);
	if (r == 0 && value)
		return 0;
	if (r == 0 && family == AF_INET6)
		r = keep_listening(err);
	if (r == 0)
		r = sysctl_write(directory, "all", "forwarding", 1, err);
	if (r < 0)
		return cay_error_prefix(err, "can't turn IP forwarding on");
	return 0;
}

/* Adds the gateways and takes away all other addresses, but for the kernel's link-local one. */
static int apply_addresses(struct netlink *netlink, const struct netlink_link *link,
			   const struct bridge_spec *spec, struct cay_error *err)
{
	_cleanup_netlink_addresses_ struct netlink_addresses have = { 0 };
	int r = netlink_address_list(netlink, link->index, &have, err);

	for (size_t i = 0; r == 0 && i < have.count; i++) {
		const struct net_prefix *old = &have.items[i].prefix;
		const bool ours =
			net_address_is_link_local(&old->address) && old->address.family == AF_INET6;

		if (!ours && !net_prefix_equal(old, &spec->gateways[0]) &&
		    !net_prefix_equal(old, &spec->gateways[1]))
			r = netlink_address_remove(netlink, link->index, link->name, old, err);
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(spec->gateways); i++)
		if (spec->gateways[i].address.family)
			r = netlink_address_add(netlink, link->index, link->name,
						&spec->gateways[i], err);
	return r;
}

/*
 * The owner is entered after the link was made, as the kernel takes no alias before: a bridge
 * without one, but with the MAC that only we give it, was left half-made.
 */
static bool is_ours(const struct netlink_link *link, const char *owner)
{
	const struct net_mac mac = net_mac_from_text(link->name);

	if (strcmp(link->kind, "bridge") != 0)
		return false;
	return strcmp(link->alias, owner) == 0 ||
		(link->alias[0] == '\0' && net_mac_equal(&link->mac, &mac));
}

static int find_or_make(struct netlink *netlink, const struct bridge_spec *spec, bool *ret_made,
			struct netlink_link *ret_link, struct cay_error *err)
{
	/* A MAC of its own: without one a bridge changes to the lowest of its ports'. */
	const struct net_mac mac = net_mac_from_text(spec->name);
	const struct netlink_settings fresh = { .mac = &mac };
	struct cay_error missing = { 0 };
	int r = netlink_link_find(netlink, spec->name, ret_link, &missing);

	if (r == 0 && !is_ours(ret_link, spec->owner))
		return cay_error_set(err, CAY_EXISTS, EEXIST,
				     "the host has a link called %s already, which is not this "
				     "daemon's: give the network another name for its bridge "
				     "(com.docker.network.bridge.name), or remove that link",
				     spec->name);
	if (r == 0)
		return 0;
	if (r != -ENODEV) {
		if (err)
			*err = missing;
		return r;
	}
	r = netlink_link_create(netlink, "bridge", spec->name, 0, &fresh, err);
	if (r < 0)
		return r;
	*ret_made = true;
	return netlink_link_find(netlink, spec->name, ret_link, err);
}

static int apply(struct netlink *netlink, const struct netlink_link *link,
		 const struct bridge_spec *spec, struct cay_error *err)
{
	const struct netlink_settings start = { .alias = spec->owner,
						.mtu = spec->mtu ? spec->mtu : BRIDGE_MTU,
						.up = true };
	int r = apply_settings(spec, err);

	if (r == 0)
		r = netlink_link_change(netlink, link->index, link->name, &start, err);
	if (r == 0)
		r = apply_addresses(netlink, link, spec, err);
	if (r == 0 && !spec->internal && wants(spec, AF_INET))
		r = bridge_enable_forwarding(AF_INET, err);
	if (r == 0 && !spec->internal && wants(spec, AF_INET6))
		r = bridge_enable_forwarding(AF_INET6, err);
	return r;
}

int bridge_ensure(const struct bridge_spec *spec, struct cay_error *err)
{
	_cleanup_netlink_ struct netlink *netlink = NULL;
	struct netlink_link link = { 0 };
	bool made = false;
	int r;

	r = netlink_open(&netlink, err);
	if (r < 0)
		return r;
	r = find_or_make(netlink, spec, &made, &link, err);
	if (r == 0)
		r = apply(netlink, &link, spec, err);
	if (r < 0) {
		if (made && link.index)
			(void)netlink_link_delete(netlink, link.index, spec->name, NULL);
		return cay_error_prefix(err, "the bridge %s", spec->name);
	}
	return 0;
}

int bridge_remove(const char *name, const char *owner, struct cay_error *err)
{
	_cleanup_netlink_ struct netlink *netlink = NULL;
	struct netlink_link link;
	int r;

	r = netlink_open(&netlink, err);
	if (r < 0)
		return r;
	r = netlink_link_find(netlink, name, &link, err);
	if (r == 0 && !is_ours(&link, owner))
		return cay_error_set(err, CAY_CONFLICT, EBUSY,
				     "the link %s is not this daemon's bridge", name);
	if (r == 0)
		r = netlink_link_delete(netlink, link.index, name, err);
	return netlink_allow_absent(r, err);
}

int bridge_list(const char *owner, struct strv *names, struct cay_error *err)
{
	_cleanup_netlink_links_ struct netlink_links links = { 0 };
	_cleanup_netlink_ struct netlink *netlink = NULL;
	int r;

	r = netlink_open(&netlink, err);
	if (r == 0)
		r = netlink_link_list(netlink, &links, err);
	for (size_t i = 0; r == 0 && i < links.count; i++)
		if (is_ours(&links.items[i], owner))
			strv_add(names, links.items[i].name);
	return r;
}
