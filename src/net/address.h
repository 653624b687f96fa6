/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IPv4 and IPv6 addresses, prefixes (an address and the length of its network)
 * and MAC addresses as plain values: they are copied by assignment and compared
 * by these functions. Nothing here blocks, allocates or resolves names.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct net_address {
	uint8_t family;    /* AF_INET, AF_INET6, or 0: no address */
	uint8_t bytes[16]; /* network order; IPv4 uses the first four, the rest are zero */
};

struct net_prefix {
	struct net_address address; /* host bits may be set: "172.18.0.1/16" */
	uint8_t bits;
};

struct net_mac {
	uint8_t bytes[6];
};

enum { NET_ADDRESS_TEXT_MAX = 46, NET_PREFIX_TEXT_MAX = 50, NET_MAC_TEXT_MAX = 18 };

/*
 * "10.0.0.1", "fd00::1"; zones ("%eth0"), brackets and the short IPv4 forms of inet_aton() are
 * refused, as are IPv4-mapped IPv6 addresses. CAY_INVALID; the message quotes the text.
 */
int net_address_parse(const char *text, struct net_address *ret, struct cay_error *err);
/* "" for no address. */
void net_address_format(const struct net_address *address, char ret_text[NET_ADDRESS_TEXT_MAX]);
/* The family's bits: 32, 128, or 0 for no address. */
unsigned int net_address_bits(const struct net_address *address);
bool net_address_equal(const struct net_address *a, const struct net_address *b);
/* Orders by family, then by value: negative, 0, positive, for qsort(). */
int net_address_compare(const struct net_address *a, const struct net_address *b);
static inline bool net_address_is_set(const struct net_address *address)
{
	return address->family != 0;
}
bool net_address_is_unspecified(const struct net_address *address); /* 0.0.0.0, :: */
bool net_address_is_loopback(const struct net_address *address);    /* 127.0.0.0/8, ::1 */
bool net_address_is_link_local(const struct net_address *address);  /* 169.254.0.0/16, fe80::/10 */
bool net_address_is_multicast(const struct net_address *address);   /* 224.0.0.0/4, ff00::/8 */
/* From and to the kernel's forms. The first gives no address for a family it does not know. */
struct net_address net_address_from_sockaddr(const struct sockaddr *from);
struct net_address net_address_from_bytes(int family, const void *bytes);
/* Returns the length to give to bind() and connect(). The address must be set. */
socklen_t net_address_to_sockaddr(const struct net_address *address, uint16_t port,
				  struct sockaddr_storage *ret);

/* "172.18.0.0/16", "fd00::/64": the "/BITS" must be there. Host bits are kept. CAY_INVALID. */
int net_prefix_parse(const char *text, struct net_prefix *ret, struct cay_error *err);
/* "" for none. */
void net_prefix_format(const struct net_prefix *prefix, char ret_text[NET_PREFIX_TEXT_MAX]);
/* The same prefix with its host bits cleared: the network. */
struct net_prefix net_prefix_network(const struct net_prefix *prefix);
bool net_prefix_equal(const struct net_prefix *a, const struct net_prefix *b);
bool net_prefix_contains(const struct net_prefix *prefix, const struct net_address *address);
/* Whether all of `inner` lies in `outer`. */
bool net_prefix_covers(const struct net_prefix *outer, const struct net_prefix *inner);
bool net_prefix_overlaps(const struct net_prefix *a, const struct net_prefix *b);
/* The n-th address of the network (0 is its own); false beyond its end. */
bool net_prefix_nth(const struct net_prefix *prefix, uint64_t n, struct net_address *ret);
/* Its last address: the broadcast address of an IPv4 network. */
struct net_address net_prefix_last(const struct net_prefix *prefix);
/* How many addresses it holds, UINT64_MAX where that is too small a number. */
uint64_t net_prefix_size(const struct net_prefix *prefix);
/* The address after this one; false at the end of its family. */
bool net_address_next(const struct net_address *address, struct net_address *ret);

/* "02:42:ac:11:00:02", also with '-'. CAY_INVALID. */
int net_mac_parse(const char *text, struct net_mac *ret, struct cay_error *err);
void net_mac_format(const struct net_mac *mac, char ret_text[NET_MAC_TEXT_MAX]);
bool net_mac_equal(const struct net_mac *a, const struct net_mac *b);
/* Whether it can be a station's address: not multicast and not all zero. */
bool net_mac_is_unicast(const struct net_mac *mac);
/* A random, locally administered one: 02:.. */
struct net_mac net_mac_random(void);
/* The locally administered one that always belongs to this text (a name, an id). */
struct net_mac net_mac_from_text(const char *text);
/* fe80::/64 with the EUI-64 of this MAC (RFC 4291, appendix A). */
struct net_address net_mac_link_local(const struct net_mac *mac);
