/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's ends of a VM's network cards, as descriptors that QEMU takes over
 * (-netdev tap,fds=…): taps on a network's bridge and macvtaps on a
 * physical link. A tap goes away with its last descriptor; a macvtap stays
 * until it is removed. All calls act in the network namespace of the calling
 * thread, and may be made from any thread.
 */
#pragma once

#include "net/address.h"

enum { TAP_QUEUES_MAX = 16 };

/*
 * Makes a new tap with virtio-net headers and `queues` descriptors (1..TAP_QUEUES_MAX; CLOEXEC
 * and non-blocking, as QEMU wants them) in ret_fds. It is down and on no bridge.
 * CAY_EXISTS where the name is taken.
 */
int tap_open(const char *name, unsigned int queues, int *ret_fds, struct cay_error *err);

/* Gives a tap that is down another name. CAY_EXISTS where that is taken. */
int tap_rename(const char *from, const char *to, struct cay_error *err);

struct tap_port {
	const char *name;   /* the tap's */
	const char *bridge; /* the link it joins */
	struct net_mac mac; /* the guest's: the only one that the bridge sends to this port */
	uint32_t mtu;       /* 0: the bridge's */
	bool isolated;      /* its neighbours on the bridge can't be reached, the host can */
};

/*
 * Puts the tap onto the bridge, from whichever it was on, and sets it up; the host has neither ARP
 * nor IPv6 on it. The firewall must know the endpoint by then. Fails with CAY_NOT_FOUND where tap
 * or bridge is missing.
 */
int tap_attach(const struct tap_port *port, struct cay_error *err);
/* Takes it off its bridge and down. One that is not there is success. */
int tap_detach(const char *name, struct cay_error *err);

/*
 * A macvtap in bridge mode on the link `parent`, with the guest's own MAC; mtu 0 takes the
 * parent's. It is down until macvtap_open(). CAY_EXISTS where the name is taken.
 */
int macvtap_create(const char *name, const char *parent, const struct net_mac *mac, uint32_t mtu,
		   struct cay_error *err);
/* Opens its queues, as tap_open() does, and sets it up. Needs CAP_SYS_ADMIN and Linux 5.2. */
int macvtap_open(const char *name, unsigned int queues, int *ret_fds, struct cay_error *err);
/* One that is not there is success; a link that is no macvtap is CAY_CONFLICT. */
int macvtap_remove(const char *name, struct cay_error *err);
