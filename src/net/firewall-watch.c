/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that puts the firewall's rules back when somebody else has taken
 * them away: "nft flush ruleset" at a firewall's reload, most of all. The kernel
 * tells of every change (NFNLGRP_NFTABLES): first what changed, then, at the
 * end of a transaction, the rule set's new generation. A transaction that
 * touched our tables and whose generation is none of our own is answered by a
 * load of everything.
 */
#include "net/firewall-internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

enum {
	RECEIVE_BUFFER = 4 << 20, /* a load of ours is told of element by element */
	MESSAGE_SIZE = 65536,
	PAUSE_MS = 50,        /* at least between two loads, should somebody flush in a loop */
	PAUSE_MAX_MS = 60000, /* and at most, as it doubles with each that fails */
	SETTLE_MS = 300, /* a firewall that is being set up gets so long before we look at it */
};

struct firewall_watch {
	struct firewall *firewall;
	struct mnl_socket *socket;
	pthread_t thread;
	int stop_fd;
	bool touched;       /* the transaction that is being told of concerns our tables */
	bool lost;          /* ours were changed by others: to be loaded */
	int64_t foreign;    /* when to look at other firewalls; 0: no need to */
	int64_t not_before; /* when the next load may be */
	int64_t pause;      /* from one load to the next */
	_Alignas(struct nlmsghdr) char buffer[MESSAGE_SIZE];
};

/* NFTA_TABLE_NAME, and NFTA_CHAIN_TABLE and its like in all other messages. */
enum { ATTRIBUTE_TABLE = NFTA_TABLE_NAME };
static_assert((int)NFTA_CHAIN_TABLE == (int)ATTRIBUTE_TABLE &&
		      (int)NFTA_RULE_TABLE == (int)ATTRIBUTE_TABLE &&
		      (int)NFTA_SET_TABLE == (int)ATTRIBUTE_TABLE &&
		      (int)NFTA_SET_ELEM_LIST_TABLE == (int)ATTRIBUTE_TABLE,
	      "a message's first attribute is the table's name");

static const char *message_table(const struct nlmsghdr *message)
{
	const struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(attribute) == ATTRIBUTE_TABLE &&
		    mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
			return mnl_attr_get_str(attribute);
	return "";
}

static uint32_t message_generation(const struct nlmsghdr *message)
{
	const struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(attribute) == NFTA_GEN_ID &&
		    mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
			return ntohl(mnl_attr_get_u32(attribute));
	return 0;
}

static void take_message(struct firewall_watch *watch, const struct nlmsghdr *message)
{
	const char *table;

	if (message->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES)
		return;
	if ((message->nlmsg_type & 0xff) == NFT_MSG_NEWGEN) {
		/* Whoever makes a change of ours holds the mutex until its generation is noted. */
		(void)pthread_mutex_lock(&watch->firewall->mutex);
		if (watch->touched &&
		    !firewall_is_own(watch->firewall, message_generation(message)))
			watch->lost = true;
		(void)pthread_mutex_unlock(&watch->firewall->mutex);
		watch->touched = false;
		return;
	}
	table = message_table(message);
	if (strcmp(table, watch->firewall->state.table) == 0)
		watch->touched = true;
	else if (strcmp(table, "filter") == 0 || strcmp(table, "firewalld") == 0)
		watch->foreign = clock_monotonic_ms() + SETTLE_MS;
}

static void read_messages(struct firewall_watch *watch)
{
	const struct nlmsghdr *message = (const void *)watch->buffer;
	ssize_t n;
	int left;

	n = recv(mnl_socket_get_fd(watch->socket), watch->buffer, sizeof(watch->buffer),
		 MSG_DONTWAIT);
	if (n < 0 && errno == ENOBUFS) {
		/* There was more than we were told: anything may have happened. */
		watch->lost = true;
		watch->touched = false;
		watch->foreign = clock_monotonic_ms() + SETTLE_MS;
	}
	if (n <= 0)
		return;
	left = (int)n;
	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
		take_message(watch, message);
}

static void restore(struct firewall_watch *watch)
{
	struct firewall *firewall = watch->firewall;
	struct cay_error err = { 0 };
	int r = 0;

	watch->lost = false;
	(void)pthread_mutex_lock(&firewall->mutex);
	if (firewall->running)
		r = firewall_load(firewall, &err);
	(void)pthread_mutex_unlock(&firewall->mutex);
	watch->pause = r < 0 ? MIN(2 * watch->pause, PAUSE_MAX_MS) : PAUSE_MS;
	watch->not_before = clock_monotonic_ms() + watch->pause;
	if (r < 0) {
		log_error("the firewall's rules were removed and can't be restored: %s",
			  err.message);
		watch->lost = true;
		return;
	}
	log_warning("somebody changed cay's firewall rules; they are restored");
	/* Who flushed ours has flushed other firewalls' as well, and our rules in them. */
	watch->foreign = clock_monotonic_ms();
}

/* How long to sleep until there is something to do; -1 for as long as nothing happens. */
static int time_left(const struct firewall_watch *watch)
{
	const int64_t now = clock_monotonic_ms();
	int64_t next = INT64_MAX;

	if (watch->lost)
		next = watch->not_before;
	if (watch->foreign)
		next = MIN(next, watch->foreign);
	if (next == INT64_MAX)
		return -1;
	return next <= now ? 0 : (int)(next - now);
}

static void *watch_main(void *data)
{
	struct firewall_watch *watch = data;
	struct pollfd pollers[] = {
		{ .fd = mnl_socket_get_fd(watch->socket), .events = POLLIN },
		{ .fd = watch->stop_fd, .events = POLLIN },
	};

	while (!(pollers[1].revents & POLLIN)) {
		const int n = poll(pollers, ARRAY_SIZE(pollers), time_left(watch));

		if (n < 0 && errno != EINTR) {
			log_error("can't watch the firewall: %s", errno_text(errno));
			return NULL;
		}
		if (n < 0)
			continue;
		if (pollers[0].revents)
			read_messages(watch);
		if (watch->lost && clock_monotonic_ms() >= watch->not_before)
			restore(watch);
		if (watch->foreign && clock_monotonic_ms() >= watch->foreign) {
			watch->foreign = 0;
			firewall_foreign_update(watch->firewall);
		}
	}
	return NULL;
}

static void watch_free(struct firewall_watch *watch)
{
	if (watch->socket)
		(void)mnl_socket_close(watch->socket);
	if (watch->stop_fd >= 0)
		(void)close(watch->stop_fd);
	free(watch);
}
DEFINE_CLEANUP(struct firewall_watch *, watch_free);

static int open_socket(struct firewall_watch *watch, struct cay_error *err)
{
	const int size = RECEIVE_BUFFER, group = NFNLGRP_NFTABLES;
	int fd;

	watch->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!watch->socket || mnl_socket_bind(watch->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return cay_error_errno(err, errno, "can't listen to the kernel's nftables");
	fd = mnl_socket_get_fd(watch->socket);
	/* Without it messages are lost sooner, which read_messages() notices. */
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		return cay_error_errno(err, errno, "can't listen to the kernel's nftables");
	return 0;
}

int firewall_watch_start(struct firewall *firewall, struct firewall_watch **ret,
			 struct cay_error *err)
{
	_cleanup_(watch_free_p) struct firewall_watch *watch = xcalloc(1, sizeof(*watch));
	sigset_t all, old;
	int r;

	watch->firewall = firewall;
	watch->pause = PAUSE_MS;
	watch->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (watch->stop_fd < 0)
		return cay_error_errno(err, errno, "can't make an eventfd");
	r = open_socket(watch, err);
	if (r < 0)
		return r;
	/* Signals are for the program's other threads. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&watch->thread, NULL, watch_main, watch);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		return cay_error_errno(err, r, "can't start the thread that watches the firewall");
	*ret = TAKE_PTR(watch);
	return 0;
}

void firewall_watch_stop(struct firewall_watch *watch)
{
	if (!watch)
		return;
	fd_wake(watch->stop_fd);
	(void)pthread_join(watch->thread, NULL);
	watch_free(watch);
}
