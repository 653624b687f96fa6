/* SPDX-License-Identifier: Apache-2.0 */
/* The DHCP client of one interface: dhcp-machine.h with a socket and a timer. */
#pragma once

#include "guest/dhcp-machine.h"

#include "base/error.h"

struct dhcp;
struct network_card;

/*
 * Begins to ask for a lease; the interface must be up. What comes of it goes to
 * network_apply_lease(). A failure to begin leaves nothing.
 */
int dhcp_start(struct network_card *card, struct dhcp **ret_dhcp, struct cay_error *err);
/* Gives the lease back to the server and takes it from the interface; frees. NULL is allowed. */
void dhcp_stop(struct dhcp *dhcp);
/* The lease, or NULL while there is none. */
const struct dhcp_lease *dhcp_current(const struct dhcp *dhcp);
