/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay of UDP datagrams. A client, that is an address and a port that
 * have sent to one of ours, has a session with a socket of its own towards the
 * container, so that answers find their way back; it is forgotten after a
 * minute of silence. Nothing is queued: what a full socket does not take is
 * lost, as datagrams are.
 */
#include "shim/ports-internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

enum { BURST_MAX = 64, IDLE_CHECK_MS = 10 * 1000 };

/* The local address that a datagram came to, for answers to leave from it. */
union local_address {
	struct in_pktinfo v4;
	struct in6_pktinfo v6;
};

struct session {
	TAILQ_ENTRY(session) link;
	struct listener *listener;
	union port_address client;
	union local_address local;
	uv_poll_t poll;
	int fd; /* connected to the container */
	int64_t used_ms;
};

/* Room for a control message with such an address. */
union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(union local_address))];
};

/* ---- sessions ---- */

static void on_session_closed(uv_handle_t *handle)
{
	struct session *session = handle->data;
	struct ports *ports = session->listener->ports;

	(void)close(session->fd);
	free(session);
	ports_release(ports);
}

static void session_close(struct session *session)
{
	struct ports *ports = session->listener->ports;

	TAILQ_REMOVE(&ports->sessions, session, link);
	ports->session_count--;
	(void)uv_poll_stop(&session->poll);
	uv_close((uv_handle_t *)&session->poll, on_session_closed);
}

void ports_udp_close_all(struct ports *ports)
{
	struct session *session;

	while ((session = TAILQ_FIRST(&ports->sessions)))
		session_close(session);
}

/* The one that was used last stands first. */
static void session_touch(struct session *session)
{
	struct session_list *list = &session->listener->ports->sessions;

	session->used_ms = clock_monotonic_ms();
	TAILQ_REMOVE(list, session, link);
	TAILQ_INSERT_HEAD(list, session, link);
}

static void on_idle(uv_timer_t *timer)
{
	struct ports *ports = timer->data;
	const int64_t oldest = clock_monotonic_ms() - PORTS_SESSION_IDLE_MS;
	struct session *session;

	while ((session = TAILQ_LAST(&ports->sessions, session_list)) && session->used_ms < oldest)
		session_close(session);
	if (ports->session_count == 0)
		(void)uv_timer_stop(timer);
}

/* ---- answers ---- */

/* Fills the control message that says which local address a datagram leaves from. */
static void put_local(struct msghdr *message, const struct session *session)
{
	const bool ipv6 = session->client.any.sa_family == AF_INET6;
	const size_t size = ipv6 ? sizeof(session->local.v6) : sizeof(session->local.v4);
	struct cmsghdr *control = CMSG_FIRSTHDR(message);

	control->cmsg_level = ipv6 ? IPPROTO_IPV6 : IPPROTO_IP;
	control->cmsg_type = ipv6 ? IPV6_PKTINFO : IP_PKTINFO;
	control->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(control), &session->local, size);
	message->msg_controllen = CMSG_SPACE(size);
}

static void answer(struct session *session, const char *data, size_t size)
{
	union control control = { 0 };
	struct iovec part = { (void *)data, size };
	struct msghdr message = {
		.msg_name = &session->client,
		.msg_namelen = port_address_length(&session->client),
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	put_local(&message, session);
	(void)sendmsg(session->listener->fd, &message, MSG_DONTWAIT); /* else it is lost */
}

static void on_answer(uv_poll_t *poll, int status, int events)
{
	struct session *session = poll->data;
	char *data = session->listener->ports->datagram;

	for (int i = 0; i < BURST_MAX; i++) {
		ssize_t n = recv(session->fd, data, DATAGRAM_MAX, MSG_DONTWAIT);

		if (n < 0 && errno == ECONNREFUSED)
			continue; /* the container's word that nobody listens; the next may be
				     served */
		if (n < 0)
			return;
		session_touch(session);
		answer(session, data, (size_t)n);
	}
}

/* ---- clients ---- */

static bool same_client(const union port_address *a, const union port_address *b)
{
	if (a->any.sa_family != b->any.sa_family)
		return false;
	if (a->any.sa_family == AF_INET)
		return a->v4.sin_port == b->v4.sin_port &&
			a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
	return a->v6.sin6_port == b->v6.sin6_port && a->v6.sin6_scope_id == b->v6.sin6_scope_id &&
		IN6_ARE_ADDR_EQUAL(&a->v6.sin6_addr, &b->v6.sin6_addr);
}

static bool same_local(const union local_address *a, const union local_address *b, int family)
{
	if (family == AF_INET)
		return a->v4.ipi_spec_dst.s_addr == b->v4.ipi_spec_dst.s_addr;
	return a->v6.ipi6_ifindex == b->v6.ipi6_ifindex &&
		IN6_ARE_ADDR_EQUAL(&a->v6.ipi6_addr, &b->v6.ipi6_addr);
}

static struct session *session_find(const struct listener *listener,
				    const union port_address *client,
				    const union local_address *local)
{
	const int family = client->any.sa_family;
	struct session *session;

	TAILQ_FOREACH(session, &listener->ports->sessions, link)
	if (session->listener == listener && same_client(&session->client, client) &&
	    same_local(&session->local, local, family))
		return session;
	return NULL;
}

static struct session *session_new(struct listener *listener, const union port_address *client,
				   const union local_address *local)
{
	struct ports *ports = listener->ports;
	union port_address target;
	_cleanup_close_ int fd = -1;
	struct session *session;

	if (ports_target(listener, &target) < 0)
		return NULL;
	if (ports->session_count >= PORTS_SESSIONS_MAX)
		session_close(TAILQ_LAST(&ports->sessions, session_list));
	fd = socket(target.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, &target.any, port_address_length(&target)) < 0)
		return NULL;
	session = xcalloc(1, sizeof(*session));
	session->listener = listener;
	session->client = *client;
	session->local = *local;
	if (uv_poll_init(ports->loop, &session->poll, fd) < 0) {
		free(session);
		return NULL;
	}
	session->fd = TAKE_FD(fd);
	session->poll.data = session;
	ports->open_handles++;
	(void)uv_poll_start(&session->poll, UV_READABLE, on_answer);
	TAILQ_INSERT_HEAD(&ports->sessions, session, link);
	if (ports->session_count++ == 0)
		(void)uv_timer_start(&ports->idle, on_idle, IDLE_CHECK_MS, IDLE_CHECK_MS);
	return session;
}

/* The address that a datagram was sent to; the interface it came by does not bind the answer. */
static void take_local(struct msghdr *message, union local_address *ret_local)
{
	memset(ret_local, 0, sizeof(*ret_local));
	for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control;
	     control = CMSG_NXTHDR(message, control)) {
		if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(control), sizeof(info));
			ret_local->v4.ipi_spec_dst = info.ipi_spec_dst;
		} else if (control->cmsg_level == IPPROTO_IPV6 &&
			   control->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(control), sizeof(info));
			ret_local->v6.ipi6_addr = info.ipi6_addr;
			if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
				ret_local->v6.ipi6_ifindex = info.ipi6_ifindex;
		}
	}
}

/* One datagram; false when there is none left. */
static bool take_datagram(struct listener *listener)
{
	union port_address client;
	union local_address local;
	union control control;
	struct iovec part = { listener->ports->datagram, DATAGRAM_MAX };
	struct msghdr message = {
		.msg_name = &client,
		.msg_namelen = sizeof(client),
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct session *session;
	ssize_t n;

	n = recvmsg(listener->fd, &message, MSG_DONTWAIT);
	if (n < 0)
		return false;
	take_local(&message, &local);
	session = session_find(listener, &client, &local);
	if (!session)
		session = session_new(listener, &client, &local);
	if (!session)
		return true; /* lost */
	session_touch(session);
	(void)send(session->fd, part.iov_base, (size_t)n, MSG_DONTWAIT); /* else it is lost */
	return true;
}

static void on_datagrams(uv_poll_t *poll, int status, int events)
{
	struct listener *listener = poll->data;

	for (int i = 0; i < BURST_MAX && take_datagram(listener); i++)
		; /* others have their turn in between */
}

int ports_udp_start(struct listener *listener, struct cay_error *err)
{
	uv_poll_t *poll = &listener->handle.udp;
	int r = uv_poll_init(listener->ports->loop, poll, listener->fd);

	if (r == 0) {
		poll->data = listener;
		listener->started = true;
		listener->ports->open_handles++;
		r = uv_poll_start(poll, UV_READABLE, on_datagrams);
	}
	return r < 0 ? cay_error_errno(err, r, "listening on port %u", listener->port->host_port)
		     : 0;
}
