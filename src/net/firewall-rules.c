/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firewall's rules, as constant nftables text.
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
#include "net/firewall-rules.h"

/* nft 1.0.6 has no name for the target of neighbour discovery: @th,64,128. */
const struct set_row firewall_frame_sets[] = {
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
static_assert(ARRAY_SIZE(firewall_frame_sets) == FRAME_SET_COUNT, "every set has a row");

const struct set_row firewall_packet_sets[] = {
	[TAPS] = { "set", "taps", "type ifname" },
	[BRIDGES] = { "set", "bridges", "type ifname" },
	[SAME] = { "set", "same", "type ifname . ifname" }, /* in and out by the same bridge */
	[MEMBERS4] = { "set", "members4", "type ifname . ipv4_addr" },
	[MEMBERS6] = { "set", "members6", "type ifname . ipv6_addr" },
	[INTERNALS] = { "set", "internals", "type ifname" },
	[MASQUERADED] = { "set", "masqueraded", "type ifname" },
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
static_assert(ARRAY_SIZE(firewall_packet_sets) == PACKET_SET_COUNT, "every set has a row");

/*
 * What a frame from a guest may be. Neighbour discovery in fragments is nobody's need (RFC 6980).
 * A first fragment may hide what it is by ending before its upper header does (RFC 7112): a rule
 * that asks for a field which is not there does not match, so such a packet passes none of the
 * rules that accept. Later fragments, which are nothing without the first, go another way: what
 * is loaded as their upper header is not there.
 *
 * Clouds serve secrets about the host: all of them at 169.254.169.254, and Alibaba's at
 * 100.100.100.200, Azure's wire server at 168.63.129.16; over IPv6 Amazon's at fd00:ec2::254,
 * Google's at fd20:ce::254, Oracle's at fd00:c1::a9fe:a9fe and OpenStack's at fe80::a9fe:a9fe.
 *
 * $link is the guest's card: where a frame comes in by from a tap, and goes out by from a macvtap.
 */
const char firewall_frame_rules[] = "\
	chain guest {\n\
		$link . ether saddr != @macs drop\n\
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
		$link . arp saddr ether != @macs drop\n\
		arp operation request arp saddr ip 0.0.0.0 accept\n\
		$link . arp saddr ip @sources4 accept\n\
		$link @free4 arp saddr ip != @protected4 accept\n\
		drop\n\
	}\n\
	chain guest_ip4 {\n\
		udp sport 67 drop\n\
		icmp type { redirect, router-advertisement } drop\n\
		$link != @metadata ip daddr { 169.254.0.0/16, 100.100.100.200, 168.63.129.16 } drop\n\
		$link . ip saddr @sources4 accept\n\
		$link @free4 ip saddr != @protected4 accept\n\
		drop\n\
	}\n\
	chain guest_ip6 {\n\
		$link != @metadata ip6 daddr { fd00:ec2::254, fd20:ce::254, fd00:c1::a9fe:a9fe, \
fe80::a9fe:a9fe } drop\n\
		frag frag-off > 0 goto guest_source6\n\
		icmpv6 type { nd-router-advert, nd-redirect, router-renumbering } drop\n\
		exthdr frag exists icmpv6 type 133-136 drop\n\
		icmpv6 type nd-neighbor-advert $link . @th,64,128 != @targets6 \
$link . @th,128,64 != @target_suffixes6 drop\n\
		ip6 saddr :: goto guest_unaddressed\n\
		icmpv6 type != 255 goto guest_source6\n\
		udp sport != 547 goto guest_source6\n\
		meta l4proto { icmpv6, udp } drop\n\
		goto guest_source6\n\
	}\n\
	chain guest_source6 {\n\
		meta l4proto != 255 $link . ip6 saddr @sources6 accept\n\
		meta l4proto != 255 $link . @nh,128,64 @suffixes6 accept\n\
		drop\n\
	}\n\
	chain guest_unaddressed {\n\
		icmpv6 type nd-neighbor-solicit $link . @th,64,128 @targets6 accept\n\
		icmpv6 type nd-neighbor-solicit $link . @th,128,64 @target_suffixes6 accept\n\
		icmpv6 type { nd-router-solicit, mld-listener-report, mld-listener-done, \
mld2-listener-report } accept\n\
		drop\n\
	}\n";

/*
 * Before the bridge learns, forwards or delivers anything; and on its way to a guest. Which groups
 * somebody listens to is told to routers and switches. The host tells it to each new port of a
 * bridge, and a guest would take the message apart in the middle of its start.
 */
const char firewall_bridge_hooks[] = "\
	chain prerouting {\n\
		type filter hook prerouting priority -300; policy accept;\n\
		iifname @links goto guest\n\
	}\n\
	chain postrouting {\n\
		type filter hook postrouting priority 300; policy accept;\n\
		icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } \
oifname @links drop\n\
		igmp type { membership-report-v1, membership-report-v2, membership-report-v3, \
leave-group } oifname @links drop\n\
	}\n";

/*
 * What is routed. "entering" is about packets to our networks, "leaving" about packets from them.
 * Where bridged packets are shown to the IP hooks (br_netfilter, which Docker loads), they come in
 * and go out by the same bridge, as do those that a published port turns around. The latter must
 * come back through the host; postrouting is not told by which link bridged ones came in, so that
 * it is their source that says so.
 *
 * A packet that comes in by a tap itself, not by the tap's bridge, is one that was sent to an
 * address which no bridge forwards (01:80:c2:00:00:03 and its like): the kernel takes those from
 * the bridge before any of its hooks sees them. Nobody asked who sent it, so nobody gets it; before
 * connections are tracked, to leave no trace.
 */
const char firewall_packet_rules[] = "\
	chain past_bridge {\n\
		type filter hook prerouting priority -310; policy accept;\n\
		iifname @taps drop\n\
	}\n\
	chain prerouting {\n\
		type nat hook prerouting priority dstnat; policy accept;\n\
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
		meta l4proto tcp reject with tcp reset\n\
		reject with icmpx admin-prohibited\n\
	}\n";
