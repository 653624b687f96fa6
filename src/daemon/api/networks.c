/* SPDX-License-Identifier: Apache-2.0 */
/* The Engine API's networks. */
#include "daemon/networks.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/api/containers.h"
#include "daemon/api/network-json.h"
#include "daemon/containers.h"
#include "daemon/filters.h"

#include <errno.h>
#include <string.h>

/* ---- list ---- */

static const char *type_of(const struct network *network)
{
	return network->predefined ? "builtin" : "custom";
}

/* "dangling": nothing is connected to it that runs; docker's own are never. */
static bool is_dangling(struct networks *networks, const struct network *network)
{
	return !network->predefined && networks_count_containers(networks, network, true) == 0;
}

static bool passes(struct networks *networks, const struct network *network,
		   const struct filters *filters, const bool *dangling)
{
	return filters_match_prefix(filters, "id", network->id) &&
		filters_match_regex(filters, "name", network->spec.name) &&
		filters_match(filters, "driver", network_driver_name(network->spec.driver)) &&
		filters_match(filters, "type", type_of(network)) &&
		filters_match(filters, "scope", "local") &&
		filters_match_labels(filters, "label", network->spec.labels) &&
		(!dangling || *dangling == is_dangling(networks, network));
}

static int check_types(const struct filters *filters, struct cay_error *err)
{
	const struct strv *types = filters_get(filters, "type");

	for (size_t i = 0; types && i < types->count; i++)
		if (strcmp(types->items[i], "builtin") != 0 &&
		    strcmp(types->items[i], "custom") != 0)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "invalid filter 'type=%.64s': there are \"builtin\" "
					     "and \"custom\"",
					     types->items[i]);
	return 0;
}

static int list(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	static const char *const keys[] = { "dangling", "driver", "id",   "label",
					    "name",     "scope",  "type", NULL };
	_cleanup_filters_ struct filters filters = { 0 };
	_cleanup_network_list_ struct network_list all = { 0 };
	bool dangling = false;
	json_t *array;
	int r = filters_parse(http_query(request, "filters"), keys, &filters, err);

	if (r == 0)
		r = filters_get_bool(&filters, "dangling", &dangling, err);
	if (r == 0)
		r = check_types(&filters, err);
	if (r < 0)
		return r;
	array = json_array();
	networks_list(daemon->networks, &all);
	for (size_t i = 0; i < all.count; i++)
		if (passes(daemon->networks, all.items[i], &filters,
			   filters_get(&filters, "dangling") ? &dangling : NULL))
			(void)json_array_append_new(
				array, api_network_json(daemon->networks, all.items[i], false));
	return http_reply_json(request, 200, array);
}

/* ---- one ---- */

static int find(struct daemon *daemon, const struct http_request *request,
		struct network **ret_network, struct cay_error *err)
{
	return networks_find(daemon->networks, http_param(request, 0), ret_network, err);
}

static int inspect(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_network_ struct network *network = NULL;
	const char *scope = http_query(request, "scope");
	int r = find(daemon, request, &network, err);

	if (r < 0)
		return r;
	if (scope && scope[0] != '\0' && strcmp(scope, "local") != 0)
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "network %s not found",
				     http_param(request, 0));
	return http_reply_json(request, 200, api_network_json(daemon->networks, network, true));
}

static int create(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_network_ struct network *network = NULL;
	json_t *body = NULL;
	int r = http_body_json(request, &body, err);

	if (r == 0 && !body)
		r = cay_error_set(err, CAY_INVALID, EINVAL, "the request has no body");
	if (r == 0)
		r = networks_create(daemon->networks, body, &network, err);
	if (r < 0)
		return r;
	return http_reply_json(request, 201,
			       json_pack("{s:s, s:s}", "Id", network->id, "Warning", ""));
}

static int remove_network(struct daemon *daemon, struct http_request *request,
			  struct cay_error *err)
{
	_cleanup_network_ struct network *network = NULL;
	int r = find(daemon, request, &network, err);

	if (r == 0)
		r = networks_remove(daemon->networks, network, err);
	return r < 0 ? r : http_reply_empty(request, 204);
}

static int prune(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	static const char *const keys[] = { "label", "label!", "until", NULL };
	_cleanup_filters_ struct filters filters = { 0 };
	_cleanup_network_list_ struct network_list all = { 0 };
	int64_t until_ns = INT64_MAX;
	json_t *deleted;
	int r = filters_parse(http_query(request, "filters"), keys, &filters, err);

	if (r == 0)
		r = api_read_until(&filters, &until_ns, err);
	if (r < 0)
		return r;
	deleted = json_array();
	networks_list(daemon->networks, &all);
	for (size_t i = 0; i < all.count; i++) {
		struct network *network = all.items[i];
		struct cay_error ignored; /* one that came into use meanwhile stays */

		if (network->predefined || network->created_ns >= until_ns ||
		    networks_count_containers(daemon->networks, network, false) > 0 ||
		    !filters_match_labels(&filters, "label", network->spec.labels) ||
		    !filters_miss_labels(&filters, "label!", network->spec.labels) ||
		    networks_remove(daemon->networks, network, &ignored) < 0)
			continue;
		(void)json_array_append_new(deleted, json_string(network->spec.name));
	}
	return http_reply_json(request, 200, json_pack("{s:o}", "NetworksDeleted", deleted));
}

/* ---- connect and disconnect ---- */

static int read_container(struct daemon *daemon, struct http_request *request, json_t **ret_body,
			  struct container **ret_container, struct cay_error *err)
{
	const char *name;
	int r = http_body_json(request, ret_body, err);

	if (r < 0)
		return r;
	name = json_string_value(json_object_get(*ret_body, "Container"));
	if (!name || name[0] == '\0')
		return cay_error_set(err, CAY_INVALID, EINVAL, "no container was named");
	return containers_find(daemon->containers, name, ret_container, err);
}

static int connect_container(struct daemon *daemon, struct http_request *request,
			     struct cay_error *err)
{
	_cleanup_network_ struct network *network = NULL;
	_cleanup_container_ struct container *container = NULL;
	_cleanup_endpoint_config_ struct endpoint_config config = { 0 };
	json_t *body = NULL, *settings = NULL;
	int r = find(daemon, request, &network, err);

	if (r == 0)
		r = read_container(daemon, request, &body, &container, err);
	if (r == 0)
		r = json_read_object(body, "EndpointConfig", &settings, err);
	if (r == 0)
		r = endpoint_config_parse(network->spec.name, settings, &config, err);
	if (r == 0)
		r = networks_connect(daemon->networks, network, container, &config, err);
	return r < 0 ? r : http_reply_empty(request, 200);
}

static int disconnect_container(struct daemon *daemon, struct http_request *request,
				struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	json_t *body = NULL;
	int r = read_container(daemon, request, &body, &container, err);

	if (r == 0)
		r = networks_disconnect(daemon->networks, http_param(request, 0), container, err);
	return r < 0 ? r : http_reply_empty(request, 200);
}

const struct http_route api_networks_routes[] = {
	{ "GET", "/networks", list },
	{ "POST", "/networks/create", create },
	{ "POST", "/networks/prune", prune },
	{ "GET", "/networks/*", inspect },
	{ "DELETE", "/networks/*", remove_network },
	{ "POST", "/networks/*/connect", connect_container },
	{ "POST", "/networks/*/disconnect", disconnect_container },
	{ 0 },
};
