/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call that is answered later, when a process has ended or a task is done.
 * Its caller may give up at any time before.
 */
#pragma once

#include "rpc/rpc.h"

#include <sys/queue.h>

struct held;
TAILQ_HEAD(held_list, held);

/*
 * Holds the call, whose events it takes over. The holder ends it with one of the functions below,
 * each of which frees it, also when the caller has given up by then. `gone` (or NULL) is told when
 * that happens.
 */
struct held *held_new(struct rpc_call *call, void (*gone)(void *user), void *user);
/* The same in a list, which it leaves by itself, freed, when its caller gives up. */
void held_add(struct held_list *list, struct rpc_call *call);

void held_reply(struct held *held, const ProtobufCMessage *message);
void held_fail(struct held *held, const struct cay_error *err);
/* The same for all of a list, which is empty then. */
void held_reply_all(struct held_list *list, const ProtobufCMessage *message);
void held_fail_all(struct held_list *list, const struct cay_error *err);
