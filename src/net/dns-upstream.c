/* SPDX-License-Identifier: Apache-2.0 */
/* Servers' addresses as people write them. */
#include "net/dns-upstream.h"

#include <errno.h>
#include <net/if.h>

static int parse_zone(const char *text, const char *zone, uint32_t *ret_scope,
		      struct cay_error *err)
{
	uint64_t number;

	if (parse_u64(zone, UINT32_MAX, &number) < 0)
		number = if_nametoindex(zone);
	if (number == 0)
		return cay_error_set(err, CAY_INVALID, ENODEV,
				     "DNS server %s: this host has no interface \"%s\"", text,
				     zone);
	*ret_scope = (uint32_t)number;
	return 0;
}

int dns_endpoint_parse(const char *text, struct dns_endpoint *ret_endpoint, struct cay_error *err)
{
	struct dns_endpoint endpoint = { .port = 0 };
	struct str zone, plain = str_split(str_from(text), '%', &zone);
	_cleanup_free_ char *address = str_dup(plain);
	int r = net_address_parse(address, &endpoint.address, err);

	if (r < 0)
		return cay_error_prefix(err, "DNS server");
	if (strchr(text, '%')) {
		if (endpoint.address.family != AF_INET6)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "DNS server %s: only IPv6 addresses have a zone",
					     text);
		r = parse_zone(text, zone.data, &endpoint.scope, err);
		if (r < 0)
			return r;
	}
	*ret_endpoint = endpoint;
	return 0;
}

void dns_upstreams_add(struct dns_upstreams *list, const struct dns_endpoint *endpoint)
{
	if (list->count < ARRAY_SIZE(list->items))
		list->items[list->count++] = *endpoint;
}
