/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a create request says about networks: the mode, the ports that are
 * exposed and published, the endpoints by name.
 */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/json.h"
#include "daemon/endpoint-config.h"
#include "daemon/request-internal.h"
#include "net/dns-upstream.h"

#include <errno.h>

static int invalid_port(struct cay_error *err, const char *text)
{
	return cay_error_set(err, CAY_INVALID, EINVAL, "Invalid port specification: \"%.100s\"",
			     text);
}

/* "80" or "80-90"; zero is allowed for none but hosts' ports. */
static int parse_range(struct str text, uint64_t min, uint16_t *ret_first, uint16_t *ret_last)
{
	struct str last, first = str_split(text, '-', &last);
	uint64_t a, b;

	if (str_to_u64(first, UINT16_MAX, &a) < 0)
		return -EINVAL;
	b = a;
	if (first.length < text.length && str_to_u64(last, UINT16_MAX, &b) < 0)
		return -EINVAL;
	if (a < min || b < a)
		return -EINVAL;
	*ret_first = (uint16_t)a;
	*ret_last = (uint16_t)b;
	return 0;
}

const char *request_protocol_name(enum request_protocol protocol)
{
	static const char *const names[] = { "tcp", "udp", "sctp" };

	return names[protocol];
}

static int parse_protocol(struct str text, enum request_protocol *ret_protocol)
{
	for (enum request_protocol i = 0; i <= REQUEST_SCTP; i++) {
		if (str_equals(text, request_protocol_name(i))) {
			*ret_protocol = i;
			return 0;
		}
	}
	return -EINVAL;
}

/* "80", "80/tcp", "8000-8010/udp" */
static int parse_key(const char *key, enum request_protocol *ret_protocol, uint16_t *ret_first,
		     uint16_t *ret_last, struct cay_error *err)
{
	struct str name, ports = str_split(str_from(key), '/', &name);

	*ret_protocol = REQUEST_TCP;
	if (ports.length < strlen(key) && parse_protocol(name, ret_protocol) < 0)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "Invalid port specification: \"%.100s\": invalid protocol",
				     key);
	if (parse_range(ports, 1, ret_first, ret_last) < 0)
		return invalid_port(err, key);
	return 0;
}

static struct request_exposed *find_exposed(struct request *request, enum request_protocol protocol,
					    uint16_t port)
{
	for (size_t i = 0; i < request->exposed_count; i++)
		if (request->exposed[i].protocol == protocol && request->exposed[i].port == port)
			return &request->exposed[i];
	return NULL;
}

static int add_exposed(struct request *request, enum request_protocol protocol, uint16_t port,
		       struct cay_error *err)
{
	if (find_exposed(request, protocol, port))
		return 0;
	if (request->exposed_count == REQUEST_PORTS_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "more than %d ports are exposed",
				     REQUEST_PORTS_MAX);
	request->exposed = xreallocarray(request->exposed, request->exposed_count + 1,
					 sizeof(*request->exposed));
	request->exposed[request->exposed_count++] =
		(struct request_exposed){ .protocol = protocol, .port = port };
	return 0;
}

static int add_port(struct request *request, const struct request_port *port, struct cay_error *err)
{
	if (port->protocol == REQUEST_SCTP)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "published ports of SCTP (%u/sctp): not supported",
				     port->container_port);
	if (request->port_count == REQUEST_PORTS_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "more than %d ports are published",
				     REQUEST_PORTS_MAX);
	request->ports =
		xreallocarray(request->ports, request->port_count + 1, sizeof(*request->ports));
	request->ports[request->port_count++] = *port;
	return 0;
}

/* One of docker's {"HostIp": …, "HostPort": …}. */
static int read_binding(struct request *request, const json_t *binding, struct request_port port,
			struct cay_error *err)
{
	_cleanup_free_ char *address = xstrdup(""), *host_port = xstrdup("");
	int r;

	if (!json_is_object(binding))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "a binding of port %u/%s is not an object",
				     port.container_port, request_protocol_name(port.protocol));
	r = json_read_string(binding, "HostIp", &address, err);
	if (r == 0)
		r = json_read_string(binding, "HostPort", &host_port, err);
	if (r < 0)
		return r;
	if (address[0] != '\0') {
		r = net_address_parse(address, &port.host_address, err);
		if (r < 0)
			return r;
	}
	if (host_port[0] != '\0' &&
	    parse_range(str_from(host_port), 0, &port.host_first, &port.host_last) < 0)
		return invalid_port(err, host_port);
	return add_port(request, &port, err);
}

static int read_port_bindings(struct request *request, const char *key, const json_t *bindings,
			      struct cay_error *err)
{
	struct request_port port = { 0 };
	uint16_t last;
	json_t *binding;
	size_t i;
	int r = parse_key(key, &port.protocol, &port.container_port, &last, err);

	if (r < 0)
		return r;
	if (last != port.container_port)
		return invalid_port(err, key);
	if (!json_is_array(bindings) && !json_is_null(bindings))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "the bindings of port %.100s are not an array", key);
	r = add_exposed(request, port.protocol, port.container_port, err);
	if (r < 0)
		return r;
	json_array_foreach(bindings, i, binding) {
		r = read_binding(request, binding, port, err);
		if (r < 0)
			return r;
		find_exposed(request, port.protocol, port.container_port)->bound = true;
	}
	return 0;
}

static int read_exposed(struct request *request, struct cay_error *err)
{
	json_t *map = json_object_get(request->config, "ExposedPorts"), *value;
	const char *key;

	json_object_foreach(map, key, value) {
		enum request_protocol protocol;
		uint16_t first, last;
		int r = parse_key(key, &protocol, &first, &last, err);

		for (unsigned int port = first; r == 0 && port <= last; port++)
			r = add_exposed(request, protocol, (uint16_t)port, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* docker's -P: a free port of the host's for each exposed one that has none. */
static int publish_exposed(struct request *request, struct cay_error *err)
{
	for (size_t i = 0; i < request->exposed_count; i++) {
		const struct request_exposed *exposed = &request->exposed[i];
		const struct request_port port = {
			.protocol = exposed->protocol,
			.container_port = exposed->port,
		};
		int r = exposed->bound || exposed->protocol == REQUEST_SCTP
			? 0
			: add_port(request, &port, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* The name under which the rest of the daemon looks the network up. */
static void read_mode(struct request *request)
{
	const char *mode =
		json_string_value(json_object_get(request->host_config, "NetworkMode")) ?: "";

	if (mode[0] == '\0' || strcmp(mode, "default") == 0)
		mode = NETWORK_DEFAULT_NAME;
	/* Before there were networks, "host" was taken and had none. */
	if (json_is_true(json_object_get(request->config, "NetworkDisabled")) ||
	    strcmp(mode, NETWORK_HOST_NAME) == 0)
		mode = NETWORK_NONE_NAME;
	replace_string(&request->network, mode);
}

int request_read_network(struct request *request, struct cay_error *err)
{
	json_t *map = json_object_get(request->host_config, "PortBindings"), *bindings;
	const char *key;
	int r = read_exposed(request, err);

	if (r < 0)
		return r;
	read_mode(request);
	json_object_foreach(map, key, bindings) {
		r = read_port_bindings(request, key, bindings, err);
		if (r < 0)
			return r;
	}
	if (json_is_true(json_object_get(request->host_config, "PublishAllPorts")))
		r = publish_exposed(request, err);
	return r;
}

/* ---- endpoints ---- */

static bool has_endpoint(const struct request *request, const char *network)
{
	for (size_t i = 0; i < request->endpoint_count; i++)
		if (strcmp(request->endpoints[i].network, network) == 0)
			return true;
	return false;
}

static int add_endpoint(struct request *request, const char *network, const json_t *settings,
			struct cay_error *err)
{
	struct endpoint_config config = { 0 };
	int r;

	if (strcmp(network, "default") == 0)
		network = NETWORK_DEFAULT_NAME;
	if (has_endpoint(request, network))
		return 0;
	if (request->endpoint_count == REQUEST_ENDPOINTS_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "more than %d networks are named",
				     REQUEST_ENDPOINTS_MAX);
	r = endpoint_config_parse(network, settings, &config, err);
	if (r < 0)
		return r;
	request->endpoints = xreallocarray(request->endpoints, request->endpoint_count + 1,
					   sizeof(*request->endpoints));
	request->endpoints[request->endpoint_count++] = config;
	return 0;
}

/*
 * The container's own MAC address of older clients goes to the network that the mode names, as
 * docker has it.
 */
static int take_own_mac(struct request *request, struct cay_error *err)
{
	const char *mac = json_string_value(json_object_get(request->config, "MacAddress"));
	struct endpoint_config *first = request->endpoint_count > 0 ? &request->endpoints[0] : NULL;
	struct net_mac old;
	int r;

	if (!mac || mac[0] == '\0' || !first)
		return 0;
	old = first->mac;
	r = endpoint_config_set_mac(first, mac, err);
	if (r == 0 && net_mac_is_unicast(&old) && !net_mac_equal(&old, &first->mac))
		return cay_error_set(
			err, CAY_INVALID, EINVAL,
			"the container-wide MAC address must match the "
			"endpoint-specific MAC address for the main network, or should "
			"be left empty");
	return r;
}

static int check_dns(const struct request *request, struct cay_error *err)
{
	for (size_t i = 0; i < request->dns.count; i++) {
		struct dns_endpoint ignored;
		int r = dns_endpoint_parse(request->dns.items[i], &ignored, err);

		if (r < 0)
			return cay_error_prefix(err, "DNS server");
	}
	return 0;
}

int request_read_endpoints(struct request *request, const json_t *networking, struct cay_error *err)
{
	json_t *map = NULL, *settings, *own = NULL;
	const char *network;
	bool is_default = strcmp(request->network, NETWORK_DEFAULT_NAME) == 0;
	int r = networking ? json_read_object(networking, "EndpointsConfig", &map, err) : 0;

	if (r == 0)
		r = check_dns(request, err);
	if (r < 0)
		return r;
	own = json_object_get(map, request->network);
	if (!own && is_default)
		own = json_object_get(map, "default");
	if (strcmp(request->network, NETWORK_NONE_NAME) == 0) {
		if (json_object_size(map) > (own ? 1 : 0))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "container cannot be connected to network endpoints "
					     "while its network mode is none");
		return add_endpoint(request, NETWORK_NONE_NAME, own, err);
	}
	/* The mode's network comes first, since its addresses are the container's main ones. */
	if (own || !is_default || json_object_size(map) == 0)
		r = add_endpoint(request, request->network, own, err);
	if (r < 0)
		return r;
	json_object_foreach(map, network, settings) {
		r = add_endpoint(request, network, settings, err);
		if (r < 0)
			return r;
	}
	return take_own_mac(request, err);
}
