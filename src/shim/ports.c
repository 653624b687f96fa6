/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports: bound, held, closed. */
#include "shim/ports-internal.h"

#include "base/alloc.h"
#include "base/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

enum { BACKLOG = 1024 };

socklen_t port_address_length(const union port_address *address)
{
	return address->any.sa_family == AF_INET ? sizeof(address->v4) : sizeof(address->v6);
}

static int make_address(const char *text, uint16_t port, union port_address *ret_address)
{
	union port_address address;

	memset(&address, 0, sizeof(address));
	if (inet_pton(AF_INET, text, &address.v4.sin_addr) == 1) {
		address.v4.sin_family = AF_INET;
		address.v4.sin_port = htons(port);
	} else if (inet_pton(AF_INET6, text, &address.v6.sin6_addr) == 1) {
		address.v6.sin6_family = AF_INET6;
		address.v6.sin6_port = htons(port);
	} else {
		return -EINVAL;
	}
	*ret_address = address;
	return 0;
}

int ports_target(const struct listener *listener, union port_address *ret_address)
{
	return listener->target[0] != '\0'
		? make_address(listener->target, listener->port->container_port, ret_address)
		: -EADDRNOTAVAIL;
}

static void set_target(struct listener *listener, const char *address)
{
	(void)snprintf(listener->target, sizeof(listener->target), "%s", address);
}

int ports_lead(struct ports *ports, const char *ipv4, const char *ipv6, struct cay_error *err)
{
	struct in_addr v4;
	struct in6_addr v6;

	if ((*ipv4 && inet_pton(AF_INET, ipv4, &v4) != 1) ||
	    (*ipv6 && inet_pton(AF_INET6, ipv6, &v6) != 1))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "ports can't lead to \"%.64s\" and \"%.64s\"", ipv4, ipv6);
	for (size_t i = 0; i < ports->count; i++) {
		struct listener *listener = &ports->listeners[i];

		if (strchr(listener->port->host_address, ':'))
			set_target(listener, *ipv6 ? ipv6 : ipv4);
		else
			set_target(listener, *ipv4 ? ipv4 : ipv6);
	}
	if (ports->loop)
		ports_udp_close_all(ports);
	return 0;
}

/* As docker's clients know it. */
static int bind_error(const struct sandbox_port *port, int error, struct cay_error *err)
{
	const bool ipv6 = strchr(port->host_address, ':');
	const char *open = ipv6 ? "[" : "", *close = ipv6 ? "]" : "";

	if (error == EADDRINUSE)
		return cay_error_set(err, CAY_EXISTS, error,
				     "Bind for %s%s%s:%u failed: port is already allocated", open,
				     port->host_address, close, port->host_port);
	return cay_error_errno(err, error, "Bind for %s%s%s:%u failed", open, port->host_address,
			       close, port->host_port);
}

static int set_option(int fd, int level, int option)
{
	const int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on));
}

static int bind_port(struct listener *listener, struct cay_error *err)
{
	const struct sandbox_port *port = listener->port;
	const int type = (port->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
	union port_address address;
	_cleanup_close_ int fd = -1;
	bool ipv6;

	if (make_address(port->host_address, port->host_port, &address) < 0)
		return bind_error(port, EINVAL, err);
	ipv6 = address.any.sa_family == AF_INET6;
	fd = socket(address.any.sa_family, type, 0);
	if (fd < 0 && errno == EAFNOSUPPORT && IN6_IS_ADDR_UNSPECIFIED(&address.v6.sin6_addr))
		return 0; /* "all addresses" of a host without IPv6 */
	if (fd < 0 || (ipv6 && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) < 0) ||
	    /* Connections of an earlier container may still be fading. */
	    (!port->udp && set_option(fd, SOL_SOCKET, SO_REUSEADDR) < 0) ||
	    /* An answer leaves from the address that was asked. */
	    (port->udp &&
	     set_option(fd, ipv6 ? IPPROTO_IPV6 : IPPROTO_IP,
			ipv6 ? IPV6_RECVPKTINFO : IP_PKTINFO) < 0) ||
	    bind(fd, &address.any, port_address_length(&address)) < 0 ||
	    /* Only one that listens keeps others from the port. */
	    (!port->udp && listen(fd, BACKLOG) < 0))
		return bind_error(port, errno, err);
	listener->fd = TAKE_FD(fd);
	return 0;
}

/* A range of ports may be larger than the usual limit of open files. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* binding tells what was too much */
}

static void ports_free(struct ports *ports)
{
	for (size_t i = 0; i < ports->count; i++)
		cay_close_p(&ports->listeners[i].fd);
	free(ports->listeners);
	free(ports->datagram);
	free(ports);
}

int ports_bind(const struct sandbox_config *config, struct ports **ret_ports, struct cay_error *err)
{
	struct ports *ports = xcalloc(1, sizeof(*ports));

	ports->config = config;
	LIST_INIT(&ports->connections);
	TAILQ_INIT(&ports->sessions);
	ports->listeners = xcalloc(config->port_count + 1, sizeof(*ports->listeners));
	if (config->port_count > 0)
		raise_limit();
	for (size_t i = 0; i < config->port_count; i++) {
		struct listener *listener = &ports->listeners[ports->count++];
		int r;

		*listener =
			(struct listener){ .ports = ports, .port = &config->ports[i], .fd = -1 };
		if (listener->port->container_address)
			set_target(listener, listener->port->container_address);
		r = bind_port(listener, err);
		if (r < 0) {
			ports_free(ports);
			return r;
		}
	}
	*ret_ports = ports;
	return 0;
}

int ports_start(struct ports *ports, uv_loop_t *loop, struct cay_error *err)
{
	ports->loop = loop;
	(void)uv_timer_init(loop, &ports->idle);
	ports->idle.data = ports;
	ports->open_handles = 1;
	ports->datagram = xmalloc(DATAGRAM_MAX);
	for (size_t i = 0; i < ports->count; i++) {
		struct listener *listener = &ports->listeners[i];
		int r;

		if (listener->fd < 0)
			continue;
		r = listener->port->udp ? ports_udp_start(listener, err)
					: ports_tcp_start(listener, err);
		if (r < 0)
			return r;
	}
	return 0;
}

void ports_release(struct ports *ports)
{
	if (--ports->open_handles == 0)
		ports_free(ports);
}

static void on_listener_closed(uv_handle_t *handle)
{
	ports_release(handle->data);
}

void ports_close(struct ports *ports)
{
	if (!ports)
		return;
	if (!ports->loop) {
		ports_free(ports);
		return;
	}
	ports->closing = true;
	ports_tcp_close_all(ports);
	ports_udp_close_all(ports);
	for (size_t i = 0; i < ports->count; i++) {
		struct listener *listener = &ports->listeners[i];

		if (!listener->started)
			continue;
		listener->handle.any.data = ports;
		uv_close(&listener->handle.any, on_listener_closed);
	}
	uv_close((uv_handle_t *)&ports->idle, on_listener_closed);
}
