/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which subnet a new network gets, and which address of it a new container. The
 * choices are pure functions over what is taken; what the host takes is read
 * by subnet_host_taken().
 */
#pragma once

#include "net/address.h"

struct subnet_set { /* prefixes and addresses in use */
	struct net_prefix *items;
	size_t count;
};
void subnet_set_done(struct subnet_set *set);
#define _cleanup_subnet_set_ _cleanup_(subnet_set_done)
void subnet_set_add(struct subnet_set *set, const struct net_prefix *prefix);

/*
 * Adds what the host has a route to (default routes aside) or an address in, of both families and
 * all routing tables.
 */
int subnet_host_taken(struct subnet_set *set, struct cay_error *err);

/*
 * Waits for the lock that daemons hold on this host while they choose subnets and make the bridges
 * that take them; close *ret_fd to let it go. Blocks.
 */
int subnet_lock(int *ret_fd, struct cay_error *err);

/* A random /48 of fd00::/8 (RFC 4193) that a root keeps; its networks get /64 parts of it. */
struct net_prefix subnet_random_ula(void);

/*
 * The first free IPv4 subnet of 172.17-31.0.0/16, 192.168.0.0/16 by /20, 10.64.0.0/10 by /24.
 * CAY_NO_SPACE when none is free.
 */
int subnet_choose_ipv4(const struct subnet_set *taken, struct net_prefix *ret,
		       struct cay_error *err);
/* The first free /64 of the root's ULA prefix. */
int subnet_choose_ipv6(const struct subnet_set *taken, const struct net_prefix *ula,
		       struct net_prefix *ret, struct cay_error *err);
/* CAY_CONFLICT, saying with what, where `subnet` overlaps something in the set. */
int subnet_check_free(const struct net_prefix *subnet, const struct subnet_set *taken,
		      struct cay_error *err);
/*
 * Whether a network can live in it: its host bits are clear, it has room for a gateway and a
 * container (IPv4 at most /30, IPv6 at most /126), is no loopback, link-local, multicast or
 * unspecified one. CAY_INVALID.
 */
int subnet_check(const struct net_prefix *subnet, struct cay_error *err);

/*
 * The first free address of `range` (a part of the subnet; unset: all of it) at or after `after`
 * (unset: from the start), then from the start of the range. Never the subnet's own and its
 * broadcast address. CAY_NO_SPACE when all are taken.
 */
int subnet_allocate(const struct net_prefix *subnet, const struct net_prefix *range,
		    const struct net_address *after, const struct net_address *taken, size_t count,
		    struct net_address *ret, struct cay_error *err);
/* Whether a container or gateway may have this address: CAY_INVALID with the reason if not. */
int subnet_check_address(const struct net_prefix *subnet, const struct net_address *address,
			 struct cay_error *err);
