/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of DHCP as RFC 2131 draws it (figure 5), without I/O and
 * without a clock: it is told what came and what time it is, and says what to
 * send, how long to wait and what became of the lease.
 *
 * Left out: INIT-REBOOT, as nothing outlives the guest, and the probe of a
 * fresh address, which would hold up every start by seconds; servers make it.
 */
#pragma once

#include "guest/dhcp-message.h"

enum dhcp_state {
	DHCP_INIT,
	DHCP_SELECTING,
	DHCP_REQUESTING,
	DHCP_BOUND,
	DHCP_RENEWING,
	DHCP_REBINDING,
};

struct dhcp_lease {
	struct in_addr address, router, server;
	unsigned int prefix;
	struct in_addr dns[DHCP_SERVERS_MAX];
	size_t dns_count;
	char domain[DHCP_DOMAIN_MAX + 1];
	uint32_t seconds; /* UINT32_MAX: for ever */
};

enum dhcp_change {
	DHCP_NO_CHANGE,
	DHCP_GAINED, /* a first or another lease; one that was only renewed unaltered is none */
	DHCP_LOST,
};

/* What to do after something was told to the machine. */
struct dhcp_step {
	bool send;
	bool unicast; /* to the lease's server from its address; else a broadcast from 0.0.0.0 */
	struct dhcp_message message;
	int64_t wait_ms; /* until dhcp_machine_timeout(), if nothing comes; -1: for ever */
	enum dhcp_change change;
	/* Of a change, the lease before; its address is 0 where there was none. */
	struct dhcp_lease before;
};

struct dhcp_machine {
	enum dhcp_state state;
	uint8_t mac[DHCP_MAC_SIZE];
	char hostname[DHCP_HOSTNAME_MAX + 1];
	uint32_t transaction;
	unsigned int tries;
	int64_t began_ms;
	struct dhcp_message offer; /* in REQUESTING */
	struct dhcp_lease lease;   /* from BOUND on; the address is 0 else */
	int64_t renew_ms, rebind_ms, expire_ms;
	uint64_t random; /* the state of a small generator, of which RFC 2131 wants jitter */
};

void dhcp_machine_init(struct dhcp_machine *machine, const uint8_t mac[DHCP_MAC_SIZE],
		       const char *hostname, uint64_t seed);
void dhcp_machine_start(struct dhcp_machine *machine, int64_t now_ms, struct dhcp_step *ret_step);
void dhcp_machine_timeout(struct dhcp_machine *machine, int64_t now_ms, struct dhcp_step *ret_step);
/* False: the message was not for this machine in this state, and nothing has changed. */
bool dhcp_machine_receive(struct dhcp_machine *machine, const struct dhcp_message *message,
			  int64_t now_ms, struct dhcp_step *ret_step);
/* Gives the lease back, if there is one. */
void dhcp_machine_release(struct dhcp_machine *machine, int64_t now_ms, struct dhcp_step *ret_step);
