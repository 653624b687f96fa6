/* SPDX-License-Identifier: Apache-2.0 */
/* A container's part of the networks from before its start until after its end. */
#include "daemon/placement.h"

#include "base/alloc.h"
#include "base/log.h"
#include "daemon/lifecycle-internal.h"
#include "daemon/networks-internal.h"
#include "net/tap.h"
#include "vmm/cmdline.h"

#include <errno.h>
#include <string.h>

void placement_free(struct placement *placement)
{
	if (!placement)
		return;
	container_unref(placement->container);
	free(placement->cards);
	free(placement->ports);
	free(placement);
}
DEFINE_CLEANUP(struct placement *, placement_free);

struct placement *placement_find(const struct networks *networks, const struct container *container)
{
	for (size_t i = 0; i < networks->placement_count; i++)
		if (networks->placements[i]->container == container)
			return networks->placements[i];
	return NULL;
}

void placement_insert(struct networks *networks, struct placement *placement)
{
	networks->placements = xreallocarray(networks->placements, networks->placement_count + 1,
					     sizeof(*networks->placements));
	networks->placements[networks->placement_count++] = placement;
}

static struct placement *take_out(struct networks *networks, const struct container *container)
{
	for (size_t i = 0; i < networks->placement_count; i++) {
		struct placement *placement = networks->placements[i];

		if (placement->container != container)
			continue;
		networks->placements[i] = networks->placements[--networks->placement_count];
		return placement;
	}
	return NULL;
}

struct placement_card *placement_find_card(const struct placement *placement,
					   const struct endpoint *endpoint)
{
	for (size_t i = 0; i < placement->card_count; i++)
		if (placement->cards[i].endpoint == endpoint)
			return &placement->cards[i];
	return NULL;
}

void placement_release(struct placement *placement, struct placement_card *card)
{
	endpoint_deactivate(card->endpoint);
	if (placement->publisher == card->endpoint)
		placement->publisher = NULL;
	card->endpoint = NULL;
}

/* ---- placing ---- */

/* One without an endpoint is for a network that is connected while the container runs. */
static void add_card(struct placement *placement, enum sandbox_interface_kind kind,
		     struct net_mac mac, struct endpoint *endpoint)
{
	struct placement_card *card;

	placement->cards = xreallocarray(placement->cards, placement->card_count + 1,
					 sizeof(*placement->cards));
	card = &placement->cards[placement->card_count];
	*card = (struct placement_card){ .kind = kind, .mac = mac, .endpoint = endpoint };
	if (kind != SANDBOX_PASST)
		(void)snprintf(card->device, sizeof(card->device), "cayt%.8s.%zu",
			       placement->container->id, placement->card_count);
	placement->card_count++;
	if (!endpoint)
		return;
	memcpy(endpoint->device, card->device, sizeof(endpoint->device));
	endpoint->card_mac = mac;
}

/* With the lock held: its network is there, it has its addresses, and it is active. */
static int activate(struct networks *networks, struct placement *placement,
		    struct endpoint *endpoint, bool *ret_changed, struct cay_error *err)
{
	struct network *network = networks_by_name(networks, endpoint->config.network);
	int r;

	if (!network)
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "network %s not found",
				     endpoint->config.network);
	if (network->spec.driver == NETWORK_NULL)
		return 0;
	if (placement->card_count == placement->card_max)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "a container can be on at most %zu networks at a time%s",
				     placement->card_max,
				     placement->card_max < VMM_NICS_MAX
					     ? " beside its block volumes and shares"
					     : "");
	r = endpoint_allocate(networks, network, endpoint, ret_changed, err);
	if (r < 0)
		return cay_error_prefix(err, "failed to set up container networking");
	endpoint->active = true;
	add_card(placement,
		 !networks->privileged                         ? SANDBOX_PASST
			 : network->spec.driver == NETWORK_LAN ? SANDBOX_MACVTAP
							       : SANDBOX_TAP,
		 endpoint->mac, endpoint);
	return 0;
}

/*
 * Endpoints, addresses and ports, all in memory. *ret_changed: some have addresses to be stored.
 * What was made active before a failure is taken back by the caller.
 */
static int reserve(struct networks *networks, struct placement *placement, bool *ret_changed,
		   struct cay_error *err)
{
	size_t count;
	_cleanup_free_ struct endpoint **endpoints = NULL;
	int r = 0;

	(void)pthread_mutex_lock(&networks->lock);
	endpoints = endpoints_of(networks, placement->container, &count);
	for (size_t i = 0; r == 0 && i < count; i++) {
		bool changed = false;

		r = activate(networks, placement, endpoints[i], &changed, err);
		*ret_changed = *ret_changed || changed;
	}
	if (r == 0) {
		placement->publisher = placement_choose_publisher(networks, placement);
		/* As docker: ports of a container without a way out are not published. */
		if (placement->publisher)
			r = placement_choose_ports(networks, placement, err);
	}
	if (r == 0 && networks->privileged && placement->card_count == 1)
		add_card(placement, SANDBOX_TAP, net_mac_random(), NULL);
	placement_insert(networks, placement);
	(void)pthread_mutex_unlock(&networks->lock);
	return r;
}

/* With `work` held: networks that could not be raised when the daemon started. */
static int raise_networks(struct networks *networks, const struct placement *placement,
			  struct cay_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < placement->card_count && placement->cards[i].endpoint;
	     i++) {
		_cleanup_network_ struct network *network = NULL;

		r = networks_find(networks, placement->cards[i].endpoint->config.network, &network,
				  err);
		if (r == 0)
			r = network_raise(networks, network, err);
	}
	return r;
}

int placement_admit(struct networks *networks, const struct placement *placement,
		    const struct placement_card *card, bool make, struct cay_error *err)
{
	_cleanup_free_ struct net_port *ports = NULL;
	struct net_endpoint known = { 0 };
	const struct endpoint *endpoint;
	const struct network *network;
	uint32_t mtu = 0;
	int r = 0;

	(void)pthread_mutex_lock(&networks->lock);
	endpoint = card->endpoint;
	network = endpoint ? networks_by_name(networks, endpoint->config.network) : NULL;
	if (network) {
		memcpy(known.link, card->device, sizeof(known.link));
		memcpy(known.network, network->spec.link, sizeof(known.network));
		memcpy(known.addresses, endpoint->addresses, sizeof(known.addresses));
		known.mac = endpoint->mac;
		mtu = network->spec.mtu;
		known.host_gateway = placement->container->request->host_gateway;
		known.port_count = placement_routed_ports(networks, placement, endpoint, &ports);
		known.ports = ports;
	}
	(void)pthread_mutex_unlock(&networks->lock);
	if (!network)
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "the network is gone");
	/* Its rules hang on the link itself. */
	make = make && card->kind == SANDBOX_MACVTAP;
	if (make) {
		struct cay_error ignored;

		(void)macvtap_remove(known.link, &ignored); /* one that was left by a crash */
		r = macvtap_create(known.link, known.network, &known.mac, mtu, err);
	}
	if (r == 0)
		r = firewall_add_endpoint(networks->firewall, &known, err);
	if (r < 0 && make) {
		struct cay_error ignored;

		(void)macvtap_remove(known.link, &ignored);
	}
	return r;
}

void placement_expel(struct networks *networks, const struct placement_card *card)
{
	struct cay_error fault = { 0 };

	if (card->device[0] == '\0')
		return;
	if (card->kind == SANDBOX_MACVTAP && macvtap_remove(card->device, &fault) < 0)
		log_warning("%s", fault.message);
	if (firewall_remove_endpoint(networks->firewall, card->device, &fault) < 0)
		log_warning("%s: %s", card->device, fault.message);
}

static int admit_all(struct networks *networks, const struct placement *placement,
		     struct cay_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < placement->card_count; i++)
		if (placement->cards[i].kind != SANDBOX_PASST && placement->cards[i].endpoint)
			r = placement_admit(networks, placement, &placement->cards[i], true, err);
	return r;
}

/* ---- the way into the configuration ---- */

static void fill_config(struct networks *networks, const struct placement *placement,
			struct sandbox_config *config)
{
	const struct endpoint *mains[NETWORK_FAMILIES];

	(void)pthread_mutex_lock(&networks->lock);
	for (unsigned int i = 0; i < NETWORK_FAMILIES; i++)
		mains[i] = placement_choose_main(networks, placement, i);
	for (size_t i = 0; i < placement->card_count; i++) {
		const struct placement_card *card = &placement->cards[i];
		const struct network *network = card->endpoint
			? networks_by_name(networks, card->endpoint->config.network)
			: NULL;

		if (network)
			placement_add_interface(config, card, network, card->endpoint, mains);
		else
			placement_add_spare(config, card);
	}
	placement_add_ports(config, placement);
	(void)pthread_mutex_unlock(&networks->lock);
}

/* Rare, since addresses are chosen when a container is made: other runs may have taken them. */
static int store_addresses(struct networks *networks, const struct placement *placement,
			   struct cay_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < placement->card_count && placement->cards[i].endpoint; i++)
		r = endpoint_store(networks, placement->cards[i].endpoint, err);
	return r;
}

static bool has_ended(struct container *container)
{
	enum container_status status;

	(void)pthread_mutex_lock(&container->lock);
	status = container->status;
	(void)pthread_mutex_unlock(&container->lock);
	return !container_is_up(status) && status != CONTAINER_STARTING;
}

bool networks_wait_ended(struct networks *networks)
{
	_cleanup_free_ struct container **list = NULL;
	size_t count;
	bool waited = false;

	(void)pthread_mutex_lock(&networks->lock);
	count = networks->placement_count;
	list = xcalloc(count + 1, sizeof(struct container *));
	for (size_t i = 0; i < count; i++)
		list[i] = container_ref(networks->placements[i]->container);
	(void)pthread_mutex_unlock(&networks->lock);
	for (size_t i = 0; i < count; i++) {
		struct cay_error ignored; /* it takes too long; whoever needs it sees it in use */

		if (has_ended(list[i])) {
			(void)pthread_mutex_lock(&list[i]->lock);
			(void)lifecycle_wait_idle(list[i], &ignored);
			(void)pthread_mutex_unlock(&list[i]->lock);
			waited = true;
		}
		container_unref(list[i]);
	}
	return waited;
}

/* With `work` held: an event for each of its networks. */
static void announce(struct networks *networks, const struct placement *placement,
		     const char *action)
{
	for (size_t i = 0; i < placement->card_count; i++) {
		const struct endpoint *endpoint = placement->cards[i].endpoint;
		_cleanup_network_ struct network *network = NULL;
		struct cay_error ignored; /* a network that is gone has nothing to tell */

		if (endpoint &&
		    networks_find(networks, endpoint->config.network, &network, &ignored) == 0)
			networks_emit(networks, network, action, placement->container);
	}
}

/* With `work` held. */
static void unplace(struct networks *networks, const struct container *container)
{
	_cleanup_(placement_free_p) struct placement *placement = NULL;

	(void)pthread_mutex_lock(&networks->lock);
	placement = take_out(networks, container);
	for (size_t i = 0; placement && i < placement->card_count; i++) {
		if (placement->cards[i].endpoint)
			endpoint_deactivate(placement->cards[i].endpoint);
	}
	(void)pthread_mutex_unlock(&networks->lock);
	for (size_t i = 0; placement && i < placement->card_count; i++)
		placement_expel(networks, &placement->cards[i]);
	if (placement && placement->announced)
		announce(networks, placement, "disconnect");
}

/* With `work` held: its endpoints get addresses before it is looked at otherwise. */
static int ensure_default(struct networks *networks, const struct container *container,
			  struct cay_error *err)
{
	size_t count;
	_cleanup_free_ struct endpoint **endpoints = NULL;
	bool needed = false;

	(void)pthread_mutex_lock(&networks->lock);
	endpoints = endpoints_of(networks, container, &count);
	for (size_t i = 0; i < count; i++)
		needed = needed || strcmp(endpoints[i]->config.network, NETWORK_DEFAULT_NAME) == 0;
	(void)pthread_mutex_unlock(&networks->lock);
	return needed ? networks_ensure_default(networks, err) : 0;
}

/* With `work` held. */
static int place_on_all(struct networks *networks, struct container *container,
			struct sandbox_config *config, struct cay_error *err)
{
	struct placement *placement = xcalloc(1, sizeof(*placement));
	bool changed = false;
	int r;

	placement->container = container_ref(container);
	placement->card_max = cmdline_nics_max(config->disk_count, config->share_count > 0);
	r = reserve(networks, placement, &changed, err);
	if (r == 0 && changed)
		r = store_addresses(networks, placement, err);
	if (r == 0)
		r = raise_networks(networks, placement, err);
	if (r == 0)
		r = admit_all(networks, placement, err);
	if (r < 0) {
		unplace(networks, container);
		return r;
	}
	fill_config(networks, placement, config);
	networks_add_files(networks, container, config);
	announce(networks, placement, "connect");
	placement->announced = true;
	return 0;
}

/*
 * In one piece with respect to connects and disconnects: an endpoint that the placement has got is
 * in the table until they see the placement.
 */
static int place(struct networks *networks, struct container *container,
		 struct sandbox_config *config, struct cay_error *err)
{
	int r;

	(void)pthread_mutex_lock(&networks->work);
	r = ensure_default(networks, container, err);
	if (r == 0)
		r = place_on_all(networks, container, config, err);
	(void)pthread_mutex_unlock(&networks->work);
	return r;
}

int networks_place(struct networks *networks, struct container *container,
		   struct sandbox_config *config, struct cay_error *err)
{
	int r = place(networks, container, config, err);

	/* A port or an address may be that of a container that was stopped a moment ago. */
	if (r < 0 && (err->code == CAY_EXISTS || err->code == CAY_CONFLICT) &&
	    networks_wait_ended(networks)) {
		cay_error_clear(err);
		r = place(networks, container, config, err);
	}
	return r;
}

void networks_unplace(struct networks *networks, struct container *container)
{
	/* A connect that is under way sees all of the placement or none. */
	(void)pthread_mutex_lock(&networks->work);
	unplace(networks, container);
	(void)pthread_mutex_unlock(&networks->work);
}
