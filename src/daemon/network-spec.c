/* SPDX-License-Identifier: Apache-2.0 */
/* docker's networks, read and written. */
#include "daemon/network-spec-internal.h"

#include "base/alloc.h"
#include "base/id.h"
#include "base/json.h"
#include "net/subnet.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

static const char *const driver_names[] = {
	[NETWORK_BRIDGE] = "bridge",
	[NETWORK_LAN] = "lan",
	[NETWORK_NULL] = "null",
	[NETWORK_HOST] = "host",
};
static_assert(ARRAY_SIZE(driver_names) == NETWORK_DRIVER_COUNT, "every driver has its name");

const char *network_driver_name(enum network_driver driver)
{
	return driver_names[driver];
}

void network_spec_done(struct network_spec *spec)
{
	free(spec->name);
	json_decref(spec->options);
	json_decref(spec->labels);
	json_decref(spec->ipam_options);
	for (size_t i = 0; i < NETWORK_FAMILIES; i++)
		json_decref(spec->pools[i].reserved);
	*spec = (struct network_spec){ 0 };
}

static int family_index(const struct net_address *address)
{
	return address->family == AF_INET ? NETWORK_IPV4 : NETWORK_IPV6;
}

int network_spec_read_map(const json_t *object, const char *key, json_t **ret_map,
			  struct cay_error *err)
{
	json_t *map = NULL, *value;
	const char *name;
	int r = json_read_object(object, key, &map, err);

	if (r < 0)
		return r;
	if (json_object_size(map) > NETWORK_OPTIONS_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "\"%s\" has more than %d members",
				     key, NETWORK_OPTIONS_MAX);
	json_object_foreach(map, name, value) {
		if (!json_is_string(value))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "\"%s\" is not an object of strings", key);
	}
	*ret_map = map ? json_deep_copy(map) : json_object();
	return 0;
}

/* ---- name and driver ---- */

/* Containers' rule, but for its least length. */
static bool is_network_name(const char *name)
{
	return name[1] == '\0' ? isalnum((unsigned char)name[0]) != 0 : name_is_valid(name);
}

static int read_name(const json_t *body, struct network_spec *spec, struct cay_error *err)
{
	int r = json_read_string(body, "Name", &spec->name, err);

	if (r < 0)
		return r;
	if (!spec->name || spec->name[0] == '\0')
		return cay_error_set(err, CAY_INVALID, EINVAL, "network name cannot be empty");
	if (!is_network_name(spec->name))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "invalid network name: %.300s: only [a-zA-Z0-9][a-zA-Z0-9_.-] "
				     "are allowed",
				     spec->name);
	return 0;
}

static int read_driver(const json_t *body, struct network_spec *spec, struct cay_error *err)
{
	_cleanup_free_ char *driver = NULL;
	int r = json_read_string(body, "Driver", &driver, err);

	if (r < 0 || !driver || driver[0] == '\0')
		return r;
	for (enum network_driver i = 0; i < NETWORK_DRIVER_COUNT; i++) {
		if (strcmp(driver, driver_names[i]) == 0) {
			spec->driver = i;
			return 0;
		}
	}
	return cay_error_set(err, CAY_NOT_FOUND, ENOENT,
			     "could not find a network driver \"%.64s\": there are \"bridge\" and "
			     "\"lan\"",
			     driver);
}

static int read_flags(const json_t *body, struct network_spec *spec, struct cay_error *err)
{
	bool ingress = false, config_only = false;
	_cleanup_free_ char *scope = NULL;
	json_t *config_from = NULL;
	int r = json_read_bool(body, "Internal", &spec->internal, err);

	if (r == 0)
		r = json_read_bool(body, "Attachable", &spec->attachable, err);
	if (r == 0)
		r = json_read_bool(body, "EnableIPv4", &spec->families[NETWORK_IPV4], err);
	if (r == 0)
		r = json_read_bool(body, "EnableIPv6", &spec->families[NETWORK_IPV6], err);
	if (r == 0)
		r = json_read_bool(body, "Ingress", &ingress, err);
	if (r == 0)
		r = json_read_bool(body, "ConfigOnly", &config_only, err);
	if (r == 0)
		r = json_read_object(body, "ConfigFrom", &config_from, err);
	if (r == 0)
		r = json_read_string(body, "Scope", &scope, err);
	if (r < 0)
		return r;
	if (scope && scope[0] != '\0' && strcmp(scope, "local") != 0)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "networks of the scope \"%.64s\": not supported; a network is "
				     "of this host, \"local\"",
				     scope);
	const char *from = json_string_value(json_object_get(config_from, "Network"));

	if (ingress || config_only || (from && from[0] != '\0'))
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "networks of swarms (Ingress, ConfigOnly, ConfigFrom): not "
				     "supported");
	return 0;
}

/* ---- addresses ---- */

static int read_prefix(const json_t *object, const char *key, struct net_prefix *target,
		       struct cay_error *err)
{
	_cleanup_free_ char *text = NULL;
	int r = json_read_string(object, key, &text, err);

	return r < 0 || !text || text[0] == '\0' ? r : net_prefix_parse(text, target, err);
}

static int read_reserved(const json_t *item, struct network_pool *pool, struct cay_error *err)
{
	_cleanup_json_ json_t *map = NULL;
	struct net_address gateway = pool->gateway;
	json_t *value;
	const char *name;
	int r = network_spec_read_map(item, "AuxiliaryAddresses", &map, err);

	if (r < 0)
		return r;
	/* What it will be where none was asked for. */
	if (!net_address_is_set(&gateway))
		(void)net_prefix_nth(&pool->subnet, 1, &gateway);
	json_object_foreach(map, name, value) {
		struct net_address address;

		r = net_address_parse(json_string_value(value), &address, err);
		if (r == 0)
			r = subnet_check_address(&pool->subnet, &address, err);
		if (r == 0 && net_address_equal(&address, &gateway))
			r = cay_error_set(err, CAY_INVALID, EINVAL, "it is the gateway's");
		if (r < 0)
			return cay_error_prefix(err, "auxiliary address %.64s", name);
	}
	if (json_object_size(map) > 0)
		pool->reserved = TAKE_PTR(map);
	return 0;
}

static int read_gateway(const json_t *item, struct network_pool *pool, struct cay_error *err)
{
	_cleanup_free_ char *text = NULL;
	int r = json_read_string(item, "Gateway", &text, err);

	if (r < 0 || !text || text[0] == '\0')
		return r;
	r = net_address_parse(text, &pool->gateway, err);
	if (r == 0)
		r = subnet_check_address(&pool->subnet, &pool->gateway, err);
	return r < 0 ? cay_error_prefix(err, "gateway %.64s", text) : 0;
}

/* One item of IPAM's Config. One without a subnet only says that the rest is open. */
static int read_pool(const json_t *item, struct network_spec *spec, struct cay_error *err)
{
	struct net_prefix subnet = { 0 };
	struct network_pool *pool;
	int r = read_prefix(item, "Subnet", &subnet, err);

	if (r == 0 && !net_address_is_set(&subnet.address)) {
		if (json_object_size(item) == 0)
			return 0;
		return cay_error_set(
			err, CAY_INVALID, EINVAL,
			"invalid network config: a gateway, range or auxiliary address "
			"needs a subnet");
	}
	if (r == 0)
		r = subnet_check(&subnet, err);
	if (r < 0)
		return r;
	pool = &spec->pools[family_index(&subnet.address)];
	if (net_address_is_set(&pool->subnet.address))
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "more than one subnet of a family: not supported");
	pool->subnet = subnet;
	r = read_prefix(item, "IPRange", &pool->range, err);
	if (r == 0 && net_address_is_set(&pool->range.address) &&
	    !net_prefix_covers(&pool->subnet, &pool->range))
		r = cay_error_set(err, CAY_INVALID, EINVAL,
				  "invalid network config: the IP range is not within the subnet");
	if (r == 0)
		r = read_gateway(item, pool, err);
	if (r == 0)
		r = read_reserved(item, pool, err);
	return r;
}

static int read_ipam(const json_t *body, struct network_spec *spec, struct cay_error *err)
{
	json_t *ipam = NULL, *config = NULL, *item;
	_cleanup_free_ char *driver = NULL;
	size_t i;
	int r = json_read_object(body, "IPAM", &ipam, err);

	if (r < 0 || !ipam)
		return r;
	r = json_read_string(ipam, "Driver", &driver, err);
	if (r == 0)
		r = json_read_array(ipam, "Config", &config, err);
	if (r == 0 && json_object_size(json_object_get(ipam, "Options")) > 0)
		r = network_spec_read_map(ipam, "Options", &spec->ipam_options, err);
	if (r < 0)
		return r;
	if (driver && driver[0] != '\0' && strcmp(driver, "default") != 0)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "IPAM driver %.64s: not supported", driver);
	json_array_foreach(config, i, item) {
		if (!json_is_object(item))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "an item of IPAM's \"Config\" is not an object");
		r = read_pool(item, spec, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Whether what was asked for fits together. */
static int check_families(const json_t *body, struct network_spec *spec, struct cay_error *err)
{
	static const char *const keys[] = { "EnableIPv4", "EnableIPv6" };

	for (size_t i = 0; i < NETWORK_FAMILIES; i++) {
		bool given = net_address_is_set(&spec->pools[i].subnet.address);

		/* docker's older clients send false where nothing was said. */
		if (i == NETWORK_IPV6 && given)
			spec->families[i] = true;
		if (given && !spec->families[i] && json_object_get(body, keys[i]))
			return cay_error_set(
				err, CAY_INVALID, EINVAL,
				"network %s has a subnet of a family that it is not to "
				"have",
				spec->name);
	}
	if (!spec->families[NETWORK_IPV4] && !spec->families[NETWORK_IPV6])
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "IPv4 or IPv6 must be enabled for network %s", spec->name);
	if (spec->driver == NETWORK_LAN && spec->internal)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "network %s: a network on the LAN can't be internal",
				     spec->name);
	return 0;
}

int network_spec_parse(const json_t *body, struct network_spec *ret_spec, struct cay_error *err)
{
	struct network_spec spec = { .families = { true, true } };
	int r = read_name(body, &spec, err);

	if (r == 0)
		r = read_driver(body, &spec, err);
	if (r == 0)
		r = read_flags(body, &spec, err);
	if (r == 0)
		r = network_spec_read_options(body, &spec, err);
	if (r == 0)
		r = read_ipam(body, &spec, err);
	if (r == 0)
		r = check_families(body, &spec, err);
	if (r < 0) {
		network_spec_done(&spec);
		return r;
	}
	*ret_spec = spec;
	return 0;
}

/* ---- writing ---- */

static json_t *pool_to_json(const struct network_pool *pool)
{
	json_t *object = json_object();
	char prefix[NET_PREFIX_TEXT_MAX], address[NET_ADDRESS_TEXT_MAX];

	net_prefix_format(&pool->subnet, prefix);
	json_set_string(object, "Subnet", prefix);
	if (net_address_is_set(&pool->range.address)) {
		net_prefix_format(&pool->range, prefix);
		json_set_string(object, "IPRange", prefix);
	}
	if (net_address_is_set(&pool->gateway)) {
		net_address_format(&pool->gateway, address);
		json_set_string(object, "Gateway", address);
	}
	if (pool->reserved)
		json_set(object, "AuxiliaryAddresses", json_deep_copy(pool->reserved));
	return object;
}

void network_spec_to_json(const struct network_spec *spec, json_t *object)
{
	json_t *ipam = json_object(), *config = json_array();

	for (size_t i = 0; i < NETWORK_FAMILIES; i++)
		if (net_address_is_set(&spec->pools[i].subnet.address))
			(void)json_array_append_new(config, pool_to_json(&spec->pools[i]));
	json_set_string(ipam, "Driver", "default");
	json_set(ipam, "Options",
		 spec->ipam_options ? json_deep_copy(spec->ipam_options) : json_null());
	json_set(ipam, "Config", config);
	json_set_string(object, "Name", spec->name);
	json_set_string(object, "Driver", driver_names[spec->driver]);
	json_set_bool(object, "EnableIPv4", spec->families[NETWORK_IPV4]);
	json_set_bool(object, "EnableIPv6", spec->families[NETWORK_IPV6]);
	json_set(object, "IPAM", ipam);
	json_set_bool(object, "Internal", spec->internal);
	json_set_bool(object, "Attachable", spec->attachable);
	json_set(object, "Options", spec->options ? json_deep_copy(spec->options) : json_object());
	json_set(object, "Labels", spec->labels ? json_deep_copy(spec->labels) : json_object());
}

bool network_spec_has_addresses(const struct network_spec *spec)
{
	return net_address_is_set(&spec->pools[NETWORK_IPV4].subnet.address) ||
		net_address_is_set(&spec->pools[NETWORK_IPV6].subnet.address);
}
