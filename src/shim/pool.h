/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox that waits for its container: it is warmed up by running a small
 * container of its own some times over, then it waits to be claimed, and is
 * from then on the shim of the configuration that it was claimed for. The
 * daemon holds its leash, a pipe's end: without a daemon nobody will come.
 */
#pragma once

#include "rpc/rpc.h"
#include "sandbox/config.h"

struct pool;
struct shim;

enum { POOL_LEASH_FD = 5 }; /* the pipe's end for reading, which the daemon has given us */

/* `argument` is the configuration's path in argv, which ps shows and which is replaced. */
int pool_new(struct shim *shim, char *argument, struct pool **ret_pool, struct cay_error *err);
/* The guest is there. */
void pool_warm_up(struct pool *pool);
/* The VM is gone: whoever waits hears why. */
void pool_lost(struct pool *pool, const struct cay_error *why);

/* Methods of the service; `user` is the shim. */
void pool_wait_begin(struct rpc_call *call, const ProtobufCMessage *request, void *user);
void pool_claim_begin(struct rpc_call *call, const ProtobufCMessage *request, void *user);
