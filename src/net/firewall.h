/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firewall of a daemon: what containers may send, and who may reach them,
 * as nftables rules in tables of the daemon's own. What is known of networks
 * and endpoints is kept in memory, so that the whole rule set can be made anew
 * at any time: a thread listens for changes of it by others and puts it back.
 *
 * Every call is one nftables transaction, and takes effect whole or not at all;
 * it blocks for the kernel, some milliseconds. All calls may be made from any
 * thread. The rules stay when the struct is freed: containers outlive daemons.
 */
#pragma once

#include "net/address.h"

#include <net/if.h>

enum { FIREWALL_TAG_LENGTH = 8, FIREWALL_PORTS_MAX = 65536 };

/* A network, as far as the firewall sees it; a value that is copied. */
struct net_network {
	char link[IFNAMSIZ];            /* its bridge, or the parent of a LAN network */
	bool lan;                       /* on a physical link: macvtaps and no gateway of ours */
	struct net_address gateways[2]; /* the host's IPv4 and IPv6 address on it; unset: none */
	bool internal;                  /* no way out or in but from the host */
	bool no_masquerade;             /* containers' own addresses are seen outside */
	bool metadata;                  /* what clouds tell their machines may be reached */
};

/* A host's port that leads to a container's. */
struct net_port {
	struct net_address host; /* 0.0.0.0 and :: stand for all addresses of their family */
	uint8_t protocol;        /* IPPROTO_TCP, IPPROTO_UDP */
	uint16_t host_port;
	uint16_t port; /* the container's */
};

/* A container's card on a network. */
struct net_endpoint {
	char link[IFNAMSIZ];    /* its tap or macvtap; need not exist yet if it is a tap */
	char network[IFNAMSIZ]; /* the link of its network */
	struct net_mac mac;
	struct net_address addresses[2]; /* IPv4 and IPv6; unset: none, or by the LAN's DHCP */
	bool host_gateway;               /* may reach every port of the host on the gateway */
	/* Copied. A port whose family the container has no address of is left to the relay. */
	const struct net_port *ports;
	size_t port_count;
};

struct firewall;

/* `tag` is FIREWALL_TAG_LENGTH lower-case hexadecimal digits: the tables are "cay_<tag>". */
int firewall_new(const char *tag, struct firewall **ret, struct cay_error *err);
/* Stops watching. The rules stay. */
void firewall_free(struct firewall *firewall);
DEFINE_CLEANUP(struct firewall *, firewall_free);

/*
 * Loads all that was added so far, in place of what an earlier daemon with this tag left, and
 * watches from then on. Until then the functions below only take notes.
 */
int firewall_start(struct firewall *firewall, struct cay_error *err);
/* Takes the daemon's tables and its rules in others' chains away, and stops watching. */
int firewall_destroy(struct firewall *firewall, struct cay_error *err);

/* One that is known by this link is replaced. */
int firewall_add_network(struct firewall *firewall, const struct net_network *network,
			 struct cay_error *err);
/* With its endpoints. One that is not known is success. */
int firewall_remove_network(struct firewall *firewall, const char *link, struct cay_error *err);
/*
 * One that is known by this link is replaced: that is how ports and addresses change. The network
 * must be known (CAY_NOT_FOUND). CAY_CONFLICT where the link is known with another MAC: then it is
 * another card, whose rules must stay. CAY_EXISTS where a port leads to another container already.
 * A macvtap must exist.
 */
int firewall_add_endpoint(struct firewall *firewall, const struct net_endpoint *endpoint,
			  struct cay_error *err);
/* One that is not known is success. */
int firewall_remove_endpoint(struct firewall *firewall, const char *link, struct cay_error *err);
