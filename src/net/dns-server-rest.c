/* SPDX-License-Identifier: Apache-2.0 */
/* Which servers are worth asking: not those that kept silent lately, and never ourselves. */
#include "net/dns-server-internal.h"

static bool same_endpoint(const struct dns_endpoint *a, const struct dns_endpoint *b)
{
	return a->port == b->port && a->scope == b->scope &&
		net_address_equal(&a->address, &b->address);
}

/* Its entry, or else the one that ends first. */
static struct dns_rest *find_entry(struct dns_server *server, const struct dns_endpoint *endpoint)
{
	struct dns_rest *found = &server->rests[0];

	for (size_t i = 0; i < ARRAY_SIZE(server->rests); i++) {
		struct dns_rest *rest = &server->rests[i];

		if (same_endpoint(&rest->server, endpoint))
			return rest;
		if (rest->until_ms < found->until_ms)
			found = rest;
	}
	return found;
}

void dns_rest_begin(struct dns_server *server, const struct dns_endpoint *endpoint)
{
	*find_entry(server, endpoint) = (struct dns_rest){
		.server = *endpoint,
		.until_ms = server->now_ms + DNS_SERVER_REST_MS,
	};
}

void dns_rest_end(struct dns_server *server, const struct dns_endpoint *endpoint)
{
	struct dns_rest *rest = find_entry(server, endpoint);

	if (same_endpoint(&rest->server, endpoint))
		rest->until_ms = 0;
}

static bool rests(const struct dns_server *server, const struct dns_endpoint *endpoint)
{
	for (size_t i = 0; i < ARRAY_SIZE(server->rests); i++)
		if (server->rests[i].until_ms > server->now_ms &&
		    same_endpoint(&server->rests[i].server, endpoint))
			return true;
	return false;
}

static bool is_us(const struct dns_server *server, const struct dns_endpoint *endpoint)
{
	return (endpoint->port ? endpoint->port : DNS_PORT) == server->port &&
		dns_address_is_ours(server, &endpoint->address);
}

void dns_rest_sort(const struct dns_server *server, struct dns_upstreams *servers)
{
	struct dns_upstreams fresh = { .count = 0 }, resting = { .count = 0 };

	for (size_t i = 0; i < servers->count; i++) {
		const struct dns_endpoint *endpoint = &servers->items[i];

		if (!is_us(server, endpoint))
			dns_upstreams_add(rests(server, endpoint) ? &resting : &fresh, endpoint);
	}
	for (size_t i = 0; i < resting.count; i++)
		dns_upstreams_add(&fresh, &resting.items[i]);
	*servers = fresh;
}
