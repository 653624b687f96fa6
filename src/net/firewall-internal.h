/* SPDX-License-Identifier: Apache-2.0 */
/* What the firewall's files share: what is known, and how it is written as nftables text. */
#pragma once

#include "base/buf.h"
#include "base/strv.h"
#include "net/firewall.h"

#include <libmnl/libmnl.h>
#include <nftables/libnftables.h>
#include <pthread.h>

enum { FIREWALL_PROTECTED_MAX = 16 };

/* What the firewall knows; all rules are a function of this. */
struct firewall_state {
	char table[4 + FIREWALL_TAG_LENGTH + 1]; /* "cay_0badcafe" */
	struct net_network *networks;
	size_t network_count;
	struct net_endpoint *endpoints; /* each owns its ports */
	size_t endpoint_count;
	/* The host's and the routers' addresses on the parents of LAN networks. */
	struct net_address protected[FIREWALL_PROTECTED_MAX];
	size_t protected_count;
};

void firewall_state_done(struct firewall_state *state);
/* Pointers into the state, good until it changes; NULL where there is none. */
struct net_network *firewall_state_network(const struct firewall_state *state, const char *link);
struct net_endpoint *firewall_state_endpoint(const struct firewall_state *state, const char *link);
/* Copies; what was there under this link is replaced. */
void firewall_state_put_network(struct firewall_state *state, const struct net_network *network);
void firewall_state_put_endpoint(struct firewall_state *state, const struct net_endpoint *endpoint);
void firewall_state_drop_network(struct firewall_state *state, const char *link);
void firewall_state_drop_endpoint(struct firewall_state *state, const char *link);
/* Whether all of it can be: fails as firewall_add_endpoint() does. */
int firewall_state_check_endpoint(const struct firewall_state *state,
				  const struct net_endpoint *endpoint, struct cay_error *err);

/* Everything, as a transaction that replaces what the kernel has of these tables. */
void firewall_render(const struct firewall_state *state, struct buf *out);
/* Takes the tables away. */
void firewall_render_removal(const struct firewall_state *state, struct buf *out);

/* The commands that add or delete what one network or endpoint contributes. */
enum firewall_verb { FIREWALL_ADD, FIREWALL_DELETE };
void firewall_render_network(const struct firewall_state *state, enum firewall_verb verb,
			     const struct net_network *network, struct buf *out);
void firewall_render_endpoint(const struct firewall_state *state, enum firewall_verb verb,
			      const struct net_endpoint *endpoint, struct buf *out);

enum { FIREWALL_OWN_GENERATIONS = 64 };

struct firewall_watch;

struct firewall {
	pthread_mutex_t mutex; /* of all below but `watch`, which belongs to start and stop */
	struct firewall_state state;
	struct nft_ctx *nft;
	struct mnl_socket *query; /* asks for the rule set's generation */
	bool running;
	/* Generations of the rule set that are our own doing: the watcher passes over them. */
	uint32_t own[FIREWALL_OWN_GENERATIONS];
	size_t own_next;
	struct firewall_watch *watch;
	pthread_mutex_t foreign_mutex; /* of the next; taken before the other mutex */
	struct strv trusted;           /* the bridges that firewalld was told of */
};

/* Loads everything anew; the mutex is held. */
int firewall_load(struct firewall *firewall, struct cay_error *err);
bool firewall_is_own(const struct firewall *firewall, uint32_t generation);

/* The thread that restores (firewall-watch.c). It takes the mutex; stopping waits for its end. */
int firewall_watch_start(struct firewall *firewall, struct firewall_watch **ret,
			 struct cay_error *err);
void firewall_watch_stop(struct firewall_watch *watch);

/*
 * Makes the rules that other firewalls on this host need about our bridges what they shall be. To
 * be called without the mutex: it blocks for some processes, which may wait for others' locks.
 * Failures are logged, as the networks work wherever no other firewall is in the way.
 */
void firewall_foreign_update(struct firewall *firewall);
/* Its part for firewalld (firewall-firewalld.c): brings `trusted` and the zone to `bridges`. */
void firewall_firewalld_update(const struct strv *bridges, struct strv *trusted);
