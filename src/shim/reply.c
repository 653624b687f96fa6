/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that are answered later. */
#include "shim/reply.h"

#include "base/alloc.h"

struct reply {
	struct rpc_call *call; /* NULL once it has ended */
	bool answered;
	unsigned int *open;
	struct reply_list *list;
	struct reply *next, *prev;
};

static void unlist(struct reply *reply)
{
	if (!reply->list)
		return;
	if (reply->prev)
		reply->prev->next = reply->next;
	else
		reply->list->first = reply->next;
	if (reply->next)
		reply->next->prev = reply->prev;
	reply->list = NULL;
}

static void on_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct reply *reply = user;

	(*reply->open)--;
	reply->call = NULL;
	/* One in a list is known to nobody else; one outside it is answered by its holder. */
	if (reply->answered || reply->list) {
		unlist(reply);
		free(reply);
	}
}

struct reply *reply_new(struct rpc_call *call, unsigned int *open)
{
	static const struct rpc_call_events events = { .on_end = on_end };
	struct reply *reply = xcalloc(1, sizeof(*reply));

	reply->call = call;
	reply->open = open;
	(*open)++;
	rpc_call_set_events(call, &events, reply);
	return reply;
}

void reply_wait(struct reply *reply, struct reply_list *list)
{
	reply->list = list;
	reply->prev = NULL;
	reply->next = list->first;
	if (list->first)
		list->first->prev = reply;
	list->first = reply;
}

/* The call itself holds the reply from here on; without one it is done with. */
static struct rpc_call *answer(struct reply *reply)
{
	struct rpc_call *call = reply->call;

	unlist(reply);
	reply->answered = true;
	if (!call)
		free(reply);
	return call;
}

void reply_send(struct reply *reply, const ProtobufCMessage *message)
{
	struct rpc_call *call = answer(reply);

	if (call)
		rpc_call_reply(call, message);
}

void reply_fail(struct reply *reply, const struct cay_error *err)
{
	struct rpc_call *call = answer(reply);

	if (call)
		rpc_call_finish(call, err);
}

void reply_list_send(struct reply_list *list, const ProtobufCMessage *message)
{
	for (struct reply *reply = list->first, *next; reply; reply = next) {
		next = reply->next;
		reply_send(reply, message);
	}
}

void reply_list_fail(struct reply_list *list, const struct cay_error *err)
{
	for (struct reply *reply = list->first, *next; reply; reply = next) {
		next = reply->next;
		reply_fail(reply, err);
	}
}
