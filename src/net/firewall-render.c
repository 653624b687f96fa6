/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firewall as nftables text, a pure function of what is known (and of which macvtaps are
 * there).
 *
 * The rules themselves never change; what networks and endpoints contribute are
 * elements of sets and maps, so that adding a container is a transaction of a
 * dozen elements however many others there are. There are three tables:
 *
 * - "bridge": what a frame from a tap may say about its sender, before the
 *   bridge does anything with it. The sets are keyed by the tap's name, so that
 *   each guest has its own MAC and addresses and no others.
 * - "netdev": the same for macvtaps, which are on no bridge, where they hand
 *   frames to the physical link. A base chain for each, as the hook is one
 *   of a device's (Linux 5.16 for this direction).
 * - "inet": what may be routed from, to and between networks, what of the host a
 *   guest may reach, and the translation of addresses.
 *
 * All of it fails closed where it can: a frame is accepted by the rule that
 * knows it, and dropped at the end of its chain.
 */
#include "net/firewall-internal.h"

#include "base/id.h"

#include <linux/in.h>
#include <string.h>

enum family { BRIDGE, NETDEV, INET, FAMILY_COUNT };
static const char *const family_names[] = { "bridge", "netdev", "inet" };
static_assert(ARRAY_SIZE(family_names) == FAMILY_COUNT, "every family has a name");

/* Of frames: the same sets in the tables for taps and for macvtaps. */
enum frame_set {
	LINKS,
	MACS,
	SOURCES4,
	SOURCES6,
	TARGETS6, /* what a guest may say it is in neighbour discovery */
	/* Of guests on a LAN whose addresses are its router's to give. */
	FREE4,
	PROTECTED4,
	SUFFIXES6,
	TARGET_SUFFIXES6,
	METADATA,
	FRAME_SET_COUNT,
};

enum packet_set {
	BRIDGES,
	SAME,
	MEMBERS4,
	MEMBERS6,
	INTERNALS,
	MASQUERADED,
	OPEN_METADATA,
	GATEWAYS4,
	GATEWAYS6,
	TRUSTED4,
	TRUSTED6,
	PORTS4,
	PORTS6,
	ANY_PORTS4,
	ANY_PORTS6,
	PACKET_SET_COUNT,
};

struct set_row {
	const char *kind;
	const char *name;
	const char *type;
};

/* nft 1.0.6 has no name for the target of neighbour discovery: @th,64,128. */
static const struct set_row frame_sets[] = {
	[LINKS] = { "set", "links", "type ifname" },
	[MACS] = { "set", "macs", "type ifname . ether_addr" },
	[SOURCES4] = { "set", "sources4", "type ifname . ipv4_addr" },
	[SOURCES6] = { "set", "sources6", "type ifname . ipv6_addr" },
	[TARGETS6] = { "set", "targets6", "typeof iifname . @th,64,128" },
	[FREE4] = { "set", "free4", "type ifname" },
	[PROTECTED4] = { "set", "protected4", "type ipv4_addr" },
	/* The last 64 bits of source and target: EUI-64s, whatever the prefix is. */
	[SUFFIXES6] = { "set", "suffixes6", "typeof iifname . @nh,128,64" },
	[TARGET_SUFFIXES6] = { "set", "target_suffixes6", "typeof iifname . @th,128,64" },
	[METADATA] = { "set", "metadata", "type ifname" },
};
static_assert(ARRAY_SIZE(frame_sets) == FRAME_SET_COUNT, "every set has a row");

static const struct set_row packet_sets[] = {
	[BRIDGES] = { "set", "bridges", "type ifname" },
	[SAME] = { "set", "same", "type ifname . ifname" }, /* in and out by the same bridge */
	[MEMBERS4] = { "set", "members4", "type ifname . ipv4_addr" },
	[MEMBERS6] = { "set", "members6", "type ifname . ipv6_addr" },
	[INTERNALS] = { "set", "internals", "type ifname" },
	[MASQUERADED] = { "set", "masqueraded", "type ifname" },
	[OPEN_METADATA] = { "set", "metadata", "type ifname" },
	[GATEWAYS4] = { "set", "gateways4", "type ifname . ipv4_addr" },
	[GATEWAYS6] = { "set", "gateways6", "type ifname . ipv6_addr" },
	[TRUSTED4] = { "set", "trusted4", "type ifname . ipv4_addr" },
	[TRUSTED6] = { "set", "trusted6", "type ifname . ipv6_addr" },
	[PORTS4] = { "map", "ports4",
		     "type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service" },
	[PORTS6] = { "map", "ports6",
		     "type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service" },
	[ANY_PORTS4] = { "map", "any_ports4",
			 "type inet_proto . inet_service : ipv4_addr . inet_service" },
	[ANY_PORTS6] = { "map", "any_ports6",
			 "type inet_proto . inet_service : ipv6_addr . inet_service" },
};
static_assert(ARRAY_SIZE(packet_sets) == PACKET_SET_COUNT, "every set has a row");

/*
 * What a frame from a guest may be. Neighbour discovery in fragments is nobody's need (RFC 6980).
 * A first fragment may hide what it is by ending before its upper header does (RFC 7112): a rule
 * that asks for a field which is not there does not match, so such a packet passes none of the
 * rules that accept; later fragments are nothing without the first.
 */
static const char frame_rules[] = "\
	chain guest {\n\
		iifname . ether saddr != @macs drop\n\
		ether type arp goto guest_arp\n\
		ether type ip goto guest_ip4\n\
		ether type ip6 goto guest_ip6\n\
		drop\n\
	}\n\
	chain guest_arp {\n\
		arp htype != 1 drop\n\
		arp ptype != ip drop\n\
		arp hlen != 6 drop\n\
		arp plen != 4 drop\n\
		arp operation != { request, reply } drop\n\
		iifname . arp saddr ether != @macs drop\n\
		arp operation request arp saddr ip 0.0.0.0 accept\n\
		iifname . arp saddr ip @sources4 accept\n\
		iifname @free4 arp saddr ip != @protected4 accept\n\
		drop\n\
	}\n\
	chain guest_ip4 {\n\
		udp sport 67 drop\n\
		icmp type { redirect, router-advertisement } drop\n\
		iifname != @metadata ip daddr 169.254.0.0/16 drop\n\
		iifname . ip saddr @sources4 accept\n\
		iifname @free4 ip saddr != @protected4 accept\n\
		drop\n\
	}\n\
	chain guest_ip6 {\n\
		iifname != @metadata ip6 daddr fd00:ec2::254 drop\n\
		frag frag-off > 0 goto guest_source6\n\
		udp sport 547 drop\n\
		icmpv6 type { nd-router-advert, nd-redirect, router-renumbering } drop\n\
		exthdr frag exists icmpv6 type 133-136 drop\n\
		icmpv6 type nd-neighbor-advert iifname . @th,64,128 != @targets6 \
iifname . @th,128,64 != @target_suffixes6 drop\n\
		ip6 saddr :: goto guest_unaddressed\n\
		icmpv6 type != 255 goto guest_source6\n\
		udp sport != 547 goto guest_source6\n\
		meta l4proto { icmpv6, udp } drop\n\
		goto guest_source6\n\
	}\n\
	chain guest_source6 {\n\
		meta l4proto != 255 iifname . ip6 saddr @sources6 accept\n\
		meta l4proto != 255 iifname . @nh,128,64 @suffixes6 accept\n\
		drop\n\
	}\n\
	chain guest_unaddressed {\n\
		icmpv6 type nd-neighbor-solicit iifname . @th,64,128 @targets6 accept\n\
		icmpv6 type nd-neighbor-solicit iifname . @th,128,64 @target_suffixes6 accept\n\
		icmpv6 type { nd-router-solicit, mld-listener-report, mld-listener-done, \
mld2-listener-report } accept\n\
		drop\n\
	}\n";

/* Before the bridge learns, forwards or delivers anything. */
static const char bridge_hook[] = "\
	chain prerouting {\n\
		type filter hook prerouting priority -300; policy accept;\n\
		iifname @links goto guest\n\
	}\n";

/*
 * What is routed. "entering" is about packets to our networks, "leaving" about packets from them.
 * Where bridged packets are shown to the IP hooks (br_netfilter, which Docker loads), they come in
 * and go out by the same bridge, as do those that a published port turns around. The latter must
 * come back through the host; postrouting is not told by which link bridged ones came in, so that
 * it is their source that says so.
 */
static const char packet_rules[] = "\
	chain prerouting {\n\
		type nat hook prerouting priority dstnat; policy accept;\n\
		iifname \"lo\" accept\n\
		dnat ip to ip daddr . meta l4proto . th dport map @ports4\n\
		dnat ip6 to ip6 daddr . meta l4proto . th dport map @ports6\n\
		fib daddr type local dnat ip to meta l4proto . th dport map @any_ports4\n\
		fib daddr type local dnat ip6 to meta l4proto . th dport map @any_ports6\n\
	}\n\
	chain postrouting {\n\
		type nat hook postrouting priority srcnat; policy accept;\n\
		ct status dnat oifname . ip saddr @members4 masquerade\n\
		ct status dnat oifname . ip6 saddr @members6 masquerade\n\
		iifname @masqueraded oifname != @bridges masquerade\n\
	}\n\
	chain forward {\n\
		type filter hook forward priority filter; policy accept;\n\
		iifname . oifname @same accept\n\
		iifname @bridges goto leaving\n\
		oifname @bridges goto entering\n\
	}\n\
	chain leaving {\n\
		iifname != @metadata ip daddr 169.254.0.0/16 drop\n\
		iifname != @metadata ip6 daddr { fe80::/10, fd00:ec2::254 } drop\n\
		iifname @internals drop\n\
		oifname @bridges goto entering\n\
		ct state invalid drop\n\
		accept\n\
	}\n\
	chain entering {\n\
		oifname @internals drop\n\
		ct state established,related accept\n\
		ct status dnat accept\n\
		drop\n\
	}\n\
	chain input {\n\
		type filter hook input priority filter; policy accept;\n\
		iifname @bridges goto guest\n\
	}\n\
	chain guest {\n\
		ct state established,related accept\n\
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n\
		iifname . ip daddr @gateways4 goto guest_to_gateway\n\
		iifname . ip6 daddr @gateways6 goto guest_to_gateway\n\
		goto refuse\n\
	}\n\
	chain guest_to_gateway {\n\
		meta l4proto { tcp, udp } th dport 53 accept\n\
		icmp type echo-request accept\n\
		icmpv6 type echo-request accept\n\
		iifname . ip saddr @trusted4 accept\n\
		iifname . ip6 saddr @trusted6 accept\n\
		goto refuse\n\
	}\n\
	chain refuse {\n\
		meta pkttype { broadcast, multicast } drop\n\
		meta l4proto tcp reject with tcp reset\n\
		reject with icmpx admin-prohibited\n\
	}\n";

/* Where elements go: to one text for each set, or to a command for each element. */
struct sink {
	struct buf *frames[2]; /* by family, FRAME_SET_COUNT each; NULL: write commands */
	struct buf *packets;   /* PACKET_SET_COUNT */
	struct buf *commands;
	const char *table;
	enum firewall_verb verb;
};

static void put_element(struct sink *sink, struct buf *list, const char *family,
			const struct set_row *row, const char *format, va_list args)
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
	put_element(sink, lists ? &lists[set] : NULL, family_names[family], &frame_sets[set],
		    format, args);
	va_end(args);
}

cay_printf(3, 4) static void packet_element(struct sink *sink, enum packet_set set,
					    const char *format, ...)
{
	va_list args;

	va_start(args, format);
	put_element(sink, sink->packets ? &sink->packets[set] : NULL, family_names[INET],
		    &packet_sets[set], format, args);
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
	if (network->metadata)
		packet_element(sink, OPEN_METADATA, "\"%s\"", link);
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
	render_sets(frame_sets, frames[BRIDGE], FRAME_SET_COUNT, out);
	buf_printf(out, "%s%s}\n", frame_rules, bridge_hook);
	render_table("netdev", state->table, out);
	render_sets(frame_sets, frames[NETDEV], FRAME_SET_COUNT, out);
	buf_puts(out, frame_rules);
	for (size_t i = 0; i < state->endpoint_count; i++)
		if (has_macvtap(state, &state->endpoints[i]))
			render_macvtap_hook(&state->endpoints[i], out);
	buf_puts(out, "}\n");
	render_table("inet", state->table, out);
	render_sets(packet_sets, packets, PACKET_SET_COUNT, out);
	buf_printf(out, "%s}\n", packet_rules);
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
