/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a network is: docker's create request for one, checked whole, and the
 * same as the database keeps it. Subnets that the client leaves open are not
 * chosen here.
 */
#pragma once

#include "base/error.h"
#include "daemon/endpoint-config.h"
#include "net/address.h"

#include <jansson.h>
#include <net/if.h>
#include <stdbool.h>

/* Limits on foreign bytes. */
enum {
	NETWORK_OPTIONS_MAX = 256, /* and labels, and auxiliary addresses */
	NETWORK_MTU_MIN = 1280,    /* IPv6's least */
	NETWORK_MTU_MAX = 65520,
};

enum network_driver {
	NETWORK_BRIDGE,
	NETWORK_LAN,  /* containers on the physical network, as macvtaps on one of its links */
	NETWORK_NULL, /* the network "none" */
	NETWORK_HOST, /* shown for the clients' sake */
	NETWORK_DRIVER_COUNT,
};

/* One family's addresses. */
struct network_pool {
	struct net_prefix subnet;   /* unset: not chosen yet, or none */
	struct net_prefix range;    /* of containers' addresses that nobody asks for; unset: all */
	struct net_address gateway; /* unset: not chosen yet, or none */
	json_t *reserved; /* docker's AuxiliaryAddresses: names to addresses; NULL: none */
};

struct network_spec {
	char *name;
	enum network_driver driver;
	bool internal, attachable;
	bool families[NETWORK_FAMILIES]; /* which it has, or shall get */
	json_t *options, *labels;        /* objects of strings, as the client gave them */
	json_t *ipam_options;            /* the same, or NULL */
	struct network_pool pools[NETWORK_FAMILIES];
	/* Out of the options. */
	char link[IFNAMSIZ]; /* the bridge, or a LAN network's parent; "": to be named by the id */
	uint32_t mtu;        /* 0: the default */
	bool no_masquerade, metadata;
};

const char *network_driver_name(enum network_driver driver);

/* Checks the body of a create request. */
int network_spec_parse(const json_t *body, struct network_spec *ret_spec, struct cay_error *err);
void network_spec_done(struct network_spec *spec);
#define _cleanup_network_spec_ _cleanup_(network_spec_done)

/*
 * As docker shows it: Driver, EnableIPv4, EnableIPv6, IPAM, Internal, Attachable, Options, Labels,
 * and Name. network_spec_parse() reads the same back, so the database keeps this.
 */
void network_spec_to_json(const struct network_spec *spec, json_t *object);

/* Whether containers on it get addresses that this daemon chooses. */
bool network_spec_has_addresses(const struct network_spec *spec);
