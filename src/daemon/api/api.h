/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public API: the Docker Engine API's routes, one table for each resource.
 * A table ends with a row whose method is NULL.
 */
#pragma once

#include "daemon/http.h"

/* The versions of the Docker Engine API that paths may name. */
enum { API_MAJOR = 1, API_MINOR = 47, API_MINOR_MIN = 24 };
#define API_VERSION     "1.47"
#define API_VERSION_MIN "1.24"

extern const struct http_route api_system_routes[];
extern const struct http_route api_events_routes[];
extern const struct http_route api_images_routes[];
extern const struct http_route api_image_transfer_routes[];
extern const struct http_route api_image_archive_routes[];
extern const struct http_route api_image_push_routes[];
extern const struct http_route api_registry_routes[]; /* logins, what registries hold */
extern const struct http_route api_containers_routes[];
extern const struct http_route api_commit_routes[]; /* images made of containers */
extern const struct http_route api_exec_routes[];
extern const struct http_route api_networks_routes[];
extern const struct http_route api_volumes_routes[];
extern const struct http_route api_templates_routes[];
extern const struct http_route api_cay_routes[];    /* what docker's API has no words for */
extern const struct http_route api_absent_routes[]; /* what cay does not have */

/* All of the above, for http_server_start(). */
enum { API_TABLE_COUNT = 15 };
extern const struct http_route *const api_tables[API_TABLE_COUNT];
