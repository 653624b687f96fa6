/* SPDX-License-Identifier: Apache-2.0 */
/* How netlink*.c make requests and read answers. */
#pragma once

#include "net/netlink.h"

#include <libmnl/libmnl.h>

/* Begins a request in the socket's own buffer; flags beyond NLM_F_REQUEST. */
struct nlmsghdr *netlink_request(struct netlink *netlink, uint16_t type, uint16_t flags);

/*
 * Sends it and reads the whole answer; `each` (may be NULL) gets every message that is not the
 * acknowledgement and returns 0 or -errno. Asks for an acknowledgement where it is no dump. The
 * text says what was tried, "can't add …", for the error.
 */
int netlink_exchange(struct netlink *netlink, struct nlmsghdr *request,
		     int (*each)(const struct nlmsghdr *message, void *data), void *data,
		     struct cay_error *err, const char *format, ...) cay_printf(6, 7);

/* A dump; one that changes while it is read (-EINTR) is to be asked for again. */
enum { NETLINK_DUMP_ATTEMPTS = 10 };

/* Grows a list of items by one, zeroed. */
void *netlink_grow(void *items, size_t *count, size_t size);
