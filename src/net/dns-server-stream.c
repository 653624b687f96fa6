/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients' TCP connections: a question at a time, each in front of it its
 * length in two bytes (RFC 1035, 4.2.2). What a client sends beyond the
 * question that is being answered stays in the kernel until then.
 */
#include "base/alloc.h"
#include "net/dns-server-internal.h"

#include <errno.h>
#include <sys/socket.h>

static void release_stream(struct dns_source *source)
{
	struct dns_stream *stream = container_of(source, struct dns_stream, source);

	free(stream->out);
	free(stream);
}

void dns_stream_close(struct dns_server *server, struct dns_stream *stream)
{
	if (stream->source.fd < 0)
		return;
	dns_source_close(server, &stream->source);
	LIST_REMOVE(stream, link);
	server->stream_count--;
	if (stream->pending)
		dns_pending_drop(server, TAKE_PTR(stream->pending));
}

static size_t length_at(const uint8_t *data)
{
	return (size_t)data[0] << 8 | data[1];
}

/* ---- writing ---- */

static void flush(struct dns_server *server, struct dns_stream *stream)
{
	ssize_t sent = send(stream->source.fd, stream->out + stream->out_sent,
			    stream->out_length - stream->out_sent, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		dns_stream_close(server, stream);
		return;
	}
	stream->out_sent += sent > 0 ? (size_t)sent : 0;
	if (stream->out_sent < stream->out_length) {
		dns_source_expect(server, &stream->source, EPOLLOUT);
		return;
	}
	free(TAKE_PTR(stream->out));
	dns_source_expect(server, &stream->source, EPOLLIN);
}

void dns_stream_send(struct dns_server *server, struct dns_stream *stream, const uint8_t *data,
		     size_t size)
{
	stream->pending = NULL;
	stream->out = malloc(2 + size);
	if (!stream->out || size > DNS_MESSAGE_MAX) {
		dns_stream_close(server, stream);
		return;
	}
	stream->out[0] = (uint8_t)(size >> 8);
	stream->out[1] = (uint8_t)size;
	memcpy(stream->out + 2, data, size);
	stream->out_length = 2 + size;
	stream->out_sent = 0;
	stream->deadline_ms = server->now_ms + DNS_STREAM_IDLE_MS;
	flush(server, stream);
}

/* ---- reading ---- */

static void handle_question(struct dns_server *server, struct dns_stream *stream)
{
	struct dns_asker asker = { .listener = stream->listener,
				   .peer = stream->peer,
				   .stream = stream };
	size_t size = stream->in_length - 2;

	stream->in_length = 0;
	/* Until the answer is sent, only the other side's end is of interest. */
	dns_source_expect(server, &stream->source, EPOLLRDHUP);
	stream->deadline_ms = server->now_ms + DNS_ASK_MS + DNS_STREAM_IDLE_MS;
	dns_handle_query(server, &asker, stream->in + 2, size);
}

static void read_question(struct dns_server *server, struct dns_stream *stream)
{
	size_t want = stream->in_length < 2 ? 2 : 2 + length_at(stream->in);
	ssize_t count;

	count = recv(stream->source.fd, stream->in + stream->in_length, want - stream->in_length,
		     MSG_DONTWAIT);
	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (count <= 0) {
		dns_stream_close(server, stream);
		return;
	}
	stream->in_length += (size_t)count;
	if (stream->in_length < 2)
		return;
	want = 2 + length_at(stream->in);
	if (want > sizeof(stream->in) || want < 2 + DNS_HEADER_SIZE)
		dns_stream_close(server, stream);
	else if (stream->in_length == want)
		handle_question(server, stream);
}

static void stream_ready(struct dns_server *server, struct dns_source *source, uint32_t events)
{
	struct dns_stream *stream = container_of(source, struct dns_stream, source);

	if (stream->out) {
		flush(server, stream);
	} else if (stream->pending) {
		/* Some clients close their half and wait on; those that are gone show an error. */
		if (events & (EPOLLERR | EPOLLHUP))
			dns_stream_close(server, stream);
		else
			dns_source_expect(server, &stream->source, 0);
	} else {
		read_question(server, stream);
	}
}

/* ---- connections ---- */

static unsigned int streams_of(const struct dns_server *server, const struct net_address *address)
{
	const struct dns_stream *stream;
	unsigned int count = 0;

	for (stream = LIST_FIRST(&server->streams); stream; stream = LIST_NEXT(stream, link)) {
		struct net_address other =
			net_address_from_sockaddr((const struct sockaddr *)&stream->peer);

		count += net_address_equal(&other, address);
	}
	return count;
}

static void begin_stream(struct dns_server *server, struct dns_listener *listener, int fd,
			 const struct sockaddr_storage *peer)
{
	struct net_address address = net_address_from_sockaddr((const struct sockaddr *)peer);
	struct dns_stream *stream;

	if (server->stream_count >= DNS_STREAM_MAX ||
	    streams_of(server, &address) >= DNS_STREAM_CLIENT_MAX) {
		(void)close(fd);
		return;
	}
	stream = xcalloc(1, sizeof(*stream));
	stream->source = (struct dns_source){
		.fd = fd, .events = EPOLLIN, .ready = stream_ready, .release = release_stream
	};
	stream->listener = listener;
	stream->peer = *peer;
	stream->deadline_ms = server->now_ms + DNS_STREAM_IDLE_MS;
	LIST_INSERT_HEAD(&server->streams, stream, link);
	server->stream_count++;
	if (dns_source_open(server, &stream->source) < 0)
		dns_stream_close(server, stream);
}

void dns_stream_accept(struct dns_server *server, struct dns_door *door)
{
	struct sockaddr_storage peer = { .ss_family = AF_UNSPEC };
	socklen_t length = sizeof(peer);
	int fd = accept4(door->source.fd, (struct sockaddr *)&peer, &length,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		begin_stream(server, door->listener, fd, &peer);
	else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
		server->starved = true;
}

void dns_stream_tick(struct dns_server *server)
{
	struct dns_stream *stream, *next;

	for (stream = LIST_FIRST(&server->streams); stream; stream = next) {
		next = LIST_NEXT(stream, link);
		if (server->now_ms >= stream->deadline_ms)
			dns_stream_close(server, stream);
	}
}
