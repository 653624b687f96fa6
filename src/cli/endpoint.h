/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked for about one container on one network: an EndpointSettings
 * object of the Engine API, from the words of --network's long form, which are
 * also those of the options of "network connect".
 */
#pragma once

#include "base/error.h"
#include "base/json.h"

/*
 * Sets `field` ("alias", "driver-opt", "gw-priority", "ip", "ip6", "mac-address"), or adds to it
 * where it is a list. CAY_INVALID, naming `option`, for a value that is none and an unknown field.
 */
int endpoint_set(json_t *endpoint, const char *field, const char *text, const char *option,
		 struct cay_error *err);
/* Whether that field, which must be one of those above, was set. */
bool endpoint_has(const json_t *endpoint, const char *field);
/* --link, which there is nothing for: CAY_UNSUPPORTED with what to do instead. */
int endpoint_refuse_link(struct cay_error *err);
