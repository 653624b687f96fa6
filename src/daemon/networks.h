/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The networks of a daemon and the places of containers on them. A network is
 * a row of the database and, while it is ready, a bridge with the gateways'
 * addresses, its rules in the firewall and the name server on its gateways. An
 * endpoint is a container's place on a network: it is there as long as the
 * container is connected, keeps its addresses across stop and start, and is
 * active while the container runs.
 *
 * All functions may be called from any thread. Those with an error argument
 * may block for the kernel and the disk.
 */
#pragma once

#include "base/id.h"
#include "daemon/container.h"
#include "daemon/network-spec.h"

struct networks;

struct network {
	/* Fixed from the start; the spec's pools are chosen before anyone sees it. */
	char id[ID_SIZE];
	int64_t created_ns;
	struct network_spec spec;
	bool predefined; /* "bridge", "none", "host": can't be removed */

	unsigned int references; /* atomic */

	/* Under the table's lock. */
	bool ready;                                /* its bridge, rules and names are there */
	bool has_names;                            /* the name server answers on its gateways */
	bool removed;                              /* only holders of a reference still see it */
	struct net_address next[NETWORK_FAMILIES]; /* where the search for free ones begins */
};

struct network *network_ref(struct network *network);
void network_unref(struct network *network);
DEFINE_CLEANUP(struct network *, network_unref);
#define _cleanup_network_ _cleanup_(network_unref_p)

struct endpoint {
	/* Fixed from the start. */
	struct container *container; /* a reference */
	char id[ID_SIZE];
	int position; /* the container's first network has the lowest */

	/* Under the table's lock. */
	struct endpoint_config config; /* what was asked for */
	char *container_name;
	struct net_mac mac;
	struct net_mac card_mac; /* what its card was started with: another one's that was free */
	struct net_address addresses[NETWORK_FAMILIES]; /* unset: none, or not yet */
	bool active;                                    /* the container runs and has it */
	char device[IFNAMSIZ];                          /* the host's end of its card; "": passt */
	/* Of an active one whose addresses the LAN gives. */
	struct net_prefix leases[NETWORK_FAMILIES];
	struct net_address lease_gateway;
};

/*
 * Reads the database and makes what is missing of bridges; the default network is made at the first
 * time, and where that fails, at the next start on it. Without the privileges for it there is only
 * that one, which passt serves.
 */
int networks_open(struct daemon *daemon, struct networks **ret_networks, struct cay_error *err);
/* After the running containers were taken up: loads the firewall's rules, removes others' rests. */
int networks_start(struct networks *networks, struct cay_error *err);
/* Networks stay: containers run on. NULL is allowed. */
void networks_free(struct networks *networks);

/* Why containers have less of a network than they could, in one line; NULL: they have all of it. */
const char *networks_lack(struct networks *networks);

/* By name, by id, by unambiguous beginning of an id. *ret_network is a reference of the caller's.
 */
int networks_find(struct networks *networks, const char *name, struct network **ret_network,
		  struct cay_error *err);

/* References to all, oldest first; freed with network_list_done(). */
struct network_list {
	struct network **items;
	size_t count;
};
void networks_list(struct networks *networks, struct network_list *ret_list);
void network_list_done(struct network_list *list);
#define _cleanup_network_list_ _cleanup_(network_list_done)

/* From docker's create body; on failure nothing is left. */
int networks_create(struct networks *networks, const json_t *body, struct network **ret_network,
		    struct cay_error *err);
/* One with running containers on it is refused. */
int networks_remove(struct networks *networks, struct network *network, struct cay_error *err);

/*
 * Calls `each` with the table's lock held for the endpoints of a container or of a network, or of
 * both (NULL: any), in order of their positions. `network` of the call is NULL where the network of
 * that name is gone.
 */
void networks_each_endpoint(struct networks *networks, const struct container *container,
			    const struct network *network,
			    void (*each)(const struct endpoint *endpoint,
					 const struct network *network, void *user),
			    void *user);
/* The number of containers on it, all or those that run. */
size_t networks_count_containers(struct networks *networks, const struct network *network,
				 bool running);

/* ---- containers ---- */

/*
 * Gives a new container its places, as its request says; nothing is stored. Names in the request
 * are resolved.
 */
int networks_add_container(struct networks *networks, struct container *container,
			   struct cay_error *err);
/* Warns of a new container's published ports that will lead nowhere. */
void networks_warn_ports(struct networks *networks, const struct container *container,
			 struct strv *warnings);
/* All containers' places from the database. Damaged rows are logged and left out. */
int networks_load_endpoints(struct networks *networks, struct cay_error *err);
/* Writes the container's row with its endpoints; the first thing that makes it last. */
struct database_container;
int networks_store_container(struct networks *networks, const struct container *container,
			     const struct database_container *row, struct cay_error *err);
/* Drops its endpoints from memory; the rows go with the container's. */
void networks_forget_container(struct networks *networks, const struct container *container);
void networks_rename_container(struct networks *networks, const struct container *container,
			       const char *name);

/* Connects or disconnects a container, also a running one. `config` is taken over. */
int networks_connect(struct networks *networks, struct network *network,
		     struct container *container, struct endpoint_config *config,
		     struct cay_error *err);
/* `network` is the name as the client gave it: it may be that of one that is gone. */
int networks_disconnect(struct networks *networks, const char *network, struct container *container,
			struct cay_error *err);
