/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a running container has of the networks: the cards of its VM with the
 * endpoints behind them, and the ports of the host that lead to it. It is made
 * before the shim starts, goes into the sandbox's configuration, and is read
 * from there again by a later daemon.
 */
#pragma once

#include "daemon/networks.h"
#include "net/firewall.h"
#include "sandbox/config.h"

/* One card of the VM; its place among the others is its number in the guest: eth0, eth1. */
struct placement_card {
	enum sandbox_interface_kind kind;
	char device[IFNAMSIZ]; /* the host's end; "": passt's */
	struct net_mac mac;    /* as the VM was started with; the guest may use another */
	/* Under the table's lock. */
	struct endpoint *endpoint; /* in the table; NULL: free */
};

struct placement {
	struct container *container; /* a reference */
	struct placement_card *cards;
	size_t card_count;
	size_t card_max; /* that the VM has slots for, beside its disks */
	struct net_port *ports;
	size_t port_count;
	struct endpoint *publisher; /* the ports lead to it; NULL: nowhere. In the table */
	bool announced;             /* clients were told of its networks */
};

/*
 * Before a start: makes the endpoints active, with addresses, ports and their rules in the
 * firewall, and adds interfaces and ports to the configuration. On failure nothing is left.
 */
int networks_place(struct networks *networks, struct container *container,
		   struct sandbox_config *config, struct cay_error *err);
/* After the end, or for a start that failed: takes it all back. Not placed is fine. */
void networks_unplace(struct networks *networks, struct container *container);
/* For one that was found running, from its shim.json. Faults are logged. */
void networks_take_up(struct networks *networks, struct container *container);
/*
 * Puts the taps of containers that were taken up back where they belong: their bridges may have
 * been gone, and a connect or disconnect may have been cut short. Faults are logged.
 */
void networks_mend_taps(struct networks *networks);
/* The LAN told the guest's DHCP client an address, or took it back (""). */
void networks_learn_address(struct networks *networks, struct container *container, const char *mac,
			    const char *address, const char *gateway);

void placement_free(struct placement *placement);

/* With the table's lock held: takes it over. */
void placement_insert(struct networks *networks, struct placement *placement);
/* With the table's lock held: the card is free from now on, and ports don't lead to it. */
void placement_release(struct placement *placement, struct placement_card *card);

/* With the table's lock held: that of a container, borrowed; NULL where it does not run. */
struct placement *placement_find(const struct networks *networks,
				 const struct container *container);

/*
 * Calls `each` with the table's lock held for the ports of a running container, in the order in
 * which they were asked for.
 */
void networks_each_port(struct networks *networks, const struct container *container,
			void (*each)(const struct net_port *port, void *user), void *user);

/* With the table's lock held: the endpoint that has the default route of a family, or NULL. */
struct endpoint *placement_choose_main(const struct networks *networks,
				       const struct placement *placement, unsigned int family);
/* The same among those on bridges. */
struct endpoint *placement_choose_bridged(const struct networks *networks,
					  const struct placement *placement, unsigned int family);
/* With the table's lock held: the card behind which an endpoint is, or NULL. */
struct placement_card *placement_find_card(const struct placement *placement,
					   const struct endpoint *endpoint);
/*
 * Tells the firewall of a card's endpoint; `make`: makes the link on the host first, where that is
 * not the shim's to do.
 */
int placement_admit(struct networks *networks, const struct placement *placement,
		    const struct placement_card *card, bool make, struct cay_error *err);
/* Takes both back; failures are logged. */
void placement_expel(struct networks *networks, const struct placement_card *card);

/* placement-ports.c */
/*
 * With the table's lock held: the endpoint that published ports lead to, or NULL. It is never one
 * on a LAN, which this host doesn't reach.
 */
struct endpoint *placement_choose_publisher(const struct networks *networks,
					    const struct placement *placement);
/*
 * With the table's lock held: the ports that the firewall shall lead to the endpoint, in an array
 * of the caller's. Those of a family whose default route another endpoint has are left to the
 * shim's relay: answers to strangers' addresses would leave by the other card.
 */
size_t placement_routed_ports(const struct networks *networks, const struct placement *placement,
			      const struct endpoint *endpoint, struct net_port **ret_ports);
/*
 * Chooses the host's ports of a container that is about to start: those that were asked for, else
 * free ones. With the table's lock held.
 */
int placement_choose_ports(const struct networks *networks, struct placement *placement,
			   struct cay_error *err);

/*
 * For a running container whose published ports lead nowhere, since the network that they led to
 * is gone: leads them to another one, or has the relay refuse them. Call with `work` held, without
 * the table's lock; the shim is called. Faults are logged.
 */
void placement_lead_ports(struct networks *networks, struct placement *placement);

/* placement-config.c */
/* Adds an endpoint's interface to the configuration. `main` of either family has its route. */
void placement_add_interface(struct sandbox_config *config, const struct placement_card *card,
			     const struct network *network, const struct endpoint *endpoint,
			     const struct endpoint *const mains[NETWORK_FAMILIES]);
/* A card that waits for a network. */
void placement_add_spare(struct sandbox_config *config, const struct placement_card *card);
/*
 * The cards that networks_place() gives to the VM of a container on the default network alone: what
 * they are, and not whose.
 */
void networks_add_usual_cards(struct networks *networks, struct sandbox_config *config);
void placement_add_ports(struct sandbox_config *config, const struct placement *placement);
/* Into the configuration's container: hosts and resolv.conf. */
void networks_add_files(struct networks *networks, const struct container *container,
			struct sandbox_config *config);
