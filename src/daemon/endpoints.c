/* SPDX-License-Identifier: Apache-2.0 */
/* Containers' places on networks: made, given addresses, stored, dropped. */
#include "daemon/networks-internal.h"

#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/containers.h"
#include "daemon/daemon.h"
#include "daemon/database.h"
#include "net/subnet.h"

#include <errno.h>
#include <string.h>

enum { RESERVED_MAX = 2 + NETWORK_OPTIONS_MAX };

/* ---- one of them ---- */

/* Takes the config over. `network` may be NULL: it is not there. */
struct endpoint *endpoint_new(struct container *container, const struct network *network,
			      struct endpoint_config *config, int position)
{
	struct endpoint *endpoint = xcalloc(1, sizeof(*endpoint));

	endpoint->container = container_ref(container);
	(void)pthread_mutex_lock(&container->lock);
	endpoint->container_name = xstrdup(container->name);
	(void)pthread_mutex_unlock(&container->lock);
	endpoint->position = position;
	endpoint->config = *config;
	*config = (struct endpoint_config){ 0 };
	if (network)
		replace_string(&endpoint->config.network, network->spec.name);
	id_make(endpoint->id);
	endpoint->mac =
		net_mac_is_unicast(&endpoint->config.mac) ? endpoint->config.mac : net_mac_random();
	return endpoint;
}

void endpoint_deactivate(struct endpoint *endpoint)
{
	endpoint->active = false;
	endpoint->device[0] = '\0';
	memset(endpoint->leases, 0, sizeof(endpoint->leases));
	endpoint->lease_gateway = (struct net_address){ 0 };
}

void endpoint_free(struct endpoint *endpoint)
{
	if (!endpoint)
		return;
	container_unref(endpoint->container);
	endpoint_config_done(&endpoint->config);
	free(endpoint->container_name);
	free(endpoint);
}

/* ---- addresses; with the lock held ---- */

static bool is_on(const struct endpoint *endpoint, const struct network *network)
{
	return strcmp(endpoint->config.network, network->spec.name) == 0;
}

/* What no container may have: the gateway and the client's auxiliary addresses. */
static size_t list_reserved(const struct network_pool *pool, struct net_address *list)
{
	size_t count = 0;
	json_t *value;
	const char *name;

	if (net_address_is_set(&pool->gateway))
		list[count++] = pool->gateway;
	json_object_foreach(pool->reserved, name, value) {
		struct cay_error ignored; /* they were checked when the network was made */

		if (count < RESERVED_MAX &&
		    net_address_parse(json_string_value(value), &list[count], &ignored) == 0)
			count++;
	}
	return count;
}

/* All that is taken of a family but by `own`; what endpoints asked for is theirs for later too. */
static struct net_address *list_taken(const struct networks *networks,
				      const struct network *network, const struct endpoint *own,
				      unsigned int family, size_t *ret_count)
{
	struct net_address *list =
		xcalloc(RESERVED_MAX + 2 * networks->endpoint_count, sizeof(*list));
	size_t count = list_reserved(&network->spec.pools[family], list);

	for (size_t i = 0; i < networks->endpoint_count; i++) {
		const struct endpoint *other = networks->endpoints[i];

		if (other == own || !is_on(other, network))
			continue;
		if (net_address_is_set(&other->addresses[family]))
			list[count++] = other->addresses[family];
		if (net_address_is_set(&other->config.addresses[family]))
			list[count++] = other->config.addresses[family];
	}
	*ret_count = count;
	return list;
}

/*
 * Another endpoint with this address, or NULL: one that is active before all others. Several may
 * have it on record, as a container that lost its address finds it in its row again when the daemon
 * starts.
 */
static struct endpoint *find_holder(const struct networks *networks, const struct network *network,
				    const struct endpoint *own, const struct net_address *address,
				    unsigned int family)
{
	struct endpoint *found = NULL;

	for (size_t i = 0; i < networks->endpoint_count; i++) {
		struct endpoint *other = networks->endpoints[i];

		if (other == own || !is_on(other, network) ||
		    !net_address_equal(&other->addresses[family], address))
			continue;
		if (!found || other->active)
			found = other;
	}
	return found;
}

/* The address that was asked for. A stopped container gives it up; it gets another at its start. */
static int take_asked(struct networks *networks, const struct network *network,
		      struct endpoint *endpoint, unsigned int family, struct cay_error *err)
{
	const struct net_address *asked = &endpoint->config.addresses[family];
	const struct network_pool *pool = &network->spec.pools[family];
	struct net_address reserved[RESERVED_MAX];
	size_t count = list_reserved(pool, reserved);
	struct endpoint *holder;
	int r;

	if (!net_address_is_set(&pool->subnet.address) ||
	    !net_prefix_contains(&pool->subnet, asked))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "invalid endpoint settings: no configured subnet contains the "
				     "address that was asked for on network %s",
				     network->spec.name);
	r = subnet_check_address(&pool->subnet, asked, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++)
		if (net_address_equal(&reserved[i], asked))
			return cay_error_set(err, CAY_CONFLICT, EADDRINUSE,
					     "Address already in use: it is reserved on network %s",
					     network->spec.name);
	holder = find_holder(networks, network, endpoint, asked, family);
	if (holder && holder->active)
		return cay_error_set(err, CAY_CONFLICT, EADDRINUSE,
				     "Address already in use: container %s has it on network %s",
				     holder->container_name, network->spec.name);
	while (holder) {
		holder->addresses[family] = (struct net_address){ 0 };
		holder = find_holder(networks, network, endpoint, asked, family);
	}
	endpoint->addresses[family] = *asked;
	return 0;
}

/* One of a container that does not run; the oldest is the likeliest not to run again. */
static int reclaim(struct networks *networks, const struct network *network,
		   struct endpoint *endpoint, unsigned int family)
{
	for (size_t i = 0; i < networks->endpoint_count; i++) {
		struct endpoint *other = networks->endpoints[i];

		if (other == endpoint || other->active || !is_on(other, network) ||
		    !net_address_is_set(&other->addresses[family]) ||
		    net_address_is_set(&other->config.addresses[family]))
			continue;
		endpoint->addresses[family] = other->addresses[family];
		other->addresses[family] = (struct net_address){ 0 };
		return 0;
	}
	return -ENOSPC;
}

static int take_free(struct networks *networks, struct network *network, struct endpoint *endpoint,
		     unsigned int family, struct cay_error *err)
{
	const struct network_pool *pool = &network->spec.pools[family];
	struct net_address *next = &network->next[family];
	size_t count;
	_cleanup_free_ struct net_address *taken =
		list_taken(networks, network, endpoint, family, &count);
	int r = subnet_allocate(&pool->subnet, &pool->range, next, taken, count,
				&endpoint->addresses[family], err);

	if (r == 0 && !net_address_next(&endpoint->addresses[family], next))
		*next = (struct net_address){ 0 };
	if (r < 0 && err->code == CAY_NO_SPACE &&
	    reclaim(networks, network, endpoint, family) == 0) {
		cay_error_clear(err);
		r = 0;
	}
	return r < 0 ? cay_error_prefix(err, "network %s", network->spec.name) : 0;
}

/* An address that it had: not where the network of this name was made anew, or another runs with
 * it. */
static bool may_keep(const struct networks *networks, const struct network *network,
		     const struct endpoint *endpoint, unsigned int family)
{
	const struct net_address *address = &endpoint->addresses[family];
	const struct endpoint *holder;

	if (!net_prefix_contains(&network->spec.pools[family].subnet, address))
		return false;
	holder = find_holder(networks, network, endpoint, address, family);
	return !holder || !holder->active;
}

int endpoint_allocate(struct networks *networks, struct network *network, struct endpoint *endpoint,
		      bool *ret_changed, struct cay_error *err)
{
	bool changed = false;

	for (unsigned int i = 0; i < NETWORK_FAMILIES; i++) {
		const struct net_prefix *subnet = &network->spec.pools[i].subnet;
		bool asked = net_address_is_set(&endpoint->config.addresses[i]);
		struct net_address *address = &endpoint->addresses[i], old = *address;
		int r = 0;

		if (net_address_is_set(address) && !may_keep(networks, network, endpoint, i))
			*address = (struct net_address){ 0 };
		if (asked)
			r = take_asked(networks, network, endpoint, i, err);
		else if (!net_address_is_set(address) && net_address_is_set(&subnet->address))
			r = take_free(networks, network, endpoint, i, err);
		if (r < 0)
			return r;
		changed = changed || !net_address_equal(&old, address);
	}
	*ret_changed = changed;
	return 0;
}

/* ---- the table ---- */

static int compare_positions(const void *a, const void *b)
{
	const struct endpoint *first = *(struct endpoint *const *)a;
	const struct endpoint *second = *(struct endpoint *const *)b;

	return first->position - second->position;
}

struct endpoint **endpoints_of(const struct networks *networks, const struct container *container,
			       size_t *ret_count)
{
	struct endpoint **list = xcalloc(networks->endpoint_count + 1, sizeof(*list));
	size_t count = 0;

	for (size_t i = 0; i < networks->endpoint_count; i++)
		if (networks->endpoints[i]->container == container)
			list[count++] = networks->endpoints[i];
	qsort(list, count, sizeof(*list), compare_positions);
	*ret_count = count;
	return list;
}

static void insert(struct networks *networks, struct endpoint *endpoint)
{
	networks->endpoints = xreallocarray(networks->endpoints, networks->endpoint_count + 1,
					    sizeof(*networks->endpoints));
	networks->endpoints[networks->endpoint_count++] = endpoint;
}

void networks_insert_endpoint(struct networks *networks, struct endpoint *endpoint)
{
	struct container *container = endpoint->container;

	/* A rename was before this, or finds the endpoint in the table. */
	(void)pthread_mutex_lock(&container->lock);
	(void)pthread_mutex_lock(&networks->lock);
	replace_string(&endpoint->container_name, container->name);
	insert(networks, endpoint);
	(void)pthread_mutex_unlock(&networks->lock);
	(void)pthread_mutex_unlock(&container->lock);
}

static void remove_at(struct networks *networks, size_t index)
{
	networks->endpoint_count--;
	memmove(&networks->endpoints[index], &networks->endpoints[index + 1],
		(networks->endpoint_count - index) * sizeof(*networks->endpoints));
}

void networks_drop_endpoint(struct networks *networks, struct endpoint *endpoint)
{
	(void)pthread_mutex_lock(&networks->lock);
	for (size_t i = 0; i < networks->endpoint_count; i++)
		if (networks->endpoints[i] == endpoint) {
			remove_at(networks, i);
			break;
		}
	(void)pthread_mutex_unlock(&networks->lock);
	endpoint_free(endpoint);
}

void networks_forget_container(struct networks *networks, const struct container *container)
{
	for (;;) {
		struct endpoint *found = NULL;

		(void)pthread_mutex_lock(&networks->lock);
		for (size_t i = 0; i < networks->endpoint_count && !found; i++) {
			if (networks->endpoints[i]->container == container) {
				found = networks->endpoints[i];
				remove_at(networks, i);
			}
		}
		(void)pthread_mutex_unlock(&networks->lock);
		if (!found)
			return;
		endpoint_free(found);
	}
}

void networks_rename_container(struct networks *networks, const struct container *container,
			       const char *name)
{
	(void)pthread_mutex_lock(&networks->lock);
	for (size_t i = 0; i < networks->endpoint_count; i++)
		if (networks->endpoints[i]->container == container)
			replace_string(&networks->endpoints[i]->container_name, name);
	(void)pthread_mutex_unlock(&networks->lock);
}

void networks_each_endpoint(struct networks *networks, const struct container *container,
			    const struct network *network,
			    void (*each)(const struct endpoint *endpoint,
					 const struct network *network, void *user),
			    void *user)
{
	(void)pthread_mutex_lock(&networks->lock);
	for (size_t i = 0; i < networks->endpoint_count; i++) {
		const struct endpoint *endpoint = networks->endpoints[i];

		if ((container && endpoint->container != container) ||
		    (network && !is_on(endpoint, network)))
			continue;
		each(endpoint,
		     network ? network : networks_by_name(networks, endpoint->config.network),
		     user);
	}
	(void)pthread_mutex_unlock(&networks->lock);
}

/* ---- new containers ---- */

static bool is_connected(const struct networks *networks, const struct container *container,
			 const struct network *network)
{
	for (size_t i = 0; i < networks->endpoint_count; i++)
		if (networks->endpoints[i]->container == container &&
		    is_on(networks->endpoints[i], network))
			return true;
	return false;
}

/* Addresses that can't be had now are not an error before the container starts. */
static int add_one(struct networks *networks, struct container *container,
		   const struct endpoint_config *asked, int position, struct cay_error *err)
{
	_cleanup_network_ struct network *network = NULL;
	struct endpoint_config config = *asked;
	struct endpoint *endpoint;
	struct cay_error ignored;
	bool changed;
	int r = networks_find(networks, asked->network, &network, err);

	if (r < 0)
		return r;
	if (network->spec.driver == NETWORK_HOST)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "network host: a container's VM cannot share the host's "
				     "network");
	config.network = xstrdup(asked->network);
	config.aliases = (struct strv){ 0 };
	strv_copy(&config.aliases, &asked->aliases);
	config.driver_options = asked->driver_options ? json_incref(asked->driver_options) : NULL;
	endpoint = endpoint_new(container, network, &config, position);
	(void)pthread_mutex_lock(&networks->lock);
	if (is_connected(networks, container, network)) {
		/* Named twice: by its name and by its id. */
		(void)pthread_mutex_unlock(&networks->lock);
		endpoint_free(endpoint);
		return 0;
	}
	insert(networks, endpoint);
	for (unsigned int i = 0; r == 0 && i < NETWORK_FAMILIES; i++)
		if (net_address_is_set(&asked->addresses[i]) &&
		    !net_prefix_contains(&network->spec.pools[i].subnet, &asked->addresses[i]))
			r = take_asked(networks, network, endpoint, i, err);
	if (r == 0)
		(void)endpoint_allocate(networks, network, endpoint, &changed, &ignored);
	(void)pthread_mutex_unlock(&networks->lock);
	return r;
}

int networks_add_container(struct networks *networks, struct container *container,
			   struct cay_error *err)
{
	const struct request *request = container->request;
	int r = 0;

	for (size_t i = 0; r == 0 && i < request->endpoint_count; i++)
		r = add_one(networks, container, &request->endpoints[i], (int)i, err);
	if (r < 0)
		networks_forget_container(networks, container);
	return r;
}

/* ---- the database ---- */

struct endpoint_text {
	char *config;
	char mac[NET_MAC_TEXT_MAX];
	char addresses[NETWORK_FAMILIES][NET_ADDRESS_TEXT_MAX];
};

static struct database_endpoint make_row(const struct endpoint *endpoint,
					 struct endpoint_text *text)
{
	_cleanup_json_ json_t *config = endpoint_config_to_json(&endpoint->config);

	text->config = json_print(config);
	/* One that was asked for is in the configuration. */
	net_mac_format(endpoint->active ? &endpoint->card_mac : &endpoint->mac, text->mac);
	for (size_t i = 0; i < NETWORK_FAMILIES; i++)
		net_address_format(&endpoint->addresses[i], text->addresses[i]);
	return (struct database_endpoint){
		.container_id = endpoint->container->id,
		.network = endpoint->config.network,
		.position = endpoint->position,
		.id = endpoint->id,
		.config = text->config,
		.mac = text->mac,
		.ipv4 = text->addresses[NETWORK_IPV4],
		.ipv6 = text->addresses[NETWORK_IPV6],
	};
}

int endpoint_store(struct networks *networks, const struct endpoint *endpoint,
		   struct cay_error *err)
{
	struct endpoint_text text;
	struct database_endpoint row;
	int r;

	(void)pthread_mutex_lock(&networks->lock);
	row = make_row(endpoint, &text);
	(void)pthread_mutex_unlock(&networks->lock);
	r = database_store_endpoint(networks->daemon->database, &row, err);
	free(text.config);
	return r;
}

int networks_store_container(struct networks *networks, const struct container *container,
			     const struct database_container *row, struct cay_error *err)
{
	_cleanup_free_ struct endpoint **endpoints = NULL;
	_cleanup_free_ struct endpoint_text *texts = NULL;
	_cleanup_free_ struct database_endpoint *rows = NULL;
	size_t count;
	int r;

	(void)pthread_mutex_lock(&networks->lock);
	endpoints = endpoints_of(networks, container, &count);
	texts = xcalloc(count + 1, sizeof(*texts));
	rows = xcalloc(count + 1, sizeof(*rows));
	for (size_t i = 0; i < count; i++)
		rows[i] = make_row(endpoints[i], &texts[i]);
	(void)pthread_mutex_unlock(&networks->lock);
	r = database_insert_container(networks->daemon->database, row, rows, count, err);
	for (size_t i = 0; i < count; i++)
		free(texts[i].config);
	return r;
}

static int parse_row(const struct database_endpoint *row, struct container *container,
		     struct endpoint **ret_endpoint, struct cay_error *err)
{
	_cleanup_json_ json_t *document = NULL;
	_cleanup_endpoint_config_ struct endpoint_config config = { 0 };
	_cleanup_(endpoint_free_p) struct endpoint *endpoint = NULL;
	const char *const texts[] = { row->ipv4, row->ipv6 };
	int r = json_parse(row->config, strlen(row->config), "the stored endpoint", &document, err);

	if (r == 0)
		r = endpoint_config_parse(row->network, document, &config, err);
	if (r < 0)
		return r;
	endpoint = endpoint_new(container, NULL, &config, row->position);
	if (id_is_valid(row->id))
		memcpy(endpoint->id, row->id, ID_SIZE);
	if (row->mac[0] != '\0')
		r = net_mac_parse(row->mac, &endpoint->card_mac, err);
	if (r == 0 && row->mac[0] != '\0' && !net_mac_is_unicast(&endpoint->config.mac))
		endpoint->mac = endpoint->card_mac;
	for (size_t i = 0; r == 0 && i < NETWORK_FAMILIES; i++)
		if (texts[i][0] != '\0')
			r = net_address_parse(texts[i], &endpoint->addresses[i], err);
	if (r == 0)
		*ret_endpoint = TAKE_PTR(endpoint);
	return r;
}

static int load_row(const struct database_endpoint *row, void *user, struct cay_error *err)
{
	struct networks *networks = user;
	_cleanup_container_ struct container *container = NULL;
	struct endpoint *endpoint = NULL;
	struct cay_error fault = { 0 };

	if (containers_find(networks->daemon->containers, row->container_id, &container, &fault) <
	    0)
		return 0; /* its container was damaged and left out */
	if (parse_row(row, container, &endpoint, &fault) < 0)
		log_error("container %.12s: its place on network %.64s is damaged and left out: %s",
			  row->container_id, row->network, fault.message);
	else
		networks_insert_endpoint(networks, endpoint);
	return 0;
}

int networks_load_endpoints(struct networks *networks, struct cay_error *err)
{
	return database_each_endpoint(networks->daemon->database, load_row, networks, err);
}
