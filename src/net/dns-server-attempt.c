/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One server asked one question, on a socket of its own: it is connected, so
 * the kernel lets only that server's packets in, and its port is a random one,
 * as is the number of the question (RFC 5452).
 */
#include "base/alloc.h"
#include "net/dns-server-internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>

enum {
	FOREIGN_BATCH_MAX = 16, /* packets of no use that are read at once */
	REPLY_UDP_MAX = 4096,   /* more than a server was told to send; some don't listen */
};

static void release_attempt(struct dns_source *source)
{
	struct dns_attempt *attempt = container_of(source, struct dns_attempt, source);

	free(attempt->in);
	free(attempt);
}

void dns_attempt_close(struct dns_server *server, struct dns_attempt *attempt)
{
	if (!attempt || attempt->source.fd < 0)
		return;
	server->socket_count--;
	server->tcp_upstream_count -= attempt->stream;
	dns_source_close(server, &attempt->source);
}

/* ---- UDP ---- */

static void udp_ready(struct dns_server *server, struct dns_source *source, uint32_t events)
{
	struct dns_attempt *attempt = container_of(source, struct dns_attempt, source);
	uint8_t data[REPLY_UDP_MAX];

	for (unsigned int i = 0; i < FOREIGN_BATCH_MAX && source->fd >= 0; i++) {
		ssize_t size = recv(source->fd, data, sizeof(data), MSG_DONTWAIT);

		if (size < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (size < 0) {
			dns_attempt_failed(server, attempt); /* an ICMP error: nobody listens */
			return;
		}
		dns_attempt_received(server, attempt, data, (size_t)size);
	}
}

static int send_udp(struct dns_attempt *attempt)
{
	const struct dns_pending *pending = attempt->pending;

	dns_query_readdress(pending->message + 2, &pending->query, attempt->id);
	if (send(attempt->source.fd, pending->message + 2, pending->message_size,
		 MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
	    errno != EAGAIN && errno != ENOBUFS)
		return -errno;
	return 0;
}

/* ---- TCP ---- */

/* 1: all of it was sent. */
static int send_tcp(struct dns_attempt *attempt)
{
	struct dns_pending *pending = attempt->pending;
	size_t size = pending->message_size;
	ssize_t sent;

	pending->message[0] = (uint8_t)(size >> 8);
	pending->message[1] = (uint8_t)size;
	dns_query_readdress(pending->message + 2, &pending->query, attempt->id);
	sent = send(attempt->source.fd, pending->message + attempt->sent, 2 + size - attempt->sent,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	attempt->sent += (size_t)sent;
	return attempt->sent == 2 + size;
}

/* 1: the answer is whole. */
static int receive_tcp(struct dns_attempt *attempt)
{
	uint8_t *grown;
	ssize_t count = recv(attempt->source.fd, attempt->in + attempt->in_length,
			     attempt->in_size - attempt->in_length, MSG_DONTWAIT);

	if (count < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (count == 0)
		return -ECONNRESET;
	attempt->in_length += (size_t)count;
	if (attempt->in_length < attempt->in_size)
		return 0;
	if (attempt->in_size > 2)
		return 1;
	attempt->in_size = 2 + ((size_t)attempt->in[0] << 8 | attempt->in[1]);
	if (attempt->in_size < 2 + DNS_HEADER_SIZE)
		return -EBADMSG;
	grown = realloc(attempt->in, attempt->in_size);
	if (!grown)
		return -ENOMEM;
	attempt->in = grown;
	return 0;
}

static void tcp_ready(struct dns_server *server, struct dns_source *source, uint32_t events)
{
	struct dns_attempt *attempt = container_of(source, struct dns_attempt, source);
	bool sending = attempt->sent < 2 + attempt->pending->message_size;
	int r = sending ? send_tcp(attempt) : receive_tcp(attempt);

	if (r < 0)
		dns_attempt_failed(server, attempt);
	else if (r > 0 && sending)
		dns_source_expect(server, source, EPOLLIN);
	else if (r > 0)
		dns_attempt_received(server, attempt, attempt->in + 2, attempt->in_size - 2);
}

/* ---- both ---- */

static int open_socket(const struct dns_endpoint *endpoint, bool stream, int *ret_fd)
{
	_cleanup_close_ int fd =
		socket(endpoint->address.family,
		       (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_storage name;
	socklen_t length = net_address_to_sockaddr(
		&endpoint->address, endpoint->port ? endpoint->port : DNS_PORT, &name);

	if (fd < 0)
		return -errno;
	if (name.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&name)->sin6_scope_id = endpoint->scope;
	if (connect(fd, (const struct sockaddr *)&name, length) < 0 && errno != EINPROGRESS)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int dns_attempt_new(struct dns_server *server, struct dns_pending *pending, unsigned int index,
		    bool stream, struct dns_attempt **ret_attempt)
{
	_cleanup_close_ int fd = -1;
	struct dns_attempt *attempt;
	uint16_t id;
	int r;

	if (server->socket_count >= server->socket_max ||
	    (stream && server->tcp_upstream_count >= DNS_TCP_UPSTREAM_MAX))
		return -EUSERS;
	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		return -EIO;
	r = open_socket(&pending->servers.items[index], stream, &fd);
	if (r < 0)
		return r;
	attempt = xcalloc(1, sizeof(*attempt));
	attempt->source = (struct dns_source){ .fd = fd,
					       .events = stream ? EPOLLOUT : EPOLLIN,
					       .ready = stream ? tcp_ready : udp_ready,
					       .release = release_attempt };
	attempt->pending = pending;
	attempt->server = index;
	attempt->stream = stream;
	attempt->id = id;
	if (stream) {
		attempt->in = xmalloc(2);
		attempt->in_size = 2;
	}
	r = dns_source_open(server, &attempt->source);
	if (r < 0) {
		release_attempt(&attempt->source);
		return r;
	}
	(void)TAKE_FD(fd);
	server->socket_count++;
	server->tcp_upstream_count += stream;
	*ret_attempt = attempt;
	return 0;
}

int dns_attempt_send(struct dns_attempt *attempt)
{
	return send_udp(attempt);
}
