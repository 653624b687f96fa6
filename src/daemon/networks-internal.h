/* SPDX-License-Identifier: Apache-2.0 */
/* What the files about networks share. */
#pragma once

#include "daemon/networks.h"
#include "net/firewall.h"

#include <pthread.h>

struct dns_server;
struct placement;

struct networks {
	struct daemon *daemon;
	char tag[FIREWALL_TAG_LENGTH + 1]; /* of this root, in names on the host */
	char owner[32];                    /* of its bridges: "cay_<tag>" */
	bool privileged;                   /* may make links and rules */
	bool started; /* running containers were taken up, so it is known what is in use */
	struct net_prefix ula;
	struct firewall *firewall;
	struct dns_server *dns;

	/* Held while networks or running containers' cards change; taken before the other. */
	pthread_mutex_t work;
	pthread_mutex_t lock;   /* guards what follows; held for moments */
	struct network **items; /* oldest first */
	size_t count;
	struct endpoint **endpoints;
	size_t endpoint_count;
	struct placement **placements; /* see placement.h */
	size_t placement_count;
};

/*
 * Waits for what is left of containers that have ended, since clients may start the next one at
 * once; without any lock. True where there was one.
 */
bool networks_wait_ended(struct networks *networks);

/* networks.c */
/* Reads the database's networks and adds those that are always there. */
int networks_load(struct networks *networks, struct cay_error *err);
/* With the lock held: by exact name, borrowed. */
struct network *networks_by_name(const struct networks *networks, const char *name);
void networks_emit(struct networks *networks, const struct network *network, const char *action,
		   const struct container *container);

/*
 * With `work` held: a default network that can't be raised as it is gives way to a new one, where
 * no running container is on it. Every start on it tries that.
 */
int networks_ensure_default(struct networks *networks, struct cay_error *err);

/* network-link.c */
/* Without it no bridge can have an IPv6 subnet. */
bool networks_host_has_ipv6(void);
/*
 * With `work` held: chooses what the network's pools leave open and makes the bridge; until the
 * bridge is there no other daemon on the host chooses. On failure nothing is left.
 */
int network_settle(struct networks *networks, struct network *network, struct cay_error *err);
/*
 * With `work` held: bridge, firewall, names; nothing to do for one that is ready. One whose bridge
 * is not there must not overlap with what the host has by now.
 */
int network_raise(struct networks *networks, struct network *network, struct cay_error *err);
/* With `work` held: takes all of it away again; failures are logged. */
void network_lower(struct networks *networks, struct network *network);
/* Removes what an earlier daemon of this root left: bridges and macvtaps that nobody uses. */
void networks_clear_rests(struct networks *networks);

/* endpoint-address.c; both with the lock held */
/* The address that was asked for. A stopped container gives it up; it gets another at its start. */
int endpoint_take_asked(struct networks *networks, const struct network *network,
			struct endpoint *endpoint, unsigned int family, struct cay_error *err);
/*
 * Gives an endpoint the addresses that it has not got yet. Addresses of containers that do not run
 * are taken away from these when there is no other or when one was asked for by number.
 * *ret_changed: it has others than before.
 */
int endpoint_allocate(struct networks *networks, struct network *network, struct endpoint *endpoint,
		      bool *ret_changed, struct cay_error *err);

/* endpoints.c */
/* With the lock held: the container's endpoints in the order of their positions; the caller frees
 * the array. */
struct endpoint **endpoints_of(const struct networks *networks, const struct container *container,
			       size_t *ret_count);
bool endpoint_is_on(const struct endpoint *endpoint, const struct network *network);
/* This one and networks_insert_endpoint() take the container's lock, too, for its name. */
struct endpoint *endpoint_new(struct container *container, const struct network *network,
			      struct endpoint_config *config, int position);
/* With the lock held: its container has no card on the network any more. */
void endpoint_deactivate(struct endpoint *endpoint);
void endpoint_free(struct endpoint *endpoint);
DEFINE_CLEANUP(struct endpoint *, endpoint_free);
void networks_insert_endpoint(struct networks *networks, struct endpoint *endpoint);
/* Takes it out of the table and frees it. */
void networks_drop_endpoint(struct networks *networks, struct endpoint *endpoint);
/* endpoint-store.c */
int endpoint_store(struct networks *networks, const struct endpoint *endpoint,
		   struct cay_error *err);

/* network-names.c */
struct dns_names;
extern const struct dns_names network_names;
