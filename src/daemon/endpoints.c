/* SPDX-License-Identifier: Apache-2.0 */
/* Containers' places on networks: made, found, dropped. */
#include "daemon/networks-internal.h"

#include "base/alloc.h"
#include "daemon/daemon.h"

#include <errno.h>
#include <string.h>

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

bool endpoint_is_on(const struct endpoint *endpoint, const struct network *network)
{
	return strcmp(endpoint->config.network, network->spec.name) == 0;
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
		    (network && !endpoint_is_on(endpoint, network)))
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
		    endpoint_is_on(networks->endpoints[i], network))
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
			r = endpoint_take_asked(networks, network, endpoint, i, err);
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
