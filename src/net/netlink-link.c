/* SPDX-License-Identifier: Apache-2.0 */
/* Links over netlink: list, make, change, delete, and what a bridge knows of its ports. */
#include "net/netlink-internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>

void netlink_links_done(struct netlink_links *links)
{
	free(links->items);
	*links = (struct netlink_links){ 0 };
}

static void copy_text(char *to, size_t size, const struct nlattr *attribute)
{
	if (mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
		(void)snprintf(to, size, "%s", mnl_attr_get_str(attribute));
}

static void read_link_info(const struct nlattr *info, struct netlink_link *link)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute, info)
		if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND)
			copy_text(link->kind, sizeof(link->kind), attribute);
}

static void read_link_attribute(const struct nlattr *attribute, struct netlink_link *link)
{
	const bool number = mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0;

	switch (mnl_attr_get_type(attribute)) {
	case IFLA_IFNAME:
		copy_text(link->name, sizeof(link->name), attribute);
		break;
	case IFLA_IFALIAS:
		copy_text(link->alias, sizeof(link->alias), attribute);
		break;
	case IFLA_ADDRESS:
		if (mnl_attr_get_payload_len(attribute) == sizeof(link->mac.bytes))
			memcpy(link->mac.bytes, mnl_attr_get_payload(attribute),
			       sizeof(link->mac.bytes));
		break;
	case IFLA_MTU:
		link->mtu = number ? mnl_attr_get_u32(attribute) : 0;
		break;
	case IFLA_MASTER:
		link->master = number ? mnl_attr_get_u32(attribute) : 0;
		break;
	case IFLA_LINK:
		link->lower = number ? mnl_attr_get_u32(attribute) : 0;
		break;
	case IFLA_LINKINFO:
		read_link_info(attribute, link);
		break;
	default:
		break;
	}
}

static int read_link(const struct nlmsghdr *message, void *data)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	struct netlink_links *links = data;
	const struct nlattr *attribute;
	struct netlink_link *link;

	if (message->nlmsg_type != RTM_NEWLINK)
		return 0;
	if (mnl_nlmsg_get_payload_len(message) < sizeof(*info))
		return -EBADMSG;
	links->items = netlink_grow(links->items, &links->count, sizeof(*links->items));
	link = &links->items[links->count - 1];
	link->index = (unsigned int)info->ifi_index;
	link->up = info->ifi_flags & IFF_UP;
	link->loopback = info->ifi_flags & IFF_LOOPBACK;
	mnl_attr_for_each(attribute, message, sizeof(*info)) {
		read_link_attribute(attribute, link);
	}
	return 0;
}

int netlink_link_list(struct netlink *netlink, struct netlink_links *ret, struct cay_error *err)
{
	int r = -EINTR;

	for (int i = 0; r == -EINTR && i < NETLINK_DUMP_ATTEMPTS; i++) {
		_cleanup_netlink_links_ struct netlink_links links = { 0 };
		struct nlmsghdr *request = netlink_request(netlink, RTM_GETLINK, NLM_F_DUMP);

		mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
		r = netlink_exchange(netlink, request, read_link, &links, err,
				     "can't list the host's links");
		if (r == 0) {
			*ret = links;
			links = (struct netlink_links){ 0 };
		}
	}
	return r;
}

static int check_name(const char *name, struct cay_error *err)
{
	if (name[0] == '\0' || strlen(name) >= IFNAMSIZ || strpbrk(name, "%*/: \t\n") ||
	    strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "\"%.64s\" can't be a link's name: 1 to %d characters without "
				     "'/', ':', '%%', '*' and spaces",
				     name, IFNAMSIZ - 1);
	return 0;
}

int netlink_link_find(struct netlink *netlink, const char *name, struct netlink_link *ret,
		      struct cay_error *err)
{
	_cleanup_netlink_links_ struct netlink_links links = { 0 };
	struct nlmsghdr *request;
	int r = check_name(name, err);

	if (r < 0)
		return r;
	request = netlink_request(netlink, RTM_GETLINK, 0);
	mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(request, IFLA_IFNAME, name);
	mnl_attr_put_u32(request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	r = netlink_exchange(netlink, request, read_link, &links, err, "can't look up the link %s",
			     name);
	if (r == -ENODEV || (r == 0 && links.count == 0))
		return cay_error_set(err, CAY_NOT_FOUND, ENODEV, "there is no link called %s",
				     name);
	if (r == 0)
		*ret = links.items[0];
	return r;
}

static void put_settings(struct nlmsghdr *request, const struct netlink_settings *settings)
{
	struct ifinfomsg *info = mnl_nlmsg_get_payload(request);

	if (settings->up || settings->down) {
		info->ifi_change = IFF_UP;
		info->ifi_flags = settings->up ? IFF_UP : 0;
	}
	if (settings->all_multicast) {
		info->ifi_change |= IFF_ALLMULTI;
		info->ifi_flags |= IFF_ALLMULTI;
	}
	if (settings->no_arp) {
		info->ifi_change |= IFF_NOARP;
		info->ifi_flags |= IFF_NOARP;
	}
	if (settings->mac)
		mnl_attr_put(request, IFLA_ADDRESS, sizeof(settings->mac->bytes),
			     settings->mac->bytes);
	if (settings->mtu)
		mnl_attr_put_u32(request, IFLA_MTU, settings->mtu);
	if (settings->master || settings->no_master)
		mnl_attr_put_u32(request, IFLA_MASTER, settings->master);
	if (settings->no_ipv6_addresses) {
		struct nlattr *families = mnl_attr_nest_start(request, IFLA_AF_SPEC);
		struct nlattr *inet6 = mnl_attr_nest_start(request, AF_INET6);

		mnl_attr_put_u8(request, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
		mnl_attr_nest_end(request, inet6);
		mnl_attr_nest_end(request, families);
	}
	if (settings->rename)
		mnl_attr_put_strz(request, IFLA_IFNAME, settings->rename);
	if (settings->alias)
		mnl_attr_put_strz(request, IFLA_IFALIAS, settings->alias);
}

static void put_bridge_data(struct nlmsghdr *request)
{
	struct nlattr *data = mnl_attr_nest_start(request, IFLA_INFO_DATA);

	mnl_attr_put_u32(request, IFLA_BR_FORWARD_DELAY, 0);
	mnl_attr_put_u32(request, IFLA_BR_STP_STATE, 0);
	/* Without a querier on it, snooping only loses packets: neighbour discovery is multicast.
	 */
	mnl_attr_put_u8(request, IFLA_BR_MCAST_SNOOPING, 0);
	mnl_attr_nest_end(request, data);
}

static void put_kind(struct nlmsghdr *request, const char *kind)
{
	struct nlattr *info = mnl_attr_nest_start(request, IFLA_LINKINFO);

	mnl_attr_put_strz(request, IFLA_INFO_KIND, kind);
	if (strcmp(kind, "bridge") == 0)
		put_bridge_data(request);
	if (strcmp(kind, "macvtap") == 0) {
		struct nlattr *data = mnl_attr_nest_start(request, IFLA_INFO_DATA);

		mnl_attr_put_u32(request, IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE);
		mnl_attr_nest_end(request, data);
	}
	mnl_attr_nest_end(request, info);
}

int netlink_link_create(struct netlink *netlink, const char *kind, const char *name,
			unsigned int lower, const struct netlink_settings *settings,
			struct cay_error *err)
{
	struct nlmsghdr *request;
	int r = check_name(name, err);

	if (r < 0)
		return r;
	request = netlink_request(netlink, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(request, IFLA_IFNAME, name);
	if (lower)
		mnl_attr_put_u32(request, IFLA_LINK, lower);
	put_kind(request, kind);
	put_settings(request, settings);
	return netlink_exchange(netlink, request, NULL, NULL, err, "can't make the %s %s", kind,
				name);
}

static struct nlmsghdr *link_request(struct netlink *netlink, uint16_t type, unsigned int index,
				     uint8_t family)
{
	struct nlmsghdr *request = netlink_request(netlink, type, 0);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(request, sizeof(*info));

	info->ifi_family = family;
	info->ifi_index = (int)index;
	return request;
}

int netlink_link_change(struct netlink *netlink, unsigned int index, const char *name,
			const struct netlink_settings *settings, struct cay_error *err)
{
	struct nlmsghdr *request = link_request(netlink, RTM_NEWLINK, index, AF_UNSPEC);

	put_settings(request, settings);
	return netlink_exchange(netlink, request, NULL, NULL, err, "can't change the link %s",
				name);
}

int netlink_link_delete(struct netlink *netlink, unsigned int index, const char *name,
			struct cay_error *err)
{
	struct nlmsghdr *request = link_request(netlink, RTM_DELLINK, index, AF_UNSPEC);

	return netlink_exchange(netlink, request, NULL, NULL, err, "can't delete the link %s",
				name);
}

int netlink_allow_absent(int r, struct cay_error *err)
{
	if (r != -ENODEV)
		return r;
	if (err)
		cay_error_clear(err);
	return 0;
}

int netlink_port_restrict(struct netlink *netlink, unsigned int index, const char *name,
			  bool isolated, bool hairpin, struct cay_error *err)
{
	struct nlmsghdr *request = link_request(netlink, RTM_SETLINK, index, AF_BRIDGE);
	struct nlattr *port = mnl_attr_nest_start(request, IFLA_PROTINFO);

	mnl_attr_put_u8(request, IFLA_BRPORT_LEARNING, 0);
	mnl_attr_put_u8(request, IFLA_BRPORT_UNICAST_FLOOD, 0);
	mnl_attr_put_u8(request, IFLA_BRPORT_ISOLATED, isolated);
	mnl_attr_put_u8(request, IFLA_BRPORT_MODE, hairpin);
	mnl_attr_nest_end(request, port);
	return netlink_exchange(netlink, request, NULL, NULL, err,
				"can't restrict the bridge port %s", name);
}

int netlink_port_station(struct netlink *netlink, unsigned int index, const char *name,
			 const struct net_mac *mac, struct cay_error *err)
{
	struct nlmsghdr *request =
		netlink_request(netlink, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
	struct ndmsg *entry = mnl_nlmsg_put_extra_header(request, sizeof(*entry));

	entry->ndm_family = AF_BRIDGE;
	entry->ndm_ifindex = (int)index;
	entry->ndm_flags = NTF_MASTER;
	entry->ndm_state = NUD_NOARP; /* "static": not aged, not learned elsewhere */
	mnl_attr_put(request, NDA_LLADDR, sizeof(mac->bytes), mac->bytes);
	return netlink_exchange(netlink, request, NULL, NULL, err,
				"can't enter the guest's MAC for the bridge port %s", name);
}
