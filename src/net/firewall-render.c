/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firewall as nftables text, a pure function of what is known (and of which
 * macvtaps are there): sets' elements, either those of one network or endpoint,
 * for a small transaction, or all of them with the rules around, for one that
 * makes everything anew.
 */
#include "net/firewall-internal.h"
#include "net/firewall-rules.h"

#include "base/id.h"

#include <linux/in.h>
#include <string.h>

static const char *const family_names[] = { "bridge", "netdev", "inet" };
static_assert(ARRAY_SIZE(family_names) == FAMILY_COUNT, "every family has a name");

/* Where elements go: to one text for each set, or to a command for each element. */
struct sink {
	struct buf *frames[2]; /* by family, FRAME_SET_COUNT each; NULL: write commands */
	struct buf *packets;   /* PACKET_SET_COUNT */
	struct buf *commands;
	const char *table;
	enum firewall_verb verb;
};

cay_printf(5, 0) static void put_element(struct sink *sink, struct buf *list, const char *family,
					 const struct set_row *row, const char *format,
					 va_list args)
{
	if (list) {
		buf_puts(list, list->length > 0 ? ",\n\t\t\t" : "");
		buf_vprintf(list, format, args);
		return;
	}
	buf_printf(sink->commands, "%s element %s %s %s { ",
		   sink->verb == FIREWALL_ADD ? "add" : "delete", family, sink->table, row->name);
	buf_vprintf(sink->commands, format, args);
	buf_puts(sink->commands, " }\n");
}

cay_printf(4, 5) static void frame_element(struct sink *sink, enum family family,
					   enum frame_set set, const char *format, ...)
{
	struct buf *lists = sink->frames[family];
	va_list args;

	va_start(args, format);
	put_element(sink, lists ? &lists[set] : NULL, family_names[family],
		    &firewall_frame_sets[set], format, args);
	va_end(args);
}

cay_printf(3, 4) static void packet_element(struct sink *sink, enum packet_set set,
					    const char *format, ...)
{
	va_list args;

	va_start(args, format);
	put_element(sink, sink->packets ? &sink->packets[set] : NULL, family_names[INET],
		    &firewall_packet_sets[set], format, args);
	va_end(args);
}

static void network_elements(struct sink *sink, const struct net_network *network)
{
	const char *link = network->link;

	if (network->lan)
		return; /* the host routes nothing for it */
	packet_element(sink, BRIDGES, "\"%s\"", link);
	packet_element(sink, SAME, "\"%s\" . \"%s\"", link, link);
	if (network->internal)
		packet_element(sink, INTERNALS, "\"%s\"", link);
	else if (!network->no_masquerade)
		packet_element(sink, MASQUERADED, "\"%s\"", link);
	for (size_t i = 0; i < ARRAY_SIZE(network->gateways); i++) {
		const struct net_address *gateway = &network->gateways[i];
		char text[NET_ADDRESS_TEXT_MAX];

		net_address_format(gateway, text);
		if (gateway->family)
			packet_element(sink, gateway->family == AF_INET ? GATEWAYS4 : GATEWAYS6,
				       "\"%s\" . %s", link, text);
	}
}

static const struct net_address *address_of(const struct net_endpoint *endpoint, int family)
{
	for (size_t i = 0; i < ARRAY_SIZE(endpoint->addresses); i++)
		if (endpoint->addresses[i].family == family)
			return &endpoint->addresses[i];
	return NULL;
}

static void source6_elements(struct sink *sink, enum family family, const char *link,
			     const struct net_address *address)
{
	char text[NET_ADDRESS_TEXT_MAX], hex[2 * sizeof(address->bytes) + 1];

	net_address_format(address, text);
	hex_encode(address->bytes, sizeof(address->bytes), hex);
	frame_element(sink, family, SOURCES6, "\"%s\" . %s", link, text);
	frame_element(sink, family, TARGETS6, "\"%s\" . 0x%s", link, hex);
}

/* What the guest's frames may say about their sender. */
static void frame_elements(struct sink *sink, const struct net_network *network,
			   const struct net_endpoint *endpoint)
{
	const enum family family = network->lan ? NETDEV : BRIDGE;
	const struct net_address local = net_mac_link_local(&endpoint->mac);
	const struct net_address *v4 = address_of(endpoint, AF_INET);
	const struct net_address *v6 = address_of(endpoint, AF_INET6);
	const char *link = endpoint->link;
	char text[NET_ADDRESS_TEXT_MAX];

	net_mac_format(&endpoint->mac, text);
	if (family == BRIDGE)
		frame_element(sink, family, LINKS, "\"%s\"", link);
	frame_element(sink, family, MACS, "\"%s\" . %s", link, text);
	if (v4) {
		net_address_format(v4, text);
		frame_element(sink, family, SOURCES4, "\"%s\" . %s", link, text);
	} else if (network->lan) {
		frame_element(sink, family, FREE4, "\"%s\"", link);
	}
	source6_elements(sink, family, link, &local);
	if (v6) {
		source6_elements(sink, family, link, v6);
	} else if (network->lan) {
		hex_encode(local.bytes + 8, 8, text);
		frame_element(sink, family, SUFFIXES6, "\"%s\" . 0x%s", link, text);
		frame_element(sink, family, TARGET_SUFFIXES6, "\"%s\" . 0x%s", link, text);
	}
	if (network->metadata)
		frame_element(sink, family, METADATA, "\"%s\"", link);
}

static void port_element(struct sink *sink, const struct net_endpoint *endpoint,
			 const struct net_port *port)
{
	const struct net_address *target = address_of(endpoint, port->host.family);
	const char *protocol = port->protocol == IPPROTO_UDP ? "udp" : "tcp";
	const bool v4 = port->host.family == AF_INET;
	char host[NET_ADDRESS_TEXT_MAX], text[NET_ADDRESS_TEXT_MAX];

	/* Loopback addresses are reached by the host alone, and so by the relay. */
	if (!target || net_address_is_loopback(&port->host))
		return;
	net_address_format(target, text);
	net_address_format(&port->host, host);
	if (net_address_is_unspecified(&port->host))
		packet_element(sink, v4 ? ANY_PORTS4 : ANY_PORTS6, "%s . %u : %s . %u", protocol,
			       port->host_port, text, port->port);
	else
		packet_element(sink, v4 ? PORTS4 : PORTS6, "%s . %s . %u : %s . %u", host, protocol,
			       port->host_port, text, port->port);
}

static void endpoint_elements(struct sink *sink, const struct net_network *network,
			      const struct net_endpoint *endpoint)
{
	frame_elements(sink, network, endpoint);
	if (network->lan)
		return;
	packet_element(sink, TAPS, "\"%s\"", endpoint->link);
	for (size_t i = 0; i < ARRAY_SIZE(endpoint->addresses); i++) {
		const struct net_address *address = &endpoint->addresses[i];
		char text[NET_ADDRESS_TEXT_MAX];

		if (!address->family)
			continue;
		net_address_format(address, text);
		packet_element(sink, address->family == AF_INET ? MEMBERS4 : MEMBERS6,
			       "\"%s\" . %s", network->link, text);
		if (endpoint->host_gateway)
			packet_element(sink, address->family == AF_INET ? TRUSTED4 : TRUSTED6,
				       "\"%s\" . %s", network->link, text);
	}
	for (size_t i = 0; i < endpoint->port_count; i++)
		port_element(sink, endpoint, &endpoint->ports[i]);
}

/* A macvtap's way out: where it hands its guest's frames to the parent. */
static void render_macvtap_hook(const struct net_endpoint *endpoint, struct buf *out)
{
	buf_printf(out,
		   "\tchain %s {\n"
		   "\t\ttype filter hook egress device \"%s\" priority filter; policy drop;\n"
		   "\t\tgoto guest\n"
		   "\t}\n",
		   endpoint->link, endpoint->link);
}

static void render_sets(const struct set_row *rows, struct buf *lists, size_t count,
			struct buf *out)
{
	for (size_t i = 0; i < count; i++) {
		buf_printf(out, "\t%s %s {\n\t\t%s\n", rows[i].kind, rows[i].name, rows[i].type);
		if (lists[i].length > 0)
			buf_printf(out, "\t\telements = { %s }\n", buf_text(&lists[i]));
		buf_puts(out, "\t}\n");
		buf_done(&lists[i]);
	}
}

static void render_frame_rules(const char *link, struct buf *out)
{
	static const char mark[] = "$link";
	const char *at = firewall_frame_rules, *next;

	for (; (next = strstr(at, mark)) != NULL; at = next + strlen(mark)) {
		buf_append(out, at, (size_t)(next - at));
		buf_puts(out, link);
	}
	buf_puts(out, at);
}

static void render_table(const char *family, const char *table, struct buf *out)
{
	/* Added first, so that there is one to delete: all of it is one transaction. */
	buf_printf(out, "add table %s %s\ndelete table %s %s\ntable %s %s {\n", family, table,
		   family, table, family, table);
}

/* A hook needs its device; a macvtap that is gone sends nothing. */
static bool has_macvtap(const struct firewall_state *state, const struct net_endpoint *endpoint)
{
	return firewall_state_network(state, endpoint->network)->lan &&
		if_nametoindex(endpoint->link) != 0;
}

void firewall_render(const struct firewall_state *state, struct buf *out)
{
	struct buf frames[2][FRAME_SET_COUNT] = { 0 }, packets[PACKET_SET_COUNT] = { 0 };
	struct sink sink = { .frames = { frames[BRIDGE], frames[NETDEV] }, .packets = packets };

	for (size_t i = 0; i < state->network_count; i++)
		network_elements(&sink, &state->networks[i]);
	for (size_t i = 0; i < state->endpoint_count; i++)
		endpoint_elements(&sink, firewall_state_network(state, state->endpoints[i].network),
				  &state->endpoints[i]);
	for (size_t i = 0; i < state->protected_count; i++) {
		char text[NET_ADDRESS_TEXT_MAX];

		net_address_format(&state->protected[i], text);
		frame_element(&sink, NETDEV, PROTECTED4, "%s", text);
	}
	render_table("bridge", state->table, out);
	render_sets(firewall_frame_sets, frames[BRIDGE], FRAME_SET_COUNT, out);
	render_frame_rules("iifname", out);
	buf_printf(out, "%s}\n", firewall_bridge_hooks);
	render_table("netdev", state->table, out);
	render_sets(firewall_frame_sets, frames[NETDEV], FRAME_SET_COUNT, out);
	render_frame_rules("oifname", out);
	for (size_t i = 0; i < state->endpoint_count; i++)
		if (has_macvtap(state, &state->endpoints[i]))
			render_macvtap_hook(&state->endpoints[i], out);
	buf_puts(out, "}\n");
	render_table("inet", state->table, out);
	render_sets(firewall_packet_sets, packets, PACKET_SET_COUNT, out);
	buf_printf(out, "%s}\n", firewall_packet_rules);
}

void firewall_render_removal(const struct firewall_state *state, struct buf *out)
{
	for (size_t i = 0; i < FAMILY_COUNT; i++)
		buf_printf(out, "add table %s %s\ndelete table %s %s\n", family_names[i],
			   state->table, family_names[i], state->table);
}

void firewall_render_network(const struct firewall_state *state, enum firewall_verb verb,
			     const struct net_network *network, struct buf *out)
{
	struct sink sink = { .commands = out, .table = state->table, .verb = verb };

	network_elements(&sink, network);
}

void firewall_render_endpoint(const struct firewall_state *state, enum firewall_verb verb,
			      const struct net_endpoint *endpoint, struct buf *out)
{
	const struct net_network *network = firewall_state_network(state, endpoint->network);
	struct sink sink = { .commands = out, .table = state->table, .verb = verb };

	endpoint_elements(&sink, network, endpoint);
}
