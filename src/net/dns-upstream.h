/* SPDX-License-Identifier: Apache-2.0 */
/* The servers that questions are handed on to. */
#pragma once

#include "base/buf.h"
#include "net/address.h"

enum {
	DNS_PORT = 53,
	DNS_UPSTREAMS_MAX = 6, /* servers of one client; resolv.conf(5) knows three */
};

struct dns_endpoint {
	struct net_address address;
	uint32_t scope; /* interface index of a link-local address, else 0 */
	uint16_t port;  /* 0 stands for 53 */
};

struct dns_upstreams {
	struct dns_endpoint items[DNS_UPSTREAMS_MAX];
	size_t count;
};

/*
 * "1.1.1.1", "fd00::1", "fe80::1%eth0", as in resolv.conf; the zone may be a number. CAY_INVALID
 * for all else, also for a zone that is no interface of this host.
 */
int dns_endpoint_parse(const char *text, struct dns_endpoint *ret_endpoint, struct cay_error *err);
/* Appends while there is room. */
void dns_upstreams_add(struct dns_upstreams *list, const struct dns_endpoint *endpoint);
