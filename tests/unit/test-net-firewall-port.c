/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames that no bridge forwards. The kernel hands those to 01:80:c2:00:00:0X
 * to the port that they came in by, past all that is said about the bridge: the
 * host's own stack must not take them from a guest. Needs root.
 */
#include "net-guests.h"

static struct world {
	struct firewall *firewall;
	struct guest guest;
	int v4, v6; /* the host's, on every address */
} world;

static const struct net_mac forged = { { 2, 0, 0, 0, 0, 99 } };

enum { PORT = 53 }; /* one that the gateway has open for guests */

static int make_world(void **state)
{
	struct net_network network = { .link = "cayba" };
	struct bridge_spec spec = { .name = "cayba", .owner = OWNER };
	struct cay_error err = { 0 };
	const int here = open_space();

	shell("ip link set lo up; ip addr add 192.0.2.1/32 dev lo");
	assert_ok(net_prefix_parse("172.30.0.1/24", &spec.gateways[0], &err));
	assert_ok(net_prefix_parse("fd00:a::1/64", &spec.gateways[1], &err));
	for (size_t i = 0; i < 2; i++)
		network.gateways[i] = spec.gateways[i].address;
	assert_ok(bridge_ensure(&spec, &err));
	assert_ok(firewall_new(TAG, &world.firewall, &err));
	assert_ok(firewall_start(world.firewall, &err));
	assert_ok(firewall_add_network(world.firewall, &network, &err));
	world.guest = make_guest("cayta1", "cayba", 1, "172.30.0.2", "fd00:a::2", "172.30.0.1",
				 "fd00:a::1");
	const struct net_endpoint endpoint = endpoint_of(&world.guest);

	assert_ok(firewall_add_endpoint(world.firewall, &endpoint, &err));
	world.v4 = serve(here, SOCK_DGRAM, "0.0.0.0", PORT);
	world.v6 = serve(here, SOCK_DGRAM, "::", PORT);
	(void)close(here);
	return 0;
}

static int end_world(void **state)
{
	struct cay_error err = { 0 };

	(void)close(world.v4);
	(void)close(world.v6);
	guest_done(&world.guest);
	assert_ok(firewall_destroy(world.firewall, &err));
	firewall_free(world.firewall);
	return 0;
}

/* The checksum of an IPv6 packet's upper layer at this place of it, whose length is even. */
static void put_sum6(struct frame *frame, size_t at, uint8_t protocol)
{
	struct frame sum = { 0 };
	const size_t start = 14 + 40, length = frame->length - start;
	uint16_t value;

	frame_put(&sum, frame->bytes + 14 + 8, 32);
	frame_put16(&sum, (unsigned int)length);
	frame_put16(&sum, protocol);
	frame_put(&sum, frame->bytes + start, length);
	value = frame_sum(sum.bytes, sum.length);
	frame->bytes[start + at] = (uint8_t)(value >> 8);
	frame->bytes[start + at + 1] = (uint8_t)value;
}

static struct frame datagram6(const struct net_mac *to, const struct net_mac *from,
			      const char *source, const char *target)
{
	static const uint8_t udp[12] = { 3, 232, 0, PORT, 0, 12, 0, 0, 'd', 'a', 't', 'a' };
	struct frame frame = frame_ip6(to, from, source, target, IPPROTO_UDP, udp, sizeof(udp));

	put_sum6(&frame, 6, IPPROTO_UDP);
	return frame;
}

/* Whether a frame of the guest comes to a socket of the host. */
static void expect(const char *what, bool arrives, int server, struct frame frame)
{
	struct pollfd poller = { .fd = server, .events = POLLIN };
	bool arrived;
	char text[16];

	send_frame(&world.guest, &frame);
	arrived = poll(&poller, 1, arrives ? 1000 : 50) == 1;
	if (arrived)
		assert_int_equal(recv(server, text, sizeof(text), 0), 4);
	if (arrived != arrives)
		fail_msg("%s was %s", what, arrived ? "let in" : "dropped");
}

static void test_datagrams(void **state)
{
	const struct net_mac *me = &world.guest.mac, bridge = net_mac_from_text("cayba");

	expect("an honest datagram", true, world.v4,
	       frame_udp4(&bridge, me, "172.30.0.2", "172.30.0.1", 1000, PORT));
	expect("an honest IPv6 datagram", true, world.v6,
	       datagram6(&bridge, me, "fd00:a::2", "fd00:a::1"));
	/* 0 is forwarded where there is no spanning tree, and so checked like any other. */
	for (uint8_t last = 1; last < 16; last++) {
		const struct net_mac to = { { 1, 0x80, 0xc2, 0, 0, last } };

		expect("one past the bridge", false, world.v4,
		       frame_udp4(&to, me, "172.30.0.2", "172.30.0.1", 1000, PORT));
		expect("another guest's", false, world.v4,
		       frame_udp4(&to, &forged, "172.30.0.77", "172.30.0.1", 1000, PORT));
		expect("one to another address of the host", false, world.v4,
		       frame_udp4(&to, &forged, "172.30.0.77", "192.0.2.1", 1000, PORT));
		expect("an IPv6 one", false, world.v6,
		       datagram6(&to, me, "fd00:a::2", "fd00:a::1"));
		expect("another guest's IPv6 one", false, world.v6,
		       datagram6(&to, &forged, "fd00:a::77", "fd00:a::1"));
	}
}

/* Neither what an address is behind nor where the routes lead is a guest's to tell the host. */
static void test_neighbours_and_routers(void **state)
{
	static const uint8_t advert[48] = { 134, 0, 0, 0, 64, 0,  7,    8, 0,    0,    0,    0,   0,
					    0,   0, 0, 3, 4,  64, 0xc0, 0, 1,    0,    0,    0,   1,
					    0,   0, 0, 0, 0,  0,  0x20, 1, 0x0d, 0xb8, 0x06, 0x66 };
	const struct net_mac to = { { 1, 0x80, 0xc2, 0, 0, 0x0e } };
	struct frame arp = frame_arp(&forged, 1, &forged, "172.30.0.77", "172.30.0.1");
	struct frame router = frame_ip6(&to, &forged, "fe80::ff:fe00:63", "ff02::1", IPPROTO_ICMPV6,
					advert, sizeof(advert));

	/* As on a host that takes them by all links, also while it routes. */
	shell("echo 2 >/proc/sys/net/ipv6/conf/cayta1/accept_ra");
	memcpy(arp.bytes, to.bytes, sizeof(to.bytes));
	put_sum6(&router, 2, IPPROTO_ICMPV6);
	send_frame(&world.guest, &arp);
	send_frame(&world.guest, &router);
	expect("an honest datagram after them", true, world.v4,
	       frame_udp4(&(struct net_mac){ { 255, 255, 255, 255, 255, 255 } }, &world.guest.mac,
			  "172.30.0.2", "172.30.0.1", 1000, PORT));
	assert_false(shell_says("ip neigh show", "172.30.0.77"));
	assert_false(shell_says("ip -6 route", "cayta1"));
	assert_false(shell_says("ip -6 addr show", "2001:db8:666:"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_neighbours_and_routers),
	};

	if (!enter_network())
		return 77; /* meson's word for a test that was skipped */
	return cmocka_run_group_tests(tests, make_world, end_world);
}
