/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's network interfaces, as the host tells them: found by the address
 * that the card was plugged in with, named, given their addresses and routes,
 * or left to DHCP. Nothing here is done before the host asks for it.
 */
#pragma once

#include "base/error.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <vminitd.pb-c.h>

enum { NETWORK_MAC_SIZE = 6, NETWORK_CARDS_MAX = 16 };

struct dhcp;
struct guest;
struct rpc_call;

/* One that the host has spoken of. */
struct network_card {
	TAILQ_ENTRY(network_card) link;
	struct guest *guest;
	uint8_t plugged_mac[NETWORK_MAC_SIZE]; /* how the host names it */
	uint8_t mac[NETWORK_MAC_SIZE];         /* what it uses */
	int index;
	char name[IFNAMSIZ];
	bool configured; /* something was set up that has to be taken away */
	char *resolv_conf, *hostname;
	struct dhcp *dhcp; /* NULL: none */
};
TAILQ_HEAD(network_card_list, network_card);

struct network_wait;
TAILQ_HEAD(network_wait_list, network_wait);

/* Sets up, or down, one interface. Blocks for as long as the kernel needs. */
int network_configure(struct guest *guest, const Cay__Vminitd__V1__Interface *interface,
		      struct cay_error *err);

/* What a lease says, put into force or, with NULL, taken away; and told to the host. */
struct dhcp_lease;
void network_apply_lease(struct network_card *card, const struct dhcp_lease *old,
			 const struct dhcp_lease *lease);

/* Answers a WaitNetwork call when no interface waits for a lease, or after the time. */
void network_wait(struct guest *guest, struct rpc_call *call, uint32_t timeout_ms);
