/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's network interfaces. All orders for one interface go to the
 * kernel in one message, and a card is found by its index and not by a list of
 * all: every step here is part of each container's start.
 */
#include "guest/network-internal.h"

#include "guest/dhcp.h"
#include "guest/guest.h"
#include "guest/machine.h"

#include "base/alloc.h"
#include "base/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <string.h>
#include <sys/ioctl.h>

enum {
	INDEX_MAX = 64,     /* cards have the first numbers */
	ADDRESSES_MAX = 16, /* of one interface */
	FLUSHES_MAX = 100,  /* a container that adds addresses all the while is left with them */
	LOOPBACK_INDEX = 1,
};

/* ---- text ---- */

static int parse_address(const char *text, struct network_address *ret_address,
			 struct cay_error *err)
{
	struct network_address address = { .family = AF_INET, .prefix = 32 };

	if (inet_pton(AF_INET, text, &address.v4) != 1) {
		address.family = AF_INET6;
		address.prefix = 128;
		if (inet_pton(AF_INET6, text, &address.v6) != 1)
			return cay_error_set(err, CAY_INVALID, EINVAL, "\"%s\" is not an address",
					     text);
	}
	*ret_address = address;
	return 0;
}

/* "10.1.2.3/16" */
static int parse_prefixed(const char *text, struct network_address *ret_address,
			  struct cay_error *err)
{
	struct network_address address;
	struct str rest, first = str_split(str_from(text), '/', &rest);
	_cleanup_free_ char *copy = str_dup(first);
	uint64_t prefix;
	int r = parse_address(copy, &address, err);

	if (r < 0)
		return r;
	if (str_to_u64(rest, address.prefix, &prefix) < 0)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "\"%s\" is not an address with a prefix's length", text);
	address.prefix = (unsigned int)prefix;
	*ret_address = address;
	return 0;
}

/* ---- orders ---- */

static size_t address_size(const struct network_address *address)
{
	return address->family == AF_INET ? sizeof(address->v4) : sizeof(address->v6);
}

static void put_address(struct netlink *netlink, const char *name, uint16_t type, uint16_t flags,
			int index, const struct network_address *address)
{
	const struct ifaddrmsg header = {
		.ifa_family = (uint8_t)address->family,
		.ifa_prefixlen = (uint8_t)address->prefix,
		.ifa_flags = address->family == AF_INET6 ? IFA_F_NODAD : 0,
		.ifa_index = (uint32_t)index,
	};
	struct in_addr broadcast = address->v4;

	netlink_put(netlink, name, type, flags, &header, sizeof(header));
	netlink_put_attribute(netlink, IFA_LOCAL, &address->v4, address_size(address));
	netlink_put_attribute(netlink, IFA_ADDRESS, &address->v4, address_size(address));
	if (address->family != AF_INET || address->prefix > 30)
		return;
	broadcast.s_addr |= htonl(UINT32_MAX >> address->prefix);
	netlink_put_attribute(netlink, IFA_BROADCAST, &broadcast, sizeof(broadcast));
}

void network_put_address(struct netlink *netlink, int index, const struct network_address *address)
{
	put_address(netlink, "setting an address", RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, index,
		    address);
}

void network_put_no_address(struct netlink *netlink, int index,
			    const struct network_address *address)
{
	put_address(netlink, "removing an address", RTM_DELADDR, 0, index, address);
}

void network_put_default_route(struct netlink *netlink, int index,
			       const struct network_address *gateway, bool on_link)
{
	const struct rtmsg header = {
		.rtm_family = (uint8_t)gateway->family,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
		.rtm_flags = on_link ? RTNH_F_ONLINK : 0,
	};

	netlink_put(netlink, "setting the default route", RTM_NEWROUTE,
		    NLM_F_CREATE | NLM_F_REPLACE, &header, sizeof(header));
	netlink_put_attribute(netlink, RTA_GATEWAY, &gateway->v4, address_size(gateway));
	netlink_put_attribute(netlink, RTA_OIF, &index, sizeof(index));
}

/* ---- the card ---- */

static struct network_card *card_find(const struct guest *guest, const uint8_t *mac)
{
	struct network_card *card;

	TAILQ_FOREACH(card, &guest->cards, link)
	if (memcmp(card->plugged_mac, mac, NETWORK_MAC_SIZE) == 0)
		return card;
	return NULL;
}

/* Looks for the Ethernet card of this address; its index and name. */
static int find_device(int fd, const uint8_t *mac, struct ifreq *ret_request)
{
	for (int index = LOOPBACK_INDEX + 1; index <= INDEX_MAX; index++) {
		struct ifreq name = { .ifr_ifindex = index }, address = { 0 };

		if (ioctl(fd, SIOCGIFNAME, &name) < 0)
			continue;
		memcpy(address.ifr_name, name.ifr_name, IFNAMSIZ);
		if (ioctl(fd, SIOCGIFHWADDR, &address) < 0 ||
		    address.ifr_hwaddr.sa_family != ARPHRD_ETHER ||
		    memcmp(address.ifr_hwaddr.sa_data, mac, NETWORK_MAC_SIZE) != 0)
			continue;
		*ret_request = name;
		return 0;
	}
	return -ENODEV;
}

/* `fd` is any socket. */
static int card_get(struct guest *guest, int fd, const uint8_t *mac, struct network_card **ret_card,
		    struct cay_error *err)
{
	struct network_card *card = card_find(guest, mac);
	struct ifreq request;
	size_t count = 0;

	if (card) {
		*ret_card = card;
		return 0;
	}
	TAILQ_FOREACH(card, &guest->cards, link)
	count++;
	if (count == NETWORK_CARDS_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "there are more than %d cards",
				     NETWORK_CARDS_MAX);
	if (find_device(fd, mac, &request) < 0)
		return cay_error_set(err, CAY_NOT_FOUND, ENODEV,
				     "no network card has the address "
				     "%02x:%02x:%02x:%02x:%02x:%02x",
				     mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	card = xcalloc(1, sizeof(*card));
	card->guest = guest;
	memcpy(card->plugged_mac, mac, NETWORK_MAC_SIZE);
	memcpy(card->mac, mac, NETWORK_MAC_SIZE);
	card->index = request.ifr_ifindex;
	memcpy(card->name, request.ifr_name, IFNAMSIZ);
	TAILQ_INSERT_TAIL(&guest->cards, card, link);
	*ret_card = card;
	return 0;
}

/* ---- down ---- */

struct flush {
	int index;
	struct netlink *into;
};

static void on_address(const struct nlmsghdr *message, void *user)
{
	const struct flush *flush = user;
	const struct ifaddrmsg *header = NLMSG_DATA(message);
	const struct rtattr *attribute = IFA_RTA(header);
	int left = (int)IFA_PAYLOAD(message);

	if (message->nlmsg_type != RTM_NEWADDR || (int)header->ifa_index != flush->index ||
	    !netlink_has_room(flush->into))
		return;
	netlink_put(flush->into, "removing an address", RTM_DELADDR, 0, header, sizeof(*header));
	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
		if (attribute->rta_type == IFA_LOCAL || attribute->rta_type == IFA_ADDRESS)
			netlink_put_attribute(flush->into, attribute->rta_type, RTA_DATA(attribute),
					      RTA_PAYLOAD(attribute));
}

static void put_flags(struct netlink *netlink, int index, unsigned int flags)
{
	const struct ifinfomsg header = {
		.ifi_family = AF_UNSPEC,
		.ifi_index = index,
		.ifi_flags = flags,
		.ifi_change = IFF_UP,
	};

	netlink_put(netlink, flags & IFF_UP ? "bringing the interface up" : "setting it down",
		    RTM_NEWLINK, 0, &header, sizeof(header));
}

/* Removes a batch of the card's addresses; *ret_count says how many. */
static int flush_addresses(const struct network_card *card, struct netlink *netlink,
			   size_t *ret_count, struct cay_error *err)
{
	const struct ifaddrmsg all = { .ifa_family = AF_UNSPEC };
	struct netlink orders;
	struct flush flush = { card->index, &orders };
	int r = netlink_open(&orders, err);

	if (r < 0)
		return r;
	r = netlink_dump(netlink, RTM_GETADDR, &all, sizeof(all), on_address, &flush, err);
	*ret_count = orders.count;
	if (r == 0)
		r = netlink_send(&orders, err);
	netlink_close(&orders);
	return r;
}

/* Whatever is set up on the card, by the container too, is taken away. Routes go with the link. */
static int take_down(struct network_card *card, struct netlink *netlink, struct cay_error *err)
{
	size_t count = 1;
	int r;

	dhcp_stop(TAKE_PTR(card->dhcp));
	put_flags(netlink, card->index, 0);
	r = netlink_send(netlink, err);
	for (int i = 0; r == 0 && count > 0 && i < FLUSHES_MAX; i++)
		r = flush_addresses(card, netlink, &count, err);
	card->configured = r < 0;
	return r;
}

/* ---- up ---- */

/* Another card may have the wanted name: it gets one that nobody asks for. */
static int free_name(struct netlink *netlink, const char *name, struct cay_error *err)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
	char other[IFNAMSIZ];

	header.ifi_index = (int)if_nametoindex(name);
	if (header.ifi_index == 0)
		return 0;
	(void)snprintf(other, sizeof(other), "spare%d", header.ifi_index);
	netlink_put(netlink, "renaming an interface", RTM_NEWLINK, 0, &header, sizeof(header));
	netlink_put_attribute(netlink, IFLA_IFNAME, other, strlen(other) + 1);
	return netlink_send(netlink, err);
}

/* What names of cards that are known by their old one are now. */
static void refresh_names(struct guest *guest)
{
	struct network_card *card;

	TAILQ_FOREACH(card, &guest->cards, link)
	(void)if_indextoname((unsigned int)card->index, card->name);
}

static int rename_card(struct network_card *card, const char *name, struct netlink *netlink,
		       struct cay_error *err)
{
	const struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = card->index };
	int r;

	if (strcmp(card->name, name) == 0)
		return 0;
	r = free_name(netlink, name, err);
	if (r < 0)
		return r;
	netlink_put(netlink, "naming the interface", RTM_NEWLINK, 0, &header, sizeof(header));
	netlink_put_attribute(netlink, IFLA_IFNAME, name, strlen(name) + 1);
	r = netlink_send(netlink, err);
	refresh_names(card->guest);
	return r;
}

static int set_ipv6(const struct network_card *card, const char *name, const char *value,
		    struct cay_error *err)
{
	_cleanup_free_ char *path = xasprintf("net/ipv6/conf/%s/%s", card->name, name);

	return machine_set_sysctl(path, value, err);
}

/* Others give themselves addresses there, or are given them by others. */
static bool shares_link(const Cay__Vminitd__V1__Interface *interface)
{
	return interface->accept_ra || interface->dhcp || interface->foreign_link;
}

/* Must be set before the interface is up: the first solicitations leave then. */
static int set_autoconfiguration(const struct network_card *card,
				 const Cay__Vminitd__V1__Interface *interface,
				 struct cay_error *err)
{
	/* 2: also where the container forwards packets. */
	int r = set_ipv6(card, "accept_ra", interface->accept_ra ? "2" : "0", err);

	/*
	 * Where all addresses are the host's to give, the card's own among them, nobody else has
	 * one of them. The question would come back from the bridge, too.
	 */
	if (r == 0)
		r = set_ipv6(card, "accept_dad", shares_link(interface) ? "1" : "0", err);
	return r;
}

static void put_link(const struct network_card *card, unsigned int mtu, bool new_mac,
		     struct netlink *netlink)
{
	put_flags(netlink, card->index, IFF_UP);
	if (mtu > 0)
		netlink_put_attribute(netlink, IFLA_MTU, &mtu, sizeof(mtu));
	if (new_mac)
		netlink_put_attribute(netlink, IFLA_ADDRESS, card->mac, sizeof(card->mac));
}

static int put_addresses(const struct network_card *card,
			 const Cay__Vminitd__V1__Interface *interface, struct netlink *netlink,
			 struct cay_error *err)
{
	struct network_address address;
	int r;

	if (interface->n_addresses > ADDRESSES_MAX || interface->n_gateways > ADDRESSES_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "%s: more than %d addresses",
				     card->name, ADDRESSES_MAX);
	for (size_t i = 0; i < interface->n_addresses; i++) {
		r = parse_prefixed(interface->addresses[i], &address, err);
		if (r < 0)
			return r;
		network_put_address(netlink, card->index, &address);
	}
	for (size_t i = 0; i < interface->n_gateways; i++) {
		r = parse_address(interface->gateways[i], &address, err);
		if (r < 0)
			return r;
		network_put_default_route(netlink, card->index, &address, false);
	}
	return 0;
}

/* The container may be given the file before there is anything to say in it. */
static int make_resolv_conf(const char *path, struct cay_error *err)
{
	_cleanup_free_ char *parent = xstrndup(path, (size_t)(path_last(path) - path));
	_cleanup_close_ int fd = -1;
	int r = make_dirs(parent, 0755, err);

	if (r < 0)
		return r;
	fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	return fd < 0 ? cay_error_errno(err, errno, "making %s", path) : 0;
}

static int set_mac(struct network_card *card, const Cay__Vminitd__V1__Interface *interface,
		   bool *ret_changed, struct cay_error *err)
{
	const ProtobufCBinaryData *mac = &interface->new_mac;
	const uint8_t *wanted = mac->len > 0 ? mac->data : card->plugged_mac;

	if (mac->len != 0 && mac->len != NETWORK_MAC_SIZE)
		return cay_error_set(err, CAY_INVALID, EINVAL, "an address of %zu bytes", mac->len);
	if (interface->adopt && card_find(card->guest, wanted) &&
	    card_find(card->guest, wanted) != card)
		return cay_error_set(err, CAY_EXISTS, EEXIST, "another card has this address");
	*ret_changed = memcmp(card->mac, wanted, NETWORK_MAC_SIZE) != 0;
	memcpy(card->mac, wanted, NETWORK_MAC_SIZE);
	if (interface->adopt)
		memcpy(card->plugged_mac, wanted, NETWORK_MAC_SIZE);
	return 0;
}

/* A card that is down gets the address that it will be found by. */
static int adopt_down(struct network_card *card, const Cay__Vminitd__V1__Interface *interface,
		      struct netlink *netlink, struct cay_error *err)
{
	const struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = card->index };
	bool changed = false;
	int r = set_mac(card, interface, &changed, err);

	if (r < 0 || !changed)
		return r;
	netlink_put(netlink, "setting the card's address", RTM_NEWLINK, 0, &header, sizeof(header));
	netlink_put_attribute(netlink, IFLA_ADDRESS, card->mac, sizeof(card->mac));
	return netlink_send(netlink, err);
}

static int bring_up(struct network_card *card, const Cay__Vminitd__V1__Interface *interface,
		    struct netlink *netlink, struct cay_error *err)
{
	bool new_mac = false;
	int r = set_mac(card, interface, &new_mac, err);

	if (r == 0)
		r = set_autoconfiguration(card, interface, err);
	if (r < 0)
		return r;
	card->configured = true;
	put_flags(netlink, LOOPBACK_INDEX, IFF_UP);
	put_link(card, interface->mtu, new_mac, netlink);
	r = put_addresses(card, interface, netlink, err);
	if (r == 0)
		r = netlink_send(netlink, err);
	card->guest->loopback_up |= r == 0;
	if (r < 0 || !interface->dhcp)
		return r;
	free(card->hostname);
	free(card->resolv_conf);
	card->hostname = *interface->hostname ? xstrdup(interface->hostname) : NULL;
	card->resolv_conf = *interface->resolv_conf ? xstrdup(interface->resolv_conf) : NULL;
	if (card->resolv_conf)
		r = make_resolv_conf(card->resolv_conf, err);
	return r < 0 ? r : dhcp_start(card, &card->dhcp, err);
}

static int configure(struct guest *guest, const Cay__Vminitd__V1__Interface *interface,
		     struct netlink *netlink, struct cay_error *err)
{
	struct network_card *card = NULL;
	int r = card_get(guest, netlink->fd, interface->mac.data, &card, err);

	if (r == 0 && (card->configured || interface->down))
		r = take_down(card, netlink, err);
	if (r == 0 && interface->down && interface->adopt)
		r = adopt_down(card, interface, netlink, err);
	if (r < 0 || interface->down)
		return r;
	r = rename_card(card, interface->name, netlink, err);
	if (r == 0)
		r = bring_up(card, interface, netlink, err);
	if (r < 0)
		(void)take_down(card, netlink, NULL); /* half of an address is worse than none */
	return r;
}

int network_configure(struct guest *guest, const Cay__Vminitd__V1__Interface *interface,
		      struct cay_error *err)
{
	struct netlink netlink;
	int r;

	if (interface->mac.len != NETWORK_MAC_SIZE)
		return cay_error_set(err, CAY_INVALID, EINVAL, "an interface needs its address");
	if (*interface->name == '\0' || strlen(interface->name) >= IFNAMSIZ)
		return cay_error_set(err, CAY_INVALID, EINVAL, "\"%s\" is no interface's name",
				     interface->name);
	r = netlink_open(&netlink, err);
	if (r < 0)
		return r;
	r = configure(guest, interface, &netlink, err);
	netlink_close(&netlink);
	network_answer_waits(guest);
	return r < 0 ? cay_error_prefix(err, "%s", interface->name) : 0;
}
