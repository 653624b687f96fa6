/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of reading a network's description share. */
#pragma once

#include "daemon/network-spec.h"

/* An object of strings; a new, empty one where it is absent. */
int network_spec_read_map(const json_t *object, const char *key, json_t **ret_map,
			  struct cay_error *err);
/* network-spec-options.c: Options and Labels, once the driver is known. */
int network_spec_read_options(const json_t *body, struct network_spec *spec, struct cay_error *err);
