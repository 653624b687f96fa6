/* SPDX-License-Identifier: Apache-2.0 */
/* docker's EndpointSettings, read and written. */
#include "daemon/endpoint-config.h"

#include "base/alloc.h"
#include "base/json.h"

#include <errno.h>
#include <string.h>

void endpoint_config_done(struct endpoint_config *config)
{
	free(config->network);
	strv_done(&config->aliases);
	json_decref(config->driver_options);
	*config = (struct endpoint_config){ 0 };
}

int endpoint_config_set_mac(struct endpoint_config *config, const char *text, struct cay_error *err)
{
	struct net_mac mac;
	int r = net_mac_parse(text, &mac, err);

	if (r < 0)
		return r;
	if (!net_mac_is_unicast(&mac))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "invalid MAC address: %.60s is not that of one interface",
				     text);
	config->mac = mac;
	return 0;
}

static int read_address(const json_t *ipam, const char *key, int family, struct net_address *target,
			struct cay_error *err)
{
	_cleanup_free_ char *text = xstrdup("");
	struct net_address address;
	int r = json_read_string(ipam, key, &text, err);

	if (r < 0 || text[0] == '\0')
		return r;
	if (net_address_parse(text, &address, err) < 0 || address.family != family)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "invalid endpoint settings: invalid %s address: %.100s",
				     family == AF_INET ? "IPv4" : "IPv6", text);
	*target = address;
	return 0;
}

static int read_ipam(struct endpoint_config *config, const json_t *settings, struct cay_error *err)
{
	json_t *ipam = NULL;
	int r = json_read_object(settings, "IPAMConfig", &ipam, err);

	if (r < 0 || !ipam)
		return r;
	r = read_address(ipam, "IPv4Address", AF_INET, &config->addresses[NETWORK_IPV4], err);
	if (r == 0)
		r = read_address(ipam, "IPv6Address", AF_INET6, &config->addresses[NETWORK_IPV6],
				 err);
	if (r == 0 && json_array_size(json_object_get(ipam, "LinkLocalIPs")) > 0)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "link-local addresses (LinkLocalIPs) of network %s: not "
				     "supported",
				     config->network);
	return r;
}

/* What a name server can answer for, and what can stand in a line of a file. */
static int check_aliases(const struct strv *aliases, struct cay_error *err)
{
	for (size_t i = 0; i < aliases->count; i++) {
		const char *alias = aliases->items[i];
		bool good = alias[0] != '\0' && strlen(alias) <= ENDPOINT_NAME_MAX;

		for (const char *at = alias; good && *at; at++)
			good = (unsigned char)*at > ' ' && *at != 0x7f;
		if (!good)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "invalid network alias: \"%.100s\"", alias);
	}
	return 0;
}

static int read_settings(struct endpoint_config *config, const json_t *settings,
			 struct cay_error *err)
{
	_cleanup_strv_ struct strv links = { 0 };
	_cleanup_free_ char *mac = xstrdup("");
	json_t *options = NULL;
	int r = json_read_strv(settings, "Links", ENDPOINT_ALIASES_MAX, &links, err);

	if (r == 0 && links.count > 0)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "links between containers are not supported: containers on a "
				     "network find each other by name");
	if (r == 0)
		r = read_ipam(config, settings, err);
	if (r == 0)
		r = json_read_strv(settings, "Aliases", ENDPOINT_ALIASES_MAX, &config->aliases,
				   err);
	if (r == 0)
		r = check_aliases(&config->aliases, err);
	if (r == 0)
		r = json_read_string(settings, "MacAddress", &mac, err);
	if (r == 0 && mac[0] != '\0')
		r = endpoint_config_set_mac(config, mac, err);
	if (r == 0)
		r = json_read_int(settings, "GwPriority", INT32_MIN, INT32_MAX,
				  &config->gateway_priority, err);
	if (r == 0)
		r = json_read_object(settings, "DriverOpts", &options, err);
	if (r == 0 && json_object_size(options) > 0)
		config->driver_options = json_deep_copy(options);
	return r;
}

int endpoint_config_parse(const char *network, const json_t *settings,
			  struct endpoint_config *ret_config, struct cay_error *err)
{
	struct endpoint_config config = { 0 };
	int r = 0;

	if (network[0] == '\0' || strlen(network) > ENDPOINT_NAME_MAX)
		return cay_error_set(err, CAY_INVALID, EINVAL, "invalid network name: \"%.300s\"",
				     network);
	config.network = xstrdup(network);
	if (settings && !json_is_null(settings)) {
		if (json_is_object(settings))
			r = read_settings(&config, settings, err);
		else
			r = cay_error_set(err, CAY_INVALID, EINVAL,
					  "the settings of network %s are not an object", network);
	}
	if (r < 0) {
		endpoint_config_done(&config);
		return r;
	}
	*ret_config = config;
	return 0;
}

json_t *endpoint_config_ipam(const struct endpoint_config *config)
{
	static const char *const keys[] = { "IPv4Address", "IPv6Address" };
	json_t *ipam = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		char text[NET_ADDRESS_TEXT_MAX];

		if (!net_address_is_set(&config->addresses[i]))
			continue;
		if (!ipam)
			ipam = json_object();
		net_address_format(&config->addresses[i], text);
		json_set_string(ipam, keys[i], text);
	}
	return ipam ? ipam : json_null();
}

json_t *endpoint_config_to_json(const struct endpoint_config *config)
{
	json_t *object = json_object();
	char mac[NET_MAC_TEXT_MAX] = "";

	if (net_mac_is_unicast(&config->mac))
		net_mac_format(&config->mac, mac);
	json_set(object, "IPAMConfig", endpoint_config_ipam(config));
	json_set(object, "Aliases", json_from_strv(&config->aliases));
	json_set_string(object, "MacAddress", mac);
	json_set_int(object, "GwPriority", config->gateway_priority);
	json_set(object, "DriverOpts",
		 config->driver_options ? json_deep_copy(config->driver_options) : json_null());
	return object;
}
