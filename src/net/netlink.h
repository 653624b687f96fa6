/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's links, addresses, routes and forwarding entries over rtnetlink
 * (rtnetlink(7), linux/if_link.h), by libmnl. A struct netlink is one socket in
 * the network namespace of the thread that opened it; it is used by one thread
 * at a time. Every call is one request and its answer, and blocks only for
 * that. Errors name the link or address and carry the kernel's own words
 * (extended acknowledgements) where it has some.
 */
#pragma once

#include "net/address.h"

#include <net/if.h>

struct netlink;

int netlink_open(struct netlink **ret, struct cay_error *err);
void netlink_close(struct netlink *netlink); /* takes NULL */
DEFINE_CLEANUP(struct netlink *, netlink_close);
#define _cleanup_netlink_ _cleanup_(netlink_close_p)

enum { NETLINK_KIND_MAX = 16, NETLINK_ALIAS_MAX = 256 };

struct netlink_link {
	unsigned int index;
	char name[IFNAMSIZ];
	char kind[NETLINK_KIND_MAX];   /* "bridge", "tun", "macvtap"…; "" for hardware */
	char alias[NETLINK_ALIAS_MAX]; /* IFLA_IFALIAS, "" for none */
	struct net_mac mac;
	uint32_t mtu;
	unsigned int master; /* 0: none */
	unsigned int lower;  /* the parent of a macvtap and its like; 0: none */
	bool up;             /* administratively */
	bool loopback;
};

struct netlink_links {
	struct netlink_link *items;
	size_t count;
};
void netlink_links_done(struct netlink_links *links);
#define _cleanup_netlink_links_ _cleanup_(netlink_links_done)

/* All links of the namespace. */
int netlink_link_list(struct netlink *netlink, struct netlink_links *ret, struct cay_error *err);
/* CAY_NOT_FOUND (-ENODEV) where there is none of this name. */
int netlink_link_find(struct netlink *netlink, const char *name, struct netlink_link *ret,
		      struct cay_error *err);

/* What netlink_link_create() and _change() set; zero or NULL members are left as they are. */
struct netlink_settings {
	const struct net_mac *mac;
	const char *alias;
	const char *rename; /* the link is down */
	uint32_t mtu;
	unsigned int master;
	bool no_master; /* takes it out of its bridge */
	bool up, down;
	bool all_multicast;     /* it takes groups that it has not joined */
	bool no_arp;            /* the host neither asks nor answers on it */
	bool no_ipv6_addresses; /* the kernel gives it no link-local address of its own */
};

/*
 * Makes a link: kind "bridge" (no STP, no multicast snooping, no forwarding delay), "macvtap"
 * (bridge mode, on `lower`), or another that needs no more than its name. CAY_EXISTS where the name
 * is taken.
 */
int netlink_link_create(struct netlink *netlink, const char *kind, const char *name,
			unsigned int lower, const struct netlink_settings *settings,
			struct cay_error *err);
/* `name` is for the error's text alone. */
int netlink_link_change(struct netlink *netlink, unsigned int index, const char *name,
			const struct netlink_settings *settings, struct cay_error *err);
int netlink_link_delete(struct netlink *netlink, unsigned int index, const char *name,
			struct cay_error *err);
/*
 * The outcome of a call about a link that may be gone already: -ENODEV, with its error, becomes
 * success.
 */
int netlink_allow_absent(int r, struct cay_error *err);

/*
 * How a bridge treats the port `index`: nothing is learned from what it sends, unknown unicast is
 * not flooded to it, where `isolated`, it can't talk to other isolated ports, and, where `hairpin`,
 * a frame may leave by the port that it came in by.
 */
int netlink_port_restrict(struct netlink *netlink, unsigned int index, const char *name,
			  bool isolated, bool hairpin, struct cay_error *err);
/* Tells the bridge for good which MAC is behind the port; it goes with the port. */
int netlink_port_station(struct netlink *netlink, unsigned int index, const char *name,
			 const struct net_mac *mac, struct cay_error *err);

struct netlink_address {
	struct net_prefix prefix;
	unsigned int index; /* the link's */
};
struct netlink_addresses {
	struct netlink_address *items;
	size_t count;
};
void netlink_addresses_done(struct netlink_addresses *addresses);
#define _cleanup_netlink_addresses_ _cleanup_(netlink_addresses_done)

/* Of one link, or of all where index is 0. */
int netlink_address_list(struct netlink *netlink, unsigned int index, struct netlink_addresses *ret,
			 struct cay_error *err);
/* Without duplicate address detection. One that is there already is success. */
int netlink_address_add(struct netlink *netlink, unsigned int index, const char *name,
			const struct net_prefix *prefix, struct cay_error *err);
/* One that is not there is success. */
int netlink_address_remove(struct netlink *netlink, unsigned int index, const char *name,
			   const struct net_prefix *prefix, struct cay_error *err);

struct netlink_route {
	struct net_prefix destination; /* a default route has 0 bits */
	struct net_address gateway;    /* not set: directly on the link */
	unsigned int index;            /* the link's; 0 where there is none or there are several */
	uint32_t table;                /* RT_TABLE_MAIN… */
	uint8_t type;                  /* RTN_UNICAST… */
};
struct netlink_routes {
	struct netlink_route *items;
	size_t count;
};
void netlink_routes_done(struct netlink_routes *routes);
#define _cleanup_netlink_routes_ _cleanup_(netlink_routes_done)

/* Of all tables, both families. */
int netlink_route_list(struct netlink *netlink, struct netlink_routes *ret, struct cay_error *err);
