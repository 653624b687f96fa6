/* SPDX-License-Identifier: Apache-2.0 */
/* Orders to the kernel over rtnetlink. */
#include "guest/netlink.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

enum { ANSWER_MAX = 1024, DUMP_MAX = 8 * 1024 };

int netlink_open(struct netlink *netlink, struct cay_error *err)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return cay_error_errno(err, errno, "opening a netlink socket");
	memset(netlink, 0, sizeof(*netlink));
	netlink->fd = TAKE_FD(fd);
	netlink->first = 1;
	return 0;
}

void netlink_close(struct netlink *netlink)
{
	cay_close_p(&netlink->fd);
	netlink->fd = -1;
}

void netlink_put(struct netlink *netlink, const char *name, uint16_t type, uint16_t flags,
		 const void *header, size_t size)
{
	struct nlmsghdr *order = (struct nlmsghdr *)(netlink->batch + netlink->length);

	if (netlink->overflow || netlink->count == NETLINK_ORDERS_MAX ||
	    netlink->length + NLMSG_SPACE(size) > NETLINK_BATCH_MAX) {
		netlink->overflow = true;
		return;
	}
	memset(order, 0, NLMSG_SPACE(size));
	order->nlmsg_len = (uint32_t)NLMSG_LENGTH(size);
	order->nlmsg_type = type;
	order->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	order->nlmsg_seq = netlink->first + (uint32_t)netlink->count;
	memcpy(NLMSG_DATA(order), header, size);
	netlink->length += NLMSG_SPACE(size);
	netlink->names[netlink->count++] = name;
	netlink->order = order;
}

void netlink_put_attribute(struct netlink *netlink, uint16_t type, const void *data, size_t size)
{
	struct rtattr *attribute = (struct rtattr *)(netlink->batch + netlink->length);

	if (netlink->overflow || netlink->length + RTA_SPACE(size) > NETLINK_BATCH_MAX) {
		netlink->overflow = true;
		return;
	}
	memset(attribute, 0, RTA_SPACE(size));
	attribute->rta_type = type;
	attribute->rta_len = (uint16_t)RTA_LENGTH(size);
	memcpy(RTA_DATA(attribute), data, size);
	netlink->length += RTA_SPACE(size);
	netlink->order->nlmsg_len =
		(uint32_t)(netlink->batch + netlink->length - (uint8_t *)netlink->order);
}

bool netlink_has_room(const struct netlink *netlink)
{
	return netlink->count < NETLINK_ORDERS_MAX &&
		netlink->length + NETLINK_ORDER_MAX <= NETLINK_BATCH_MAX;
}

/* Receives what the kernel says next; the size, or -errno. */
static ssize_t receive(const struct netlink *netlink, void *data, size_t size)
{
	ssize_t n;

	do
		n = recv(netlink->fd, data, size, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Reads one acknowledgement an order. */
static int read_answers(struct netlink *netlink, size_t count, struct cay_error *err)
{
	_Alignas(NLMSG_ALIGNTO) uint8_t data[ANSWER_MAX];
	int result = 0;

	while (count > 0) {
		ssize_t n = receive(netlink, data, sizeof(data));
		int left = (int)n;

		if (n < 0)
			return cay_error_errno(err, (int)n, "reading the kernel's answers");
		for (struct nlmsghdr *answer = (struct nlmsghdr *)data; NLMSG_OK(answer, left);
		     answer = NLMSG_NEXT(answer, left)) {
			const struct nlmsgerr *ack = NLMSG_DATA(answer);
			const uint32_t index = answer->nlmsg_seq - netlink->first;

			if (answer->nlmsg_type != NLMSG_ERROR || index >= netlink->count)
				continue;
			count--;
			if (ack->error != 0 && result == 0)
				result = cay_error_errno(err, ack->error, "%s",
							 netlink->names[index]);
		}
	}
	return result;
}

static int send_batch(const struct netlink *netlink, struct cay_error *err)
{
	ssize_t n;

	do
		n = send(netlink->fd, netlink->batch, netlink->length, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? cay_error_errno(err, errno, "asking the kernel") : 0;
}

/* Nothing is put any more, and late answers to what was are not taken for others'. */
static void forget(struct netlink *netlink)
{
	netlink->first += (uint32_t)netlink->count;
	netlink->count = 0;
	netlink->length = 0;
	netlink->overflow = false;
	netlink->order = NULL;
}

int netlink_send(struct netlink *netlink, struct cay_error *err)
{
	int r = 0;

	if (netlink->overflow)
		r = cay_error_set(err, CAY_TOO_LARGE, E2BIG, "the network's orders are too many");
	else if (netlink->count > 0)
		r = send_batch(netlink, err);
	if (r == 0)
		r = read_answers(netlink, netlink->count, err);
	forget(netlink);
	return r;
}

int netlink_dump(struct netlink *netlink, uint16_t type, const void *header, size_t size,
		 void (*each)(const struct nlmsghdr *message, void *user), void *user,
		 struct cay_error *err)
{
	_Alignas(NLMSG_ALIGNTO) uint8_t data[DUMP_MAX];
	bool over = false;
	int r;

	assert(netlink->count == 0);
	netlink_put(netlink, "a dump", type, NLM_F_DUMP, header, size);
	r = send_batch(netlink, err);
	while (r == 0 && !over) {
		ssize_t n = receive(netlink, data, sizeof(data));
		int left = (int)n;

		if (n < 0)
			r = cay_error_errno(err, (int)n, "reading the kernel's answers");
		for (struct nlmsghdr *answer = (struct nlmsghdr *)data;
		     n > 0 && NLMSG_OK(answer, left); answer = NLMSG_NEXT(answer, left)) {
			if (answer->nlmsg_seq != netlink->first)
				continue;
			if (answer->nlmsg_type == NLMSG_DONE || answer->nlmsg_type == NLMSG_ERROR)
				over = true;
			else
				each(answer, user);
		}
	}
	forget(netlink);
	return r;
}
