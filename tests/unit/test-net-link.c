/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links, bridges, taps and macvtaps as the kernel has them, in a network
 * namespace of the test's own, looked at with iproute2 and by frames that are
 * read from and written to the taps. Needs root.
 */
#include "net-fixture.h"

#include "net/bridge.h"
#include "net/sysctl.h"
#include "net/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <sys/socket.h>

#define OWNER "cay_0badcafe"

static struct bridge_spec example(const char *name)
{
	struct bridge_spec spec = { .name = name, .owner = OWNER, .mtu = 1400 };
	struct cay_error err = { 0 };

	assert_ok(net_prefix_parse("172.30.0.1/16", &spec.gateways[0], &err));
	assert_ok(net_prefix_parse("fd12:3456:789a::1/64", &spec.gateways[1], &err));
	return spec;
}

static int setting(const char *directory, const char *link, const char *file)
{
	struct cay_error err = { 0 };
	int value = -1;

	assert_ok(sysctl_read(directory, link, file, &value, &err));
	return value;
}

static void test_bridge(void **state)
{
	const struct bridge_spec spec = example("cayb0");
	_cleanup_strv_ struct strv names = { 0 };
	struct cay_error err = { 0 };
	int fd;

	shell("ip link add outside type veth peer name far");
	assert_int_equal(setting("ipv6/conf", "outside", "accept_ra"), 1);
	assert_ok(bridge_ensure(&spec, &err));
	assert_true(shell_says("ip -d link show cayb0", "mtu 1400"));
	assert_true(shell_says("ip -d link show cayb0", "mcast_snooping 0"));
	assert_true(shell_says("ip -d link show cayb0", "stp_state 0"));
	assert_true(shell_says("ip -4 addr show cayb0", "172.30.0.1/16 brd 172.30.255.255"));
	assert_true(shell_says("ip -6 addr show cayb0", "fd12:3456:789a::1/64"));
	assert_false(shell_says("ip -6 addr show cayb0", "tentative"));
	/* The gateway can be bound before any container is there. */
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	struct sockaddr_storage gateway;
	const socklen_t length = net_address_to_sockaddr(&spec.gateways[1].address, 53, &gateway);
	assert_int_equal(bind(fd, (struct sockaddr *)&gateway, length), 0);
	(void)close(fd);
	assert_int_equal(setting("ipv6/conf", "cayb0", "accept_ra"), 0);
	assert_int_equal(setting("ipv4/conf", "cayb0", "send_redirects"), 0);
	assert_int_equal(setting("ipv4/conf", "all", "forwarding"), 1);
	assert_int_equal(setting("ipv6/conf", "all", "forwarding"), 1);
	/* The host's own uplink still learns its router. */
	assert_int_equal(setting("ipv6/conf", "outside", "accept_ra"), 2);
	assert_ok(bridge_list(OWNER, &names, &err));
	assert_int_equal(names.count, 1);
	assert_string_equal(names.items[0], "cayb0");
	shell("ip link del outside");
	assert_ok(bridge_remove("cayb0", OWNER, &err));
	assert_ok(bridge_remove("cayb0", OWNER, &err));
	assert_true(shell_says("ip -o link | wc -l", "1\n"));
}

static void test_bridge_mended(void **state)
{
	struct bridge_spec spec = example("cayb1");
	struct cay_error err = { 0 };
	int before, after;

	assert_ok(bridge_ensure(&spec, &err));
	before = setting("ipv4/conf", "cayb1", "forwarding");
	shell("ip addr add 172.31.0.9/24 dev cayb1; ip addr del 172.30.0.1/16 dev cayb1;"
	      "ip link set cayb1 down mtu 1280; sysctl -q net.ipv6.conf.cayb1.accept_ra=1");
	assert_ok(bridge_ensure(&spec, &err));
	after = setting("ipv4/conf", "cayb1", "forwarding");
	assert_int_equal(before, after);
	assert_true(shell_says("ip addr show cayb1", "172.30.0.1/16"));
	assert_false(shell_says("ip addr show cayb1", "172.31.0.9"));
	assert_true(shell_says("ip addr show cayb1", "UP"));
	assert_true(shell_says("ip addr show cayb1", "mtu 1400"));
	assert_int_equal(setting("ipv6/conf", "cayb1", "accept_ra"), 0);
	/* IPv4 alone: not even a link-local address remains. */
	spec.gateways[1] = (struct net_prefix){ 0 };
	assert_ok(bridge_ensure(&spec, &err));
	assert_false(shell_says("ip -6 addr show cayb1", "inet6"));
	assert_ok(bridge_remove("cayb1", OWNER, &err));
}

static void test_bridge_of_others(void **state)
{
	struct bridge_spec spec = example("theirs");
	struct cay_error err = { 0 };

	shell("ip link add theirs type bridge");
	assert_int_equal(bridge_ensure(&spec, &err), -EEXIST);
	assert_int_equal(err.code, CAY_EXISTS);
	cay_error_clear(&err);
	assert_true(bridge_remove("theirs", OWNER, &err) < 0);
	assert_int_equal(err.code, CAY_CONFLICT);
	cay_error_clear(&err);
	assert_true(shell_says("ip link show theirs", "theirs"));
	shell("ip link del theirs");
	/* One that was made and not yet named ours when the daemon was killed is taken up. */
	spec = example("cayb7");
	assert_ok(bridge_ensure(&spec, &err));
	shell("ip link set cayb7 alias ''");
	assert_ok(bridge_ensure(&spec, &err));
	assert_true(shell_says("ip link show cayb7", "alias " OWNER));
	assert_ok(bridge_remove("cayb7", OWNER, &err));
}

static void test_bridge_undone(void **state)
{
	struct bridge_spec spec = example("cayb2");
	struct cay_error err = { 0 };

	/* An MTU that the kernel refuses: the bridge was made by then. */
	spec.mtu = 70000;
	assert_true(bridge_ensure(&spec, &err) < 0);
	assert_non_null(strstr(err.message, "cayb2"));
	assert_false(shell_says("ip link", "cayb2"));
	spec = example("a-name-beyond-15-characters");
	cay_error_clear(&err);
	assert_true(bridge_ensure(&spec, &err) < 0);
	assert_int_equal(err.code, CAY_INVALID);
	/* The kernel would number it, and nobody would find it again. */
	spec = example("cayb%d");
	cay_error_clear(&err);
	assert_true(bridge_ensure(&spec, &err) < 0);
	assert_int_equal(err.code, CAY_INVALID);
	assert_false(shell_says("ip link", "cayb"));
}

/* Writes a frame with an empty virtio-net header, as QEMU does. */
static void send_frame(int fd, const struct net_mac *to, const struct net_mac *from,
		       const char *payload)
{
	uint8_t packet[sizeof(struct virtio_net_hdr) + 64] = { 0 };
	uint8_t *frame = packet + sizeof(struct virtio_net_hdr);

	memcpy(frame, to->bytes, 6);
	memcpy(frame + 6, from->bytes, 6);
	frame[12] = 0x88; /* an EtherType for experiments */
	frame[13] = 0xb5;
	(void)snprintf((char *)frame + 14, 50, "%s", payload);
	assert_int_equal(write(fd, packet, sizeof(packet)), sizeof(packet));
}

/* Whether a frame with this payload comes within the time. */
static bool receives(int fd, const char *payload, int milliseconds)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	uint8_t packet[2048];

	while (poll(&poller, 1, milliseconds) > 0) {
		const ssize_t n = read(fd, packet, sizeof(packet));
		const size_t start = sizeof(struct virtio_net_hdr) + 14;

		if (n >= (ssize_t)(start + strlen(payload)) &&
		    memcmp(packet + start, payload, strlen(payload)) == 0)
			return true;
	}
	return false;
}

static const struct net_mac macs[] = {
	{ { 2, 0, 0, 0, 0, 1 } },
	{ { 2, 0, 0, 0, 0, 2 } },
	{ { 2, 0, 0, 0, 0, 3 } },
};
static const struct net_mac everybody = { { 255, 255, 255, 255, 255, 255 } };

static void test_tap_ports(void **state)
{
	const struct bridge_spec spec = example("cayb3");
	int fds[3];
	struct cay_error err = { 0 };

	assert_ok(bridge_ensure(&spec, &err));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		char name[IFNAMSIZ];

		(void)snprintf(name, sizeof(name), "cayt%zu", i);
		const struct tap_port port = { .name = name, .bridge = "cayb3", .mac = macs[i] };

		assert_ok(tap_open(name, 1, &fds[i], &err));
		assert_ok(tap_attach(&port, &err));
	}
	assert_true(shell_says("ip link show cayt0", "mtu 1400"));
	assert_false(shell_says("ip -6 addr show cayt0", "inet6"));
	/* Nothing of the host's stack is at the port itself. */
	assert_true(shell_says("ip link show cayt0", "NOARP"));
	assert_int_equal(setting("ipv6/conf", "cayt0", "disable_ipv6"), 1);
	/* From the first frame on, it goes to the one it is for, and to nobody else. */
	send_frame(fds[0], &macs[1], &macs[0], "for the second");
	assert_true(receives(fds[1], "for the second", 2000));
	assert_false(receives(fds[2], "for the second", 50));
	send_frame(fds[0], &everybody, &macs[0], "for all");
	assert_true(receives(fds[1], "for all", 2000));
	assert_true(receives(fds[2], "for all", 2000));
	/* A guest that says it is another one takes none of its frames. */
	send_frame(fds[2], &everybody, &macs[1], "spoofed");
	(void)receives(fds[0], "spoofed", 200);
	(void)receives(fds[1], "spoofed", 200);
	send_frame(fds[0], &macs[1], &macs[0], "again for the second");
	assert_true(receives(fds[1], "again for the second", 2000));
	assert_false(receives(fds[2], "again for the second", 50));
	/* Not even with a frame of the kind that bridges keep to themselves. */
	send_frame(fds[2], &(struct net_mac){ { 1, 0x80, 0xc2, 0, 0, 0x0e } }, &macs[1], "lldp");
	send_frame(fds[0], &macs[1], &macs[0], "once more");
	assert_true(receives(fds[1], "once more", 2000));
	assert_false(receives(fds[2], "once more", 50));
	/* Off the bridge nothing arrives; a tap dies with its descriptor. */
	assert_ok(tap_detach("cayt1", &err));
	send_frame(fds[0], &macs[1], &macs[0], "too late");
	assert_false(receives(fds[1], "too late", 50));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		(void)close(fds[i]);
	assert_false(shell_says("ip link", "cayt"));
	assert_ok(tap_detach("cayt1", &err));
	assert_ok(bridge_remove("cayb3", OWNER, &err));
}

static void test_tap_isolated(void **state)
{
	const struct bridge_spec spec = example("cayb4");
	struct cay_error err = { 0 };
	int fds[2];

	assert_ok(bridge_ensure(&spec, &err));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		const struct tap_port port = { .name = i ? "cayt1" : "cayt0",
					       .bridge = "cayb4",
					       .mac = macs[i],
					       .isolated = true };

		assert_ok(tap_open(port.name, 1, &fds[i], &err));
		assert_ok(tap_attach(&port, &err));
	}
	send_frame(fds[0], &everybody, &macs[0], "hello neighbour");
	assert_false(receives(fds[1], "hello neighbour", 50));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		(void)close(fds[i]);
	assert_ok(bridge_remove("cayb4", OWNER, &err));
}

static void test_tap_moves(void **state)
{
	const struct bridge_spec first = example("cayb5"), second = example("cayb6");
	struct tap_port port = { .name = "cayt0", .bridge = "cayb5", .mac = macs[0] };
	struct cay_error err = { 0 };
	int fd;

	assert_ok(bridge_ensure(&first, &err));
	assert_ok(bridge_ensure(&second, &err));
	assert_ok(tap_open("cayt0", 1, &fd, &err));
	assert_ok(tap_attach(&port, &err));
	port.bridge = "cayb6";
	assert_ok(tap_attach(&port, &err));
	assert_true(shell_says("ip link show cayt0", "master cayb6"));
	assert_true(
		shell_says("bridge fdb show dev cayt0", "02:00:00:00:00:01 master cayb6 static"));
	/* A failure takes it down and off, not back. */
	port.mtu = 100000;
	assert_true(tap_attach(&port, &err) < 0);
	assert_false(shell_says("ip link show cayt0", "master"));
	assert_false(shell_says("ip link show cayt0", ",UP"));
	(void)close(fd);
	assert_ok(bridge_remove("cayb5", OWNER, &err));
	assert_ok(bridge_remove("cayb6", OWNER, &err));
}

static void test_tap_queues(void **state)
{
	struct cay_error err = { 0 };
	int fds[TAP_QUEUES_MAX] = { -9 }, other = -9;

	assert_ok(tap_open("cayt0", 4, fds, &err));
	assert_true(shell_says("ls -d /proc/self/net && ip -d link show cayt0", "multi_queue"));
	assert_true(shell_says("ip -d link show cayt0", "vnet_hdr"));
	assert_true(shell_says("ip -d link show cayt0", "persist off"));
	for (int i = 0; i < 4; i++) {
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
		assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
	}
	/* A second opener gets none of its queues. */
	assert_true(tap_open("cayt0", 4, &other, &err) < 0);
	assert_int_equal(err.code, CAY_EXISTS);
	assert_int_equal(other, -9);
	for (int i = 0; i < 4; i++)
		(void)close(fds[i]);
	assert_false(shell_says("ip link", "cayt0"));
	cay_error_clear(&err);
	assert_true(tap_open("cayt0", 0, fds, &err) < 0);
	cay_error_clear(&err);
	assert_true(tap_open("cayt0", TAP_QUEUES_MAX + 1, fds, &err) < 0);
	cay_error_clear(&err);
	assert_true(tap_open("cayt%d", 1, fds, &err) < 0);
	assert_int_equal(err.code, CAY_INVALID);
	cay_error_clear(&err);
	assert_true(tap_attach(&(struct tap_port){ .name = "cayt0", .bridge = "lo" }, &err) < 0);
	assert_int_equal(err.code, CAY_NOT_FOUND);
}

/* A tap that was made before it was known whose it becomes. */
static void test_tap_rename(void **state)
{
	struct cay_error err = { 0 };
	int fd, other;

	assert_ok(tap_open("cayt0", 1, &fd, &err));
	assert_ok(tap_open("cayt1", 1, &other, &err));
	assert_ok(tap_rename("cayt0", "cayt2", &err));
	assert_int_equal(if_nametoindex("cayt0"), 0);
	assert_true(if_nametoindex("cayt2") > 0);
	assert_ok(tap_rename("cayt2", "cayt2", &err));
	assert_true(tap_rename("cayt2", "cayt1", &err) < 0);
	assert_int_equal(err.code, CAY_EXISTS);
	cay_error_clear(&err);
	assert_true(tap_rename("cayt0", "cayt3", &err) < 0);
	assert_int_equal(err.code, CAY_NOT_FOUND);
	cay_error_clear(&err);
	assert_true(tap_rename("cayt2", "a name", &err) < 0);
	assert_int_equal(err.code, CAY_INVALID);
	(void)close(fd);
	(void)close(other);
}

static void test_macvtap(void **state)
{
	struct cay_error err = { 0 };
	int fds[2], plain;

	shell("ip link add outside type veth peer name far && ip link set outside up &&"
	      "ip link set far up address 02:00:00:00:00:02");
	assert_ok(macvtap_create("caym0", "outside", &macs[0], 0, &err));
	assert_true(shell_says("ip -d link show caym0", "mode bridge"));
	assert_true(shell_says("ip link show caym0", "02:00:00:00:00:01"));
	assert_ok(macvtap_open("caym0", 2, fds, &err));
	assert_true(shell_says("ip link show caym0", ",UP"));
	assert_true(shell_says("ip link show caym0", "ALLMULTI"));
	assert_false(shell_says("ip addr show caym0", "inet"));
	/* The peer is asked for its address and answers, which tells that both ways work. */
	shell("ip addr add 10.9.9.1/24 dev far");
	static const uint8_t question[] = { 0,  1, 8, 0, 6, 4, 0, 1, 2, 0, 0,  0, 0, 1,
					    10, 9, 9, 2, 0, 0, 0, 0, 0, 0, 10, 9, 9, 1 };
	uint8_t packet[sizeof(struct virtio_net_hdr) + 60] = { 0 };
	uint8_t *frame = packet + sizeof(struct virtio_net_hdr);

	memcpy(frame, everybody.bytes, 6);
	memcpy(frame + 6, macs[0].bytes, 6);
	frame[12] = 8;
	frame[13] = 6;
	memcpy(frame + 14, question, sizeof(question));
	assert_int_equal(write(fds[0], packet, sizeof(packet)), sizeof(packet));
	static const char answer[] = { 0, 1, 8, 0, 6, 4, 0, 2 };
	struct pollfd pollers[] = { { .fd = fds[0], .events = POLLIN },
				    { .fd = fds[1], .events = POLLIN } };
	bool answered = false;

	while (!answered && poll(pollers, 2, 2000) > 0)
		for (size_t i = 0; i < 2; i++) {
			uint8_t reply[2048];
			const ssize_t n = read(fds[i], reply, sizeof(reply));

			answered |= n > 40 && memcmp(reply + 10 + 14, answer, 8) == 0;
		}
	assert_true(answered);
	for (size_t i = 0; i < 2; i++)
		(void)close(fds[i]);
	assert_ok(macvtap_remove("caym0", &err));
	assert_ok(macvtap_remove("caym0", &err));
	assert_false(shell_says("ip link", "caym0"));
	assert_true(macvtap_remove("outside", &err) < 0);
	assert_int_equal(err.code, CAY_CONFLICT);
	cay_error_clear(&err);
	assert_true(macvtap_open("outside", 1, &plain, &err) < 0);
	assert_int_equal(err.code, CAY_CONFLICT);
	cay_error_clear(&err);
	assert_true(macvtap_create("caym0", "absent", &macs[0], 0, &err) < 0);
	assert_int_equal(err.code, CAY_NOT_FOUND);
	shell("ip link del outside");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bridge),           cmocka_unit_test(test_bridge_mended),
		cmocka_unit_test(test_bridge_of_others), cmocka_unit_test(test_bridge_undone),
		cmocka_unit_test(test_tap_ports),        cmocka_unit_test(test_tap_isolated),
		cmocka_unit_test(test_tap_moves),        cmocka_unit_test(test_tap_queues),
		cmocka_unit_test(test_tap_rename),       cmocka_unit_test(test_macvtap),
	};

	if (!enter_network())
		return 77; /* meson's word for a test that was skipped */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
