/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firewall on a LAN: a macvtap's guest and what of it comes out of the
 * parent link, whether its address is given or the LAN's to give. Needs root
 * and Linux 5.16.
 */
#include "net-guests.h"

#include <linux/virtio_net.h>

static struct lan {
	struct firewall *firewall;
	int space;  /* of the LAN's other machines */
	int packet; /* what they see */
	int fd;     /* the guest's card */
} lan;

static const struct net_mac me = { { 2, 0, 0, 0, 0, 1 } }, router = { { 2, 0, 0, 0, 0, 0xfe } };

#define MY_LOCAL "fe80::ff:fe00:1"

static int make_lan(void **state)
{
	struct net_network network = { .link = "lan0", .lan = true };
	struct cay_error err = { 0 };
	char command[256];

	lan.space = make_space();
	(void)snprintf(command, sizeof(command),
		       "ip link add lan0 type veth peer name eth0 netns /proc/%d/fd/%d &&"
		       "ip link set lan0 up && ip addr add 10.50.0.9/24 dev lan0",
		       (int)getpid(), lan.space);
	shell(command);
	shell_in(lan.space, "ip link set eth0 up address 02:00:00:00:00:fe");
	shell("ip route add default via 10.50.0.1");
	lan.packet = packet_socket(lan.space, "eth0");
	assert_ok(firewall_new(TAG, &lan.firewall, &err));
	assert_ok(firewall_start(lan.firewall, &err));
	assert_ok(firewall_add_network(lan.firewall, &network, &err));
	assert_ok(macvtap_create("caym0", "lan0", &me, 0, &err));
	return 0;
}

static int end_lan(void **state)
{
	struct cay_error err = { 0 };

	/* The card goes first, as when a container ends; its rules and the rest still can. */
	(void)close(lan.fd);
	assert_ok(macvtap_remove("caym0", &err));
	assert_ok(firewall_remove_endpoint(lan.firewall, "caym0", &err));
	assert_ok(firewall_remove_network(lan.firewall, "lan0", &err));
	assert_ok(firewall_destroy(lan.firewall, &err));
	firewall_free(lan.firewall);
	assert_false(shell_says("nft list ruleset", "cay"));
	return 0;
}

static void expect(const char *what, bool passes, struct frame frame)
{
	uint8_t packet[sizeof(struct virtio_net_hdr) + sizeof(frame.bytes)] = { 0 };
	const size_t length = sizeof(struct virtio_net_hdr) + frame.length;

	memcpy(packet + sizeof(struct virtio_net_hdr), frame.bytes, frame.length);
	assert_int_equal(write(lan.fd, packet, length), length);
	if (sees(lan.packet, &frame, passes ? 1000 : 30) != passes)
		fail_msg("%s was %s", what, passes ? "dropped" : "let through");
}

static struct net_endpoint card(const char *v4, const char *v6)
{
	return (struct net_endpoint){ .link = "caym0",
				      .network = "lan0",
				      .mac = me,
				      .addresses = { address(v4), address(v6) } };
}

static void test_given_by_the_lan(void **state)
{
	const struct net_endpoint endpoint = card(NULL, NULL);
	struct cay_error err = { 0 };

	assert_ok(firewall_add_endpoint(lan.firewall, &endpoint, &err));
	assert_ok(macvtap_open("caym0", 1, &lan.fd, &err));
	expect("a DHCP request", true,
	       frame_udp4(&frame_everybody, &me, "0.0.0.0", "255.255.255.255", 68, 67));
	expect("any address", true, frame_udp4(&router, &me, "10.50.0.77", "10.50.0.1", 1, 2));
	expect("ARP for it", true, frame_arp(&me, 1, &me, "10.50.0.77", "10.50.0.1"));
	expect("a probe", true, frame_arp(&me, 1, &me, "0.0.0.0", "10.50.0.77"));
	expect("the router's address", false,
	       frame_udp4(&router, &me, "10.50.0.1", "10.50.0.3", 1, 2));
	expect("ARP for the router", false, frame_arp(&me, 2, &me, "10.50.0.1", "10.50.0.3"));
	expect("ARP for the host", false, frame_arp(&me, 2, &me, "10.50.0.9", "10.50.0.3"));
	expect("another MAC", false, frame_udp4(&router, &router, "10.50.0.77", "10.50.0.1", 1, 2));
	expect("another MAC within", false, frame_arp(&me, 2, &router, "10.50.0.77", "10.50.0.3"));
	expect("a DHCP offer", false,
	       frame_udp4(&frame_everybody, &me, "10.50.0.77", "255.255.255.255", 67, 68));
	expect("the metadata service", false,
	       frame_udp4(&router, &me, "10.50.0.77", "169.254.169.254", 1, 80));
	/* Any prefix that a router may announce, with the EUI-64 of this card behind it. */
	expect("an address of its own", true,
	       frame_discovery(&me, "2001:db8::ff:fe00:1", "ff02::1", 136, "2001:db8::ff:fe00:1"));
	expect("its link-local address", true,
	       frame_discovery(&me, MY_LOCAL, "ff02::1", 136, MY_LOCAL));
	expect("duplicate detection", true,
	       frame_discovery(&me, "::", "ff02::1", 135, "2001:db8::ff:fe00:1"));
	expect("a router solicitation", true,
	       frame_discovery(&me, MY_LOCAL, "ff02::2", 133, MY_LOCAL));
	expect("another's address", false,
	       frame_discovery(&me, "2001:db8::9", "ff02::1", 136, "2001:db8::ff:fe00:1"));
	expect("another's target", false,
	       frame_discovery(&me, MY_LOCAL, "ff02::1", 136, "fe80::1"));
	expect("another's detection", false,
	       frame_discovery(&me, "::", "ff02::1", 135, "2001:db8::9"));
	expect("a router advertisement", false,
	       frame_discovery(&me, MY_LOCAL, "ff02::1", 134, MY_LOCAL));
}

static void test_static(void **state)
{
	const struct net_endpoint endpoint = card("10.50.0.5", "2001:db8::5");
	struct cay_error err = { 0 };

	assert_ok(firewall_add_endpoint(lan.firewall, &endpoint, &err));
	expect("its address", true, frame_udp4(&router, &me, "10.50.0.5", "10.50.0.1", 1, 2));
	expect("ARP for it", true, frame_arp(&me, 2, &me, "10.50.0.5", "10.50.0.1"));
	expect("another address", false, frame_udp4(&router, &me, "10.50.0.77", "10.50.0.1", 1, 2));
	expect("ARP for another", false, frame_arp(&me, 2, &me, "10.50.0.77", "10.50.0.1"));
	expect("a DHCP request", false,
	       frame_udp4(&frame_everybody, &me, "0.0.0.0", "255.255.255.255", 68, 67));
	expect("its IPv6 address", true,
	       frame_discovery(&me, "2001:db8::5", "ff02::1", 136, "2001:db8::5"));
	expect("another IPv6 address", false,
	       frame_discovery(&me, "2001:db8::ff:fe00:1", "ff02::1", 135, "2001:db8::5"));
}

static void test_restored(void **state)
{
	shell("nft flush ruleset");
	for (int i = 0; i < 300 && !shell_says("nft list ruleset", "caym0"); i++)
		(void)usleep(10000);
	expect("another MAC", false, frame_udp4(&router, &router, "10.50.0.5", "10.50.0.1", 1, 2));
	expect("its address", true, frame_udp4(&router, &me, "10.50.0.5", "10.50.0.1", 1, 2));
}

/* One macvtap's end takes no other's rules away, nor keeps them from being changed. */
static void test_gone(void **state)
{
	struct net_endpoint other = card("10.50.0.6", NULL);
	static const struct net_mac mac = { { 2, 0, 0, 0, 0, 2 } };
	struct cay_error err = { 0 };

	(void)snprintf(other.link, sizeof(other.link), "caym1");
	other.mac = mac;
	assert_ok(macvtap_create("caym1", "lan0", &mac, 0, &err));
	assert_ok(firewall_add_endpoint(lan.firewall, &other, &err));
	assert_ok(macvtap_remove("caym1", &err));
	test_static(state);
	assert_ok(firewall_remove_endpoint(lan.firewall, "caym1", &err));
	test_static(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_given_by_the_lan),
		cmocka_unit_test(test_static),
		cmocka_unit_test(test_restored),
		cmocka_unit_test(test_gone),
	};

	if (!enter_network())
		return 77; /* meson's word for a test that was skipped */
	return cmocka_run_group_tests(tests, make_lan, end_lan);
}
