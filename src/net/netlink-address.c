/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and routes over netlink. */
#include "net/netlink-internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>

void netlink_addresses_done(struct netlink_addresses *addresses)
{
	free(addresses->items);
	*addresses = (struct netlink_addresses){ 0 };
}

void netlink_routes_done(struct netlink_routes *routes)
{
	free(routes->items);
	*routes = (struct netlink_routes){ 0 };
}

/* An attribute's address; none where its length is not the family's. */
static struct net_address read_address(int family, const struct nlattr *attribute)
{
	struct net_address address = { .family = (uint8_t)family };

	if (8 * mnl_attr_get_payload_len(attribute) != net_address_bits(&address))
		return (struct net_address){ 0 };
	return net_address_from_bytes(family, mnl_attr_get_payload(attribute));
}

static int read_link_address(const struct nlmsghdr *message, void *data)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(message);
	struct netlink_addresses *addresses = data;
	struct netlink_address item = { 0 };
	const struct nlattr *attribute;

	if (message->nlmsg_type != RTM_NEWADDR)
		return 0;
	if (mnl_nlmsg_get_payload_len(message) < sizeof(*info))
		return -EBADMSG;
	/* IFA_LOCAL is the address itself where IFA_ADDRESS is the other end's. */
	mnl_attr_for_each(attribute, message, sizeof(*info)) {
		const uint16_t type = mnl_attr_get_type(attribute);

		if (type == IFA_LOCAL || (type == IFA_ADDRESS && !item.prefix.address.family))
			item.prefix.address = read_address(info->ifa_family, attribute);
	}
	if (!item.prefix.address.family)
		return 0;
	item.prefix.bits = info->ifa_prefixlen;
	item.index = info->ifa_index;
	addresses->items =
		netlink_grow(addresses->items, &addresses->count, sizeof(*addresses->items));
	addresses->items[addresses->count - 1] = item;
	return 0;
}

int netlink_address_list(struct netlink *netlink, unsigned int index, struct netlink_addresses *ret,
			 struct cay_error *err)
{
	int r = -EINTR;

	for (int i = 0; r == -EINTR && i < NETLINK_DUMP_ATTEMPTS; i++) {
		_cleanup_netlink_addresses_ struct netlink_addresses all = { 0 };
		struct nlmsghdr *request = netlink_request(netlink, RTM_GETADDR, NLM_F_DUMP);
		size_t kept = 0;

		mnl_nlmsg_put_extra_header(request, sizeof(struct ifaddrmsg));
		r = netlink_exchange(netlink, request, read_link_address, &all, err,
				     "can't list the host's addresses");
		if (r < 0)
			continue;
		for (size_t j = 0; j < all.count; j++)
			if (index == 0 || all.items[j].index == index)
				all.items[kept++] = all.items[j];
		all.count = kept;
		*ret = all;
		all = (struct netlink_addresses){ 0 };
	}
	return r;
}

static int change_address(struct netlink *netlink, uint16_t type, unsigned int index,
			  const char *name, const struct net_prefix *prefix, struct cay_error *err)
{
	const bool add = type == RTM_NEWADDR;
	struct nlmsghdr *request =
		netlink_request(netlink, type, add ? NLM_F_CREATE | NLM_F_REPLACE : 0);
	struct ifaddrmsg *info = mnl_nlmsg_put_extra_header(request, sizeof(*info));
	const uint16_t size = (uint16_t)(net_address_bits(&prefix->address) / 8);
	char text[NET_PREFIX_TEXT_MAX];

	info->ifa_family = prefix->address.family;
	info->ifa_prefixlen = prefix->bits;
	info->ifa_index = index;
	mnl_attr_put(request, IFA_LOCAL, size, prefix->address.bytes);
	mnl_attr_put(request, IFA_ADDRESS, size, prefix->address.bytes);
	if (add && prefix->address.family == AF_INET6)
		mnl_attr_put_u32(request, IFA_FLAGS, IFA_F_NODAD | IFA_F_PERMANENT);
	if (add && prefix->address.family == AF_INET && prefix->bits < 31) {
		const struct net_address broadcast = net_prefix_last(prefix);

		mnl_attr_put(request, IFA_BROADCAST, size, broadcast.bytes);
	}
	net_prefix_format(prefix, text);
	return netlink_exchange(netlink, request, NULL, NULL, err, "can't %s the address %s %s %s",
				add ? "add" : "remove", text, add ? "to" : "from", name);
}

int netlink_address_add(struct netlink *netlink, unsigned int index, const char *name,
			const struct net_prefix *prefix, struct cay_error *err)
{
	return change_address(netlink, RTM_NEWADDR, index, name, prefix, err);
}

int netlink_address_remove(struct netlink *netlink, unsigned int index, const char *name,
			   const struct net_prefix *prefix, struct cay_error *err)
{
	struct cay_error failure = { 0 };
	int r = change_address(netlink, RTM_DELADDR, index, name, prefix, &failure);

	if (r == -EADDRNOTAVAIL)
		return 0;
	if (r < 0 && err)
		*err = failure;
	return r;
}

static int read_route(const struct nlmsghdr *message, void *data)
{
	const struct rtmsg *info = mnl_nlmsg_get_payload(message);
	struct netlink_routes *routes = data;
	struct netlink_route route = { 0 };
	const struct nlattr *attribute;

	if (message->nlmsg_type != RTM_NEWROUTE)
		return 0;
	if (mnl_nlmsg_get_payload_len(message) < sizeof(*info))
		return -EBADMSG;
	if (info->rtm_family != AF_INET && info->rtm_family != AF_INET6)
		return 0;
	route.destination.address.family = info->rtm_family;
	route.destination.bits = info->rtm_dst_len;
	route.table = info->rtm_table;
	route.type = info->rtm_type;
	mnl_attr_for_each(attribute, message, sizeof(*info)) {
		const uint16_t type = mnl_attr_get_type(attribute);
		const bool number = mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0;

		if (type == RTA_DST)
			route.destination.address = read_address(info->rtm_family, attribute);
		else if (type == RTA_GATEWAY)
			route.gateway = read_address(info->rtm_family, attribute);
		else if (type == RTA_OIF && number)
			route.index = mnl_attr_get_u32(attribute);
		else if (type == RTA_TABLE && number)
			route.table = mnl_attr_get_u32(attribute);
	}
	if (!route.destination.address.family)
		return 0;
	routes->items = netlink_grow(routes->items, &routes->count, sizeof(*routes->items));
	routes->items[routes->count - 1] = route;
	return 0;
}

int netlink_route_list(struct netlink *netlink, struct netlink_routes *ret, struct cay_error *err)
{
	int r = -EINTR;

	for (int i = 0; r == -EINTR && i < NETLINK_DUMP_ATTEMPTS; i++) {
		_cleanup_netlink_routes_ struct netlink_routes routes = { 0 };
		struct nlmsghdr *request = netlink_request(netlink, RTM_GETROUTE, NLM_F_DUMP);

		mnl_nlmsg_put_extra_header(request, sizeof(struct rtmsg));
		r = netlink_exchange(netlink, request, read_route, &routes, err,
				     "can't list the host's routes");
		if (r == 0) {
			*ret = routes;
			routes = (struct netlink_routes){ 0 };
		}
	}
	return r;
}
