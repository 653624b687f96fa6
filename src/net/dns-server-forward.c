/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions handed on. Servers are asked one after the other, each a little
 * later than the last unless that one has failed; all that were asked may
 * still answer, and the first good answer goes to the client. A cut one is
 * asked for again by TCP.
 */
#include "base/alloc.h"
#include "net/dns-server-internal.h"

/* ---- the end of a question ---- */

void dns_pending_drop(struct dns_server *server, struct dns_pending *pending)
{
	for (size_t i = 0; i < ARRAY_SIZE(pending->udp); i++)
		dns_attempt_close(server, pending->udp[i]);
	dns_attempt_close(server, pending->tcp);
	if (pending->asker.stream)
		pending->asker.stream->pending = NULL;
	LIST_REMOVE(pending, link);
	server->pending_count--;
	free(pending->message);
	free(pending->cut);
	free(pending);
}

/* Nobody has the answer. */
static void give_up(struct dns_server *server, struct dns_pending *pending)
{
	if (pending->cut)
		dns_send_reply(server, &pending->asker, &pending->query, pending->cut,
			       pending->cut_size);
	else
		dns_send_code(server, &pending->asker, &pending->query, pending->rcode);
	dns_pending_drop(server, pending);
}

/* ---- servers one after the other ---- */

static void forget(struct dns_server *server, struct dns_pending *pending,
		   struct dns_attempt *attempt)
{
	if (pending->latest == attempt)
		pending->latest = NULL;
	if (attempt->stream)
		pending->tcp = NULL;
	else
		pending->udp[attempt->server] = NULL;
	dns_attempt_close(server, attempt);
}

static int ask_udp(struct dns_server *server, struct dns_pending *pending, unsigned int index)
{
	int r;

	if (!pending->udp[index]) {
		r = dns_attempt_new(server, pending, index, false, &pending->udp[index]);
		if (r < 0)
			return r;
	}
	pending->latest = pending->udp[index];
	r = dns_attempt_send(pending->udp[index]);
	if (r < 0)
		forget(server, pending, pending->udp[index]);
	pending->next_try_ms = server->now_ms + DNS_TRY_MS;
	return r;
}

static int ask_tcp(struct dns_server *server, struct dns_pending *pending, unsigned int index)
{
	int r;

	if (pending->tcp)
		forget(server, pending, pending->tcp);
	r = dns_attempt_new(server, pending, index, true, &pending->tcp);
	pending->latest = pending->tcp;
	pending->next_try_ms = server->now_ms + DNS_TRY_TCP_MS;
	return r;
}

static bool any_attempt(const struct dns_pending *pending)
{
	bool any = pending->tcp != NULL;

	for (size_t i = 0; i < ARRAY_SIZE(pending->udp); i++)
		any = any || pending->udp[i] != NULL;
	return any;
}

/*
 * Asks the next server, or gives up when all have failed. When there is nobody left to ask but
 * some may still answer, it waits for those.
 */
static void ask_next(struct dns_server *server, struct dns_pending *pending)
{
	unsigned int count = (unsigned int)pending->servers.count;

	while (pending->tries < count * DNS_ROUNDS) {
		unsigned int index = pending->tries++ % count;
		int r;

		if (pending->failed[index])
			continue;
		r = pending->asker.stream ? ask_tcp(server, pending, index)
					  : ask_udp(server, pending, index);
		if (r == 0)
			return;
		pending->failed[index] = true;
	}
	if (any_attempt(pending))
		pending->next_try_ms = pending->deadline_ms;
	else
		give_up(server, pending);
}

/* ---- what comes back ---- */

static void failed(struct dns_server *server, struct dns_attempt *attempt)
{
	struct dns_pending *pending = attempt->pending;
	bool was_latest = pending->latest == attempt;

	pending->failed[attempt->server] = true;
	forget(server, pending, attempt);
	if (pending->cut && !pending->tcp)
		give_up(server, pending); /* by TCP, for the whole of it: part of it is here */
	else if (was_latest || !any_attempt(pending))
		ask_next(server, pending);
}

void dns_attempt_failed(struct dns_server *server, struct dns_attempt *attempt)
{
	dns_rest_begin(server, &attempt->pending->servers.items[attempt->server]);
	failed(server, attempt);
}

static void answer(struct dns_server *server, struct dns_pending *pending, uint8_t *data,
		   size_t size)
{
	dns_reply_readdress(data, &pending->query);
	dns_send_reply(server, &pending->asker, &pending->query, data, size);
	dns_pending_drop(server, pending);
}

/* Keeps a cut answer and asks its server for the whole. */
static void ask_for_whole(struct dns_server *server, struct dns_attempt *attempt, uint8_t *data,
			  size_t size)
{
	struct dns_pending *pending = attempt->pending;

	if (pending->cut)
		return;
	pending->cut = malloc(size);
	if (!pending->cut || ask_tcp(server, pending, attempt->server) < 0) {
		answer(server, pending, data, size);
		return;
	}
	memcpy(pending->cut, data, size);
	pending->cut_size = size;
	dns_reply_readdress(pending->cut, &pending->query);
}

void dns_attempt_received(struct dns_server *server, struct dns_attempt *attempt, uint8_t *data,
			  size_t size)
{
	struct dns_pending *pending = attempt->pending;
	enum dns_reply reply = dns_reply_check(data, size, &pending->query, attempt->id);

	/* By UDP anybody may send such a thing: the true answer may follow. */
	if (reply == DNS_REPLY_FOREIGN && !attempt->stream)
		return;
	dns_rest_end(server, &pending->servers.items[attempt->server]);
	switch (reply) {
	case DNS_REPLY_FOREIGN:
		failed(server, attempt);
		break;
	case DNS_REPLY_FAILED:
		pending->rcode = dns_reply_code(data);
		failed(server, attempt);
		break;
	case DNS_REPLY_CUT:
		if (!attempt->stream) {
			ask_for_whole(server, attempt, data, size);
			break;
		}
		answer(server, pending, data, size);
		break;
	case DNS_REPLY_WHOLE:
		answer(server, pending, data, size);
		break;
	}
}

void dns_forward_tick(struct dns_server *server)
{
	struct dns_pending *pending, *next;

	for (pending = LIST_FIRST(&server->pendings); pending; pending = next) {
		next = LIST_NEXT(pending, link);
		if (server->now_ms < pending->next_try_ms && server->now_ms < pending->deadline_ms)
			continue;
		if (pending->latest)
			dns_rest_begin(server, &pending->servers.items[pending->latest->server]);
		if (pending->cut || server->now_ms >= pending->deadline_ms)
			give_up(server, pending);
		else
			ask_next(server, pending);
	}
}

/* ---- a new question ---- */

static bool same_asker(const struct dns_pending *pending, const struct dns_asker *asker,
		       const struct dns_query *query)
{
	return !asker->stream && !pending->asker.stream &&
		pending->asker.listener == asker->listener && pending->query.id == query->id &&
		pending->query.type == query->type &&
		pending->asker.peer_length == asker->peer_length &&
		memcmp(&pending->asker.peer, &asker->peer, asker->peer_length) == 0 &&
		dns_name_equal(&pending->query.name, &query->name);
}

/* Whether there is room for one more of this client, who is not just repeating himself. */
static bool admit(struct dns_server *server, const struct dns_asker *asker,
		  const struct dns_client *client, const struct dns_query *query)
{
	const struct dns_pending *pending;
	unsigned int count = 0;

	for (pending = LIST_FIRST(&server->pendings); pending; pending = LIST_NEXT(pending, link)) {
		if (same_asker(pending, asker, query))
			return false;
		count += net_address_equal(&pending->client, client->address);
	}
	if (count < DNS_PENDING_CLIENT_MAX && server->pending_count < DNS_PENDING_MAX)
		return true;
	dns_send_code(server, asker, query, DNS_REFUSED);
	return false;
}

/* Lets the lock go for the user's function. */
static enum dns_forwarding find_servers(struct dns_server *server, const struct dns_client *client,
					struct dns_upstreams *ret_servers)
{
	enum dns_forwarding forwarding;

	pthread_mutex_unlock(&server->lock);
	forwarding = server->names->upstreams(server->user, client, ret_servers);
	pthread_mutex_lock(&server->lock);
	if (forwarding == DNS_FORWARD_HOST)
		*ret_servers = resolv_conf_follow(&server->resolv_conf, server->now_ms)->servers;
	dns_rest_sort(server, ret_servers);
	return forwarding;
}

static void begin(struct dns_server *server, const struct dns_asker *asker,
		  const struct dns_client *client, const struct dns_query *query,
		  const uint8_t *data, size_t size, const struct dns_upstreams *servers)
{
	struct dns_pending *pending = xcalloc(1, sizeof(*pending));

	pending->asker = *asker;
	pending->client = *client->address;
	pending->query = *query;
	pending->message = xmalloc(2 + size);
	memcpy(pending->message + 2, data, size);
	pending->message_size = size;
	pending->servers = *servers;
	pending->rcode = DNS_SERVFAIL;
	pending->deadline_ms = server->now_ms + DNS_ASK_MS;
	LIST_INSERT_HEAD(&server->pendings, pending, link);
	server->pending_count++;
	if (asker->stream)
		asker->stream->pending = pending;
	ask_next(server, pending);
}

void dns_forward(struct dns_server *server, const struct dns_asker *asker,
		 const struct dns_client *client, const struct dns_query *query,
		 const uint8_t *data, size_t size)
{
	struct dns_upstreams servers = { .count = 0 };
	enum dns_forwarding forwarding;

	if (!admit(server, asker, client, query))
		return;
	forwarding = find_servers(server, client, &servers);
	if (dns_asker_is_gone(asker))
		return;
	if (forwarding == DNS_FORWARD_NEVER)
		dns_send_code(server, asker, query, DNS_NXDOMAIN);
	else if (servers.count == 0)
		dns_send_code(server, asker, query, DNS_SERVFAIL);
	else
		begin(server, asker, client, query, data, size, &servers);
}
