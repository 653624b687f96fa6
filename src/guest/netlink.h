/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orders to the kernel over rtnetlink: several are put into one message
 * buffer, sent by one system call and answered one by one. libmnl, which the
 * host's side uses, is not to be had as an archive for a static program.
 *
 * Formats: rtnetlink(7), netlink(7).
 */
#pragma once

#include "base/error.h"

#include <linux/rtnetlink.h>
#include <stdbool.h>

/* Small, as it stands on the stack: one that has to grow costs a start two milliseconds. */
enum { NETLINK_BATCH_MAX = 2048, NETLINK_ORDERS_MAX = 40, NETLINK_ORDER_MAX = 128 };

struct netlink {
	int fd; /* -1: not open */
	uint32_t sequence;
	/* What was put so far; each order has a name for the error. */
	_Alignas(NLMSG_ALIGNTO) uint8_t batch[NETLINK_BATCH_MAX];
	size_t length;
	struct nlmsghdr *order; /* the last one, attributes are added to */
	uint32_t first;         /* the sequence number of the first order */
	const char *names[NETLINK_ORDERS_MAX];
	size_t count;
	bool overflow;
};

int netlink_open(struct netlink *netlink, struct cay_error *err);
void netlink_close(struct netlink *netlink);

/* Begins an order with its fixed part. `name` says what it does, and must last until it is sent. */
void netlink_put(struct netlink *netlink, const char *name, uint16_t type, uint16_t flags,
		 const void *header, size_t size);
void netlink_put_attribute(struct netlink *netlink, uint16_t type, const void *data, size_t size);

/* Whether there is room for another order of NETLINK_ORDER_MAX bytes. */
bool netlink_has_room(const struct netlink *netlink);

/*
 * Sends what was put and reads the kernel's answers; nothing is left afterwards. The orders are
 * carried out one after the other, also behind one that fails; the first failure is told, as
 * "name: why". Blocks for as long as the kernel needs.
 */
int netlink_send(struct netlink *netlink, struct cay_error *err);

/*
 * Sends one dump request and hands each answer to `each`. Orders that were put before must have
 * been sent.
 */
int netlink_dump(struct netlink *netlink, uint16_t type, const void *header, size_t size,
		 void (*each)(const struct nlmsghdr *message, void *user), void *user,
		 struct cay_error *err);
