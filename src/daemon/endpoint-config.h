/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client asks of a container's place on one network: docker's
 * EndpointSettings, of a create or a connect request. Addresses are checked
 * for being addresses here, and for being possible by the network itself.
 */
#pragma once

#include "base/error.h"
#include "base/strv.h"
#include "net/address.h"

#include <jansson.h>

/* Networks that are always there, by docker's names. */
#define NETWORK_DEFAULT_NAME "bridge"
#define NETWORK_NONE_NAME    "none"
#define NETWORK_HOST_NAME    "host"

enum {
	ENDPOINT_ALIASES_MAX = 256,
	ENDPOINT_NAME_MAX = 255, /* of a network, and of an alias */
};

/* What there is one of for each family stands in arrays of this order. */
enum { NETWORK_IPV4, NETWORK_IPV6, NETWORK_FAMILIES };

struct endpoint_config {
	char *network; /* as the client names it; later the network's name */
	struct net_address addresses[NETWORK_FAMILIES]; /* unset where none was asked for */
	struct net_mac mac;                             /* all zero: none was asked for */
	struct strv aliases;
	int64_t gateway_priority; /* the highest has the default route */
	json_t *driver_options;   /* NULL: none */
};

/* `settings` may be NULL. What the client may not set is refused by name. */
int endpoint_config_parse(const char *network, const json_t *settings,
			  struct endpoint_config *ret_config, struct cay_error *err);
int endpoint_config_set_mac(struct endpoint_config *config, const char *text,
			    struct cay_error *err);
void endpoint_config_done(struct endpoint_config *config);
#define _cleanup_endpoint_config_ _cleanup_(endpoint_config_done)

/* As the database keeps it, docker's members again; the caller drops it. */
json_t *endpoint_config_to_json(const struct endpoint_config *config);
/* docker's IPAMConfig: an object, or null where no address was asked for. */
json_t *endpoint_config_ipam(const struct endpoint_config *config);
