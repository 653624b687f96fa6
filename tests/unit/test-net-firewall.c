/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firewall with real packets: guests that lie about who they are, that try
 * what they should not reach, ports that are published, and rules that
 * somebody flushes. Needs root.
 */
#include "net-guests.h"

#include "base/clock.h"

static struct world {
	struct firewall *firewall;
	int host, outside;
	struct guest a1, a2, b1, internal;
} world;

static void make_network(const char *bridge, const char *gateway4, const char *gateway6,
			 bool internal)
{
	struct net_network network = { .internal = internal };
	struct bridge_spec spec = { .name = bridge, .owner = OWNER, .internal = internal };
	struct cay_error err = { 0 };

	assert_ok(net_prefix_parse(gateway4, &spec.gateways[0], &err));
	assert_ok(net_prefix_parse(gateway6, &spec.gateways[1], &err));
	assert_ok(bridge_ensure(&spec, &err));
	(void)snprintf(network.link, sizeof(network.link), "%s", bridge);
	for (size_t i = 0; i < 2; i++)
		network.gateways[i] = spec.gateways[i].address;
	assert_ok(firewall_add_network(world.firewall, &network, &err));
}

static void add_guest(const struct guest *guest)
{
	const struct net_endpoint endpoint = endpoint_of(guest);
	struct cay_error err = { 0 };

	assert_ok(firewall_add_endpoint(world.firewall, &endpoint, &err));
}

/* Whether the IP hooks see bridged packets, as they do where Docker has loaded br_netfilter. */
static void set_bridge_netfilter(bool on)
{
	char command[256];

	(void)snprintf(command, sizeof(command),
		       "for f in iptables ip6tables; do p=/proc/sys/net/bridge/bridge-nf-call-$f;"
		       "[ ! -e $p ] || echo %d >$p; done",
		       on);
	shell(command);
}

static int make_world(void **state)
{
	struct cay_error err = { 0 };
	char command[256];

	set_bridge_netfilter(false);
	world.host = open_space();
	world.outside = make_space();
	assert_ok(firewall_new(TAG, &world.firewall, &err));
	/* Some before the start and some after, as in a daemon that finds running containers. */
	make_network("cayba", "172.30.0.1/24", "fd00:a::1/64", false);
	world.a1 = make_guest("cayta1", "cayba", 1, "172.30.0.2", "fd00:a::2", "172.30.0.1",
			      "fd00:a::1");
	add_guest(&world.a1);
	assert_ok(firewall_start(world.firewall, &err));
	make_network("caybb", "172.31.0.1/24", "fd00:b::1/64", false);
	make_network("caybi", "172.29.0.1/24", "fd00:c::1/64", true);
	world.a2 = make_guest("cayta2", "cayba", 2, "172.30.0.3", "fd00:a::3", "172.30.0.1",
			      "fd00:a::1");
	world.b1 = make_guest("caytb1", "caybb", 3, "172.31.0.2", "fd00:b::2", "172.31.0.1",
			      "fd00:b::1");
	world.internal = make_guest("caytc1", "caybi", 4, "172.29.0.2", "fd00:c::2", "172.29.0.1",
				    "fd00:c::1");
	add_guest(&world.a2);
	add_guest(&world.b1);
	add_guest(&world.internal);
	(void)snprintf(command, sizeof(command),
		       "ip link set lo up; ip link add uplink type veth peer name eth0 netns "
		       "/proc/%d/fd/%d && ip link set uplink up && ip addr add 10.99.0.1/24 dev "
		       "uplink && ip addr add fd00:99::1/64 dev uplink nodad",
		       (int)getpid(), world.outside);
	shell(command);
	/* The outside knows the way to the containers: it is the host that must not let it in. */
	shell_in(
		world.outside,
		"ip link set eth0 up && ip addr add 10.99.0.2/24 dev eth0 &&"
		"ip addr add fd00:99::2/64 dev eth0 nodad &&"
		"ip addr add 169.254.169.254/32 dev eth0 &&"
		"ip route add 172.16.0.0/12 via 10.99.0.1 && ip route add fd00::/16 via fd00:99::1");
	shell("ip route add 169.254.169.254/32 dev uplink");
	return 0;
}

static int end_world(void **state)
{
	struct cay_error err = { 0 };

	assert_ok(firewall_destroy(world.firewall, &err));
	firewall_free(world.firewall);
	assert_false(shell_says("nft list ruleset", "cay"));
	return 0;
}

/* Whether a frame of the first guest comes to its neighbour. */
static void expect(const char *what, bool passes, struct frame frame)
{
	send_frame(&world.a1, &frame);
	if (sees(world.a2.packet, &frame, passes ? 1000 : 30) != passes)
		fail_msg("%s was %s", what, passes ? "dropped" : "let through");
}

#define ME    (&world.a1.mac)
#define OTHER (&world.a2.mac)

static void test_arp(void **state)
{
	static const struct net_mac forged = { { 2, 0, 0, 0, 0, 99 } };
	struct frame odd = frame_arp(ME, 1, ME, "172.30.0.2", "172.30.0.3");

	expect("an honest request", true, frame_arp(ME, 1, ME, "172.30.0.2", "172.30.0.3"));
	expect("an honest reply", true, frame_arp(ME, 2, ME, "172.30.0.2", "172.30.0.3"));
	expect("a probe", true, frame_arp(ME, 1, ME, "0.0.0.0", "172.30.0.2"));
	expect("the gateway's address", false, frame_arp(ME, 2, ME, "172.30.0.1", "172.30.0.3"));
	expect("the neighbour's address", false, frame_arp(ME, 1, ME, "172.30.0.3", "172.30.0.1"));
	expect("a reply from nowhere", false, frame_arp(ME, 2, ME, "0.0.0.0", "172.30.0.3"));
	expect("another sender inside", false, frame_arp(ME, 1, OTHER, "172.30.0.2", "172.30.0.3"));
	expect("another sender outside", false,
	       frame_arp(&forged, 1, ME, "172.30.0.2", "172.30.0.3"));
	expect("RARP's operation", false, frame_arp(ME, 3, ME, "172.30.0.2", "172.30.0.3"));
	odd.bytes[15] = 6; /* not of Ethernet */
	expect("another hardware type", false, odd);
	odd = frame_arp(ME, 1, ME, "172.30.0.2", "172.30.0.3");
	odd.bytes[16] = 0x86; /* not of IPv4 */
	expect("another protocol", false, odd);
	odd = frame_arp(ME, 1, ME, "172.30.0.2", "172.30.0.3");
	odd.bytes[18] = 8;
	expect("another hardware address length", false, odd);
	odd = frame_arp(ME, 1, ME, "172.30.0.2", "172.30.0.3");
	odd.bytes[19] = 16;
	expect("another address length", false, odd);
}

static void test_frames(void **state)
{
	static const struct net_mac forged = { { 2, 0, 0, 0, 0, 99 } };
	struct frame tagged = frame_start(OTHER, ME, 0x8100),
		     other = frame_start(OTHER, ME, 0x88b5),
		     bpdu = frame_start(&(struct net_mac){ { 1, 0x80, 0xc2 } }, ME, 38),
		     inner = frame_udp4(OTHER, ME, "172.30.0.2", "172.30.0.3", 1000, 2000);

	expect("an honest packet", true, inner);
	expect("another MAC", false,
	       frame_udp4(OTHER, &forged, "172.30.0.2", "172.30.0.3", 1000, 2000));
	expect("the neighbour's MAC", false,
	       frame_udp4(OTHER, OTHER, "172.30.0.2", "172.30.0.3", 1000, 2000));
	frame_put16(&tagged, 7);
	frame_put(&tagged, inner.bytes + 12, inner.length - 12);
	expect("a VLAN tag", false, tagged);
	tagged.bytes[15] = 0;
	expect("a priority tag", false, tagged);
	frame_put(&other, "something else", 14);
	expect("another protocol", false, other);
	frame_put(&bpdu, "\x42\x42\x03\0\0\0\0\0", 8);
	expect("a bridge's own protocol", false, bpdu);
}

static void test_ip4(void **state)
{
	struct frame fragment =
		frame_ip4(OTHER, ME, "172.30.0.9", "172.30.0.3", IPPROTO_UDP, 0x2001, "more", 4);

	expect("the neighbour's address", false,
	       frame_udp4(OTHER, ME, "172.30.0.3", "172.30.0.3", 1000, 2000));
	expect("the gateway's address", false,
	       frame_udp4(OTHER, ME, "172.30.0.1", "172.30.0.3", 53, 2000));
	expect("a foreign address", false,
	       frame_udp4(OTHER, ME, "8.8.8.8", "172.30.0.3", 53, 2000));
	expect("no address", false, frame_udp4(OTHER, ME, "0.0.0.0", "255.255.255.255", 68, 67));
	expect("a forged fragment", false, fragment);
	expect("a DHCP offer", false, frame_udp4(OTHER, ME, "172.30.0.2", "172.30.0.3", 67, 68));
	expect("a DHCP offer to all", false,
	       frame_udp4(&frame_everybody, ME, "172.30.0.2", "255.255.255.255", 67, 68));
	expect("an echo request", true,
	       frame_ip4(OTHER, ME, "172.30.0.2", "172.30.0.3", IPPROTO_ICMP, 0,
			 "\x08\0\0\0\0\1\0\1", 8));
	expect("a redirect", false,
	       frame_ip4(OTHER, ME, "172.30.0.2", "172.30.0.3", IPPROTO_ICMP, 0,
			 "\x05\1\0\0\xac\x1e\0\2", 8));
	expect("a multicast", true,
	       frame_udp4(&(struct net_mac){ { 1, 0, 0x5e, 0, 0, 251 } }, ME, "172.30.0.2",
			  "224.0.0.251", 5353, 5353));
	expect("a packet to the metadata service", false,
	       frame_udp4(OTHER, ME, "172.30.0.2", "169.254.169.254", 1000, 80));
	expect("one to Alibaba's", false,
	       frame_udp4(OTHER, ME, "172.30.0.2", "100.100.100.200", 1000, 80));
	expect("one to Azure's", false,
	       frame_udp4(OTHER, ME, "172.30.0.2", "168.63.129.16", 1000, 80));
}

#define ALL_NODES "ff02::1"
#define MY_LOCAL  "fe80::ff:fe00:1"

static void test_discovery(void **state)
{
	expect("an honest solicitation", true,
	       frame_discovery(ME, "fd00:a::2", "ff02::1:ff00:3", 135, "fd00:a::3"));
	expect("an honest advertisement", true,
	       frame_discovery(ME, "fd00:a::2", ALL_NODES, 136, "fd00:a::2"));
	expect("one of the link-local address", true,
	       frame_discovery(ME, MY_LOCAL, ALL_NODES, 136, MY_LOCAL));
	expect("an advertisement of the gateway", false,
	       frame_discovery(ME, "fd00:a::2", ALL_NODES, 136, "fd00:a::1"));
	expect("an advertisement of the neighbour", false,
	       frame_discovery(ME, MY_LOCAL, ALL_NODES, 136, "fd00:a::3"));
	expect("a forged source", false,
	       frame_discovery(ME, "fd00:a::1", ALL_NODES, 136, "fd00:a::2"));
	expect("duplicate detection of its own", true,
	       frame_discovery(ME, "::", "ff02::1:ff00:2", 135, "fd00:a::2"));
	expect("duplicate detection of the neighbour's", false,
	       frame_discovery(ME, "::", "ff02::1:ff00:3", 135, "fd00:a::3"));
	expect("an advertisement from nowhere", false,
	       frame_discovery(ME, "::", ALL_NODES, 136, "fd00:a::2"));
	expect("a router advertisement", false,
	       frame_discovery(ME, MY_LOCAL, ALL_NODES, 134, "fd00:a::2"));
	expect("a redirect", false, frame_discovery(ME, MY_LOCAL, ALL_NODES, 137, "fd00:a::3"));
	expect("another link-local address", false,
	       frame_discovery(ME, "fe80::1", ALL_NODES, 135, "fd00:a::3"));
}

/* An IPv6 packet whose ICMPv6 or UDP stands behind other headers. */
static struct frame behind(const uint8_t *headers, size_t headers_length, uint8_t first,
			   const void *upper, size_t length)
{
	struct frame payload = { 0 };

	frame_put(&payload, headers, headers_length);
	frame_put(&payload, upper, length);
	return frame_ip6(&frame_everybody, ME, MY_LOCAL, ALL_NODES, first, payload.bytes,
			 payload.length);
}

static void test_hidden_headers(void **state)
{
	static const uint8_t advert[24] = { 134 }, echo[8] = { 128 }, solicitation[24] = { 135 };
	static const uint8_t options[8] = { IPPROTO_ICMPV6, 0, 1, 4 };
	static const uint8_t fragment[8] = { IPPROTO_ICMPV6, 0, 0, 1, 0, 0, 0, 7 };
	static const uint8_t second[8] = { IPPROTO_ICMPV6, 0, 0, 8 * 2, 0, 0, 0, 7 };
	/* Says that ICMPv6 follows its options, which are all that fits into this fragment. */
	static const uint8_t evasion[16] = { IPPROTO_DSTOPTS, 0, 0, 1, 0, 0, 0, 7,
					     IPPROTO_ICMPV6,  0, 1, 4 };
	static const uint8_t datagram[16] = { IPPROTO_DSTOPTS, 0, 0, 1, 0, 0, 0, 7,
					      IPPROTO_UDP,     0, 1, 4 };
	static const uint8_t dhcp[12] = { 2, 35, 2, 34, 0, 12 };
	static const uint8_t udp[12] = { 9, 9, 2, 34, 0, 12 };
	static const char *const metadata[] = { "fd00:ec2::254", "fd20:ce::254",
						"fd00:c1::a9fe:a9fe", "fe80::a9fe:a9fe" };

	expect("an echo behind options", true, behind(options, 8, IPPROTO_DSTOPTS, echo, 8));
	expect("an advert behind options", false, behind(options, 8, IPPROTO_DSTOPTS, advert, 24));
	expect("an echo's fragment", true, behind(fragment, 8, IPPROTO_FRAGMENT, echo, 8));
	expect("its second fragment", true, behind(second, 8, IPPROTO_FRAGMENT, echo, 8));
	expect("an advert's fragment", false, behind(fragment, 8, IPPROTO_FRAGMENT, advert, 24));
	expect("a solicitation's fragment", false,
	       behind(fragment, 8, IPPROTO_FRAGMENT, solicitation, 24));
	expect("a fragment that hides what it is", false,
	       behind(evasion, 16, IPPROTO_FRAGMENT, advert, 0));
	expect("a fragment that hides a DHCPv6 answer", false,
	       behind(datagram, 16, IPPROTO_FRAGMENT, dhcp, 0));
	expect("a DHCPv6 answer", false, behind((const uint8_t *)"", 0, IPPROTO_UDP, dhcp, 12));
	expect("a forged segment", false,
	       frame_ip6(OTHER, ME, "fd00:a::3", "fd00:a::3", IPPROTO_TCP, udp, 12));
	expect("a datagram from nowhere", false,
	       frame_ip6(&frame_everybody, ME, "::", "ff02::1", IPPROTO_UDP, udp, 12));
	for (size_t i = 0; i < ARRAY_SIZE(metadata); i++)
		expect(metadata[i], false,
		       frame_ip6(OTHER, ME, "fd00:a::2", metadata[i], IPPROTO_UDP, udp, 12));
	expect("another datagram", true, behind((const uint8_t *)"", 0, IPPROTO_UDP, udp, 12));
}

/* Who listens to which group is for bridges, not for neighbours. */
static void test_groups(void **state)
{
	static const uint8_t report6[8] = { 143 }, query6[24] = { 130 };
	static const uint8_t report4[16] = { 0x22 }, query4[12] = { 0x11, 10 };

	expect("a report of IPv6 groups", false,
	       frame_ip6(&frame_everybody, ME, "::", "ff02::16", IPPROTO_ICMPV6, report6, 8));
	expect("a query", true,
	       frame_ip6(&frame_everybody, ME, MY_LOCAL, ALL_NODES, IPPROTO_ICMPV6, query6, 24));
	expect("a report of IPv4 groups", false,
	       frame_ip4(&frame_everybody, ME, "172.30.0.2", "224.0.0.22", IPPROTO_IGMP, 0, report4,
			 16));
	expect("a query", true,
	       frame_ip4(&frame_everybody, ME, "172.30.0.2", "224.0.0.1", IPPROTO_IGMP, 0, query4,
			 12));
}

static void test_neighbours(void **state)
{
	_cleanup_close_ int v4 = serve(world.a2.space, SOCK_STREAM, "172.30.0.3", 80);
	_cleanup_close_ int v6 = serve(world.a2.space, SOCK_STREAM, "fd00:a::3", 80);
	_cleanup_close_ int v4b = serve(world.b1.space, SOCK_STREAM, "172.31.0.2", 80);
	_cleanup_close_ int v6b = serve(world.b1.space, SOCK_STREAM, "fd00:b::2", 80);
	_cleanup_close_ int inside = serve(world.internal.space, SOCK_STREAM, "172.29.0.2", 80);

	assert_int_equal(reach(world.a1.space, "172.30.0.3", 80), 0);
	assert_int_equal(reach(world.a1.space, "fd00:a::3", 80), 0);
	/* Networks are apart, but the host is on each. */
	assert_int_equal(reach(world.a1.space, "172.31.0.2", 80), ETIMEDOUT);
	assert_int_equal(reach(world.a1.space, "fd00:b::2", 80), ETIMEDOUT);
	assert_int_equal(reach(world.a1.space, "172.29.0.2", 80), ETIMEDOUT);
	assert_int_equal(reach(world.host, "172.30.0.3", 80), 0);
	assert_int_equal(reach(world.host, "fd00:b::2", 80), 0);
	assert_int_equal(reach(world.host, "172.29.0.2", 80), 0);
	/* Nor does the outside get in, though it knows the way. */
	assert_int_equal(reach(world.outside, "172.30.0.3", 80), ETIMEDOUT);
	assert_int_equal(reach(world.outside, "fd00:a::3", 80), ETIMEDOUT);
}

static void test_outbound(void **state)
{
	_cleanup_close_ int v4 = serve(world.outside, SOCK_STREAM, "10.99.0.2", 80);
	_cleanup_close_ int v6 = serve(world.outside, SOCK_STREAM, "fd00:99::2", 80);
	_cleanup_close_ int udp = serve(world.outside, SOCK_DGRAM, "10.99.0.2", 53);
	_cleanup_close_ int metadata = serve(world.outside, SOCK_STREAM, "169.254.169.254", 80);
	char text[NET_ADDRESS_TEXT_MAX];

	assert_int_equal(reach(world.a1.space, "10.99.0.2", 80), 0);
	assert_string_equal(visitor(v4, text), "10.99.0.1");
	assert_int_equal(reach(world.b1.space, "fd00:99::2", 80), 0);
	assert_string_equal(visitor(v6, text), "fd00:99::1");
	assert_true(echoes(world.a1.space, "10.99.0.2", 53, udp));
	/* The host reaches the metadata service, the guests do not; an internal network nothing. */
	assert_int_equal(reach(world.host, "169.254.169.254", 80), 0);
	assert_int_equal(reach(world.a1.space, "169.254.169.254", 80), ETIMEDOUT);
	assert_int_equal(reach(world.internal.space, "10.99.0.2", 80), ETIMEDOUT);
}

/* Whether an IPv4 packet with this source comes out of a packet socket. */
static bool sees_source(int packet, const char *source)
{
	const struct net_address wanted = address(source);
	struct pollfd poller = { .fd = packet, .events = POLLIN };
	uint8_t bytes[2048];

	while (poll(&poller, 1, 300) > 0)
		if (recv(packet, bytes, sizeof(bytes), 0) >= 34 && bytes[12] == 8 &&
		    bytes[13] == 0 && memcmp(bytes + 26, wanted.bytes, 4) == 0)
			return true;
	return false;
}

/* Containers' own addresses are not seen outside, neither an internal network's nor any. */
static void test_leaks(void **state)
{
	/* A segment with SYN and FIN is of no connection, so that it is not translated. */
	static const uint8_t nonsense[20] = { 4, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 3, 1 };
	const struct net_mac host = net_mac_from_text("cayba");
	_cleanup_close_ int outside = packet_socket(world.outside, "eth0");
	struct frame frame = frame_ip4(&host, ME, "172.30.0.2", "10.99.0.2", IPPROTO_TCP, 0,
				       nonsense, sizeof(nonsense));
	_cleanup_close_ int udp = serve(world.outside, SOCK_DGRAM, "10.99.0.2", 53);

	send_frame(&world.a1, &frame);
	assert_false(sees_source(outside, "172.30.0.2"));
	assert_false(echoes(world.internal.space, "10.99.0.2", 53, udp));
	assert_false(sees_source(outside, "172.29.0.2"));
	assert_true(echoes(world.a1.space, "10.99.0.2", 53, udp));
	assert_true(sees_source(outside, "10.99.0.1"));
}

static void test_metadata_opened(void **state)
{
	_cleanup_close_ int metadata = serve(world.outside, SOCK_STREAM, "169.254.169.254", 80);
	struct net_network network = { .link = "caybb",
				       .gateways = { address("172.31.0.1"), address("fd00:b::1") },
				       .metadata = true };
	struct cay_error err = { 0 };

	assert_ok(firewall_add_network(world.firewall, &network, &err));
	assert_int_equal(reach(world.b1.space, "169.254.169.254", 80), 0);
	assert_int_equal(reach(world.a1.space, "169.254.169.254", 80), ETIMEDOUT);
	network.metadata = false;
	network.no_masquerade = true;
	assert_ok(firewall_add_network(world.firewall, &network, &err));
	assert_int_equal(reach(world.b1.space, "169.254.169.254", 80), ETIMEDOUT);
	_cleanup_close_ int plain = serve(world.outside, SOCK_STREAM, "10.99.0.2", 80);
	char text[NET_ADDRESS_TEXT_MAX];

	assert_int_equal(reach(world.b1.space, "10.99.0.2", 80), 0);
	assert_string_equal(visitor(plain, text), "172.31.0.2");
	network.no_masquerade = false;
	assert_ok(firewall_add_network(world.firewall, &network, &err));
}

static void test_host_services(void **state)
{
	_cleanup_close_ int ssh = serve(world.host, SOCK_STREAM, "0.0.0.0", 22);
	_cleanup_close_ int ssh6 = serve(world.host, SOCK_STREAM, "fd00:a::1", 22);
	_cleanup_close_ int dns = serve(world.host, SOCK_DGRAM, "172.30.0.1", 53);
	_cleanup_close_ int dns6 = serve(world.host, SOCK_DGRAM, "fd00:a::1", 53);
	_cleanup_close_ int dns_tcp = serve(world.host, SOCK_STREAM, "172.30.0.1", 53);
	_cleanup_close_ int other = serve(world.host, SOCK_DGRAM, "172.30.0.1", 54);
	struct net_endpoint endpoint = endpoint_of(&world.a1);
	struct cay_error err = { 0 };

	assert_true(echoes(world.a1.space, "172.30.0.1", 53, dns));
	assert_true(echoes(world.a1.space, "fd00:a::1", 53, dns6));
	assert_int_equal(reach(world.a1.space, "172.30.0.1", 53), 0);
	assert_true(pings(world.a1.space, "172.30.0.1"));
	assert_true(pings(world.a1.space, "fd00:a::1"));
	assert_false(pings(world.a1.space, "172.31.0.1"));
	assert_false(pings(world.a1.space, "10.99.0.1"));
	/* What is refused is refused at once, not by a silence. */
	assert_int_equal(reach(world.a1.space, "172.30.0.1", 22), ECONNREFUSED);
	assert_int_equal(reach(world.a1.space, "fd00:a::1", 22), ECONNREFUSED);
	assert_int_equal(reach(world.a1.space, "10.99.0.1", 22), ECONNREFUSED);
	assert_int_equal(reach(world.a1.space, "172.31.0.1", 22), ECONNREFUSED);
	assert_int_equal(reach(world.a1.space, "172.31.0.1", 53), ECONNREFUSED);
	assert_false(echoes(world.a1.space, "172.30.0.1", 54, other));
	/* --add-host name:host-gateway opens the gateway for this one alone. */
	endpoint.host_gateway = true;
	assert_ok(firewall_add_endpoint(world.firewall, &endpoint, &err));
	assert_int_equal(reach(world.a1.space, "172.30.0.1", 22), 0);
	assert_int_equal(reach(world.a1.space, "fd00:a::1", 22), 0);
	assert_int_equal(reach(world.a1.space, "10.99.0.1", 22), ECONNREFUSED);
	assert_int_equal(reach(world.a2.space, "172.30.0.1", 22), ECONNREFUSED);
	endpoint.host_gateway = false;
	assert_ok(firewall_add_endpoint(world.firewall, &endpoint, &err));
	assert_int_equal(reach(world.a1.space, "172.30.0.1", 22), ECONNREFUSED);
}

static void test_ports(void **state)
{
	_cleanup_close_ int v4 = serve(world.a1.space, SOCK_STREAM, "172.30.0.2", 80);
	_cleanup_close_ int v6 = serve(world.a1.space, SOCK_STREAM, "fd00:a::2", 80);
	_cleanup_close_ int udp = serve(world.a1.space, SOCK_DGRAM, "172.30.0.2", 5000);
	const struct net_port ports[] = {
		{ address("0.0.0.0"), IPPROTO_TCP, 8080, 80 },
		{ address("::"), IPPROTO_TCP, 8080, 80 },
		{ address("10.99.0.1"), IPPROTO_TCP, 9090, 80 },
		{ address("0.0.0.0"), IPPROTO_UDP, 5001, 5000 },
		{ address("127.0.0.1"), IPPROTO_TCP, 7070, 80 },
		{ address("fd00:99::1"), IPPROTO_TCP, 9090, 80 },
	};
	const struct tap_port card = { .name = "cayta1", .bridge = "cayba", .mac = world.a1.mac };
	struct net_endpoint endpoint = endpoint_of(&world.a1), rival = endpoint_of(&world.b1);
	struct cay_error err = { 0 };
	char text[NET_ADDRESS_TEXT_MAX];

	endpoint.ports = ports;
	endpoint.port_count = ARRAY_SIZE(ports);
	assert_int_equal(reach(world.outside, "10.99.0.1", 8080), ECONNREFUSED);
	assert_ok(firewall_add_endpoint(world.firewall, &endpoint, &err));
	assert_int_equal(reach(world.outside, "10.99.0.1", 8080), 0);
	assert_string_equal(visitor(v4, text), "10.99.0.2"); /* its true client */
	assert_int_equal(reach(world.outside, "fd00:99::1", 8080), 0);
	assert_string_equal(visitor(v6, text), "fd00:99::2");
	assert_int_equal(reach(world.outside, "10.99.0.1", 9090), 0);
	assert_string_equal(visitor(v4, text), "10.99.0.2");
	assert_int_equal(reach(world.outside, "fd00:99::1", 9090), 0);
	assert_string_equal(visitor(v6, text), "fd00:99::2");
	assert_true(echoes(world.outside, "10.99.0.1", 5001, udp));
	assert_int_equal(reach(world.outside, "10.99.0.1", 7070), ECONNREFUSED);
	assert_int_equal(reach(world.outside, "172.30.0.2", 80), ETIMEDOUT);
	/* From a neighbour, from another network, and from itself. */
	assert_int_equal(reach(world.a2.space, "10.99.0.1", 8080), 0);
	assert_string_equal(visitor(v4, text), "172.30.0.1");
	assert_int_equal(reach(world.a2.space, "fd00:99::1", 8080), 0);
	assert_string_equal(visitor(v6, text), "fd00:a::1");
	assert_int_equal(reach(world.a2.space, "172.30.0.1", 8080), 0);
	assert_string_equal(visitor(v4, text), "172.30.0.1");
	assert_int_equal(reach(world.b1.space, "10.99.0.1", 8080), 0);
	assert_string_equal(visitor(v4, text), "172.31.0.2");
	/* br_netfilter bridges this one back, for which the port has to be made. */
	assert_ok(tap_attach(&card, &err));
	for (int i = 0; i < 10 && !pings(world.a1.space, "fd00:a::1"); i++)
		; /* its link was down for a moment */
	assert_int_equal(reach(world.a1.space, "10.99.0.1", 8080), 0);
	assert_string_equal(visitor(v4, text), "172.30.0.1");
	assert_int_equal(reach(world.a1.space, "fd00:99::1", 8080), 0);
	assert_string_equal(visitor(v6, text), "fd00:a::1");
	assert_int_equal(reach(world.internal.space, "10.99.0.1", 8080), ETIMEDOUT);
	/* Nobody else gets the same port; the same one may have others. */
	rival.ports = ports + 1;
	rival.port_count = 1;
	assert_true(firewall_add_endpoint(world.firewall, &rival, &err) < 0);
	assert_int_equal(err.code, CAY_EXISTS);
	assert_int_equal(reach(world.b1.space, "10.99.0.2", 1), ECONNREFUSED); /* as it was */
	endpoint.port_count = 1;
	assert_ok(firewall_add_endpoint(world.firewall, &endpoint, &err));
	assert_int_equal(reach(world.outside, "10.99.0.1", 8080), 0);
	assert_int_equal(reach(world.outside, "10.99.0.1", 9090), ECONNREFUSED);
	endpoint.port_count = 0;
	assert_ok(firewall_add_endpoint(world.firewall, &endpoint, &err));
	assert_int_equal(reach(world.outside, "10.99.0.1", 8080), ECONNREFUSED);
}

/* What the host itself sends to its ports is for its own sockets: the shims' relays. */
static void test_relayed(void **state)
{
	_cleanup_close_ int inside = serve(world.a1.space, SOCK_STREAM, "172.30.0.2", 80);
	_cleanup_close_ int relay = serve(world.host, SOCK_STREAM, "0.0.0.0", 8080);
	const struct net_port port = { address("0.0.0.0"), IPPROTO_TCP, 8080, 80 };
	struct net_endpoint endpoint = endpoint_of(&world.a1);
	struct cay_error err = { 0 };
	char text[NET_ADDRESS_TEXT_MAX];

	endpoint.ports = &port;
	endpoint.port_count = 1;
	assert_ok(firewall_add_endpoint(world.firewall, &endpoint, &err));
	assert_int_equal(reach(world.host, "127.0.0.1", 8080), 0);
	assert_string_equal(visitor(relay, text), "127.0.0.1");
	assert_int_equal(reach(world.host, "10.99.0.1", 8080), 0);
	assert_string_equal(visitor(relay, text), "10.99.0.1");
	assert_int_equal(reach(world.outside, "10.99.0.1", 8080), 0);
	assert_string_equal(visitor(inside, text), "10.99.0.2");
	endpoint.port_count = 0;
	assert_ok(firewall_add_endpoint(world.firewall, &endpoint, &err));
}

/* An internal network is reached from outside by no port either. */
static void test_internal_port(void **state)
{
	_cleanup_close_ int inside = serve(world.internal.space, SOCK_STREAM, "172.29.0.2", 80);
	const struct net_port port = { address("0.0.0.0"), IPPROTO_TCP, 8081, 80 };
	struct net_endpoint endpoint = endpoint_of(&world.internal);
	struct cay_error err = { 0 };
	char text[NET_ADDRESS_TEXT_MAX];

	endpoint.ports = &port;
	endpoint.port_count = 1;
	assert_ok(firewall_add_endpoint(world.firewall, &endpoint, &err));
	assert_int_equal(reach(world.a1.space, "10.99.0.1", 8081), ETIMEDOUT);
	assert_string_equal(visitor(inside, text), "");
	endpoint.port_count = 0;
	assert_ok(firewall_add_endpoint(world.firewall, &endpoint, &err));
}

/* The tables' text, without handles; "" where one is missing. */
static void ruleset(struct buf *out)
{
	if (try_shell("nft list table bridge " OWNER " && nft list table netdev " OWNER
		      " && nft list table inet " OWNER,
		      out) != 0)
		buf_clear(out);
}

static bool restored(const struct buf *before)
{
	const int64_t end = clock_monotonic_ms() + 3000;
	struct buf now = { 0 };
	bool same = false;

	while (!same && clock_monotonic_ms() < end) {
		ruleset(&now);
		same = strcmp(buf_text(&now), buf_text(before)) == 0;
	}
	if (!same)
		print_message("--- before\n%s\n--- now\n%s\n", buf_text(before), buf_text(&now));
	buf_done(&now);
	return same;
}

static void test_restored(void **state)
{
	static const char *const attacks[] = {
		"nft flush ruleset",
		"nft delete table bridge " OWNER,
		"nft delete table netdev " OWNER,
		"nft flush chain inet " OWNER " entering",
		"nft delete element inet " OWNER " bridges '{ \"cayba\" }'",
		"nft add element bridge " OWNER " macs '{ \"cayta1\" . 02:00:00:00:00:63 }'",
		"nft insert rule inet " OWNER " entering accept",
	};
	static const struct net_mac forged = { { 2, 0, 0, 0, 0, 99 } };
	struct buf before = { 0 };

	ruleset(&before);
	for (size_t i = 0; i < ARRAY_SIZE(attacks); i++) {
		const int64_t start = clock_monotonic_ms();

		shell(attacks[i]);
		if (!restored(&before))
			fail_msg("%s: not restored", attacks[i]);
		print_message("%s: restored within %d ms\n", attacks[i],
			      (int)(clock_monotonic_ms() - start));
	}
	buf_done(&before);
	expect("another MAC", false,
	       frame_udp4(OTHER, &forged, "172.30.0.2", "172.30.0.3", 1000, 2000));
	expect("an honest packet", true,
	       frame_udp4(OTHER, ME, "172.30.0.2", "172.30.0.3", 1000, 2000));
	assert_int_equal(reach(world.a1.space, "172.31.0.2", 80), ETIMEDOUT);
}

static void test_own_changes_cost_nothing(void **state)
{
	const struct net_endpoint endpoint = endpoint_of(&world.a1);
	struct cay_error err = { 0 };
	struct buf before = { 0 }, after = { 0 };

	/* Handles tell whether the tables were made anew. */
	(void)usleep(300 * 1000);
	assert_int_equal(try_shell("nft -a list table bridge " OWNER, &before), 0);
	for (int i = 0; i < 5; i++)
		assert_ok(firewall_add_endpoint(world.firewall, &endpoint, &err));
	(void)usleep(300 * 1000);
	assert_int_equal(try_shell("nft -a list table bridge " OWNER, &after), 0);
	assert_string_equal(buf_text(&before), buf_text(&after));
	buf_done(&before);
	buf_done(&after);
}

static void test_changes_after_a_flush(void **state)
{
	struct net_endpoint endpoint = endpoint_of(&world.a1);
	struct buf before = { 0 };
	struct cay_error err = { 0 };

	ruleset(&before);
	/* The small transaction fails, and the whole one is loaded before the call returns. */
	shell("nft flush ruleset");
	assert_ok(firewall_add_endpoint(world.firewall, &endpoint, &err));
	assert_true(restored(&before));
	buf_done(&before);
	(void)snprintf(endpoint.network, sizeof(endpoint.network), "nowhere");
	assert_true(firewall_add_endpoint(world.firewall, &endpoint, &err) < 0);
	assert_int_equal(err.code, CAY_NOT_FOUND);
}

/* A card that takes another's place in the rules would leave that one with none. */
static void test_same_link(void **state)
{
	struct net_endpoint other = endpoint_of(&world.a1);
	struct buf before = { 0 };
	struct cay_error err = { 0 };

	ruleset(&before);
	other.mac.bytes[5] = 77;
	assert_true(firewall_add_endpoint(world.firewall, &other, &err) < 0);
	assert_int_equal(err.code, CAY_CONFLICT);
	assert_true(restored(&before));
	buf_done(&before);
	expect("an honest packet", true,
	       frame_udp4(OTHER, ME, "172.30.0.2", "172.30.0.3", 1000, 2000));
}

static void test_removed(void **state)
{
	struct net_network network = { .link = "caybx", .gateways = { address("172.28.0.1") } };
	struct net_endpoint endpoint = { .link = "caytx1",
					 .network = "caybx",
					 .mac = { { 2, 9 } },
					 .addresses = { address("172.28.0.2") } };
	struct buf before = { 0 };
	struct cay_error err = { 0 };

	ruleset(&before);
	assert_ok(firewall_add_network(world.firewall, &network, &err));
	assert_ok(firewall_add_endpoint(world.firewall, &endpoint, &err));
	assert_ok(firewall_remove_endpoint(world.firewall, "caytx1", &err));
	assert_ok(firewall_remove_endpoint(world.firewall, "caytx1", &err));
	assert_ok(firewall_add_endpoint(world.firewall, &endpoint, &err));
	assert_ok(firewall_remove_network(world.firewall, "caybx", &err));
	assert_ok(firewall_remove_network(world.firewall, "caybx", &err));
	assert_true(restored(&before));
	buf_done(&before);
}

/* What a start waits for must not grow with what else is there. */
static void test_speed(void **state)
{
	enum { COUNT = 100, ROUNDS = 20, LIMIT_US = 20000 };
	struct net_endpoint endpoint = endpoint_of(&world.a1);
	struct cay_error err = { 0 };
	int64_t best = INT64_MAX;

	for (int i = 0; i < COUNT; i++) {
		const struct net_address subnet = { AF_INET, { 10, 200, (uint8_t)i, 1 } };
		struct net_network network = { .gateways = { subnet } };
		struct net_endpoint other = { .mac = { { 2, 1, (uint8_t)i } },
					      .addresses = { subnet } };

		(void)snprintf(network.link, sizeof(network.link), "caybx%d", i);
		(void)snprintf(other.network, sizeof(other.network), "caybx%d", i);
		(void)snprintf(other.link, sizeof(other.link), "caytx%d", i);
		other.addresses[0].bytes[3] = 2;
		assert_ok(firewall_add_network(world.firewall, &network, &err));
		assert_ok(firewall_add_endpoint(world.firewall, &other, &err));
	}
	for (int i = 0; i < ROUNDS; i++) {
		const int64_t start = clock_monotonic_us();

		assert_ok(firewall_add_endpoint(world.firewall, &endpoint, &err));
		best = MIN(best, clock_monotonic_us() - start);
	}
	print_message("an endpoint among %d: %d us\n", COUNT, (int)best);
	/* Thirty times what it takes; an idle machine's worst would be the load of everything. */
	assert_true(best < LIMIT_US);
	for (int i = 0; i < COUNT; i++) {
		char link[IFNAMSIZ];

		(void)snprintf(link, sizeof(link), "caybx%d", i);
		assert_ok(firewall_remove_network(world.firewall, link, &err));
	}
}

static int with_bridge_netfilter(void **state)
{
	set_bridge_netfilter(true);
	return 0;
}

static int without_bridge_netfilter(void **state)
{
	set_bridge_netfilter(false);
	return 0;
}

/* A test of packets, run both ways. */
#define BOTH_WAYS(test) \
	cmocka_unit_test(test), \
		cmocka_unit_test_setup_teardown(test, with_bridge_netfilter, \
						without_bridge_netfilter)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arp),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_ip4),
		cmocka_unit_test(test_discovery),
		cmocka_unit_test(test_hidden_headers),
		cmocka_unit_test(test_groups),
		BOTH_WAYS(test_neighbours),
		BOTH_WAYS(test_outbound),
		BOTH_WAYS(test_leaks),
		BOTH_WAYS(test_metadata_opened),
		BOTH_WAYS(test_host_services),
		BOTH_WAYS(test_ports),
		BOTH_WAYS(test_relayed),
		BOTH_WAYS(test_internal_port),
		BOTH_WAYS(test_restored),
		cmocka_unit_test(test_own_changes_cost_nothing),
		cmocka_unit_test(test_changes_after_a_flush),
		cmocka_unit_test(test_same_link),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_speed),
	};

	if (!enter_network())
		return 77; /* meson's word for a test that was skipped */
	return cmocka_run_group_tests(tests, make_world, end_world);
}
