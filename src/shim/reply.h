/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's call with one response that is answered later: it outlives the
 * client, who may be gone by then, and may stand in a list of those that wait
 * for the same thing.
 */
#pragma once

#include "rpc/rpc.h"

struct reply;

/* Those who wait for one thing. Starts as all zeros. */
struct reply_list {
	struct reply *first;
};

/*
 * Takes over a call that was just begun. Answer it with reply_send() or reply_fail(); `open` counts
 * the calls whose clients have not got their answer yet.
 */
struct reply *reply_new(struct rpc_call *call, unsigned int *open);
/* Puts it into a list, which it leaves by itself, and is released, when its client goes. */
void reply_wait(struct reply *reply, struct reply_list *list);

/* Both release the reply. */
void reply_send(struct reply *reply, const ProtobufCMessage *message);
void reply_fail(struct reply *reply, const struct cay_error *err);

/* The same to each of a list, which is empty after. */
void reply_list_send(struct reply_list *list, const ProtobufCMessage *message);
void reply_list_fail(struct reply_list *list, const struct cay_error *err);
