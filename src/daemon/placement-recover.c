/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container that ran on without a daemon: its cards and ports are read from
 * the configuration that its shim was started with. A network that was connected
 * later has the card whose MAC address the database tells.
 */
#include "daemon/networks-internal.h"
#include "daemon/placement.h"

#include "base/alloc.h"
#include "base/log.h"
#include "net/netlink.h"
#include "net/tap.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

static struct endpoint *find_by_mac(struct endpoint *const *endpoints, size_t count,
				    const struct net_mac *mac)
{
	for (size_t i = 0; i < count; i++)
		if (net_mac_equal(&endpoints[i]->mac, mac) ||
		    net_mac_equal(&endpoints[i]->card_mac, mac))
			return endpoints[i];
	return NULL;
}

static void take_up_card(struct placement_card *card, const struct sandbox_interface *interface,
			 struct endpoint *const *endpoints, size_t count)
{
	card->kind = interface->kind;
	if (interface->device)
		(void)snprintf(card->device, sizeof(card->device), "%s", interface->device);
	memcpy(card->mac.bytes, interface->mac, sizeof(card->mac.bytes));
	card->endpoint = find_by_mac(endpoints, count, &card->mac);
	if (!card->endpoint)
		return;
	card->endpoint->active = true;
	memcpy(card->endpoint->device, card->device, sizeof(card->device));
}

static void take_up_port(struct net_port *port, const struct sandbox_port *source)
{
	struct cay_error ignored; /* the daemon wrote it */

	(void)net_address_parse(source->host_address, &port->host, &ignored);
	port->protocol = source->udp ? IPPROTO_UDP : IPPROTO_TCP;
	port->host_port = source->host_port;
	port->port = source->container_port;
}

/* The endpoint that the relay's ports were given the address of when it started. */
static struct endpoint *find_publisher(const struct placement *placement,
				       const struct sandbox_config *config)
{
	struct net_address address = { 0 };
	struct cay_error ignored; /* the daemon wrote it */

	if (config->port_count == 0)
		return NULL;
	if (!config->ports[0].container_address)
		return placement->cards[0].endpoint; /* passt's only one */
	if (net_address_parse(config->ports[0].container_address, &address, &ignored) < 0)
		return NULL;
	for (size_t i = 0; i < placement->card_count; i++) {
		struct endpoint *endpoint = placement->cards[i].endpoint;

		for (unsigned int j = 0; endpoint && j < NETWORK_FAMILIES; j++)
			if (net_address_equal(&endpoint->addresses[j], &address))
				return endpoint;
	}
	return NULL;
}

/* What the firewall doesn't know it lets pass: the card has no network then. */
static void cut_off(struct networks *networks, struct placement *placement,
		    struct placement_card *card, const struct cay_error *why)
{
	struct cay_error fault = { 0 };
	int r = card->kind == SANDBOX_TAP ? tap_detach(card->device, &fault)
					  : macvtap_remove(card->device, &fault);

	log_error("container %.12s: %s is cut off: %s", placement->container->id, card->device,
		  why->message);
	if (r < 0)
		log_error("container %.12s: %s: %s", placement->container->id, card->device,
			  fault.message);
	(void)pthread_mutex_lock(&networks->lock);
	placement_release(placement, card);
	(void)pthread_mutex_unlock(&networks->lock);
}

void networks_take_up(struct networks *networks, struct container *container)
{
	_cleanup_free_ char *path = container_path(container, "shim.json");
	_cleanup_(sandbox_config_free_p) struct sandbox_config *config = NULL;
	_cleanup_free_ struct endpoint **endpoints = NULL;
	struct placement *placement;
	struct cay_error err = { 0 };
	size_t count;

	if (sandbox_config_load(path, &config, &err) < 0) {
		log_error("container %.12s: its networks: %s", container->id, err.message);
		return;
	}
	placement = xcalloc(1, sizeof(*placement));
	placement->container = container_ref(container);
	placement->announced = true;
	placement->card_count = config->interface_count;
	placement->cards = xcalloc(config->interface_count + 1, sizeof(*placement->cards));
	placement->ports = xcalloc(config->port_count + 1, sizeof(*placement->ports));
	placement->port_count = config->port_count;
	(void)pthread_mutex_lock(&networks->lock);
	endpoints = endpoints_of(networks, container, &count);
	for (size_t i = 0; i < config->interface_count; i++)
		take_up_card(&placement->cards[i], &config->interfaces[i], endpoints, count);
	for (size_t i = 0; i < config->port_count; i++)
		take_up_port(&placement->ports[i], &config->ports[i]);
	placement->publisher = find_publisher(placement, config);
	placement_insert(networks, placement);
	(void)pthread_mutex_unlock(&networks->lock);
	for (size_t i = 0; i < placement->card_count; i++) {
		struct placement_card *card = &placement->cards[i];

		if (card->kind == SANDBOX_PASST || !card->endpoint)
			continue;
		if (placement_admit(networks, placement, card, false, &err) < 0)
			cut_off(networks, placement, card, &err);
	}
	placement_lead_ports(networks, placement);
}

/* ---- taps that are not where they belong ---- */

/* With the lock held: the bridge that a card's tap belongs on; "": none. */
static void describe_port(const struct networks *networks, const struct placement_card *card,
			  char bridge[IFNAMSIZ], struct tap_port *port)
{
	const struct network *network =
		card->endpoint ? networks_by_name(networks, card->endpoint->config.network) : NULL;

	bridge[0] = '\0';
	*port = (struct tap_port){ .name = card->device, .bridge = bridge };
	if (!network || !network->ready)
		return;
	(void)snprintf(bridge, IFNAMSIZ, "%s", network->spec.link);
	port->mtu = network->spec.mtu;
	port->mac = card->endpoint->mac;
}

/* One that is right is left alone: to attach it takes it down for a moment. */
static int mend_tap(struct netlink *netlink, const struct tap_port *port, struct cay_error *err)
{
	struct netlink_link tap, bridge = { 0 };
	int r = netlink_link_find(netlink, port->name, &tap, err);

	if (r == -ENODEV) /* its VM has just ended */
		return netlink_allow_absent(r, err);
	if (r == 0 && port->bridge[0] != '\0')
		r = netlink_link_find(netlink, port->bridge, &bridge, err);
	if (r < 0 || tap.master == bridge.index)
		return r;
	return bridge.index ? tap_attach(port, err) : tap_detach(port->name, err);
}

void networks_mend_taps(struct networks *networks)
{
	_cleanup_netlink_ struct netlink *netlink = NULL;
	struct cay_error err = { 0 };

	if (netlink_open(&netlink, &err) < 0) {
		log_error("looking at containers' taps: %s", err.message);
		return;
	}
	(void)pthread_mutex_lock(&networks->work);
	for (size_t i = 0; i < networks->placement_count; i++) {
		const struct placement *placement = networks->placements[i];

		for (size_t j = 0; j < placement->card_count; j++) {
			char bridge[IFNAMSIZ];
			struct tap_port port;
			struct cay_error fault = { 0 };

			if (placement->cards[j].kind != SANDBOX_TAP)
				continue;
			(void)pthread_mutex_lock(&networks->lock);
			describe_port(networks, &placement->cards[j], bridge, &port);
			(void)pthread_mutex_unlock(&networks->lock);
			if (mend_tap(netlink, &port, &fault) < 0)
				log_error("container %.12s: %s: %s", placement->container->id,
					  port.name, fault.message);
		}
	}
	(void)pthread_mutex_unlock(&networks->work);
}
