/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firewall: what is known is changed and rendered, and libnftables loads
 * it. A change is first tried as a transaction of its few elements; where the
 * kernel does not have what it builds upon (somebody flushed the rules a moment
 * ago), everything is loaded.
 */
#include "net/firewall-internal.h"

#include "base/alloc.h"
#include "base/log.h"
#include "net/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

int firewall_new(const char *tag, struct firewall **ret, struct cay_error *err)
{
	_cleanup_(firewall_free_p) struct firewall *firewall = xcalloc(1, sizeof(*firewall));

	assert(strspn(tag, "0123456789abcdef") == FIREWALL_TAG_LENGTH && strlen(tag) == 8);
	(void)pthread_mutex_init(&firewall->mutex, NULL);
	(void)pthread_mutex_init(&firewall->foreign_mutex, NULL);
	(void)snprintf(firewall->state.table, sizeof(firewall->state.table), "cay_%s", tag);
	firewall->nft = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!firewall->nft || nft_ctx_buffer_output(firewall->nft) != 0 ||
	    nft_ctx_buffer_error(firewall->nft) != 0)
		return cay_error_set(err, CAY_UNAVAILABLE, EIO, "can't start libnftables");
	firewall->query = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!firewall->query || mnl_socket_bind(firewall->query, 0, MNL_SOCKET_AUTOPID) < 0)
		return cay_error_errno(err, errno, "can't reach the kernel's nftables");
	*ret = TAKE_PTR(firewall);
	return 0;
}

void firewall_free(struct firewall *firewall)
{
	if (!firewall)
		return;
	firewall_watch_stop(firewall->watch);
	if (firewall->query)
		(void)mnl_socket_close(firewall->query);
	if (firewall->nft)
		nft_ctx_free(firewall->nft);
	firewall_state_done(&firewall->state);
	strv_done(&firewall->trusted);
	(void)pthread_mutex_destroy(&firewall->foreign_mutex);
	(void)pthread_mutex_destroy(&firewall->mutex);
	free(firewall);
}

/* The number of the rule set's last change, of whomever; 0 when it can't be told. */
static uint32_t generation(struct firewall *firewall)
{
	_Alignas(struct nlmsghdr) char buffer[1024] = { 0 };
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	const struct nlattr *attribute;
	struct nfgenmsg *info;
	ssize_t n;

	message->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN;
	message->nlmsg_flags = NLM_F_REQUEST;
	info = mnl_nlmsg_put_extra_header(message, sizeof(*info));
	info->version = NFNETLINK_V0;
	if (mnl_socket_sendto(firewall->query, message, message->nlmsg_len) < 0)
		return 0;
	do {
		n = mnl_socket_recvfrom(firewall->query, buffer, sizeof(buffer));
	} while (n < 0 && errno == EINTR);
	if (n <= 0 || !mnl_nlmsg_ok(message, (int)n) || message->nlmsg_type == NLMSG_ERROR)
		return 0;
	mnl_attr_for_each(attribute, message, sizeof(*info))
		if (mnl_attr_get_type(attribute) == NFTA_GEN_ID &&
		    mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
			return ntohl(mnl_attr_get_u32(attribute));
	return 0;
}

bool firewall_is_own(const struct firewall *firewall, uint32_t id)
{
	for (size_t i = 0; i < ARRAY_SIZE(firewall->own); i++)
		if (id != 0 && firewall->own[i] == id)
			return true;
	return false;
}

/* One transaction; -EIO with the first line of what libnftables says. */
static int run(struct firewall *firewall, const struct buf *commands, struct cay_error *err)
{
	const uint32_t before = generation(firewall);
	uint32_t after;

	if (commands->length == 0)
		return 0;
	if (nft_run_cmd_from_buffer(firewall->nft, buf_text(commands)) != 0) {
		const char *text = nft_ctx_get_error_buffer(firewall->nft);

		return cay_error_set(err, CAY_INTERNAL, EIO,
				     "the kernel's nftables refuse cay's rules: %.*s",
				     (int)strcspn(text, "\n"), text);
	}
	/* Were there others' changes in between, then which one is ours can't be told: the watcher
	 * takes it for theirs, which costs one more load. */
	after = generation(firewall);
	if (after == before + 1) {
		firewall->own[firewall->own_next] = after;
		firewall->own_next = (firewall->own_next + 1) % ARRAY_SIZE(firewall->own);
	}
	return 0;
}

static void protect(struct firewall_state *state, const struct net_address *address)
{
	if (address->family != AF_INET || state->protected_count >= FIREWALL_PROTECTED_MAX)
		return;
	for (size_t i = 0; i < state->protected_count; i++)
		if (net_address_equal(&state->protected[i], address))
			return;
	state->protected[state->protected_count++] = *address;
}

/* A guest on a LAN is given its address by the LAN, but never the host's or a router's. */
static int find_protected(struct firewall_state *state, struct cay_error *err)
{
	_cleanup_netlink_addresses_ struct netlink_addresses addresses = { 0 };
	_cleanup_netlink_routes_ struct netlink_routes routes = { 0 };
	_cleanup_netlink_ struct netlink *netlink = NULL;
	bool any = false;
	int r;

	state->protected_count = 0;
	for (size_t i = 0; i < state->network_count; i++)
		any = any || state->networks[i].lan;
	if (!any)
		return 0;
	r = netlink_open(&netlink, err);
	if (r == 0)
		r = netlink_route_list(netlink, &routes, err);
	if (r == 0)
		r = netlink_address_list(netlink, 0, &addresses, err);
	for (size_t i = 0; r == 0 && i < state->network_count; i++) {
		const unsigned int parent = if_nametoindex(state->networks[i].link);

		if (!state->networks[i].lan || parent == 0)
			continue;
		for (size_t j = 0; j < routes.count; j++)
			if (routes.items[j].index == parent)
				protect(state, &routes.items[j].gateway);
		for (size_t j = 0; j < addresses.count; j++)
			if (addresses.items[j].index == parent)
				protect(state, &addresses.items[j].prefix.address);
	}
	return r;
}

int firewall_load(struct firewall *firewall, struct cay_error *err)
{
	_cleanup_buf_ struct buf commands = { 0 };
	int r = find_protected(&firewall->state, err);

	if (r < 0)
		return r;
	firewall_render(&firewall->state, &commands);
	return run(firewall, &commands, err);
}

/* Tries the small transaction, then the large one. Before the start nothing is to be done. */
static int change(struct firewall *firewall, const struct buf *commands, bool whole,
		  struct cay_error *err)
{
	struct cay_error small = { 0 };

	if (!firewall->running)
		return 0;
	if (!whole && run(firewall, commands, &small) == 0)
		return 0;
	if (!whole)
		log_debug("the firewall is loaded anew: %s", small.message);
	return firewall_load(firewall, err);
}

int firewall_start(struct firewall *firewall, struct cay_error *err)
{
	int r;

	/* It listens from before the load, so that nothing is missed. */
	r = firewall_watch_start(firewall, &firewall->watch, err);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&firewall->mutex);
	r = firewall_load(firewall, err);
	firewall->running = r == 0;
	(void)pthread_mutex_unlock(&firewall->mutex);
	if (r < 0) {
		firewall_watch_stop(firewall->watch);
		firewall->watch = NULL;
		return r;
	}
	firewall_foreign_update(firewall);
	return 0;
}

int firewall_destroy(struct firewall *firewall, struct cay_error *err)
{
	_cleanup_buf_ struct buf commands = { 0 };
	int r;

	firewall_watch_stop(firewall->watch);
	firewall->watch = NULL;
	(void)pthread_mutex_lock(&firewall->mutex);
	firewall->running = false;
	firewall_render_removal(&firewall->state, &commands);
	firewall->state.network_count = 0;
	while (firewall->state.endpoint_count > 0)
		firewall_state_drop_endpoint(&firewall->state, firewall->state.endpoints[0].link);
	r = run(firewall, &commands, err);
	(void)pthread_mutex_unlock(&firewall->mutex);
	firewall_foreign_update(firewall);
	return r;
}

/* What a change of one network or endpoint needs to be undone in memory. */
static void restore_network(struct firewall_state *state, const struct net_network *old,
			    const char *link)
{
	if (old)
		firewall_state_put_network(state, old);
	else
		firewall_state_drop_network(state, link);
}

int firewall_add_network(struct firewall *firewall, const struct net_network *network,
			 struct cay_error *err)
{
	struct firewall_state *state = &firewall->state;
	_cleanup_buf_ struct buf commands = { 0 };
	struct net_network old = { 0 };
	const struct net_network *known;
	bool running;
	int r;

	(void)pthread_mutex_lock(&firewall->mutex);
	running = firewall->running;
	known = firewall_state_network(state, network->link);
	if (known) {
		old = *known;
		firewall_render_network(state, FIREWALL_DELETE, known, &commands);
	}
	firewall_state_put_network(state, network);
	firewall_render_network(state, FIREWALL_ADD, network, &commands);
	/* What its endpoints may do hangs on what the network is. */
	r = change(firewall, &commands, known || network->lan, err);
	if (r < 0)
		restore_network(state, known ? &old : NULL, network->link);
	(void)pthread_mutex_unlock(&firewall->mutex);
	if (r == 0 && running)
		firewall_foreign_update(firewall);
	return r;
}

static void drop_endpoints_of(struct firewall_state *state, const char *network)
{
	for (size_t i = state->endpoint_count; i-- > 0;)
		if (strcmp(state->endpoints[i].network, network) == 0)
			firewall_state_drop_endpoint(state, state->endpoints[i].link);
}

int firewall_remove_network(struct firewall *firewall, const char *link, struct cay_error *err)
{
	struct firewall_state *state = &firewall->state;
	_cleanup_buf_ struct buf commands = { 0 };
	const struct net_network *known;
	bool lan, running;
	int r;

	(void)pthread_mutex_lock(&firewall->mutex);
	running = firewall->running;
	known = firewall_state_network(state, link);
	if (!known) {
		(void)pthread_mutex_unlock(&firewall->mutex);
		return 0;
	}
	lan = known->lan;
	for (size_t i = 0; i < state->endpoint_count; i++)
		if (strcmp(state->endpoints[i].network, link) == 0)
			firewall_render_endpoint(state, FIREWALL_DELETE, &state->endpoints[i],
						 &commands);
	firewall_render_network(state, FIREWALL_DELETE, known, &commands);
	drop_endpoints_of(state, link);
	firewall_state_drop_network(state, link);
	r = change(firewall, &commands, lan, err);
	(void)pthread_mutex_unlock(&firewall->mutex);
	if (running)
		firewall_foreign_update(firewall);
	return r;
}

/* Both with the mutex held. */
static int replace_endpoint(struct firewall *firewall, const struct net_endpoint *endpoint,
			    struct cay_error *err)
{
	struct firewall_state *state = &firewall->state;
	_cleanup_buf_ struct buf commands = { 0 };
	const struct net_endpoint *known;
	bool whole = false;
	int r;

	r = firewall_state_check_endpoint(state, endpoint, err);
	if (r < 0)
		return r;
	known = firewall_state_endpoint(state, endpoint->link);
	if (known) {
		firewall_render_endpoint(state, FIREWALL_DELETE, known, &commands);
		whole = firewall_state_network(state, known->network)->lan;
	}
	whole = whole || firewall_state_network(state, endpoint->network)->lan;
	firewall_render_endpoint(state, FIREWALL_ADD, endpoint, &commands);
	firewall_state_put_endpoint(state, endpoint);
	return change(firewall, &commands, whole, err);
}

int firewall_add_endpoint(struct firewall *firewall, const struct net_endpoint *endpoint,
			  struct cay_error *err)
{
	struct net_endpoint old = { 0 };
	const struct net_endpoint *known;
	int r;

	(void)pthread_mutex_lock(&firewall->mutex);
	known = firewall_state_endpoint(&firewall->state, endpoint->link);
	if (known) {
		old = *known;
		old.ports = old.port_count > 0
			? xmemdup(old.ports, old.port_count * sizeof(*old.ports))
			: NULL;
	}
	r = replace_endpoint(firewall, endpoint, err);
	if (r < 0 && known)
		firewall_state_put_endpoint(&firewall->state, &old);
	else if (r < 0)
		firewall_state_drop_endpoint(&firewall->state, endpoint->link);
	(void)pthread_mutex_unlock(&firewall->mutex);
	free((void *)(uintptr_t)old.ports);
	return r;
}

int firewall_remove_endpoint(struct firewall *firewall, const char *link, struct cay_error *err)
{
	struct firewall_state *state = &firewall->state;
	_cleanup_buf_ struct buf commands = { 0 };
	const struct net_endpoint *known;
	int r = 0;

	(void)pthread_mutex_lock(&firewall->mutex);
	known = firewall_state_endpoint(state, link);
	if (known) {
		const bool lan = firewall_state_network(state, known->network)->lan;

		firewall_render_endpoint(state, FIREWALL_DELETE, known, &commands);
		firewall_state_drop_endpoint(state, link);
		r = change(firewall, &commands, lan, err);
	}
	(void)pthread_mutex_unlock(&firewall->mutex);
	return r;
}
