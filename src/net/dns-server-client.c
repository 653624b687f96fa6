/* SPDX-License-Identifier: Apache-2.0 */
/* Questions from clients: who asks, what we know ourselves, and what is handed on. */
#include "base/alloc.h"
#include "net/dns-server-internal.h"

#include <errno.h>
#include <sys/socket.h>

/*
 * Containers come and go, and their addresses are given to others, so nobody is to keep an answer;
 * 0 would say that, but old resolvers are known to trip over it.
 */
enum { OWN_TTL = 1 };

/* ---- answers ---- */

bool dns_asker_is_gone(const struct dns_asker *asker)
{
	return asker->stream ? asker->stream->source.fd < 0 : asker->listener->udp->source.fd < 0;
}

static void send_message(struct dns_server *server, const struct dns_asker *asker,
			 const uint8_t *data, size_t size)
{
	if (dns_asker_is_gone(asker))
		return;
	if (asker->stream) {
		dns_stream_send(server, asker->stream, data, size);
		return;
	}
	/* UDP: what can't be sent is lost, and asked again. */
	(void)sendto(asker->listener->udp->source.fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL,
		     (const struct sockaddr *)&asker->peer, asker->peer_length);
}

void dns_send_reply(struct dns_server *server, const struct dns_asker *asker,
		    const struct dns_query *query, uint8_t *data, size_t size)
{
	size_t limit = asker->stream ? (size_t)DNS_MESSAGE_MAX : query->udp_size;

	send_message(server, asker, data, dns_reply_cut(data, size, query, limit));
}

static void send_answer(struct dns_server *server, const struct dns_asker *asker,
			const struct dns_query *query, const struct dns_answer *answer)
{
	uint8_t data[DNS_ANSWER_MAX];
	size_t limit = asker->stream ? (size_t)DNS_ANSWER_MAX : query->udp_size;

	send_message(server, asker, data, dns_answer_build(query, answer, limit, data));
}

void dns_send_code(struct dns_server *server, const struct dns_asker *asker,
		   const struct dns_query *query, enum dns_rcode rcode)
{
	const struct dns_answer answer = { .rcode = rcode };

	send_answer(server, asker, query, &answer);
}

/* ---- names of ours ---- */

static struct dns_client client_of(const struct dns_server *server, const struct dns_asker *asker,
				   const struct net_address *address)
{
	return (struct dns_client){
		.network = asker->listener->network,
		.gateway = &asker->listener->address,
		.address = address,
		.host = dns_address_is_ours(server, address),
	};
}

/* localhost and what stands under it, RFC 6761. */
static enum dns_verdict lookup_localhost(const char *name, struct dns_addresses *addresses)
{
	static const uint8_t ipv4[] = { 127, 0, 0, 1 }, ipv6[16] = { [15] = 1 };
	struct net_address address;

	if (strcmp(name, "localhost") != 0 && !ends_with(name, ".localhost"))
		return DNS_NOT_OURS;
	address = net_address_from_bytes(AF_INET, ipv4);
	dns_addresses_add(addresses, &address);
	address = net_address_from_bytes(AF_INET6, ipv6);
	dns_addresses_add(addresses, &address);
	return DNS_FOUND;
}

static enum dns_verdict lookup_host(const struct dns_server *server, const char *network,
				    const char *name, struct dns_addresses *addresses)
{
	static const char *const names[] = { "host.docker.internal", "host.container.internal",
					     "gateway.docker.internal" };
	const struct dns_listener *listener;
	bool known = false;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		known = known || strcmp(name, names[i]) == 0;
	if (!known)
		return DNS_NOT_OURS;
	for (listener = LIST_FIRST(&server->listeners); listener;
	     listener = LIST_NEXT(listener, link))
		if (strcmp(listener->network, network) == 0)
			dns_addresses_add(addresses, &listener->address);
	return DNS_FOUND;
}

/* Lets the lock go for the user's function. */
static enum dns_verdict lookup(struct dns_server *server, const struct dns_client *client,
			       const char *name, struct dns_addresses *addresses)
{
	enum dns_verdict verdict = lookup_localhost(name, addresses);

	if (verdict == DNS_NOT_OURS)
		verdict = lookup_host(server, client->network, name, addresses);
	if (verdict != DNS_NOT_OURS)
		return verdict;
	pthread_mutex_unlock(&server->lock);
	verdict = server->names->lookup(server->user, client, name, addresses);
	pthread_mutex_lock(&server->lock);
	return verdict;
}

static enum dns_verdict reverse(struct dns_server *server, const struct dns_client *client,
				const struct net_address *address, struct dns_name *ret_name)
{
	char text[DNS_NAME_TEXT_MAX] = "";
	enum dns_verdict verdict;

	pthread_mutex_unlock(&server->lock);
	verdict = server->names->reverse(server->user, client, address, text);
	pthread_mutex_lock(&server->lock);
	if (verdict == DNS_FOUND && dns_name_from_text(text, ret_name) < 0)
		verdict = DNS_ABSENT;
	return verdict;
}

/* Answers, if it is ours to know. */
static bool answer_own(struct dns_server *server, const struct dns_asker *asker,
		       const struct dns_client *client, const struct dns_query *query)
{
	struct dns_answer answer = { .authoritative = true, .ttl = OWN_TTL };
	struct dns_addresses addresses = { .count = 0 };
	enum dns_verdict verdict = DNS_NOT_OURS;
	struct dns_name pointer;
	struct net_address address;
	char name[DNS_NAME_TEXT_MAX];

	if (dns_name_text(&query->name, name)) {
		if (dns_name_to_address(name, &address) == 0) {
			verdict = reverse(server, client, &address, &pointer);
			if (query->type == DNS_TYPE_PTR || query->type == DNS_TYPE_ANY)
				answer.pointer = &pointer;
		} else {
			verdict = lookup(server, client, name, &addresses);
			answer.addresses = &addresses;
		}
	}
	if (verdict == DNS_NOT_OURS && dns_name_is_under(&query->name, "cay"))
		verdict = DNS_ABSENT;
	if (verdict == DNS_NOT_OURS)
		return false;
	if (verdict == DNS_ABSENT) {
		answer.rcode = DNS_NXDOMAIN;
		answer.pointer = NULL;
	}
	send_answer(server, asker, query, &answer);
	return true;
}

/* ---- questions ---- */

void dns_handle_query(struct dns_server *server, const struct dns_asker *asker, const uint8_t *data,
		      size_t size)
{
	struct net_address address =
		net_address_from_sockaddr((const struct sockaddr *)&asker->peer);
	struct dns_client client = client_of(server, asker, &address);
	struct dns_query query;

	if (dns_query_parse(data, size, &query) < 0) {
		if (asker->stream)
			dns_stream_close(server, asker->stream);
		return;
	}
	if (query.refuse != DNS_NOERROR)
		dns_send_code(server, asker, &query, query.refuse);
	else if (answer_own(server, asker, &client, &query))
		return;
	else if (client.host)
		dns_send_code(server, asker, &query, DNS_REFUSED);
	else
		dns_forward(server, asker, &client, &query, data, size);
}

/* One datagram; false when there is no other. */
static bool receive(struct dns_server *server, struct dns_listener *listener)
{
	struct dns_asker asker = { .listener = listener, .peer_length = sizeof(asker.peer) };
	uint8_t data[DNS_QUERY_MAX];
	ssize_t size;

	if (listener->udp->source.fd < 0)
		return false;
	size = recvfrom(listener->udp->source.fd, data, sizeof(data), MSG_DONTWAIT | MSG_TRUNC,
			(struct sockaddr *)&asker.peer, &asker.peer_length);
	if (size < 0)
		return errno == EINTR;
	if (size <= (ssize_t)sizeof(data))
		dns_handle_query(server, &asker, data, (size_t)size);
	return true;
}

void dns_door_ready(struct dns_server *server, struct dns_source *source, uint32_t events)
{
	struct dns_door *door = container_of(source, struct dns_door, source);

	if (door->stream) {
		dns_stream_accept(server, door);
		return;
	}
	for (unsigned int i = 0; i < DNS_BATCH_MAX && receive(server, door->listener); i++)
		continue;
}
