/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The choice of the host's ports. A port is free when no container of this
 * daemon has it and a socket can be bound to it; the shim binds it for good a
 * moment later, and fails where another program was faster. And the choice of
 * where they lead to.
 */
#include "daemon/networks-internal.h"
#include "daemon/placement.h"

#include "base/alloc.h"
#include "base/log.h"
#include "daemon/shim.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

enum { TRIES_MAX = 64, NAME_SERVER_PORT = 53 };

static const struct net_address *any_address(unsigned int family)
{
	static const struct net_address any[] = { { .family = AF_INET }, { .family = AF_INET6 } };

	return &any[family];
}

/* Whether two addresses can't have one port each: one is the other, or all of its family. */
static bool meets(const struct net_address *a, const struct net_address *b)
{
	return a->family == b->family &&
		(net_address_equal(a, b) || net_address_is_unspecified(a) ||
		 net_address_is_unspecified(b));
}

static bool is_taken_by(const struct placement *placement, const struct net_port *port)
{
	for (size_t i = 0; i < placement->port_count; i++) {
		const struct net_port *other = &placement->ports[i];

		if (other->protocol == port->protocol && other->host_port == port->host_port &&
		    meets(&other->host, &port->host))
			return true;
	}
	return false;
}

static bool is_taken(const struct networks *networks, const struct placement *own,
		     const struct net_port *port)
{
	for (size_t i = 0; i < networks->placement_count; i++)
		if (is_taken_by(networks->placements[i], port))
			return true;
	return is_taken_by(own, port);
}

/* Binds a socket for a moment. Port 0 lets the kernel choose. 0 or -errno. */
static int try_bind(const struct net_port *port, uint16_t *ret_port)
{
	const int type = port->protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM, on = 1;
	_cleanup_close_ int fd = socket(port->host.family, type | SOCK_CLOEXEC, 0);
	struct sockaddr_storage address;
	socklen_t length = net_address_to_sockaddr(&port->host, port->host_port, &address);

	if (fd < 0)
		return -errno;
	if (port->host.family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	/* Connections of the last user that are still closing are no hindrance. */
	if (type == SOCK_STREAM)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, length) < 0)
		return -errno;
	if (ret_port && getsockname(fd, (struct sockaddr *)&address, &length) == 0)
		*ret_port = ntohs(port->host.family == AF_INET
					  ? ((struct sockaddr_in *)&address)->sin_port
					  : ((struct sockaddr_in6 *)&address)->sin6_port);
	return 0;
}

/* A host without IPv6 has no "::" to bind. */
static bool is_absent_family(const struct net_port *port, int error)
{
	return port->host.family == AF_INET6 && net_address_is_unspecified(&port->host) &&
		(error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL);
}

/* The one or two ports that stand for what was asked; *count is how many. */
static void expand(const struct request_port *asked, struct net_port list[NETWORK_FAMILIES],
		   size_t *ret_count)
{
	bool all = !net_address_is_set(&asked->host_address);

	*ret_count = all ? NETWORK_FAMILIES : 1;
	for (unsigned int i = 0; i < *ret_count; i++)
		list[i] = (struct net_port){
			.host = all ? *any_address(i) : asked->host_address,
			.protocol = asked->protocol == REQUEST_UDP ? IPPROTO_UDP : IPPROTO_TCP,
			.port = asked->container_port,
		};
}

/* 0, or -errno where this number is not free on all of the addresses. */
static int check_number(const struct networks *networks, const struct placement *placement,
			struct net_port *list, size_t *count, uint16_t number)
{
	for (size_t i = 0; i < *count; i++) {
		int r;

		list[i].host_port = number;
		if (is_taken(networks, placement, &list[i]))
			return -EADDRINUSE;
		r = try_bind(&list[i], NULL);
		if (r < 0 && i > 0 && is_absent_family(&list[i], r))
			*count = i;
		else if (r < 0)
			return r;
	}
	return 0;
}

/* The kernel's proposals for the first address, until one is free on the others too. */
static int choose_any(const struct networks *networks, const struct placement *placement,
		      struct net_port *list, size_t *count)
{
	int r = -EADDRINUSE;

	for (unsigned int i = 0; i < TRIES_MAX && r == -EADDRINUSE; i++) {
		uint16_t number = 0;

		list[0].host_port = 0;
		r = try_bind(&list[0], &number);
		if (r == 0)
			r = check_number(networks, placement, list, count, number);
	}
	return r;
}

static int choose(const struct networks *networks, const struct placement *placement,
		  const struct request_port *asked, struct net_port *list, size_t *count)
{
	int r = -EADDRINUSE;

	if (asked->host_first == 0)
		return choose_any(networks, placement, list, count);
	for (unsigned int number = asked->host_first;
	     r == -EADDRINUSE && number <= asked->host_last; number++)
		r = check_number(networks, placement, list, count, (uint16_t)number);
	return r;
}

/* With the table's lock held: whether port 53 of the address is the name server's on a gateway. */
static bool is_name_server(const struct networks *networks, const struct request_port *asked,
			   const struct net_address *address)
{
	if (asked->host_first > NAME_SERVER_PORT || asked->host_last < NAME_SERVER_PORT)
		return false;
	for (size_t i = 0; i < networks->count; i++)
		for (unsigned int j = 0; networks->items[i]->has_names && j < NETWORK_FAMILIES; j++)
			if (meets(address, &networks->items[i]->spec.pools[j].gateway))
				return true;
	return false;
}

static int fail(const struct networks *networks, const struct request_port *asked,
		const struct net_port *list, int error, struct cay_error *err)
{
	char address[NET_ADDRESS_TEXT_MAX], range[32] = "";

	net_address_format(&list[0].host, address);
	if (asked->host_last > asked->host_first)
		(void)snprintf(range, sizeof(range), "-%u", asked->host_last);
	if (error == -EADDRINUSE && is_name_server(networks, asked, &list[0].host))
		return cay_error_set(
			err, CAY_EXISTS, EADDRINUSE,
			"Bind for %s:%u%s failed: port is already allocated: cay's "
			"name server has it on the networks' gateways; name one of the "
			"host's own addresses, as in -p 192.0.2.1:53:%u/%s",
			address, asked->host_first, range, asked->container_port,
			request_protocol_name(asked->protocol));
	if (error == -EADDRINUSE)
		return cay_error_set(err, CAY_EXISTS, EADDRINUSE,
				     "Bind for %s:%u%s failed: port is already allocated", address,
				     asked->host_first, range);
	return cay_error_errno(err, error, "Bind for %s:%u%s/%s failed", address, asked->host_first,
			       range, request_protocol_name(asked->protocol));
}

int placement_choose_ports(const struct networks *networks, struct placement *placement,
			   struct cay_error *err)
{
	const struct request *request = placement->container->request;

	placement->ports =
		xcalloc(NETWORK_FAMILIES * request->port_count + 1, sizeof(*placement->ports));
	for (size_t i = 0; i < request->port_count; i++) {
		struct net_port list[NETWORK_FAMILIES];
		size_t count;
		int r;

		expand(&request->ports[i], list, &count);
		r = choose(networks, placement, &request->ports[i], list, &count);
		if (r < 0)
			return fail(networks, &request->ports[i], list, r, err);
		for (size_t j = 0; j < count; j++)
			placement->ports[placement->port_count++] = list[j];
	}
	return 0;
}

/* ---- where they lead to ---- */

struct endpoint *placement_choose_publisher(const struct networks *networks,
					    const struct placement *placement)
{
	return placement_choose_bridged(networks, placement, NETWORK_IPV4)
		?: placement_choose_bridged(networks, placement, NETWORK_IPV6);
}

void placement_lead_ports(struct networks *networks, struct placement *placement)
{
	char addresses[NETWORK_FAMILIES][NET_ADDRESS_TEXT_MAX] = { "" };
	const struct placement_card *card = NULL;
	const struct endpoint *publisher = NULL;
	struct cay_error err = { 0 };
	bool lost;
	int r = 0;

	(void)pthread_mutex_lock(&networks->lock);
	lost = placement->port_count > 0 && !placement->publisher;
	if (lost)
		publisher = placement->publisher = placement_choose_publisher(networks, placement);
	for (unsigned int i = 0; publisher && i < NETWORK_FAMILIES; i++)
		if (net_address_is_set(&publisher->addresses[i]))
			net_address_format(&publisher->addresses[i], addresses[i]);
	if (publisher)
		card = placement_find_card(placement, publisher);
	(void)pthread_mutex_unlock(&networks->lock);
	if (!lost)
		return;
	if (card)
		r = placement_admit(networks, placement, card, false, &err);
	if (r == 0)
		r = shim_lead_ports(placement->container, addresses[NETWORK_IPV4],
				    addresses[NETWORK_IPV6], &err);
	if (r < 0)
		log_error("container %.12s: its published ports: %s", placement->container->id,
			  err.message);
}

size_t placement_routed_ports(const struct networks *networks, const struct placement *placement,
			      const struct endpoint *endpoint, struct net_port **ret_ports)
{
	struct net_port *ports = xcalloc(placement->port_count + 1, sizeof(*ports));
	size_t count = 0;
	bool has_route[NETWORK_FAMILIES];

	for (unsigned int i = 0; i < NETWORK_FAMILIES; i++)
		has_route[i] = placement_choose_main(networks, placement, i) == endpoint;
	for (size_t i = 0; endpoint == placement->publisher && i < placement->port_count; i++)
		if (has_route[placement->ports[i].host.family == AF_INET6])
			ports[count++] = placement->ports[i];
	*ret_ports = ports;
	return count;
}

void networks_warn_ports(struct networks *networks, const struct container *container,
			 struct strv *warnings)
{
	_cleanup_free_ struct endpoint **endpoints = NULL;
	const struct network *lan = NULL;
	bool bridged = false;
	size_t count;

	if (container->request->port_count == 0)
		return;
	(void)pthread_mutex_lock(&networks->lock);
	endpoints = endpoints_of(networks, container, &count);
	for (size_t i = 0; i < count; i++) {
		const struct network *network =
			networks_by_name(networks, endpoints[i]->config.network);

		if (network && network->spec.driver == NETWORK_LAN)
			lan = network;
		bridged = bridged || (network && network->spec.driver == NETWORK_BRIDGE);
	}
	if (lan && !bridged) {
		_cleanup_free_ char *text =
			xasprintf("Published ports are discarded: on the LAN network %s other "
				  "machines reach every port at the container's own address.",
				  lan->spec.name);

		strv_add(warnings, text);
	}
	(void)pthread_mutex_unlock(&networks->lock);
}
