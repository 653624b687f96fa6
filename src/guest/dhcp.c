/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DHCP client of one interface. Everything is sent and received below IP,
 * by a packet socket: before there is an address there is no other way, and
 * the release must have left the machine when its call is answered, which a
 * packet that waits for ARP would not have. A renewal goes to the Ethernet
 * address that the lease came from, the server's or its relay's.
 *
 * The packet socket is there only while an answer may come: each packet that
 * arrives passes its filter.
 */
#include "guest/dhcp.h"

#include "guest/guest.h"
#include "guest/network.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "rpc/watch.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

enum { RECEIVES_MAX = 16 }; /* packets taken in one turn of the loop */

struct dhcp {
	struct network_card *card;
	struct dhcp_machine machine;
	struct watch *watch; /* the packet socket; NULL while nothing is awaited */
	int udp_fd;          /* while renewing: else the kernel would refuse the answer by ICMP */
	uint8_t server_mac[ETH_ALEN];
	uv_timer_t timer;
};

static const uint8_t broadcast_mac[ETH_ALEN] = { 255, 255, 255, 255, 255, 255 };

/* ---- sockets ---- */

/* IPv4, UDP, no fragment, to the client's port. */
static int attach_filter(int fd)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 6),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, 4, 0),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, DHCP_CLIENT_PORT, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	static const struct sock_fprog program = { ARRAY_SIZE(code), code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static struct sockaddr_ll link_address(const struct dhcp *dhcp, const uint8_t mac[ETH_ALEN])
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_IP),
		.sll_ifindex = dhcp->card->index,
		.sll_halen = ETH_ALEN,
	};

	memcpy(address.sll_addr, mac, ETH_ALEN);
	return address;
}

static void on_packet(struct watch *watch, int events, void *user);

static int open_socket(struct dhcp *dhcp, struct cay_error *err)
{
	const struct sockaddr_ll address = link_address(dhcp, broadcast_mac);
	const int on = 1;
	int fd, r;

	if (dhcp->watch)
		return 0;
	/* Protocol 0: nothing arrives before the filter is there. */
	fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return cay_error_errno(err, errno, "opening a packet socket");
	if (attach_filter(fd) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		r = cay_error_errno(err, errno, "binding a packet socket to %s", dhcp->card->name);
		(void)close(fd);
		return r;
	}
	r = watch_new(&dhcp->card->guest->loop, fd, on_packet, dhcp, &dhcp->watch);
	if (r < 0)
		return cay_error_errno(err, r, "watching a packet socket");
	watch_set(dhcp->watch, UV_READABLE);
	return 0;
}

static void close_socket(struct dhcp *dhcp)
{
	watch_close(dhcp->watch);
	dhcp->watch = NULL;
}

/* The kernel has somebody to give the renewal's answer to; it is read below IP all the same. */
static void update_udp_socket(struct dhcp *dhcp)
{
	const bool wanted = dhcp->machine.state == DHCP_RENEWING;
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(DHCP_CLIENT_PORT),
		.sin_addr = dhcp->machine.lease.address,
	};

	if (wanted == (dhcp->udp_fd >= 0))
		return;
	cay_close_p(&dhcp->udp_fd);
	dhcp->udp_fd = -1;
	if (!wanted)
		return;
	dhcp->udp_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (dhcp->udp_fd >= 0)
		(void)bind(dhcp->udp_fd, (const struct sockaddr *)&address, sizeof(address));
}

/* ---- what the machine says ---- */

static void send_message(struct dhcp *dhcp, const struct dhcp_step *step)
{
	const struct dhcp_lease *lease =
		step->before.address.s_addr ? &step->before : &dhcp->machine.lease;
	const struct in_addr from = step->unicast ? lease->address : (struct in_addr){ 0 };
	const struct in_addr to =
		step->unicast ? lease->server : (struct in_addr){ INADDR_BROADCAST };
	const struct sockaddr_ll address =
		link_address(dhcp, step->unicast ? dhcp->server_mac : broadcast_mac);
	uint8_t data[DHCP_PACKET_MAX], packet[DHCP_PACKET_MAX];
	size_t size = dhcp_message_build(&step->message, data);

	size = dhcp_packet_build(from, to, data, size, packet);
	if (sendto(watch_fd(dhcp->watch), packet, size, 0, (const struct sockaddr *)&address,
		   sizeof(address)) < 0)
		log_warning("DHCP on %s: %s", dhcp->card->name, errno_text(errno));
}

static void on_timer(uv_timer_t *timer);

static void carry_out(struct dhcp *dhcp, const struct dhcp_step *step)
{
	struct cay_error err = { 0 };

	if (dhcp->machine.state == DHCP_BOUND)
		close_socket(dhcp);
	else if (open_socket(dhcp, &err) < 0)
		log_warning("%s", err.message); /* tried again at the next step */
	update_udp_socket(dhcp);
	if (step->send && dhcp->watch)
		send_message(dhcp, step);
	(void)uv_timer_stop(&dhcp->timer);
	if (step->wait_ms >= 0)
		(void)uv_timer_start(&dhcp->timer, on_timer, (uint64_t)step->wait_ms, 0);
	if (step->change != DHCP_NO_CHANGE)
		network_apply_lease(dhcp->card, step->before.address.s_addr ? &step->before : NULL,
				    dhcp_current(dhcp));
}

static void on_timer(uv_timer_t *timer)
{
	struct dhcp *dhcp = timer->data;
	struct dhcp_step step;

	dhcp_machine_timeout(&dhcp->machine, clock_monotonic_ms(), &step);
	carry_out(dhcp, &step);
}

/* Whether the packet's checksums were made: a neighbour on the same host leaves them to the card.
 */
static bool is_checked(struct msghdr *message)
{
	for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control;
	     control = CMSG_NXTHDR(message, control)) {
		struct tpacket_auxdata aux;

		if (control->cmsg_level != SOL_PACKET || control->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(control), sizeof(aux));
		return !(aux.tp_status & TP_STATUS_CSUMNOTREADY);
	}
	return true;
}

static void receive(struct dhcp *dhcp, const uint8_t *packet, size_t size, bool checked,
		    const struct sockaddr_ll *from)
{
	struct dhcp_message message;
	struct dhcp_step step;
	const uint8_t *data;
	size_t data_size;

	if (from->sll_pkttype == PACKET_OUTGOING || from->sll_halen != ETH_ALEN ||
	    dhcp_packet_parse(packet, size, checked, &data, &data_size) < 0 ||
	    dhcp_message_parse(data, data_size, &message) < 0 ||
	    !dhcp_machine_receive(&dhcp->machine, &message, clock_monotonic_ms(), &step))
		return;
	memcpy(dhcp->server_mac, from->sll_addr, ETH_ALEN);
	carry_out(dhcp, &step);
}

static void on_packet(struct watch *watch, int events, void *user)
{
	struct dhcp *dhcp = user;
	uint8_t packet[DHCP_PACKET_MAX];
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct sockaddr_ll from;
	struct iovec part = { packet, sizeof(packet) };

	(void)events;
	for (int i = 0; i < RECEIVES_MAX && dhcp->watch == watch; i++) {
		struct msghdr message = {
			.msg_name = &from,
			.msg_namelen = sizeof(from),
			.msg_iov = &part,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		ssize_t n = recvmsg(watch_fd(watch), &message, MSG_DONTWAIT);

		if (n < 0)
			return; /* none left, or the interface is down: the timer goes on */
		if (!(message.msg_flags & MSG_TRUNC))
			receive(dhcp, packet, (size_t)n, is_checked(&message), &from);
	}
}

/* ---- start and stop ---- */

int dhcp_start(struct network_card *card, struct dhcp **ret_dhcp, struct cay_error *err)
{
	struct dhcp *dhcp = xcalloc(1, sizeof(*dhcp));
	struct dhcp_step step;
	uint64_t seed;
	int r;

	dhcp->card = card;
	dhcp->udp_fd = -1;
	r = open_socket(dhcp, err);
	if (r < 0) {
		free(dhcp);
		return r;
	}
	(void)uv_timer_init(&card->guest->loop, &dhcp->timer);
	dhcp->timer.data = dhcp;
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed))
		seed = (uint64_t)clock_monotonic_us(); /* jitter and a transaction's number */
	dhcp_machine_init(&dhcp->machine, card->mac, card->hostname, seed);
	*ret_dhcp = dhcp;
	dhcp_machine_start(&dhcp->machine, clock_monotonic_ms(), &step);
	carry_out(dhcp, &step);
	return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void dhcp_stop(struct dhcp *dhcp)
{
	struct dhcp_step step;

	if (!dhcp)
		return;
	dhcp_machine_release(&dhcp->machine, clock_monotonic_ms(), &step);
	carry_out(dhcp, &step);
	close_socket(dhcp);
	cay_close_p(&dhcp->udp_fd);
	uv_close((uv_handle_t *)&dhcp->timer, on_timer_closed);
}

const struct dhcp_lease *dhcp_current(const struct dhcp *dhcp)
{
	return dhcp->machine.lease.address.s_addr ? &dhcp->machine.lease : NULL;
}
