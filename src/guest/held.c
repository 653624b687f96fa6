/* SPDX-License-Identifier: Apache-2.0 */
/* A call that is answered later. */
#include "guest/held.h"

#include "base/alloc.h"

struct held {
	struct rpc_call *call; /* NULL once its caller has given up */
	struct held_list *list;
	TAILQ_ENTRY(held) link;
	void (*gone)(void *user);
	void *user;
};

static void on_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct held *held = user;

	(void)call;
	(void)status;
	if (held->list) {
		TAILQ_REMOVE(held->list, held, link);
		free(held);
		return;
	}
	held->call = NULL;
	if (held->gone)
		held->gone(held->user);
}

static const struct rpc_call_events held_events = { .on_end = on_end };
static const struct rpc_call_events no_events = { 0 };

struct held *held_new(struct rpc_call *call, void (*gone)(void *user), void *user)
{
	struct held *held = xcalloc(1, sizeof(*held));

	held->call = call;
	held->gone = gone;
	held->user = user;
	rpc_call_set_events(call, &held_events, held);
	return held;
}

void held_add(struct held_list *list, struct rpc_call *call)
{
	struct held *held = held_new(call, NULL, NULL);

	held->list = list;
	TAILQ_INSERT_TAIL(list, held, link);
}

/* The call, of which nothing is heard any more, or NULL. */
static struct rpc_call *release(struct held *held)
{
	struct rpc_call *call = held->call;

	if (held->list)
		TAILQ_REMOVE(held->list, held, link);
	free(held);
	if (call)
		rpc_call_set_events(call, &no_events, NULL);
	return call;
}

void held_reply(struct held *held, const ProtobufCMessage *message)
{
	struct rpc_call *call = release(held);

	if (call)
		rpc_call_reply(call, message);
}

void held_fail(struct held *held, const struct cay_error *err)
{
	struct rpc_call *call = release(held);

	if (call)
		rpc_call_finish(call, err);
}

/* The first of the list, out of it, or NULL. */
static struct held *take_first(struct held_list *list)
{
	struct held *held = TAILQ_FIRST(list);

	if (held) {
		TAILQ_REMOVE(list, held, link);
		held->list = NULL;
	}
	return held;
}

void held_reply_all(struct held_list *list, const ProtobufCMessage *message)
{
	struct held *held;

	while ((held = take_first(list)))
		held_reply(held, message);
}

void held_fail_all(struct held_list *list, const struct cay_error *err)
{
	struct held *held;

	while ((held = take_first(list)))
		held_fail(held, err);
}
