/* SPDX-License-Identifier: Apache-2.0 */
/* The table of networks: opened, searched, added to, taken from. */
#include "daemon/networks-internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/containers.h"
#include "daemon/daemon.h"
#include "daemon/database.h"
#include "daemon/events.h"
#include "sandbox/passt.h"

#include <errno.h>
#include <string.h>

enum { PASST_MTU = 65520 }; /* its largest, and its fastest */

/* ---- counted lifetime ---- */

struct network *network_ref(struct network *network)
{
	(void)__atomic_add_fetch(&network->references, 1, __ATOMIC_RELAXED);
	return network;
}

void network_unref(struct network *network)
{
	if (!network || __atomic_sub_fetch(&network->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	network_spec_done(&network->spec);
	free(network);
}

/* Takes the spec over. */
static struct network *network_new(const char *id, int64_t created_ns, struct network_spec *spec)
{
	struct network *network = xcalloc(1, sizeof(*network));

	network->references = 1;
	(void)snprintf(network->id, sizeof(network->id), "%s", id);
	network->created_ns = created_ns;
	network->spec = *spec;
	*spec = (struct network_spec){ 0 };
	if (network->spec.driver == NETWORK_BRIDGE && network->spec.link[0] == '\0')
		(void)snprintf(network->spec.link, sizeof(network->spec.link), "cayb%.10s", id);
	return network;
}

/* ---- the table ---- */

struct network *networks_by_name(const struct networks *networks, const char *name)
{
	for (size_t i = 0; i < networks->count; i++)
		if (strcmp(networks->items[i]->spec.name, name) == 0)
			return networks->items[i];
	return NULL;
}

static struct network *find(const struct networks *networks, const char *name,
			    unsigned int *ret_found)
{
	struct network *network = networks_by_name(networks, name);
	size_t length = strlen(name);
	unsigned int found = 0;

	*ret_found = 1;
	if (network)
		return network;
	for (size_t i = 0; i < networks->count; i++) {
		if (strncmp(networks->items[i]->id, name, length) != 0)
			continue;
		network = networks->items[i];
		found++;
		if (length == ID_LENGTH)
			break;
	}
	*ret_found = found;
	return network;
}

int networks_find(struct networks *networks, const char *name, struct network **ret_network,
		  struct cay_error *err)
{
	struct network *network;
	unsigned int found;

	if (strcmp(name, "default") == 0)
		name = NETWORK_DEFAULT_NAME;
	(void)pthread_mutex_lock(&networks->lock);
	network = find(networks, name, &found);
	if (found == 1)
		*ret_network = network_ref(network);
	(void)pthread_mutex_unlock(&networks->lock);
	if (found == 0)
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "network %.300s not found", name);
	if (found > 1)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "network %.64s is ambiguous (%u matches found based on ID "
				     "prefix)",
				     name, found);
	return 0;
}

void networks_list(struct networks *networks, struct network_list *ret_list)
{
	(void)pthread_mutex_lock(&networks->lock);
	ret_list->count = networks->count;
	ret_list->items = xcalloc(networks->count + 1, sizeof(*ret_list->items));
	for (size_t i = 0; i < networks->count; i++)
		ret_list->items[i] = network_ref(networks->items[i]);
	(void)pthread_mutex_unlock(&networks->lock);
}

void network_list_done(struct network_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		network_unref(list->items[i]);
	free(list->items);
	*list = (struct network_list){ 0 };
}

/* The table takes the reference over. */
static void insert(struct networks *networks, struct network *network)
{
	(void)pthread_mutex_lock(&networks->lock);
	networks->items =
		xreallocarray(networks->items, networks->count + 1, sizeof(*networks->items));
	networks->items[networks->count++] = network;
	(void)pthread_mutex_unlock(&networks->lock);
}

/* Takes it out. The table's reference is the caller's then; NULL where it is not there. */
static struct network *take_out(struct networks *networks, const struct network *network)
{
	struct network *found = NULL;

	(void)pthread_mutex_lock(&networks->lock);
	for (size_t i = 0; i < networks->count && !found; i++) {
		if (networks->items[i] != network)
			continue;
		found = networks->items[i];
		networks->count--;
		memmove(&networks->items[i], &networks->items[i + 1],
			(networks->count - i) * sizeof(*networks->items));
		found->removed = true;
	}
	(void)pthread_mutex_unlock(&networks->lock);
	return found;
}

void networks_emit(struct networks *networks, const struct network *network, const char *action,
		   const struct container *container)
{
	json_t *attributes = json_object();

	if (container)
		json_set_string(attributes, "container", container->id);
	json_set_string(attributes, "name", network->spec.name);
	json_set_string(attributes, "type", network_driver_name(network->spec.driver));
	events_emit(networks->daemon->events, "network", action, network->id, attributes, 0);
}

/* ---- rows ---- */

static int load_row(const struct database_network *row, void *user, struct cay_error *err)
{
	struct networks *networks = user;
	_cleanup_json_ json_t *document = NULL;
	struct network_spec spec;
	struct network *network;
	struct cay_error fault = { 0 };

	if (!id_is_valid(row->id) ||
	    json_parse(row->document, strlen(row->document), "the stored network", &document,
		       &fault) < 0 ||
	    network_spec_parse(document, &spec, &fault) < 0) {
		log_error("network %.12s in the database is damaged and left out: %s", row->id,
			  fault.message);
		return 0;
	}
	network = network_new(row->id, row->created_ns, &spec);
	network->predefined = strcmp(row->name, NETWORK_DEFAULT_NAME) == 0;
	insert(networks, network);
	return 0;
}

static int store(struct networks *networks, const struct network *network, struct cay_error *err)
{
	_cleanup_json_ json_t *document = json_object();
	_cleanup_free_ char *text = NULL;

	network_spec_to_json(&network->spec, document);
	text = json_print(document);
	const struct database_network row = {
		.id = network->id,
		.name = network->spec.name,
		.created_ns = network->created_ns,
		.document = text,
	};

	return database_store_network(networks->daemon->database, &row, err);
}

/* ---- create and remove ---- */

/* With `work` held. */
static int check_new(struct networks *networks, const struct network_spec *spec,
		     struct cay_error *err)
{
	const struct network *taken;

	if (!networks->privileged)
		return cay_error_set(err, CAY_UNSUPPORTED, EPERM, "network %s: %s", spec->name,
				     networks_lack(networks));
	if (spec->driver != NETWORK_BRIDGE && spec->driver != NETWORK_LAN)
		return cay_error_set(err, CAY_FORBIDDEN, EPERM,
				     "only one instance of \"%s\" network is allowed",
				     network_driver_name(spec->driver));
	if (strcmp(spec->name, "default") == 0)
		return cay_error_set(err, CAY_FORBIDDEN, EPERM,
				     "operation is not permitted on predefined default network");
	(void)pthread_mutex_lock(&networks->lock);
	taken = networks_by_name(networks, spec->name);
	(void)pthread_mutex_unlock(&networks->lock);
	if (taken && taken->predefined)
		return cay_error_set(err, CAY_FORBIDDEN, EPERM,
				     "operation is not permitted on predefined %s network",
				     spec->name);
	if (taken)
		return cay_error_set(err, CAY_EXISTS, EEXIST, "network with name %s already exists",
				     spec->name);
	return 0;
}

/* With `work` held: from a checked spec to a network in the kernel and in the database. */
static int make(struct networks *networks, struct network *network, struct cay_error *err)
{
	int r = network_settle(networks, network, err);

	/* Its link is not its own before: it may be another network's. */
	if (r == 0) {
		r = network_raise(networks, network, err);
		if (r == 0)
			r = store(networks, network, err);
		if (r < 0)
			network_lower(networks, network);
	}
	if (r < 0)
		return cay_error_prefix(err, "creating network %s", network->spec.name);
	insert(networks, network_ref(network));
	return 0;
}

/* Where it was asked for, a bridge without it is not what was wanted. */
static int leave_ipv6_out(struct network_spec *spec, const json_t *body, struct cay_error *err)
{
	if (!spec->families[NETWORK_IPV6])
		return 0;
	if (json_is_true(json_object_get(body, "EnableIPv6")) || !spec->families[NETWORK_IPV4] ||
	    net_address_is_set(&spec->pools[NETWORK_IPV6].subnet.address))
		return cay_error_set(err, CAY_UNSUPPORTED, EAFNOSUPPORT,
				     "network %s: the host has no IPv6: turn it on there, or "
				     "create the network without",
				     spec->name);
	spec->families[NETWORK_IPV6] = false;
	return 0;
}

int networks_create(struct networks *networks, const json_t *body, struct network **ret_network,
		    struct cay_error *err)
{
	_cleanup_network_spec_ struct network_spec spec = { 0 };
	_cleanup_network_ struct network *network = NULL;
	char id[ID_SIZE];
	int r = network_spec_parse(body, &spec, err);

	if (r < 0)
		return r;
	if (spec.driver == NETWORK_BRIDGE && !networks_host_has_ipv6()) {
		r = leave_ipv6_out(&spec, body, err);
		if (r < 0)
			return r;
	}
	(void)pthread_mutex_lock(&networks->work);
	r = check_new(networks, &spec, err);
	if (r == 0) {
		id_make(id);
		network = network_new(id, clock_now_ns(), &spec);
		r = make(networks, network, err);
	}
	(void)pthread_mutex_unlock(&networks->work);
	if (r < 0)
		return r;
	networks_emit(networks, network, "create", NULL);
	*ret_network = TAKE_PTR(network);
	return 0;
}

static int check_unused(struct networks *networks, const struct network *network,
			struct cay_error *err)
{
	const struct endpoint *user = NULL;
	char name[64] = "";

	(void)pthread_mutex_lock(&networks->lock);
	for (size_t i = 0; i < networks->endpoint_count && !user; i++) {
		const struct endpoint *endpoint = networks->endpoints[i];

		if (endpoint->active && strcmp(endpoint->config.network, network->spec.name) == 0)
			user = endpoint;
	}
	if (user)
		(void)snprintf(name, sizeof(name), "%.60s", user->container_name);
	(void)pthread_mutex_unlock(&networks->lock);
	if (user)
		return cay_error_set(
			err, CAY_FORBIDDEN, EBUSY,
			"error while removing network: network %s has active endpoints "
			"(container %s)",
			network->spec.name, name);
	return 0;
}

int networks_remove(struct networks *networks, struct network *network, struct cay_error *err)
{
	int r;

	if (network->predefined)
		return cay_error_set(err, CAY_FORBIDDEN, EPERM,
				     "%s is a pre-defined network and cannot be removed",
				     network->spec.name);
	(void)networks_wait_ended(networks);
	(void)pthread_mutex_lock(&networks->work);
	r = network->removed ? cay_error_set(err, CAY_NOT_FOUND, ENOENT, "network %s not found",
					     network->spec.name)
			     : check_unused(networks, network, err);
	if (r == 0)
		r = database_delete_network(networks->daemon->database, network->id, err);
	if (r == 0) {
		struct network *own = take_out(networks, network);

		network_lower(networks, network);
		network_unref(own);
	}
	(void)pthread_mutex_unlock(&networks->work);
	if (r == 0)
		networks_emit(networks, network, "destroy", NULL);
	return r;
}

/* ---- opening ---- */

/* Networks that docker's clients count on, without anything on the host behind them. */
static struct network *add_plain(struct networks *networks, const char *name,
				 enum network_driver driver)
{
	struct network_spec spec = {
		.name = xstrdup(name),
		.driver = driver,
		.options = json_object(),
		.labels = json_object(),
		.families = { true, false },
	};
	char id[ID_SIZE];
	struct network *network;

	/* Always the same one for a root, as its clients may have kept it. */
	(void)snprintf(id, sizeof(id), "%.*s", ID_LENGTH, networks->daemon->id);
	id[0] = driver == NETWORK_NULL ? '0' : driver == NETWORK_HOST ? '1' : '2';
	id[1] = 'c';
	network = network_new(id, networks->daemon->started_ns, &spec);
	network->predefined = true;
	insert(networks, network);
	return network;
}

/*
 * The default network where passt serves it: each container sees it alone, so these addresses need
 * not be free on the host; they are those that QEMU's users know. The gateway answers for names.
 */
static int add_passt(struct networks *networks, struct cay_error *err)
{
	struct network *network = add_plain(networks, NETWORK_DEFAULT_NAME, NETWORK_BRIDGE);
	struct network_pool *pool = &network->spec.pools[NETWORK_IPV4];
	int r = net_prefix_parse(PASST_GATEWAY "/" PASST_PREFIX, &pool->subnet, err);

	if (r == 0)
		r = net_address_parse(PASST_GATEWAY, &pool->gateway, err);
	pool->subnet = net_prefix_network(&pool->subnet);
	network->spec.families[NETWORK_IPV6] = true;
	network->spec.mtu = PASST_MTU;
	return r;
}

static struct network *new_default(void)
{
	struct network_spec spec = {
		.name = xstrdup(NETWORK_DEFAULT_NAME),
		.driver = NETWORK_BRIDGE,
		.options = json_object(),
		.labels = json_object(),
		.families = { true, networks_host_has_ipv6() },
	};
	struct network *network;
	char id[ID_SIZE];

	id_make(id);
	network = network_new(id, clock_now_ns(), &spec);
	network->predefined = true;
	json_set_string(network->spec.options, "com.docker.network.bridge.default_bridge", "true");
	json_set_string(network->spec.options, "com.docker.network.bridge.name",
			network->spec.link);
	return network;
}

/*
 * A daemon starts without it, too: a VPN may have every private range today. It is in the table
 * without a subnet then, and in no database, so that containers can be made.
 */
static void make_default(struct networks *networks)
{
	_cleanup_network_ struct network *network = new_default();
	struct cay_error fault = { 0 };

	(void)pthread_mutex_lock(&networks->work);
	if (make(networks, network, &fault) < 0) {
		log_warning("%s", fault.message);
		insert(networks, network_ref(network));
	}
	(void)pthread_mutex_unlock(&networks->work);
}

int networks_ensure_default(struct networks *networks, struct cay_error *err)
{
	_cleanup_network_ struct network *old = NULL, *fresh = NULL;
	struct cay_error fault = { 0 };
	int r = networks_find(networks, NETWORK_DEFAULT_NAME, &old, err);

	if (r < 0 || network_raise(networks, old, &fault) == 0)
		return r;
	if (networks_count_containers(networks, old, true) > 0)
		return cay_error_set(err, fault.code, fault.err, "network %s: %s", old->spec.name,
				     fault.message);
	fresh = new_default();
	r = make(networks, fresh, err);
	if (r < 0)
		return r;
	log_info("network %s is made anew: %s", old->spec.name, fault.message);
	network_unref(take_out(networks, old));
	network_lower(networks, old);
	return 0;
}

/* What fails here is tried again by the first container that needs it. */
static void raise_all(struct networks *networks)
{
	(void)pthread_mutex_lock(&networks->work);
	for (size_t i = 0; i < networks->count; i++) {
		struct cay_error fault = { 0 };

		if (network_raise(networks, networks->items[i], &fault) < 0)
			log_error("network %s: %s", networks->items[i]->spec.name, fault.message);
	}
	(void)pthread_mutex_unlock(&networks->work);
}

int networks_load(struct networks *networks, struct cay_error *err)
{
	struct database *database = networks->daemon->database;
	int r = database_each_network(database, load_row, networks, err);

	if (r == 0 && !networks_by_name(networks, NETWORK_DEFAULT_NAME) && !networks->privileged)
		r = add_passt(networks, err);
	if (r < 0)
		return r;
	if (!networks_by_name(networks, NETWORK_DEFAULT_NAME))
		make_default(networks);
	(void)add_plain(networks, NETWORK_NONE_NAME, NETWORK_NULL);
	(void)add_plain(networks, NETWORK_HOST_NAME, NETWORK_HOST);
	if (networks->privileged)
		raise_all(networks);
	return 0;
}

size_t networks_count_containers(struct networks *networks, const struct network *network,
				 bool running)
{
	size_t count = 0;

	(void)pthread_mutex_lock(&networks->lock);
	for (size_t i = 0; i < networks->endpoint_count; i++)
		count += (!running || networks->endpoints[i]->active) &&
			strcmp(networks->endpoints[i]->config.network, network->spec.name) == 0;
	(void)pthread_mutex_unlock(&networks->lock);
	return count;
}
