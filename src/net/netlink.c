/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The netlink socket: requests, their answers, and the kernel's words about
 * what it refused.
 */
#include "net/netlink-internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>

enum {
	REQUEST_SIZE = 2048, /* an alias of 255 bytes is the largest thing we send */
	ANSWER_SIZE = 65536, /* above the 32 KiB that the kernel puts into one part of a dump */
	REASON_SIZE = 160,   /* of the kernel's own explanation */
};

struct netlink {
	struct mnl_socket *socket;
	uint32_t sequence;
	_Alignas(struct nlmsghdr) char request[REQUEST_SIZE];
	_Alignas(struct nlmsghdr) char answer[ANSWER_SIZE];
};

int netlink_open(struct netlink **ret, struct cay_error *err)
{
	_cleanup_netlink_ struct netlink *netlink = xcalloc(1, sizeof(*netlink));
	static const int on = 1;

	netlink->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!netlink->socket || mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return cay_error_errno(err, errno, "can't open a netlink socket");
	/* Both since Linux 4.12; without them there is just less to tell. */
	(void)mnl_socket_setsockopt(netlink->socket, NETLINK_EXT_ACK, (void *)(uintptr_t)&on,
				    sizeof(on));
	(void)mnl_socket_setsockopt(netlink->socket, NETLINK_CAP_ACK, (void *)(uintptr_t)&on,
				    sizeof(on));
	*ret = TAKE_PTR(netlink);
	return 0;
}

void netlink_close(struct netlink *netlink)
{
	if (!netlink)
		return;
	if (netlink->socket)
		(void)mnl_socket_close(netlink->socket);
	free(netlink);
}

struct nlmsghdr *netlink_request(struct netlink *netlink, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *header;

	memset(netlink->request, 0, sizeof(netlink->request));
	header = mnl_nlmsg_put_header(netlink->request);
	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST | flags;
	if ((flags & NLM_F_DUMP) != NLM_F_DUMP)
		header->nlmsg_flags |= NLM_F_ACK;
	header->nlmsg_seq = ++netlink->sequence;
	return header;
}

/* The kernel's result, 0 or -errno, and its explanation behind it if it gave one. */
static int read_error(const struct nlmsghdr *message, char reason[REASON_SIZE])
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);
	const struct nlattr *attribute;
	size_t offset = sizeof(*error);

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*error))
		return -EBADMSG;
	if (!(message->nlmsg_flags & NLM_F_ACK_TLVS))
		return error->error;
	if (!(message->nlmsg_flags & NLM_F_CAPPED))
		offset += error->msg.nlmsg_len - sizeof(error->msg);
	mnl_attr_for_each(attribute, message, (unsigned int)offset)
		if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG &&
		    mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
			(void)snprintf(reason, REASON_SIZE, "%s", mnl_attr_get_str(attribute));
	return error->error;
}

/*
 * Reads one datagram of the answer. 1: it is complete, 0: more follows, or -errno. A failure that
 * leaves more to be read is kept in *failure until the end: the kernel refuses a second dump on a
 * socket that has not read the first.
 */
static int read_part(struct netlink *netlink, uint32_t sequence,
		     int (*each)(const struct nlmsghdr *, void *), void *data, int *failure,
		     char reason[REASON_SIZE])
{
	const struct nlmsghdr *message = (const void *)netlink->answer;
	ssize_t n;
	int left;

	do {
		n = mnl_socket_recvfrom(netlink->socket, netlink->answer, sizeof(netlink->answer));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	for (left = (int)n; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
		if (message->nlmsg_seq != sequence)
			continue; /* of an exchange that ended early */
		if (message->nlmsg_flags & NLM_F_DUMP_INTR)
			*failure = -EINTR;
		if (message->nlmsg_type == NLMSG_ERROR) {
			const int r = read_error(message, reason);

			return r < 0 ? r : *failure < 0 ? *failure : 1;
		}
		if (message->nlmsg_type == NLMSG_DONE)
			return *failure < 0 ? *failure : 1;
		if (each && *failure == 0 && message->nlmsg_type >= NLMSG_MIN_TYPE)
			*failure = each(message, data);
	}
	return 0;
}

int netlink_exchange(struct netlink *netlink, struct nlmsghdr *request,
		     int (*each)(const struct nlmsghdr *message, void *data), void *data,
		     struct cay_error *err, const char *format, ...)
{
	char reason[REASON_SIZE] = "", action[256];
	va_list args;
	int failure = 0, r = 0;

	assert(request->nlmsg_len <= REQUEST_SIZE);
	if (mnl_socket_sendto(netlink->socket, request, request->nlmsg_len) < 0)
		r = -errno;
	while (r == 0)
		r = read_part(netlink, request->nlmsg_seq, each, data, &failure, reason);
	if (r > 0)
		return 0;
	va_start(args, format);
	(void)vsnprintf(action, sizeof(action), format, args);
	va_end(args);
	if (reason[0])
		return cay_error_errno(err, r, "%s (%s)", action, reason);
	return cay_error_errno(err, r, "%s", action);
}

void *netlink_grow(void *items, size_t *count, size_t size)
{
	/* Doubled at each power of two. */
	if ((*count & (*count - 1)) == 0)
		items = xreallocarray(items, *count ? 2 * *count : 1, size);
	memset((char *)items + *count * size, 0, size);
	(*count)++;
	return items;
}
