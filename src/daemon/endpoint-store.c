/* SPDX-License-Identifier: Apache-2.0 */
/* Containers' places on networks as the database keeps them. */
#include "daemon/networks-internal.h"

#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/containers.h"
#include "daemon/daemon.h"
#include "daemon/database.h"

#include <errno.h>
#include <string.h>

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
