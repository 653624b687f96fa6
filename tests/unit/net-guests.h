/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host with networks, guests and an outside world, each in a network
 * namespace of its own, for tests of the firewall. A guest here is a namespace
 * behind a veth whose host end is named and attached as a tap would be; what it
 * sends, by sockets or as crafted frames, is all that the firewall sees.
 */
#pragma once

#include "net-fixture.h"
#include "net-frames.h"

#include "net/bridge.h"
#include "net/firewall.h"
#include "net/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#define TAG   "0badcafe"
#define OWNER "cay_" TAG

struct guest {
	int space;  /* its namespace */
	int packet; /* a packet socket on its card */
	char link[IFNAMSIZ];
	const char *bridge;
	struct net_mac mac;
	const char *v4, *v6;
};

static inline int open_space(void)
{
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static inline void enter_space(int space)
{
	assert_int_equal(setns(space, CLONE_NEWNET), 0);
}

/* A new namespace with its loopback up; the caller stays where it is. */
static inline int make_space(void)
{
	_cleanup_close_ int here = open_space();
	int space;

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	shell("ip link set lo up");
	space = open_space();
	assert_true(here >= 0 && space >= 0);
	enter_space(here);
	return space;
}

static inline cay_unused void shell_in(int space, const char *format, ...) cay_printf(2, 3);
static inline cay_unused void shell_in(int space, const char *format, ...)
{
	_cleanup_close_ int here = open_space();
	char command[1024];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	enter_space(space);
	shell(command);
	enter_space(here);
}

static inline int socket_in(int space, int family, int type, int protocol)
{
	_cleanup_close_ int here = open_space();
	int fd;

	enter_space(space);
	fd = socket(family, type | SOCK_CLOEXEC, protocol);
	enter_space(here);
	assert_true(fd >= 0);
	return fd;
}

static inline struct net_address address(const char *text)
{
	struct net_address result = { 0 };
	struct cay_error err = { 0 };

	if (text)
		assert_ok(net_address_parse(text, &result, &err));
	return result;
}

/* A socket of this type, bound there; streams listen. */
static inline int serve(int space, int type, const char *at, uint16_t port)
{
	const struct net_address where = address(at);
	struct sockaddr_storage storage;
	const socklen_t length = net_address_to_sockaddr(&where, port, &storage);
	int fd = socket_in(space, where.family, type, 0);
	const int on = 1;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&storage, length), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 16), 0);
	return fd;
}

/* Connects within a short time: 0 or the errno, ETIMEDOUT for silence. */
static inline int reach(int space, const char *to, uint16_t port)
{
	const struct net_address where = address(to);
	struct sockaddr_storage storage;
	const socklen_t length = net_address_to_sockaddr(&where, port, &storage);
	_cleanup_close_ int fd = socket_in(space, where.family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct pollfd poller = { .fd = fd, .events = POLLOUT };
	int cause = 0;
	socklen_t size = sizeof(cause);

	if (connect(fd, (struct sockaddr *)&storage, length) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return errno;
	if (poll(&poller, 1, 400) == 0)
		return ETIMEDOUT;
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &cause, &size), 0);
	return cause;
}

/* Who reached a listening socket last: the address as text, "" where nobody did. */
static inline const char *visitor(int listener, char text[NET_ADDRESS_TEXT_MAX])
{
	struct pollfd poller = { .fd = listener, .events = POLLIN };
	struct sockaddr_storage storage;
	socklen_t length = sizeof(storage);
	struct net_address from;
	int fd;

	text[0] = '\0';
	if (poll(&poller, 1, 400) != 1)
		return text;
	fd = accept4(listener, (struct sockaddr *)&storage, &length, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	(void)close(fd);
	from = net_address_from_sockaddr((struct sockaddr *)&storage);
	net_address_format(&from, text);
	return text;
}

/* Whether a datagram sent from there arrives at a bound socket, and an answer to it returns. */
static inline bool echoes(int space, const char *to, uint16_t port, int server)
{
	const struct net_address where = address(to);
	struct sockaddr_storage storage, peer;
	const socklen_t length = net_address_to_sockaddr(&where, port, &storage);
	_cleanup_close_ int fd = socket_in(space, where.family, SOCK_DGRAM, 0);
	struct pollfd pollers[] = { { .fd = server, .events = POLLIN },
				    { .fd = fd, .events = POLLIN } };
	socklen_t peer_length = sizeof(peer);
	char text[8];

	assert_int_equal(connect(fd, (struct sockaddr *)&storage, length), 0);
	if (send(fd, "ping", 4, 0) != 4 || poll(pollers, 1, 400) != 1)
		return false;
	assert_int_equal(
		recvfrom(server, text, sizeof(text), 0, (struct sockaddr *)&peer, &peer_length), 4);
	assert_int_equal(sendto(server, "pong", 4, 0, (struct sockaddr *)&peer, peer_length), 4);
	return poll(pollers + 1, 1, 400) == 1 && recv(fd, text, sizeof(text), 0) == 4;
}

/* Whether an echo request is answered. */
static inline bool pings(int space, const char *to)
{
	const struct net_address where = address(to);
	const bool v4 = where.family == AF_INET;
	struct sockaddr_storage storage;
	const socklen_t length = net_address_to_sockaddr(&where, 0, &storage);
	_cleanup_close_ int fd =
		socket_in(space, where.family, SOCK_RAW, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	uint8_t request[8] = { v4 ? 8 : 128, 0, 0, 0, 0x12, 0x34, 0, 1 }, reply[128];
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	const uint16_t sum = frame_sum(request, sizeof(request));
	const size_t header = v4 ? 20 : 0;

	request[2] = (uint8_t)(sum >> 8);
	request[3] = (uint8_t)sum;
	if (sendto(fd, request, 8, 0, (struct sockaddr *)&storage, length) != 8)
		return false;
	while (poll(&poller, 1, 400) == 1) {
		const ssize_t n = recv(fd, reply, sizeof(reply), 0);

		if (n >= (ssize_t)header + 8 && reply[header] == (v4 ? 0 : 129) &&
		    memcmp(reply + header + 4, request + 4, 4) == 0)
			return true;
	}
	return false;
}

/* A packet socket on a link, that sees and sends whole frames. */
static inline int packet_socket(int space, const char *link)
{
	_cleanup_close_ int here = open_space();
	struct sockaddr_ll where = { .sll_family = AF_PACKET, .sll_protocol = htons(3) };
	int fd;

	enter_space(space);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(3)); /* ETH_P_ALL */
	where.sll_ifindex = (int)if_nametoindex(link);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&where, sizeof(where)), 0);
	enter_space(here);
	return fd;
}

static inline void send_frame(const struct guest *guest, const struct frame *frame)
{
	assert_int_equal(send(guest->packet, frame->bytes, frame->length, 0), frame->length);
}

/* Whether exactly this frame comes out of a packet socket, short frames padded. */
static inline bool sees(int packet, const struct frame *frame, int milliseconds)
{
	struct pollfd poller = { .fd = packet, .events = POLLIN };
	uint8_t bytes[2048];

	while (poll(&poller, 1, milliseconds) > 0) {
		struct sockaddr_ll from;
		socklen_t length = sizeof(from);
		const ssize_t n = recvfrom(packet, bytes, sizeof(bytes), 0,
					   (struct sockaddr *)&from, &length);

		if (from.sll_pkttype != PACKET_OUTGOING && n >= (ssize_t)frame->length &&
		    memcmp(bytes, frame->bytes, frame->length) == 0)
			return true;
	}
	return false;
}

/* The guest's namespace and card, on its bridge, as its container would set it up. */
static inline struct guest make_guest(const char *link, const char *bridge, uint8_t number,
				      const char *v4, const char *v6, const char *gateway4,
				      const char *gateway6)
{
	struct guest guest = { .space = make_space(),
			       .bridge = bridge,
			       .mac = { { 2, 0, 0, 0, 0, number } },
			       .v4 = v4,
			       .v6 = v6 };
	struct cay_error err = { 0 };
	char mac[NET_MAC_TEXT_MAX];
	char command[256];

	(void)snprintf(guest.link, sizeof(guest.link), "%s", link);
	net_mac_format(&guest.mac, mac);
	(void)snprintf(command, sizeof(command),
		       "ip link add %s type veth peer name eth0 address %s netns /proc/%d/fd/%d",
		       link, mac, (int)getpid(), guest.space);
	shell(command);
	const struct tap_port port = { .name = link, .bridge = bridge, .mac = guest.mac };

	assert_ok(tap_attach(&port, &err));
	shell_in(guest.space,
		 "sysctl -q net.ipv6.conf.eth0.accept_dad=0 &&"
		 "ip link set eth0 up");
	if (v4)
		shell_in(guest.space, "ip addr add %s/24 dev eth0 && ip route add default via %s",
			 v4, gateway4);
	if (v6)
		shell_in(guest.space,
			 "ip addr add %s/64 dev eth0 nodad && ip route add default via %s", v6,
			 gateway6);
	guest.packet = packet_socket(guest.space, "eth0");
	return guest;
}

static inline struct net_endpoint endpoint_of(const struct guest *guest)
{
	struct net_endpoint endpoint = { .mac = guest->mac,
					 .addresses = { address(guest->v4), address(guest->v6) } };

	(void)snprintf(endpoint.link, sizeof(endpoint.link), "%s", guest->link);
	(void)snprintf(endpoint.network, sizeof(endpoint.network), "%s", guest->bridge);
	return endpoint;
}

static inline cay_unused void guest_done(const struct guest *guest)
{
	(void)close(guest->packet);
	(void)close(guest->space);
}
