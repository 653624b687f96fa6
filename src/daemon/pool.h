/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool: VMs of the usual shape that have been started, cloned from a
 * template where there is one, and warmed up before anybody wants them. A
 * container that fits one gets it as its own. A thread keeps as many of them
 * ready as --pool says and --pool-memory allows; it makes them one at a time,
 * when no start is under way.
 *
 * A member is a shim on a leash, a pipe's end that it sees closed when the
 * daemon ends, however that ends. Its files are in <root>/pool/<id>/, its
 * socket in <run>/<id>/.
 */
#pragma once

#include "daemon/container.h"
#include "rpc/sync.h"
#include "sandbox/config.h"

struct pool;

/* Ends and clears away what an earlier daemon left; members are made from pool_start() on. */
int pool_open(struct daemon *daemon, struct pool **ret_pool, struct cay_error *err);
void pool_start(struct pool *pool);
/* Ends all members that wait; none is claimed from then on. NULL is allowed. */
void pool_stop(struct pool *pool);
/* After no container is started any more. NULL is allowed. */
void pool_free(struct pool *pool);

/* Something that members depend on has changed: a template was made. NULL is allowed. */
void pool_wake(struct pool *pool);

/*
 * Whether members can be the machine of such a configuration. Shares want a device that a VM which
 * runs can't get any more; passt and a macvtap belong to one container from the start; a DHCP
 * client would begin with the member's addresses. The shape, and so the key, tells none of these.
 */
bool pool_can_serve(const struct sandbox_config *config);

/*
 * Makes a member's VM the container's, where one is ready that is the machine of `config`, whose
 * key this is (templates_key_of_start()). True: the shim of *ret_pid is the container's, as after
 * shim_spawn(), and config->member says whose VM it was. False: there is none, or it has failed,
 * which is logged, and nothing is left of it.
 */
bool pool_claim(struct pool *pool, const char *key, struct container *container,
		struct sandbox_config *config, pid_t *ret_pid, struct rpc_client **ret_client);

/* For people. */
struct pool_status {
	unsigned int size;  /* as asked for */
	unsigned int limit; /* as many as the memory allows; `size` where that is not known yet */
	unsigned int ready, warming;
	uint64_t memory; /* what those that are ready take of the host's */
	uint64_t claims; /* since the daemon's start */
};
void pool_get_status(struct pool *pool, struct pool_status *ret_status);

struct pool_member_info {
	const char *id;
	pid_t pid; /* of its shim */
	bool is_ready;
	uint64_t memory; /* 0 until it is ready */
};
/* Calls `each` with the pool's lock held. */
void pool_each(struct pool *pool, void (*each)(const struct pool_member_info *info, void *user),
	       void *user);
