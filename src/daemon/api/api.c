/* SPDX-License-Identifier: Apache-2.0 */
/* The list of route tables. */
#include "daemon/api/api.h"

const struct http_route *const api_tables[API_TABLE_COUNT] = {
	api_system_routes,         api_events_routes,        api_images_routes,
	api_image_transfer_routes, api_image_archive_routes, api_image_push_routes,
	api_registry_routes,       api_containers_routes,    api_commit_routes,
	api_exec_routes,           api_networks_routes,      api_volumes_routes,
	api_templates_routes,      api_cay_routes,           api_absent_routes,
};
