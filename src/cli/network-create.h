/* SPDX-License-Identifier: Apache-2.0 */
/* The request to create a network. */
#pragma once

#include "base/json.h"
#include "cli/options.h"

/*
 * The body of POST /networks/create ("NetworkCreate" in the Engine API) from the options of
 * "network create". Gateways, ranges and auxiliary addresses go to the subnet they lie in. The
 * caller drops *ret_body; errors are CAY_INVALID and name the option.
 */
int network_create_build(const struct options *options, const char *name, json_t **ret_body,
			 struct cay_error *err);
