/* SPDX-License-Identifier: Apache-2.0 */
/* What the sandbox's configuration says of networks: interfaces, ports, hosts, resolv.conf. */
#include "daemon/networks-internal.h"
#include "daemon/placement.h"

#include "base/alloc.h"
#include "base/log.h"
#include "daemon/spec.h"
#include "net/resolv-conf.h"

#include <netinet/in.h>
#include <string.h>

/* ---- interfaces ---- */

static void add_addresses(struct sandbox_interface *interface, const struct network *network,
			  const struct endpoint *endpoint,
			  const struct endpoint *const mains[NETWORK_FAMILIES])
{
	for (unsigned int i = 0; i < NETWORK_FAMILIES; i++) {
		const struct network_pool *pool = &network->spec.pools[i];
		struct net_prefix prefix = { endpoint->addresses[i], pool->subnet.bits };
		char text[NET_PREFIX_TEXT_MAX];

		if (!net_address_is_set(&prefix.address))
			continue;
		net_prefix_format(&prefix, text);
		strv_add(&interface->addresses, text);
		if (mains[i] != endpoint || !net_address_is_set(&pool->gateway))
			continue;
		net_address_format(&pool->gateway, text);
		strv_add(&interface->gateways, text);
	}
}

static unsigned int card_queues(enum sandbox_interface_kind kind,
				const struct sandbox_config *config)
{
	return kind == SANDBOX_PASST ? 1 : MIN(config->vcpus, SANDBOX_QUEUES_MAX);
}

void placement_add_interface(struct sandbox_config *config, const struct placement_card *card,
			     const struct network *network, const struct endpoint *endpoint,
			     const struct endpoint *const mains[NETWORK_FAMILIES])
{
	const struct container *container = endpoint->container;
	struct sandbox_interface *interface;
	bool asks;

	config->interfaces = xreallocarray(config->interfaces, config->interface_count + 1,
					   sizeof(*config->interfaces));
	interface = &config->interfaces[config->interface_count++];
	*interface = (struct sandbox_interface){
		.kind = card->kind,
		.queues = card_queues(card->kind, config),
		.mtu = network->spec.mtu,
	};
	memcpy(interface->mac, card->mac.bytes, sizeof(interface->mac));
	if (card->kind != SANDBOX_PASST) {
		interface->device = xstrdup(card->device);
		interface->parent = xstrdup(network->spec.link);
	}
	add_addresses(interface, network, endpoint, mains);
	asks = network->spec.driver == NETWORK_LAN || card->kind == SANDBOX_PASST;
	interface->dhcp = asks && network->spec.families[NETWORK_IPV4] &&
		!net_address_is_set(&endpoint->addresses[NETWORK_IPV4]);
	interface->accept_ra = asks && network->spec.families[NETWORK_IPV6] &&
		!net_address_is_set(&endpoint->addresses[NETWORK_IPV6]);
	if (!interface->dhcp)
		return;
	interface->hostname = spec_hostname(container->request, container->id);
	/* The lease's servers, unless the client names others. */
	if (endpoint == mains[NETWORK_IPV4] && container->request->dns.count == 0)
		interface->resolv_conf = spec_guest_path(container->id, "resolv.conf");
}

void placement_add_spare(struct sandbox_config *config, const struct placement_card *card)
{
	struct sandbox_interface *interface;

	config->interfaces = xreallocarray(config->interfaces, config->interface_count + 1,
					   sizeof(*config->interfaces));
	interface = &config->interfaces[config->interface_count++];
	*interface = (struct sandbox_interface){ .kind = card->kind, .queues = 1 };
	memcpy(interface->mac, card->mac.bytes, sizeof(interface->mac));
	interface->device = xstrdup(card->device);
}

void networks_add_usual_cards(struct networks *networks, struct sandbox_config *config)
{
	const struct network *network;
	struct sandbox_interface *cards;

	config->interfaces = cards = xcalloc(2, sizeof(*config->interfaces));
	(void)pthread_mutex_lock(&networks->lock);
	network = networks_by_name(networks, NETWORK_DEFAULT_NAME);
	if (network)
		cards[0].mtu = network->spec.mtu;
	(void)pthread_mutex_unlock(&networks->lock);
	cards[0].kind = networks->privileged ? SANDBOX_TAP : SANDBOX_PASST;
	cards[0].queues = card_queues(cards[0].kind, config);
	config->interface_count = 1;
	/* The spare one, as reserve() adds it. */
	if (networks->privileged)
		cards[config->interface_count++] =
			(struct sandbox_interface){ .kind = SANDBOX_TAP, .queues = 1 };
}

/* ---- ports ---- */

void placement_add_ports(struct sandbox_config *config, const struct placement *placement)
{
	const struct endpoint *publisher = placement->publisher;

	config->ports = xcalloc(placement->port_count + 1, sizeof(*config->ports));
	for (size_t i = 0; i < placement->port_count; i++) {
		const struct net_port *port = &placement->ports[i];
		unsigned int family = port->host.family == AF_INET ? NETWORK_IPV4 : NETWORK_IPV6;
		struct sandbox_port *target = &config->ports[config->port_count++];
		const struct net_address *address;
		char text[NET_ADDRESS_TEXT_MAX];

		/* The relay speaks the other family to a container that has not got this one. */
		if (!net_address_is_set(&publisher->addresses[family]))
			family = NETWORK_FAMILIES - 1 - family;
		address = &publisher->addresses[family];
		net_address_format(&port->host, text);
		*target = (struct sandbox_port){
			.udp = port->protocol == IPPROTO_UDP,
			.host_address = xstrdup(text),
			.host_port = port->host_port,
			.container_port = port->port,
		};
		if (net_address_is_set(address)) {
			net_address_format(address, text);
			target->container_address = xstrdup(text);
		}
	}
}

/* ---- files ---- */

/* With the lock held. The gateways of the container's main network stand for the host. */
static void put_extra_host(const char *entry, const struct network *network, struct buf *text)
{
	const size_t length = strcspn(entry, ":=");
	const char *address = entry + length + 1;

	if (strcmp(address, "host-gateway") != 0) {
		/* docker takes IPv6 addresses in brackets too */
		size_t n = strlen(address);
		bool bracketed = n > 2 && address[0] == '[' && address[n - 1] == ']';

		buf_printf(text, "%.*s\t%.*s\n", (int)(bracketed ? n - 2 : n),
			   address + (bracketed ? 1 : 0), (int)length, entry);
		return;
	}
	for (unsigned int i = 0; network && i < NETWORK_FAMILIES; i++) {
		char gateway[NET_ADDRESS_TEXT_MAX];

		if (!net_address_is_set(&network->spec.pools[i].gateway))
			continue;
		net_address_format(&network->spec.pools[i].gateway, gateway);
		buf_printf(text, "%s\t%.*s\n", gateway, (int)length, entry);
	}
}

/* "172.17.0.2	name.domain name" for each address */
static void put_own(const struct networks *networks, const struct container *container,
		    struct buf *text)
{
	const struct request *request = container->request;
	_cleanup_free_ char *hostname = spec_hostname(request, container->id);
	size_t count;
	_cleanup_free_ struct endpoint **endpoints = endpoints_of(networks, container, &count);

	for (size_t i = 0; i < count; i++) {
		for (unsigned int j = 0; j < NETWORK_FAMILIES; j++) {
			char address[NET_ADDRESS_TEXT_MAX];

			if (!net_address_is_set(&endpoints[i]->addresses[j]))
				continue;
			net_address_format(&endpoints[i]->addresses[j], address);
			buf_printf(text, "%s\t%s", address, hostname);
			if (request->domainname[0] != '\0')
				buf_printf(text, ".%s %s", request->domainname, hostname);
			buf_putc(text, '\n');
		}
	}
}

static char *make_hosts(const struct networks *networks, const struct container *container,
			const struct network *network)
{
	const struct request *request = container->request;
	struct buf text = { 0 };

	buf_puts(&text,
		 "127.0.0.1\tlocalhost\n"
		 "::1\tlocalhost ip6-localhost ip6-loopback\n"
		 "fe00::\tip6-localnet\n"
		 "ff00::\tip6-mcastprefix\n"
		 "ff02::1\tip6-allnodes\n"
		 "ff02::2\tip6-allrouters\n");
	for (size_t i = 0; i < request->extra_hosts.count; i++)
		put_extra_host(request->extra_hosts.items[i], network, &text);
	put_own(networks, container, &text);
	return buf_steal(&text);
}

static void put_list(const char *key, const struct strv *list, struct buf *text)
{
	for (size_t i = 0; i < list->count; i++)
		buf_printf(text, "%s%s%s", i == 0 ? key : " ", list->items[i],
			   i + 1 == list->count ? "\n" : "");
}

/* A container that can't ask the daemon asks the host's servers itself, as far as it reaches them.
 */
static void put_host_servers(const struct resolv_conf *conf, struct buf *text)
{
	for (size_t i = 0; i < conf->servers.count; i++) {
		const struct net_address *address = &conf->servers.items[i].address;
		char server[NET_ADDRESS_TEXT_MAX];

		if (net_address_is_loopback(address) || net_address_is_link_local(address))
			continue;
		net_address_format(address, server);
		buf_printf(text, "nameserver %s\n", server);
	}
}

/* Search domains are the host's unless the client names some; "." is docker's word for none. */
static void put_search(const struct request *request, const struct resolv_conf *conf,
		       struct buf *text)
{
	if (request->dns_search.count == 0)
		put_list("search ", &conf->search, text);
	else if (strcmp(request->dns_search.items[0], ".") != 0)
		put_list("search ", &request->dns_search, text);
}

/* A name without dots is a container's first of all, as docker has it. */
static void put_options(const struct request *request, bool has_names, struct buf *text)
{
	_cleanup_strv_ struct strv options = { 0 };
	bool has_dots = false;

	strv_copy(&options, &request->dns_options);
	for (size_t i = 0; i < options.count; i++)
		has_dots = has_dots || starts_with(options.items[i], "ndots:");
	if (has_names && !has_dots)
		strv_add(&options, "ndots:0");
	put_list("options ", &options, text);
}

static char *make_resolv_conf(const struct container *container, const struct network *network,
			      bool by_passt)
{
	const struct request *request = container->request;
	struct resolv_conf conf = { 0 };
	struct buf text = { 0 };
	const struct net_address *gateway = NULL;
	struct cay_error ignored; /* without the host's there is no more than what was asked for */
	char server[NET_ADDRESS_TEXT_MAX];

	if (network && network->spec.driver != NETWORK_NULL)
		(void)resolv_conf_read("/etc/resolv.conf", &conf, &ignored);
	for (unsigned int i = NETWORK_FAMILIES; network && i-- > 0;)
		if (network->has_names && net_address_is_set(&network->spec.pools[i].gateway))
			gateway = &network->spec.pools[i].gateway;
	/* passt hands on what its gateway is asked to the host's servers, and to no others. */
	if (by_passt && request->dns.count == 0)
		gateway = &network->spec.pools[NETWORK_IPV4].gateway;
	if (gateway) {
		net_address_format(gateway, server);
		buf_printf(&text, "nameserver %s\n", server);
	} else if (request->dns.count > 0) {
		for (size_t i = 0; i < request->dns.count; i++)
			buf_printf(&text, "nameserver %s\n", request->dns.items[i]);
	} else {
		put_host_servers(&conf, &text);
	}
	put_search(request, &conf, &text);
	put_options(request, gateway != NULL, &text);
	resolv_conf_done(&conf);
	return buf_steal(&text);
}

void networks_add_files(struct networks *networks, const struct container *container,
			struct sandbox_config *config)
{
	const struct placement *placement;
	const struct endpoint *names = NULL;
	const struct network *network = NULL;
	char *hosts, *resolv_conf;
	bool by_lease = false;

	(void)pthread_mutex_lock(&networks->lock);
	placement = placement_find(networks, container);
	for (unsigned int i = 0; placement && !names && i < NETWORK_FAMILIES; i++)
		names = placement_choose_main(networks, placement, i);
	for (size_t i = 0; placement && !names && i < placement->card_count; i++)
		names = placement->cards[i].endpoint;
	if (names)
		network = networks_by_name(networks, names->config.network);
	hosts = make_hosts(networks, container, network);
	resolv_conf = make_resolv_conf(container, network,
				       placement && placement->card_count > 0 &&
					       placement->cards[0].kind == SANDBOX_PASST);
	(void)pthread_mutex_unlock(&networks->lock);
	for (size_t i = 0; i < config->interface_count; i++)
		by_lease = by_lease || config->interfaces[i].resolv_conf;
	spec_add_file(&config->containers[0], container->id, "hosts", hosts);
	if (by_lease)
		free(resolv_conf);
	else
		spec_add_file(&config->containers[0], container->id, "resolv.conf", resolv_conf);
}
