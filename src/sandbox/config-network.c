/* SPDX-License-Identifier: Apache-2.0 */
/* The network's part of a sandbox's configuration: interfaces and published ports. */
#include "sandbox/config-internal.h"

#include "vmm/cmdline.h"

#include "base/alloc.h"
#include "base/json.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>

enum {
	ADDRESSES_MAX = 16, /* of one interface */
	GATEWAYS_MAX = 2,
	MTU_MIN = 68,
	MTU_MAX = 65535,
	HOSTNAME_LENGTH_MAX = 253,
	PORT_MAX = 65535,
};

static const char *const kind_names[] = {
	[SANDBOX_TAP] = "tap",
	[SANDBOX_MACVTAP] = "macvtap",
	[SANDBOX_PASST] = "passt",
};

bool sandbox_interface_is_spare(const struct sandbox_interface *interface)
{
	return interface->kind == SANDBOX_TAP && !interface->parent;
}

/* AF_INET, AF_INET6, or 0 for text that is no address. */
static int address_family(const char *text)
{
	struct in6_addr address;

	if (inet_pton(AF_INET, text, &address) == 1)
		return AF_INET;
	return inet_pton(AF_INET6, text, &address) == 1 ? AF_INET6 : 0;
}

/* "10.1.2.3/16": an address with the length of its network's prefix. */
static bool is_prefixed(const char *text)
{
	struct str rest, address = str_split(str_from(text), '/', &rest);
	_cleanup_free_ char *copy = str_dup(address);
	const int family = address_family(copy);
	uint64_t length;

	return family != 0 && str_to_u64(rest, family == AF_INET ? 32 : 128, &length) == 0;
}

static int read_kind(const json_t *item, struct sandbox_interface *interface, struct cay_error *err)
{
	_cleanup_free_ char *kind = NULL;
	int r = json_read_string(item, "kind", &kind, err);

	if (r < 0)
		return r;
	for (size_t i = 0; kind && i < ARRAY_SIZE(kind_names); i++)
		if (strcmp(kind, kind_names[i]) == 0) {
			interface->kind = (enum sandbox_interface_kind)i;
			return 0;
		}
	return config_invalid(err, "kind", "is neither \"tap\", \"macvtap\" nor \"passt\"");
}

/* The name of a network device: as the kernel's dev_valid_name() has it. */
static int read_device(const json_t *item, const char *key, char **target, struct cay_error *err)
{
	int r = json_read_string(item, key, target, err);

	if (r < 0 || !*target)
		return r;
	if (**target == '\0' || strlen(*target) >= IFNAMSIZ || strcmp(*target, ".") == 0 ||
	    strcmp(*target, "..") == 0 || strpbrk(*target, "/: \t\n\v\f\r"))
		return config_invalid(err, key, "is not the name of a network device");
	return 0;
}

static int read_mac(const json_t *item, uint8_t *mac, struct cay_error *err)
{
	_cleanup_free_ char *text = NULL;
	int r = json_read_string(item, "mac", &text, err);
	unsigned int byte[SANDBOX_MAC_SIZE];
	int end = 0;

	if (r < 0)
		return r;
	if (!text)
		return config_invalid(err, "mac", "is missing");
	if (strspn(text, "0123456789abcdefABCDEF:") != 17 ||
	    sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3],
		   &byte[4], &byte[5], &end) != SANDBOX_MAC_SIZE ||
	    end != 17 || text[17] != '\0')
		return config_invalid(err, "mac", "is not an address such as 02:42:ac:11:00:02");
	if (byte[0] & 1)
		return config_invalid(err, "mac", "is a group's address");
	for (size_t i = 0; i < SANDBOX_MAC_SIZE; i++)
		mac[i] = (uint8_t)byte[i];
	return 0;
}

static int read_addresses(const json_t *item, struct sandbox_interface *interface,
			  struct cay_error *err)
{
	int families = 0;
	int r = json_read_strv(item, "addresses", ADDRESSES_MAX, &interface->addresses, err);

	if (r == 0)
		r = json_read_strv(item, "gateways", GATEWAYS_MAX, &interface->gateways, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < interface->addresses.count; i++)
		if (!is_prefixed(interface->addresses.items[i]))
			return config_invalid(err, "addresses",
					      "holds something that is not ADDRESS/PREFIX");
	for (size_t i = 0; i < interface->gateways.count; i++) {
		const int family = address_family(interface->gateways.items[i]);

		if (family == 0 || family == families)
			return config_invalid(err, "gateways",
					      "are not one address of each family at most");
		families = family;
	}
	return 0;
}

static int check_devices(const struct sandbox_interface *interface, struct cay_error *err)
{
	if (interface->kind == SANDBOX_PASST) {
		if (interface->device || interface->parent)
			return config_invalid(err, "device", "is not for passt");
	} else if (!interface->device) {
		return config_invalid(err, "device", "is missing");
	}
	if (interface->kind == SANDBOX_MACVTAP && !interface->parent)
		return config_invalid(err, "parent", "is missing");
	if (sandbox_interface_is_spare(interface) &&
	    (interface->addresses.count > 0 || interface->gateways.count > 0 || interface->dhcp ||
	     interface->accept_ra))
		return config_invalid(err, "parent", "is needed where addresses are given");
	return 0;
}

static int read_interface(const json_t *item, void *target, struct cay_error *err)
{
	struct sandbox_interface *interface = target;
	int r = read_kind(item, interface, err);

	if (r == 0)
		r = read_device(item, "device", &interface->device, err);
	if (r == 0)
		r = read_device(item, "parent", &interface->parent, err);
	if (r == 0)
		r = read_mac(item, interface->mac, err);
	if (r == 0)
		r = config_read_unsigned(item, "mtu", 0, MTU_MAX, &interface->mtu, err);
	if (r == 0 && interface->mtu != 0 && interface->mtu < MTU_MIN)
		r = config_invalid(err, "mtu", "is below 68");
	interface->queues = 1;
	if (r == 0)
		r = config_read_unsigned(item, "queues", 1, SANDBOX_QUEUES_MAX, &interface->queues,
					 err);
	if (r == 0)
		r = read_addresses(item, interface, err);
	if (r == 0)
		r = json_read_bool(item, "dhcp", &interface->dhcp, err);
	if (r == 0)
		r = json_read_bool(item, "accept_ra", &interface->accept_ra, err);
	if (r == 0)
		r = json_read_string(item, "hostname", &interface->hostname, err);
	if (r == 0 && interface->hostname && strlen(interface->hostname) > HOSTNAME_LENGTH_MAX)
		r = config_invalid(err, "hostname", "has more than 253 characters");
	if (r == 0)
		r = config_read_path(item, "resolv_conf", false, &interface->resolv_conf, err);
	return r < 0 ? r : check_devices(interface, err);
}

static int read_port_number(const json_t *item, const char *key, uint16_t *target,
			    struct cay_error *err)
{
	unsigned int number = 0;
	int r = config_read_unsigned(item, key, 1, PORT_MAX, &number, err);

	if (r == 0 && number == 0)
		r = config_invalid(err, key, "is missing");
	*target = (uint16_t)number;
	return r;
}

static int read_protocol(const json_t *item, bool *ret_udp, struct cay_error *err)
{
	_cleanup_free_ char *protocol = NULL;
	int r = json_read_string(item, "protocol", &protocol, err);

	if (r < 0)
		return r;
	if (!protocol || (strcmp(protocol, "tcp") != 0 && strcmp(protocol, "udp") != 0))
		return config_invalid(err, "protocol", "is neither \"tcp\" nor \"udp\"");
	*ret_udp = strcmp(protocol, "udp") == 0;
	return 0;
}

static int read_port(const json_t *item, void *target, struct cay_error *err)
{
	struct sandbox_port *port = target;
	int r = read_protocol(item, &port->udp, err);

	if (r == 0)
		r = json_read_string(item, "host_address", &port->host_address, err);
	if (r == 0 && (!port->host_address || address_family(port->host_address) == 0))
		r = config_invalid(err, "host_address", "is not an address");
	if (r == 0)
		r = json_read_string(item, "container_address", &port->container_address, err);
	if (r == 0 && port->container_address && address_family(port->container_address) == 0)
		r = config_invalid(err, "container_address", "is not an address");
	if (r == 0)
		r = read_port_number(item, "host_port", &port->host_port, err);
	if (r == 0)
		r = read_port_number(item, "container_port", &port->container_port, err);
	return r;
}

/* The guest knows its cards by their addresses. */
static int check_unique_macs(const struct sandbox_config *config, struct cay_error *err)
{
	for (size_t i = 0; i < config->interface_count; i++)
		for (size_t j = 0; j < i; j++)
			if (memcmp(config->interfaces[i].mac, config->interfaces[j].mac,
				   SANDBOX_MAC_SIZE) == 0)
				return config_invalid(err, "interfaces", "two have the same mac");
	return 0;
}

/* What a guest says of its own address is no place for the host to send connections to. */
static int check_ports(const struct sandbox_config *config, struct cay_error *err)
{
	bool by_passt = false;

	for (size_t i = 0; i < config->interface_count; i++)
		by_passt = by_passt || config->interfaces[i].kind == SANDBOX_PASST;
	for (size_t i = 0; i < config->port_count && !by_passt; i++)
		if (!config->ports[i].container_address)
			return config_invalid(err, "ports", "one has no container_address");
	return 0;
}

int config_read_network(const json_t *root, struct sandbox_config *config, struct cay_error *err)
{
	void *interfaces = NULL, *ports = NULL;
	int r = config_read_items(root, "interfaces", VMM_NICS_MAX, sizeof(*config->interfaces),
				  read_interface, &interfaces, &config->interface_count, err);

	config->interfaces = interfaces;
	if (r == 0)
		r = config_read_items(root, "ports", SANDBOX_PORTS_MAX, sizeof(*config->ports),
				      read_port, &ports, &config->port_count, err);
	config->ports = ports;
	if (r == 0)
		r = check_unique_macs(config, err);
	if (r == 0)
		r = check_ports(config, err);
	if (r == 0 &&
	    config->interface_count > cmdline_nics_max(config->disk_count, config->share_count > 0))
		r = config_invalid(err, "interfaces",
				   "there are more than disks and shares leave slots");
	return r;
}

static json_t *print_interface(const struct sandbox_interface *interface)
{
	json_t *object = json_object();
	const uint8_t *mac = interface->mac;
	char text[sizeof("00:00:00:00:00:00")];

	(void)snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		       mac[3], mac[4], mac[5]);
	json_set_string(object, "kind", kind_names[interface->kind]);
	config_set_optional(object, "device", interface->device);
	config_set_optional(object, "parent", interface->parent);
	json_set_string(object, "mac", text);
	json_set_int(object, "mtu", interface->mtu);
	json_set_int(object, "queues", interface->queues ? (int64_t)interface->queues : 1);
	json_set(object, "addresses", json_from_strv(&interface->addresses));
	json_set(object, "gateways", json_from_strv(&interface->gateways));
	json_set_bool(object, "dhcp", interface->dhcp);
	json_set_bool(object, "accept_ra", interface->accept_ra);
	config_set_optional(object, "hostname", interface->hostname);
	config_set_optional(object, "resolv_conf", interface->resolv_conf);
	return object;
}

static json_t *print_port(const struct sandbox_port *port)
{
	json_t *object = json_object();

	json_set_string(object, "protocol", port->udp ? "udp" : "tcp");
	json_set_string(object, "host_address", port->host_address);
	json_set_int(object, "host_port", port->host_port);
	config_set_optional(object, "container_address", port->container_address);
	json_set_int(object, "container_port", port->container_port);
	return object;
}

void config_print_network(const struct sandbox_config *config, json_t *root)
{
	json_t *interfaces = json_array(), *ports = json_array();

	for (size_t i = 0; i < config->interface_count; i++)
		config_append(interfaces, print_interface(&config->interfaces[i]));
	for (size_t i = 0; i < config->port_count; i++)
		config_append(ports, print_port(&config->ports[i]));
	json_set(root, "interfaces", interfaces);
	json_set(root, "ports", ports);
}

void config_network_done(struct sandbox_config *config)
{
	for (size_t i = 0; i < config->interface_count; i++) {
		struct sandbox_interface *interface = &config->interfaces[i];

		free(interface->device);
		free(interface->parent);
		strv_done(&interface->addresses);
		strv_done(&interface->gateways);
		free(interface->hostname);
		free(interface->resolv_conf);
	}
	for (size_t i = 0; i < config->port_count; i++) {
		free(config->ports[i].host_address);
		free(config->ports[i].container_address);
	}
	free(config->interfaces);
	free(config->ports);
}
