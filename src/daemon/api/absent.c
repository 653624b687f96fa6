/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of the Docker Engine API that cay does not have, answered with 501 and
 * a word on what is missing, so that a person with docker's CLI learns it is
 * not a mistake of theirs.
 */
#include "daemon/api/api.h"

#include <errno.h>

#define DEFINE_ABSENT(name, text) \
	static int name(struct daemon *daemon, struct http_request *request, \
			struct cay_error *err) \
	{ \
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP, "cay " CAY_VERSION " " text); \
	}

DEFINE_ABSENT(no_builds, "does not build images")
DEFINE_ABSENT(no_search,
	      "does not search: registries have no common way to be asked; look on the "
	      "registry's own site and pull by name")
DEFINE_ABSENT(no_swarm, "has no swarms")
DEFINE_ABSENT(no_plugins, "has no plugins")

const struct http_route api_absent_routes[] = {
	{ "POST", "/build", no_builds, .raw_body = true },
	{ "POST", "/build/prune", no_builds },
	{ "POST", "/session", no_builds },
	{ "POST", "/grpc", no_builds },
	{ "GET", "/images/search", no_search },
	{ "GET", "/swarm", no_swarm },
	{ "POST", "/swarm/init", no_swarm },
	{ "POST", "/swarm/join", no_swarm },
	{ "GET", "/nodes", no_swarm },
	{ "GET", "/services", no_swarm },
	{ "GET", "/tasks", no_swarm },
	{ "GET", "/secrets", no_swarm },
	{ "GET", "/configs", no_swarm },
	{ "GET", "/plugins", no_plugins },
	{},
};
