/* SPDX-License-Identifier: Apache-2.0 */
/* What comes of DHCP: addresses, routes and resolv.conf, events, and who waits for them. */
#include "guest/network-internal.h"

#include "guest/dhcp.h"
#include "guest/guest.h"
#include "guest/held.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/strv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { WAIT_MAX_MS = 10 * 60 * 1000 };

/* One WaitNetwork call. */
struct network_wait {
	struct guest *guest;
	struct held *held;
	uv_timer_t timer;
	TAILQ_ENTRY(network_wait) link;
};

/* ---- waiting ---- */

static bool is_ready(const struct guest *guest)
{
	const struct network_card *card;

	TAILQ_FOREACH(card, &guest->cards, link)
	if (card->dhcp && !dhcp_current(card->dhcp))
		return false;
	return true;
}

static void on_wait_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void answer_wait(struct network_wait *wait)
{
	Cay__Vminitd__V1__WaitNetworkResponse response =
		CAY__VMINITD__V1__WAIT_NETWORK_RESPONSE__INIT;

	response.ready = is_ready(wait->guest);
	TAILQ_REMOVE(&wait->guest->network_waits, wait, link);
	held_reply(wait->held, &response.base);
	uv_close((uv_handle_t *)&wait->timer, on_wait_closed);
}

static void on_wait_over(uv_timer_t *timer)
{
	answer_wait(timer->data);
}

void network_answer_waits(struct guest *guest)
{
	struct network_wait *wait;

	if (TAILQ_EMPTY(&guest->network_waits) || !is_ready(guest))
		return;
	while ((wait = TAILQ_FIRST(&guest->network_waits)))
		answer_wait(wait);
}

void network_wait(struct guest *guest, struct rpc_call *call, uint32_t timeout_ms)
{
	struct network_wait *wait = xcalloc(1, sizeof(*wait));

	wait->guest = guest;
	wait->held = held_new(call, NULL, NULL); /* a caller that leaves is found at the timeout */
	(void)uv_timer_init(&guest->loop, &wait->timer);
	wait->timer.data = wait;
	TAILQ_INSERT_TAIL(&guest->network_waits, wait, link);
	(void)uv_timer_start(&wait->timer, on_wait_over, MIN(timeout_ms, (uint32_t)WAIT_MAX_MS), 0);
	network_answer_waits(guest);
}

/* ---- telling ---- */

static char *print_address(struct in_addr address)
{
	char text[INET_ADDRSTRLEN];

	return xstrdup(address.s_addr && inet_ntop(AF_INET, &address, text, sizeof(text)) ? text
											  : "");
}

static void tell(const struct network_card *card, const struct dhcp_lease *lease)
{
	Cay__Vminitd__V1__Event event = CAY__VMINITD__V1__EVENT__INIT;
	Cay__Vminitd__V1__LeaseEvent what = CAY__VMINITD__V1__LEASE_EVENT__INIT;
	_cleanup_strv_ struct strv dns = { 0 };

	what.mac = (ProtobufCBinaryData){ NETWORK_MAC_SIZE, (uint8_t *)card->plugged_mac };
	event.what_case = CAY__VMINITD__V1__EVENT__WHAT_LEASE;
	event.lease = &what;
	if (lease) {
		_cleanup_free_ char *address = print_address(lease->address);
		_cleanup_free_ char *prefixed = xasprintf("%s/%u", address, lease->prefix);
		_cleanup_free_ char *gateway = print_address(lease->router);
		_cleanup_free_ char *server = print_address(lease->server);

		for (size_t i = 0; i < lease->dns_count; i++)
			strv_take(&dns, print_address(lease->dns[i]));
		what.address = prefixed;
		what.gateway = gateway;
		what.server = server;
		what.domain = (char *)lease->domain;
		what.dns_servers = dns.items;
		what.n_dns_servers = dns.count;
		what.lease_s = lease->seconds;
		events_emit(&card->guest->events, &event);
	} else {
		events_emit(&card->guest->events, &event);
	}
}

/* ---- putting into force ---- */

/* The file is bound into the container, so it must stay the same one. */
static void write_resolv_conf(const char *path, const struct dhcp_lease *lease)
{
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_close_ int fd = open(path, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);

	if (*lease->domain)
		buf_printf(&text, "search %s\n", lease->domain);
	for (size_t i = 0; i < lease->dns_count; i++) {
		_cleanup_free_ char *address = print_address(lease->dns[i]);

		buf_printf(&text, "nameserver %s\n", address);
	}
	if (fd < 0 || write_full(fd, buf_text(&text), text.length) < 0)
		log_warning("writing %s: %s", path, errno_text(errno));
}

static int set_addresses(const struct network_card *card, const struct dhcp_lease *old,
			 const struct dhcp_lease *lease, struct cay_error *err)
{
	struct network_address address = { .family = AF_INET };
	struct netlink netlink;
	int r = netlink_open(&netlink, err);

	if (r < 0)
		return r;
	if (old &&
	    (!lease || old->address.s_addr != lease->address.s_addr ||
	     old->prefix != lease->prefix)) {
		address.v4 = old->address;
		address.prefix = old->prefix;
		network_put_no_address(&netlink, card->index, &address);
	}
	if (lease) {
		address.v4 = lease->address;
		address.prefix = lease->prefix;
		network_put_address(&netlink, card->index, &address);
	}
	if (lease && lease->router.s_addr) {
		address.v4 = lease->router;
		network_put_default_route(&netlink, card->index, &address, true);
	}
	r = netlink_send(&netlink, err);
	netlink_close(&netlink);
	return r;
}

void network_apply_lease(struct network_card *card, const struct dhcp_lease *old,
			 const struct dhcp_lease *lease)
{
	struct cay_error err = { 0 };

	if (set_addresses(card, old, lease, &err) < 0)
		log_warning("DHCP on %s: %s", card->name, err.message);
	if (lease && card->resolv_conf)
		write_resolv_conf(card->resolv_conf, lease);
	tell(card, lease);
	network_answer_waits(card->guest);
}
