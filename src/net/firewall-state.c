/* SPDX-License-Identifier: Apache-2.0 */
/* What the firewall knows of networks and endpoints. */
#include "net/firewall-internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

void firewall_state_done(struct firewall_state *state)
{
	for (size_t i = 0; i < state->endpoint_count; i++)
		free((void *)(uintptr_t)state->endpoints[i].ports);
	free(state->endpoints);
	free(state->networks);
	*state = (struct firewall_state){ 0 };
}

struct net_network *firewall_state_network(const struct firewall_state *state, const char *link)
{
	for (size_t i = 0; i < state->network_count; i++)
		if (strcmp(state->networks[i].link, link) == 0)
			return &state->networks[i];
	return NULL;
}

struct net_endpoint *firewall_state_endpoint(const struct firewall_state *state, const char *link)
{
	for (size_t i = 0; i < state->endpoint_count; i++)
		if (strcmp(state->endpoints[i].link, link) == 0)
			return &state->endpoints[i];
	return NULL;
}

void firewall_state_put_network(struct firewall_state *state, const struct net_network *network)
{
	struct net_network *old = firewall_state_network(state, network->link);

	if (old) {
		*old = *network;
		return;
	}
	state->networks =
		xreallocarray(state->networks, state->network_count + 1, sizeof(*state->networks));
	state->networks[state->network_count++] = *network;
}

void firewall_state_drop_network(struct firewall_state *state, const char *link)
{
	struct net_network *old = firewall_state_network(state, link);

	if (old)
		*old = state->networks[--state->network_count];
}

void firewall_state_drop_endpoint(struct firewall_state *state, const char *link)
{
	struct net_endpoint *old = firewall_state_endpoint(state, link);

	if (!old)
		return;
	free((void *)(uintptr_t)old->ports);
	*old = state->endpoints[--state->endpoint_count];
}

void firewall_state_put_endpoint(struct firewall_state *state, const struct net_endpoint *endpoint)
{
	struct net_endpoint copy = *endpoint;

	copy.ports = endpoint->port_count > 0
		? xmemdup(endpoint->ports, endpoint->port_count * sizeof(*endpoint->ports))
		: NULL;
	firewall_state_drop_endpoint(state, endpoint->link);
	state->endpoints = xreallocarray(state->endpoints, state->endpoint_count + 1,
					 sizeof(*state->endpoints));
	state->endpoints[state->endpoint_count++] = copy;
}

static bool same_host_port(const struct net_port *a, const struct net_port *b)
{
	return a->host_port == b->host_port && a->protocol == b->protocol &&
		net_address_equal(&a->host, &b->host);
}

/* Another endpoint that has this port of the host, or NULL. */
static const struct net_endpoint *port_owner(const struct firewall_state *state,
					     const struct net_port *port, const char *except)
{
	for (size_t i = 0; i < state->endpoint_count; i++) {
		const struct net_endpoint *other = &state->endpoints[i];

		if (strcmp(other->link, except) == 0)
			continue;
		for (size_t j = 0; j < other->port_count; j++)
			if (same_host_port(&other->ports[j], port))
				return other;
	}
	return NULL;
}

static int check_ports(const struct firewall_state *state, const struct net_endpoint *endpoint,
		       struct cay_error *err)
{
	char text[NET_ADDRESS_TEXT_MAX];

	if (endpoint->port_count > FIREWALL_PORTS_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG,
				     "more than %d ports are published on one network card",
				     FIREWALL_PORTS_MAX);
	for (size_t i = 0; i < endpoint->port_count; i++) {
		const struct net_port *port = &endpoint->ports[i];
		bool taken = port_owner(state, port, endpoint->link) != NULL;

		for (size_t j = 0; j < i && !taken; j++)
			taken = same_host_port(&endpoint->ports[j], port);
		net_address_format(&port->host, text);
		if (taken)
			return cay_error_set(err, CAY_EXISTS, EADDRINUSE,
					     "the host's port %s %u/%s is published already", text,
					     port->host_port,
					     port->protocol == IPPROTO_UDP ? "udp" : "tcp");
	}
	return 0;
}

int firewall_state_check_endpoint(const struct firewall_state *state,
				  const struct net_endpoint *endpoint, struct cay_error *err)
{
	const struct net_endpoint *known = firewall_state_endpoint(state, endpoint->link);

	if (!firewall_state_network(state, endpoint->network))
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT,
				     "the firewall knows no network on the link %s",
				     endpoint->network);
	if (known && !net_mac_equal(&known->mac, &endpoint->mac))
		return cay_error_set(err, CAY_CONFLICT, EBUSY,
				     "the firewall knows the link %s as another container's",
				     endpoint->link);
	return check_ports(state, endpoint, err);
}
