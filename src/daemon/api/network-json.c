/* SPDX-License-Identifier: Apache-2.0 */
/* What docker's clients see of networks. */
#include "daemon/api/network-json.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "daemon/daemon.h"
#include "daemon/placement.h"

#include <netinet/in.h>
#include <string.h>

/* ---- one endpoint ---- */

static void set_address(json_t *object, const char *key, const struct net_address *address)
{
	char text[NET_ADDRESS_TEXT_MAX];

	net_address_format(address, text);
	json_set_string(object, key, text);
}

static void set_mac(json_t *object, const char *key, const struct net_mac *mac)
{
	char text[NET_MAC_TEXT_MAX];

	net_mac_format(mac, text);
	json_set_string(object, key, text);
}

/* What a running container has: of the daemon's choosing, or of the LAN's. */
static struct net_prefix address_of(const struct endpoint *endpoint, const struct network *network,
				    unsigned int family)
{
	if (!network || !net_address_is_set(&endpoint->addresses[family]))
		return endpoint->leases[family];
	return (struct net_prefix){ endpoint->addresses[family],
				    network->spec.pools[family].subnet.bits };
}

static struct net_address gateway_of(const struct endpoint *endpoint, const struct network *network,
				     unsigned int family)
{
	if (!network || network->spec.internal)
		return (struct net_address){ 0 };
	if (endpoint->lease_gateway.family == (family == NETWORK_IPV4 ? AF_INET : AF_INET6))
		return endpoint->lease_gateway;
	return network->spec.pools[family].gateway;
}

/* The members that inspect's NetworkSettings has for the default network once more. */
static void set_addresses(json_t *object, const struct endpoint *endpoint,
			  const struct network *network)
{
	static const struct {
		const char *gateway, *address, *bits;
	} keys[] = { { "Gateway", "IPAddress", "IPPrefixLen" },
		     { "IPv6Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen" } };

	for (unsigned int i = 0; i < NETWORK_FAMILIES; i++) {
		struct net_prefix address = { 0 };
		struct net_address gateway = { 0 };

		if (endpoint)
			address = address_of(endpoint, network, i);
		if (endpoint && net_address_is_set(&address.address))
			gateway = gateway_of(endpoint, network, i);
		set_address(object, keys[i].gateway, &gateway);
		set_address(object, keys[i].address, &address.address);
		json_set_int(object, keys[i].bits, address.bits);
	}
}

/* As the name server answers to; docker's own lists the same. */
static json_t *dns_names(const struct endpoint *endpoint)
{
	const struct request *request = endpoint->container->request;
	json_t *array = json_array();

	(void)json_array_append_new(array, json_string(endpoint->container_name));
	for (size_t i = 0; i < endpoint->config.aliases.count; i++)
		(void)json_array_append_new(array, json_string(endpoint->config.aliases.items[i]));
	(void)json_array_append_new(array, json_stringn(endpoint->container->id, ID_SHORT_LENGTH));
	if (request->hostname[0] != '\0')
		(void)json_array_append_new(array, json_string(request->hostname));
	return array;
}

static json_t *endpoint_json(const struct endpoint *endpoint, const struct network *network,
			     bool up)
{
	const struct endpoint_config *config = &endpoint->config;
	bool active = up && endpoint->active;
	json_t *object = json_object();

	json_set(object, "IPAMConfig", endpoint_config_ipam(config));
	json_set(object, "Links", json_null());
	json_set(object, "Aliases",
		 config->aliases.count > 0 ? json_from_strv(&config->aliases) : json_null());
	if (active || net_mac_is_unicast(&config->mac))
		set_mac(object, "MacAddress", &endpoint->mac);
	else
		json_set_string(object, "MacAddress", "");
	json_set(object, "DriverOpts",
		 config->driver_options ? json_deep_copy(config->driver_options) : json_null());
	json_set_int(object, "GwPriority", config->gateway_priority);
	json_set_string(object, "NetworkID", network ? network->id : "");
	json_set_string(object, "EndpointID", active ? endpoint->id : "");
	set_addresses(object, active ? endpoint : NULL, network);
	json_set(object, "DNSNames",
		 network && network->spec.driver == NETWORK_NULL ? json_null()
								 : dns_names(endpoint));
	return object;
}

struct networks_reader {
	json_t *map;
	bool up;
};

static void read_endpoint(const struct endpoint *endpoint, const struct network *network,
			  void *user)
{
	struct networks_reader *reader = user;

	json_set(reader->map, endpoint->config.network,
		 endpoint_json(endpoint, network, reader->up));
}

json_t *api_container_networks(const struct container *container, bool up)
{
	struct networks_reader reader = { .map = json_object(), .up = up };

	networks_each_endpoint(container->daemon->networks, container, NULL, read_endpoint,
			       &reader);
	return reader.map;
}

/* ---- ports ---- */

static char *port_key(uint16_t port, const char *protocol)
{
	return xasprintf("%u/%s", port, protocol);
}

static const char *protocol_name(const struct net_port *port)
{
	return port->protocol == IPPROTO_UDP ? "udp" : "tcp";
}

static void add_binding(const struct net_port *port, void *user)
{
	json_t *map = user, *list;
	_cleanup_free_ char *key = port_key(port->port, protocol_name(port));
	char address[NET_ADDRESS_TEXT_MAX];

	net_address_format(&port->host, address);
	list = json_object_get(map, key);
	if (!json_is_array(list)) {
		list = json_array();
		json_set(map, key, list);
	}
	(void)json_array_append_new(list,
				    json_pack("{s:s, s:o}", "HostIp", address, "HostPort",
					      json_sprintf("%u", port->host_port)));
}

static json_t *port_map(const struct container *container, bool up)
{
	const struct request *request = container->request;
	json_t *map = json_object();

	for (size_t i = 0; up && i < request->exposed_count; i++) {
		const struct request_exposed *exposed = &request->exposed[i];
		_cleanup_free_ char *key =
			port_key(exposed->port, request_protocol_name(exposed->protocol));

		json_set(map, key, json_null());
	}
	if (up)
		networks_each_port(container->daemon->networks, container, add_binding, map);
	return map;
}

static void add_listed(const struct net_port *port, void *user)
{
	char address[NET_ADDRESS_TEXT_MAX];

	net_address_format(&port->host, address);
	(void)json_array_append_new(user,
				    json_pack("{s:s, s:i, s:i, s:s}", "IP", address, "PrivatePort",
					      (int)port->port, "PublicPort", (int)port->host_port,
					      "Type", protocol_name(port)));
}

static bool is_listed(json_t *array, const struct request_exposed *exposed)
{
	const char *type = request_protocol_name(exposed->protocol);
	json_t *item;
	size_t i;

	json_array_foreach(array, i, item) {
		if (json_integer_value(json_object_get(item, "PrivatePort")) == exposed->port &&
		    strcmp(json_string_value(json_object_get(item, "Type")), type) == 0)
			return true;
	}
	return false;
}

json_t *api_container_port_list(const struct container *container, bool up)
{
	const struct request *request = container->request;
	json_t *array = json_array();

	if (!up)
		return array;
	networks_each_port(container->daemon->networks, container, add_listed, array);
	for (size_t i = 0; i < request->exposed_count; i++) {
		const struct request_exposed *exposed = &request->exposed[i];

		if (!is_listed(array, exposed))
			(void)json_array_append_new(
				array,
				json_pack("{s:i, s:s}", "PrivatePort", (int)exposed->port, "Type",
					  request_protocol_name(exposed->protocol)));
	}
	return array;
}

/* ---- inspect's NetworkSettings ---- */

static void read_default(const struct endpoint *endpoint, const struct network *network, void *user)
{
	struct networks_reader *reader = user;

	if (strcmp(endpoint->config.network, NETWORK_DEFAULT_NAME) != 0 || !endpoint->active)
		return;
	set_addresses(reader->map, endpoint, network);
	set_mac(reader->map, "MacAddress", &endpoint->mac);
	json_set_string(reader->map, "EndpointID", endpoint->id);
}

json_t *api_container_network_settings(const struct container *container, bool up)
{
	static const char *const texts[] = { "Bridge",     "SandboxID",  "SandboxKey",
					     "EndpointID", "MacAddress", "LinkLocalIPv6Address" };
	struct networks_reader reader = { .map = json_object(), .up = up };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		json_set_string(reader.map, texts[i], "");
	json_set_int(reader.map, "LinkLocalIPv6PrefixLen", 0);
	json_set_bool(reader.map, "HairpinMode", false);
	json_set(reader.map, "Ports", port_map(container, up));
	json_set(reader.map, "SecondaryIPAddresses", json_null());
	json_set(reader.map, "SecondaryIPv6Addresses", json_null());
	set_addresses(reader.map, NULL, NULL);
	if (up)
		networks_each_endpoint(container->daemon->networks, container, NULL, read_default,
				       &reader);
	json_set(reader.map, "Networks", api_container_networks(container, up));
	return reader.map;
}

/* ---- a network ---- */

/* It keeps its place for a moment after its end. */
static bool is_up(struct container *container)
{
	bool up;

	(void)pthread_mutex_lock(&container->lock);
	up = container_is_up(container->status);
	(void)pthread_mutex_unlock(&container->lock);
	return up;
}

static void add_container(const struct endpoint *endpoint, const struct network *network,
			  void *user)
{
	static const char *const keys[] = { "IPv4Address", "IPv6Address" };
	json_t *containers = user, *object;

	if (!endpoint->active || !is_up(endpoint->container))
		return;
	object = json_object();
	json_set_string(object, "Name", endpoint->container_name);
	json_set_string(object, "EndpointID", endpoint->id);
	set_mac(object, "MacAddress", &endpoint->mac);
	for (unsigned int i = 0; i < NETWORK_FAMILIES; i++) {
		struct net_prefix prefix = address_of(endpoint, network, i);
		char text[NET_PREFIX_TEXT_MAX] = "";

		if (net_address_is_set(&prefix.address))
			net_prefix_format(&prefix, text);
		json_set_string(object, keys[i], text);
	}
	json_set(containers, endpoint->container->id, object);
}

json_t *api_network_json(struct networks *networks, const struct network *network,
			 bool with_containers)
{
	json_t *object = json_object(), *containers = json_object();
	char created[CLOCK_TEXT_MAX];

	clock_format_utc(network->created_ns, created);
	json_set_string(object, "Name", network->spec.name);
	json_set_string(object, "Id", network->id);
	json_set_string(object, "Created", created);
	json_set_string(object, "Scope", "local");
	network_spec_to_json(&network->spec, object);
	json_set_bool(object, "Ingress", false);
	json_set(object, "ConfigFrom", json_pack("{s:s}", "Network", ""));
	json_set_bool(object, "ConfigOnly", false);
	if (with_containers)
		networks_each_endpoint(networks, NULL, network, add_container, containers);
	json_set(object, "Containers", containers);
	return object;
}
