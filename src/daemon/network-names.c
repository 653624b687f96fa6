/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the name server knows of containers. A container that runs is known on
 * each of its networks by its name, its aliases, the beginning of its id and
 * its host name; with the network's name behind a dot, and ".cay" behind that;
 * and, on the default network, with ".cay" alone. Who asks sees the networks
 * that it is on itself; the host sees all, by names that end in ".cay".
 */
#include "daemon/networks-internal.h"

#include "base/alloc.h"
#include "daemon/spec.h"
#include "net/dns-server.h"

#include <string.h>
#include <strings.h>

/* ---- who asks; all with the lock held ---- */

static const struct network *find_network(const struct networks *networks, const char *id)
{
	for (size_t i = 0; i < networks->count; i++)
		if (strcmp(networks->items[i]->id, id) == 0)
			return networks->items[i];
	return NULL;
}

static bool has_address(const struct endpoint *endpoint, const struct net_address *address)
{
	for (size_t i = 0; i < NETWORK_FAMILIES; i++)
		if (net_address_equal(&endpoint->addresses[i], address) ||
		    (net_address_is_set(&endpoint->leases[i].address) &&
		     net_address_equal(&endpoint->leases[i].address, address)))
			return true;
	return false;
}

static bool has_link_local(const struct endpoint *endpoint, const struct net_address *address)
{
	struct net_address own = net_mac_link_local(&endpoint->mac);

	return net_address_equal(&own, address);
}

static const struct endpoint *find_client(const struct networks *networks,
					  const struct dns_client *client)
{
	const struct network *network = find_network(networks, client->network);

	for (size_t i = 0; network && i < networks->endpoint_count; i++) {
		const struct endpoint *endpoint = networks->endpoints[i];

		if (endpoint->active && strcmp(endpoint->config.network, network->spec.name) == 0 &&
		    (has_address(endpoint, client->address) ||
		     has_link_local(endpoint, client->address)))
			return endpoint;
	}
	return NULL;
}

/* ---- names ---- */

/* Whether `name` is "OWN", "OWN.NETWORK", … as the client may say it. */
static bool is_name(const char *own, const struct network *network, const char *name, bool host)
{
	size_t length = strlen(own), network_length = strlen(network->spec.name);
	const char *rest = name + length;

	if (length == 0 || strncasecmp(name, own, length) != 0)
		return false;
	if (*rest == '\0')
		return !host;
	if (strcmp(rest, ".cay") == 0 && strcmp(network->spec.name, NETWORK_DEFAULT_NAME) == 0)
		return true;
	if (*rest != '.' || strncasecmp(rest + 1, network->spec.name, network_length) != 0)
		return false;
	rest += 1 + network_length;
	return strcmp(rest, ".cay") == 0 || (*rest == '\0' && !host);
}

static bool answers_to(const struct endpoint *endpoint, const struct network *network,
		       const char *name, bool host)
{
	const struct request *request = endpoint->container->request;
	char short_id[ID_SHORT_LENGTH + 1];

	(void)snprintf(short_id, sizeof(short_id), "%.*s", ID_SHORT_LENGTH,
		       endpoint->container->id);
	for (size_t i = 0; i < endpoint->config.aliases.count; i++)
		if (is_name(endpoint->config.aliases.items[i], network, name, host))
			return true;
	return is_name(endpoint->container_name, network, name, host) ||
		is_name(short_id, network, name, host) ||
		is_name(request->hostname, network, name, host);
}

static bool shares_network(const struct networks *networks, const struct container *container,
			   const struct network *network)
{
	for (size_t i = 0; i < networks->endpoint_count; i++)
		if (networks->endpoints[i]->active &&
		    networks->endpoints[i]->container == container &&
		    strcmp(networks->endpoints[i]->config.network, network->spec.name) == 0)
			return true;
	return false;
}

static void add_addresses(const struct endpoint *endpoint, struct dns_addresses *list)
{
	for (size_t i = 0; i < NETWORK_FAMILIES; i++) {
		if (net_address_is_set(&endpoint->addresses[i]))
			dns_addresses_add(list, &endpoint->addresses[i]);
		else if (net_address_is_set(&endpoint->leases[i].address))
			dns_addresses_add(list, &endpoint->leases[i].address);
	}
}

/*
 * A name that nobody has is asked for outside, also under a network's name: a network may be called
 * "dev" or "net", and others' names end so too. Under ".cay" the server lets nothing out.
 */
static enum dns_verdict lookup(void *user, const struct dns_client *client, const char *name,
			       struct dns_addresses *ret_addresses)
{
	struct networks *networks = user;
	const struct endpoint *asker;
	enum dns_verdict verdict = DNS_NOT_OURS;

	(void)pthread_mutex_lock(&networks->lock);
	asker = client->host ? NULL : find_client(networks, client);
	for (size_t i = 0; i < networks->endpoint_count; i++) {
		const struct endpoint *endpoint = networks->endpoints[i];
		const struct network *network =
			networks_by_name(networks, endpoint->config.network);

		if (!endpoint->active || !network ||
		    !answers_to(endpoint, network, name, client->host) ||
		    (!client->host &&
		     (!asker || !shares_network(networks, asker->container, network))))
			continue;
		add_addresses(endpoint, ret_addresses);
		verdict = DNS_FOUND;
	}
	(void)pthread_mutex_unlock(&networks->lock);
	return verdict;
}

static void put_reverse(const struct endpoint *endpoint, bool host,
			char ret_name[DNS_NAME_TEXT_MAX])
{
	bool is_default = strcmp(endpoint->config.network, NETWORK_DEFAULT_NAME) == 0;

	(void)snprintf(ret_name, DNS_NAME_TEXT_MAX, "%s%s%s%s", endpoint->container_name,
		       host && is_default ? "" : ".",
		       host && is_default ? "" : endpoint->config.network, host ? ".cay" : "");
}

static enum dns_verdict reverse(void *user, const struct dns_client *client,
				const struct net_address *address, char ret_name[DNS_NAME_TEXT_MAX])
{
	struct networks *networks = user;
	enum dns_verdict verdict = DNS_NOT_OURS;
	const struct endpoint *asker;

	(void)pthread_mutex_lock(&networks->lock);
	asker = client->host ? NULL : find_client(networks, client);
	for (size_t i = 0; i < networks->count && verdict == DNS_NOT_OURS; i++)
		for (size_t j = 0; j < NETWORK_FAMILIES; j++) {
			const struct net_prefix *subnet = &networks->items[i]->spec.pools[j].subnet;

			if (net_address_is_set(&subnet->address) &&
			    networks->items[i]->spec.driver == NETWORK_BRIDGE &&
			    net_prefix_contains(subnet, address))
				verdict = DNS_ABSENT;
		}
	for (size_t i = 0; i < networks->endpoint_count; i++) {
		const struct endpoint *endpoint = networks->endpoints[i];
		const struct network *network =
			networks_by_name(networks, endpoint->config.network);

		if (!endpoint->active || !network || !has_address(endpoint, address) ||
		    (!client->host &&
		     (!asker || !shares_network(networks, asker->container, network))))
			continue;
		put_reverse(endpoint, client->host, ret_name);
		verdict = DNS_FOUND;
		break;
	}
	(void)pthread_mutex_unlock(&networks->lock);
	return verdict;
}

/* ---- where other questions go ---- */

/* A container may ask outside if one of its networks leads there. */
static bool may_ask_outside(const struct networks *networks, const struct endpoint *asker)
{
	for (size_t i = 0; i < networks->endpoint_count; i++) {
		const struct endpoint *endpoint = networks->endpoints[i];
		const struct network *network =
			networks_by_name(networks, endpoint->config.network);

		if (endpoint->active && endpoint->container == asker->container && network &&
		    !network->spec.internal)
			return true;
	}
	return false;
}

static enum dns_forwarding upstreams(void *user, const struct dns_client *client,
				     struct dns_upstreams *ret_servers)
{
	struct networks *networks = user;
	const struct endpoint *asker;
	enum dns_forwarding where = DNS_FORWARD_NEVER;

	(void)pthread_mutex_lock(&networks->lock);
	asker = find_client(networks, client);
	if (asker && may_ask_outside(networks, asker)) {
		const struct strv *dns = &asker->container->request->dns;

		where = DNS_FORWARD_HOST;
		for (size_t i = 0; i < dns->count && ret_servers->count < DNS_UPSTREAMS_MAX; i++) {
			struct dns_endpoint *server = &ret_servers->items[ret_servers->count];
			struct cay_error ignored; /* told when the container was made */

			if (dns_endpoint_parse(dns->items[i], server, &ignored) < 0)
				continue;
			ret_servers->count++;
			where = DNS_FORWARD_LIST;
		}
	}
	(void)pthread_mutex_unlock(&networks->lock);
	return where;
}

const struct dns_names network_names = {
	.lookup = lookup,
	.reverse = reverse,
	.upstreams = upstreams,
};
