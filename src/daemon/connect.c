/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting and disconnecting containers. One that runs gets the network on a
 * card of its VM that has none: the tap is moved onto the bridge, then the
 * guest is told. `work` is held throughout, so the container's placement stays.
 */
#include "daemon/networks-internal.h"

#include "base/alloc.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/database.h"
#include "daemon/lifecycle-internal.h"
#include "daemon/placement.h"
#include "daemon/shim.h"
#include "net/tap.h"

#include <errno.h>
#include <string.h>

/* ---- the guest ---- */

enum {
	ITEMS_MAX = NETWORK_FAMILIES,
	TOLD_MAX = 1 + NETWORK_FAMILIES, /* cards in one call: one that goes, and new routes' */
	GUEST_MS = 2000,
};

/* The texts of one interface, as a message borrows them. */
struct guest_card {
	struct net_mac mac, new_mac;
	char name[IFNAMSIZ];
	char texts[2 * ITEMS_MAX][NET_PREFIX_TEXT_MAX];
	char *addresses[ITEMS_MAX], *gateways[ITEMS_MAX];
	Cay__Vminitd__V1__Interface message;
};

static void name_card(const struct placement *placement, const struct placement_card *card,
		      struct guest_card *target)
{
	cay__vminitd__v1__interface__init(&target->message);
	target->mac = card->mac;
	(void)snprintf(target->name, sizeof(target->name), "eth%u",
		       (unsigned int)(card - placement->cards) & 0xff);
	target->message.mac = (ProtobufCBinaryData){ sizeof(target->mac.bytes), target->mac.bytes };
	target->message.name = target->name;
}

/* With the lock held: what the guest shall have on the card now. */
static void describe_card(const struct networks *networks, const struct placement *placement,
			  const struct placement_card *card, struct guest_card *target)
{
	const struct endpoint *endpoint = card->endpoint;
	const struct network *network = networks_by_name(networks, endpoint->config.network);
	Cay__Vminitd__V1__Interface *message = &target->message;

	name_card(placement, card, target);
	target->new_mac = endpoint->mac;
	message->new_mac =
		(ProtobufCBinaryData){ sizeof(target->new_mac.bytes), target->new_mac.bytes };
	message->addresses = target->addresses;
	message->gateways = target->gateways;
	for (unsigned int i = 0; network && i < NETWORK_FAMILIES; i++) {
		const struct network_pool *pool = &network->spec.pools[i];
		const struct net_prefix prefix = { endpoint->addresses[i], pool->subnet.bits };

		if (!net_address_is_set(&prefix.address))
			continue;
		net_prefix_format(&prefix, target->texts[i]);
		target->addresses[message->n_addresses++] = target->texts[i];
		if (!net_address_is_set(&pool->gateway) ||
		    placement_choose_main(networks, placement, i) != endpoint)
			continue;
		net_address_format(&pool->gateway, target->texts[ITEMS_MAX + i]);
		target->gateways[message->n_gateways++] = target->texts[ITEMS_MAX + i];
	}
	if (network)
		message->mtu = network->spec.mtu;
}

/* In one call, which a guest that doesn't answer can't make long: `work` is held meanwhile. */
static int tell_guest(const struct container *container, struct guest_card *cards, size_t count,
		      struct cay_error *err)
{
	Cay__Vminitd__V1__ConfigureNetworkRequest request =
		CAY__VMINITD__V1__CONFIGURE_NETWORK_REQUEST__INIT;
	Cay__Vminitd__V1__Interface *interfaces[TOLD_MAX];

	for (size_t i = 0; i < count; i++)
		interfaces[i] = &cards[i].message;
	request.interfaces = interfaces;
	request.n_interfaces = count;
	return shim_guest_call(container, "ConfigureNetwork", &request.base, GUEST_MS, NULL, err);
}

/* ---- a running container's cards ---- */

/* With the lock held: a tap without a network, or NULL. */
static struct placement_card *find_free(struct placement *placement)
{
	for (size_t i = 0; i < placement->card_count; i++)
		if (placement->cards[i].kind == SANDBOX_TAP && !placement->cards[i].endpoint)
			return &placement->cards[i];
	return NULL;
}

/* With the lock held. */
static void bind_card(struct placement_card *card, struct endpoint *endpoint)
{
	card->endpoint = endpoint;
	endpoint->active = true;
	endpoint->card_mac = card->mac;
	if (!net_mac_is_unicast(&endpoint->config.mac))
		endpoint->mac = card->mac;
	memcpy(endpoint->device, card->device, sizeof(endpoint->device));
}

/*
 * The card's part of the host. The rules stay as long as the tap is on the bridge: what the
 * firewall doesn't know is not held back.
 */
static int cut_card(struct networks *networks, const struct placement_card *card,
		    struct cay_error *err)
{
	int r = card->kind == SANDBOX_TAP ? tap_detach(card->device, err) : 0;

	if (r < 0)
		return cay_error_prefix(err, "taking %s off its bridge", card->device);
	placement_expel(networks, card);
	return 0;
}

static int attach_card(struct networks *networks, struct network *network,
		       struct placement *placement, struct placement_card *card,
		       struct cay_error *err)
{
	struct tap_port port = {
		.name = card->device,
		.bridge = network->spec.link,
		.mtu = network->spec.mtu,
	};
	struct guest_card guest = { 0 };
	int r;

	(void)pthread_mutex_lock(&networks->lock);
	port.mac = card->endpoint->mac;
	describe_card(networks, placement, card, &guest);
	(void)pthread_mutex_unlock(&networks->lock);
	r = network_raise(networks, network, err);
	if (r == 0)
		r = placement_admit(networks, placement, card, false, err);
	if (r == 0)
		r = tap_attach(&port, err);
	if (r == 0)
		r = tell_guest(placement->container, &guest, 1, err);
	return r;
}

static int connect_running(struct networks *networks, struct network *network,
			   struct endpoint *endpoint, struct cay_error *err)
{
	struct placement *placement;
	struct placement_card *card = NULL;
	int r;

	(void)pthread_mutex_lock(&networks->lock);
	placement = placement_find(networks, endpoint->container);
	if (placement && network->spec.driver == NETWORK_BRIDGE)
		card = find_free(placement);
	if (card)
		bind_card(card, endpoint);
	(void)pthread_mutex_unlock(&networks->lock);
	if (!card)
		return cay_error_set(err, CAY_CONFLICT, ENOSPC,
				     "container %.12s runs and has no free network card for "
				     "network %s: stop it, connect it, and start it again",
				     endpoint->container->id, network->spec.name);
	r = attach_card(networks, network, placement, card, err);
	if (r == 0) {
		placement_lead_ports(networks, placement);
	} else {
		struct cay_error fault = { 0 };

		if (cut_card(networks, card, &fault) < 0)
			log_error("container %.12s: %s", endpoint->container->id, fault.message);
		(void)pthread_mutex_lock(&networks->lock);
		placement_release(placement, card);
		(void)pthread_mutex_unlock(&networks->lock);
	}
	return r;
}

/*
 * With the lock held, after the card was released: describes the cards that lead outside now in
 * place of it. A LAN's own servers have told its routes already.
 */
static size_t describe_routes(const struct networks *networks, struct placement *placement,
			      const bool lost[NETWORK_FAMILIES], struct guest_card *cards)
{
	const struct endpoint *told = NULL;
	size_t count = 0;

	for (unsigned int i = 0; i < NETWORK_FAMILIES; i++) {
		const struct endpoint *endpoint = placement_choose_main(networks, placement, i);
		const struct placement_card *card =
			endpoint ? placement_find_card(placement, endpoint) : NULL;

		if (!card || !lost[i] || endpoint == told || card->kind != SANDBOX_TAP)
			continue;
		describe_card(networks, placement, card, &cards[count++]);
		told = endpoint;
	}
	return count;
}

/* For a guest that refuses or doesn't answer the host's side is enough. */
static void tell_of_loss(const struct container *container, struct guest_card *cards, size_t count)
{
	struct cay_error fault = { 0 };

	if (count > 0 && tell_guest(container, cards, count, &fault) < 0)
		log_warning("container %.12s: telling it that a network is gone: %s", container->id,
			    fault.message);
}

static int disconnect_running(struct networks *networks, struct endpoint *endpoint,
			      struct cay_error *err)
{
	struct placement *placement;
	struct placement_card *card = NULL;
	struct guest_card guest[TOLD_MAX] = { 0 };
	bool lost[NETWORK_FAMILIES] = { false };
	size_t count = 1, first = 0;
	int r;

	(void)pthread_mutex_lock(&networks->lock);
	placement = placement_find(networks, endpoint->container);
	if (placement)
		card = placement_find_card(placement, endpoint);
	for (unsigned int i = 0; card && i < NETWORK_FAMILIES; i++)
		lost[i] = placement_choose_main(networks, placement, i) == endpoint;
	if (card)
		name_card(placement, card, &guest[0]);
	(void)pthread_mutex_unlock(&networks->lock);
	if (!card)
		return 0; /* connected, but not to this run of it */
	if (card->kind == SANDBOX_PASST)
		return cay_error_set(err, CAY_UNSUPPORTED, EPERM, "network %s: %s",
				     endpoint->config.network, networks_lack(networks));
	guest[0].message.down = true;
	if (card->kind == SANDBOX_MACVTAP) /* it gives its lease back */
		tell_of_loss(placement->container, guest, ++first);
	r = cut_card(networks, card, err);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&networks->lock);
	placement_release(placement, card);
	count += describe_routes(networks, placement, lost, &guest[count]);
	(void)pthread_mutex_unlock(&networks->lock);
	placement_lead_ports(networks, placement);
	tell_of_loss(placement->container, &guest[first], count - first);
	return 0;
}

/* ---- connect ---- */

/* Whether the container runs, once a start that is under way has come to its end. */
static int check_status(struct container *container, bool *ret_up, struct cay_error *err)
{
	enum container_status status;

	(void)pthread_mutex_lock(&container->lock);
	(void)lifecycle_wait_started(container);
	status = container->status;
	(void)pthread_mutex_unlock(&container->lock);
	if (status == CONTAINER_REMOVING || status == CONTAINER_REMOVED || status == CONTAINER_DEAD)
		return cay_error_set(err, CAY_CONFLICT, EBUSY,
				     "Container %s is marked for removal and cannot be connected "
				     "or disconnected to the network",
				     container->id);
	*ret_up = container_is_up(status);
	return 0;
}

static struct endpoint *find_endpoint(struct networks *networks, const struct container *container,
				      const char *network, int *ret_last_position)
{
	size_t count;
	_cleanup_free_ struct endpoint **endpoints = NULL;
	struct endpoint *found = NULL;

	(void)pthread_mutex_lock(&networks->lock);
	endpoints = endpoints_of(networks, container, &count);
	for (size_t i = 0; i < count; i++)
		if (strcmp(endpoints[i]->config.network, network) == 0)
			found = endpoints[i];
	*ret_last_position = count > 0 ? endpoints[count - 1]->position : -1;
	(void)pthread_mutex_unlock(&networks->lock);
	return found;
}

static int check_connect(struct networks *networks, const struct network *network,
			 struct container *container, int *ret_position, struct cay_error *err)
{
	int ignored;

	if (network->removed)
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "network %s not found",
				     network->spec.name);
	if (network->spec.driver == NETWORK_HOST)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "container cannot be connected to host network: its VM has a "
				     "network of its own");
	if (network->spec.driver == NETWORK_NULL ||
	    find_endpoint(networks, container, NETWORK_NONE_NAME, &ignored))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "container cannot be connected to multiple networks with one "
				     "of the networks in private (none) mode");
	if (find_endpoint(networks, container, network->spec.name, ret_position)) {
		(void)pthread_mutex_lock(&container->lock);
		(void)cay_error_set(err, CAY_FORBIDDEN, EEXIST,
				    "endpoint with name %s already exists in network %s",
				    container->name, network->spec.name);
		(void)pthread_mutex_unlock(&container->lock);
		return -EEXIST;
	}
	return 0;
}

/* With `work` held. */
static int connect_endpoint(struct networks *networks, struct network *network,
			    struct endpoint *endpoint, bool up, struct cay_error *err)
{
	bool changed;
	int r;

	(void)pthread_mutex_lock(&networks->lock);
	r = endpoint_allocate(networks, network, endpoint, &changed, err);
	(void)pthread_mutex_unlock(&networks->lock);
	if (r == 0 && up)
		r = connect_running(networks, network, endpoint, err);
	if (r == 0) {
		r = endpoint_store(networks, endpoint, err);
		if (r < 0 && up) {
			struct cay_error ignored; /* what failed first is told */

			(void)disconnect_running(networks, endpoint, &ignored);
		}
	}
	return r;
}

int networks_connect(struct networks *networks, struct network *network,
		     struct container *container, struct endpoint_config *config,
		     struct cay_error *err)
{
	struct endpoint *endpoint;
	int position = -1, r;
	bool up = false;

	r = check_status(container, &up, err);
	if (r < 0)
		return r;
	(void)networks_wait_ended(networks);
	(void)pthread_mutex_lock(&networks->work);
	r = check_connect(networks, network, container, &position, err);
	if (r == 0) {
		endpoint = endpoint_new(container, network, config, position + 1);
		networks_insert_endpoint(networks, endpoint);
		r = connect_endpoint(networks, network, endpoint, up, err);
		if (r < 0)
			networks_drop_endpoint(networks, endpoint);
	}
	(void)pthread_mutex_unlock(&networks->work);
	if (r == 0)
		networks_emit(networks, network, "connect", container);
	return r;
}

/* ---- disconnect ---- */

static int disconnect_endpoint(struct networks *networks, struct endpoint *endpoint,
			       struct cay_error *err)
{
	int r = disconnect_running(networks, endpoint, err);

	if (r == 0)
		r = database_delete_endpoint(networks->daemon->database, endpoint->container->id,
					     endpoint->config.network, err);
	if (r == 0)
		networks_drop_endpoint(networks, endpoint);
	return r;
}

int networks_disconnect(struct networks *networks, const char *name, struct container *container,
			struct cay_error *err)
{
	_cleanup_network_ struct network *network = NULL;
	struct endpoint *endpoint;
	struct cay_error missing = { 0 };
	int ignored, r;
	bool up;

	if (networks_find(networks, name, &network, &missing) == 0)
		name = network->spec.name;
	r = check_status(container, &up, err);
	if (r < 0)
		return r;
	(void)networks_wait_ended(networks);
	(void)pthread_mutex_lock(&networks->work);
	endpoint = find_endpoint(networks, container, name, &ignored);
	if (endpoint)
		r = disconnect_endpoint(networks, endpoint, err);
	else if (!network)
		r = cay_error_set(err, missing.code, missing.err, "%s", missing.message);
	else
		r = cay_error_set(err, CAY_NOT_FOUND, ENOTCONN,
				  "container %s is not connected to network %s", container->id,
				  name);
	(void)pthread_mutex_unlock(&networks->work);
	if (r == 0 && network)
		networks_emit(networks, network, "disconnect", container);
	return r;
}
