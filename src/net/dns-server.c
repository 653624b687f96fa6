/* SPDX-License-Identifier: Apache-2.0 */
/* The responder's thread, its listeners and the sources it waits for. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "net/dns-server-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { EVENTS_MAX = 32, BACKLOG = 64, STACK_SIZE = 256 * 1024, BUFFER_SIZE = 1024 * 1024 };

/* ---- sources ---- */

int dns_source_open(struct dns_server *server, struct dns_source *source)
{
	struct epoll_event event = { .events = source->events, .data.ptr = source };

	return epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) < 0 ? -errno : 0;
}

void dns_source_expect(struct dns_server *server, struct dns_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	if (source->fd < 0 || source->events == events)
		return;
	source->events = events;
	/* Of a descriptor that is registered: cannot fail but for a bug. */
	(void)epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);
}

void dns_source_close(struct dns_server *server, struct dns_source *source)
{
	if (source->fd < 0)
		return;
	/* Closing alone would not do: a child of the daemon may hold a copy until it executes. */
	(void)epoll_ctl(server->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	(void)close(TAKE_FD(source->fd));
	SLIST_INSERT_HEAD(&server->retired, source, retired);
}

static void free_retired(struct dns_server *server)
{
	while (!SLIST_EMPTY(&server->retired)) {
		struct dns_source *source = SLIST_FIRST(&server->retired);

		SLIST_REMOVE_HEAD(&server->retired, retired);
		source->release(source);
	}
}

/* ---- listeners ---- */

bool dns_address_is_ours(const struct dns_server *server, const struct net_address *address)
{
	const struct dns_listener *listener;

	for (listener = LIST_FIRST(&server->listeners); listener;
	     listener = LIST_NEXT(listener, link))
		if (net_address_equal(&listener->address, address))
			return true;
	return false;
}

static void release_door(struct dns_source *source)
{
	struct dns_door *door = container_of(source, struct dns_door, source);

	if (--door->listener->references == 0) {
		free(door->listener->network);
		free(door->listener);
	}
	free(door);
}

static int bind_error(const struct net_address *address, uint16_t port, int error,
		      struct cay_error *err)
{
	char text[NET_ADDRESS_TEXT_MAX];

	net_address_format(address, text);
	if (error == EADDRINUSE)
		return cay_error_set(
			err, CAY_CONFLICT, error,
			"port %u of %s is taken by another DNS server: let it listen on "
			"addresses of its own only (dnsmasq: bind-dynamic, "
			"except-interface)",
			port, text);
	return cay_error_errno(err, error, "listening for DNS on %s port %u", text, port);
}

static int make_socket(const struct net_address *address, uint16_t port, bool stream, int *ret_fd)
{
	_cleanup_close_ int fd =
		socket(address->family,
		       (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_storage name;
	socklen_t length = net_address_to_sockaddr(address, port, &name);
	int on = 1, size = BUFFER_SIZE;

	if (fd < 0)
		return -errno;
	/* Only for TCP, where it forgives connections of an earlier run; for UDP it would share. */
	if (stream && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	if (address->family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -errno;
	if (address->family == AF_INET6
		    ? setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on)) < 0
		    : setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)) < 0)
		return -errno;
	/* A burst of questions; less is a loss of speed at most. */
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(fd, (const struct sockaddr *)&name, length) < 0 ||
	    (stream && listen(fd, BACKLOG) < 0))
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static struct dns_door *make_door(struct dns_listener *listener, int fd, bool stream)
{
	struct dns_door *door = xcalloc(1, sizeof(*door));

	*door = (struct dns_door){
		.source = { .fd = fd,
			    .events = EPOLLIN,
			    .ready = dns_door_ready,
			    .release = release_door },
		.listener = listener,
		.stream = stream,
	};
	listener->references++;
	return door;
}

static void close_listener(struct dns_server *server, struct dns_listener *listener)
{
	struct dns_pending *pending, *next_pending;
	struct dns_stream *stream, *next_stream;

	for (stream = LIST_FIRST(&server->streams); stream; stream = next_stream) {
		next_stream = LIST_NEXT(stream, link);
		if (stream->listener == listener)
			dns_stream_close(server, stream);
	}
	for (pending = LIST_FIRST(&server->pendings); pending; pending = next_pending) {
		next_pending = LIST_NEXT(pending, link);
		if (pending->asker.listener == listener)
			dns_pending_drop(server, pending);
	}
	LIST_REMOVE(listener, link);
	dns_source_close(server, &listener->udp->source);
	dns_source_close(server, &listener->tcp->source);
}

/* The lock is held. */
static int add_listener(struct dns_server *server, const char *network,
			const struct net_address *address, int udp, int tcp)
{
	struct dns_listener *listener = xcalloc(1, sizeof(*listener));
	int r;

	listener->network = xstrdup(network);
	listener->address = *address;
	listener->udp = make_door(listener, udp, false);
	listener->tcp = make_door(listener, tcp, true);
	LIST_INSERT_HEAD(&server->listeners, listener, link);
	r = dns_source_open(server, &listener->udp->source);
	if (r == 0)
		r = dns_source_open(server, &listener->tcp->source);
	if (r < 0)
		close_listener(server, listener);
	return r;
}

int dns_server_add(struct dns_server *server, const char *network,
		   const struct net_address *address, struct cay_error *err)
{
	_cleanup_close_ int udp = -1;
	_cleanup_close_ int tcp = -1;
	int r = make_socket(address, server->port, false, &udp);

	if (r == 0)
		r = make_socket(address, server->port, true, &tcp);
	if (r < 0)
		return bind_error(address, server->port, -r, err);
	pthread_mutex_lock(&server->lock);
	r = add_listener(server, network, address, TAKE_FD(udp), TAKE_FD(tcp));
	pthread_mutex_unlock(&server->lock);
	return r < 0 ? bind_error(address, server->port, -r, err) : 0;
}

static void remove_listeners(struct dns_server *server, const char *network)
{
	struct dns_listener *listener, *next;

	for (listener = LIST_FIRST(&server->listeners); listener; listener = next) {
		next = LIST_NEXT(listener, link);
		if (!network || strcmp(listener->network, network) == 0)
			close_listener(server, listener);
	}
}

void dns_server_remove(struct dns_server *server, const char *network)
{
	pthread_mutex_lock(&server->lock);
	remove_listeners(server, network);
	pthread_mutex_unlock(&server->lock);
}

/* ---- the thread ---- */

static void rest_doors(struct dns_server *server, bool rest)
{
	struct dns_listener *listener;

	for (listener = LIST_FIRST(&server->listeners); listener;
	     listener = LIST_NEXT(listener, link))
		dns_source_expect(server, &listener->tcp->source, rest ? 0 : EPOLLIN);
}

/* Called at each wake-up; the lock is held. */
static void look_at_deadlines(struct dns_server *server, int64_t *last_ms)
{
	if (server->now_ms - *last_ms < DNS_TICK_MS)
		return;
	*last_ms = server->now_ms;
	dns_forward_tick(server);
	dns_stream_tick(server);
	if (server->starved) {
		server->starved = false;
		rest_doors(server, false);
	}
}

static bool has_deadlines(const struct dns_server *server)
{
	return server->starved || !LIST_EMPTY(&server->streams) || !LIST_EMPTY(&server->pendings);
}

static void *server_thread(void *user)
{
	struct dns_server *server = user;
	struct epoll_event events[EVENTS_MAX];
	int64_t last_ms = 0;

	pthread_mutex_lock(&server->lock);
	while (!server->stopping) {
		int timeout = has_deadlines(server) ? DNS_TICK_MS : -1, count;

		free_retired(server);
		pthread_mutex_unlock(&server->lock);
		count = epoll_wait(server->epoll_fd, events, EVENTS_MAX, timeout);
		pthread_mutex_lock(&server->lock);
		server->now_ms = clock_monotonic_ms();
		for (int i = 0; i < count && !server->stopping; i++) {
			struct dns_source *source = events[i].data.ptr;

			/* No source: the eventfd, which only ever means `stopping`. */
			if (source && source->fd >= 0)
				source->ready(server, source, events[i].events);
		}
		look_at_deadlines(server, &last_ms);
		if (server->starved)
			rest_doors(server, true);
	}
	pthread_mutex_unlock(&server->lock);
	return NULL;
}

/* Questions that wait must not take the descriptors that the rest of the daemon needs. */
static unsigned int find_socket_max(void)
{
	struct rlimit limit = { .rlim_cur = 1024 };

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	return (unsigned int)MIN(limit.rlim_cur / 4, (rlim_t)DNS_SOCKETS_MAX);
}

static int start_thread(struct dns_server *server)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->wake_fd, &event) < 0)
		return -errno;
	return thread_start(STACK_SIZE, server_thread, server, &server->thread);
}

static void release_server(struct dns_server *server)
{
	if (server->epoll_fd >= 0)
		(void)close(server->epoll_fd);
	if (server->wake_fd >= 0)
		(void)close(server->wake_fd);
	resolv_conf_done(&server->resolv_conf.conf);
	free(server->resolv_conf_path);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

int dns_server_new(const struct dns_options *options, struct dns_server **ret_server,
		   struct cay_error *err)
{
	struct dns_server *server = xcalloc(1, sizeof(*server));
	int r = 0;

	server->names = options->names;
	server->user = options->user;
	server->port = options->port ? options->port : DNS_PORT;
	server->resolv_conf_path =
		xstrdup(options->resolv_conf ? options->resolv_conf : "/etc/resolv.conf");
	server->resolv_conf.path = server->resolv_conf_path;
	server->socket_max = find_socket_max();
	pthread_mutex_init(&server->lock, NULL);
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	server->wake_fd = server->epoll_fd < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->wake_fd < 0)
		r = -errno;
	if (r == 0)
		r = start_thread(server);
	if (r < 0) {
		release_server(server);
		return cay_error_errno(err, r, "starting the DNS server");
	}
	*ret_server = server;
	return 0;
}

void dns_server_free(struct dns_server *server)
{
	if (!server)
		return;
	pthread_mutex_lock(&server->lock);
	server->stopping = true;
	pthread_mutex_unlock(&server->lock);
	fd_wake(server->wake_fd);
	pthread_join(server->thread, NULL);
	remove_listeners(server, NULL);
	free_retired(server);
	release_server(server);
}
