/* SPDX-License-Identifier: Apache-2.0 */
/* Who listens for events, and telling them. */
#include "guest/events.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>

enum { QUEUE_MAX = 1024 * 1024 }; /* a listener that is so far behind is not reading */

struct subscriber {
	struct rpc_call *call;
	struct subscriber_list *list;
	TAILQ_ENTRY(subscriber) link;
};

void events_init(struct events *events)
{
	TAILQ_INIT(&events->subscribers);
}

static void on_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct subscriber *subscriber = user;

	(void)call;
	(void)status;
	TAILQ_REMOVE(subscriber->list, subscriber, link);
	free(subscriber);
}

void events_subscribe(struct events *events, struct rpc_call *call)
{
	static const struct rpc_call_events call_events = { .on_end = on_end };
	struct subscriber *subscriber = xcalloc(1, sizeof(*subscriber));

	subscriber->call = call;
	subscriber->list = &events->subscribers;
	TAILQ_INSERT_TAIL(&events->subscribers, subscriber, link);
	rpc_call_set_events(call, &call_events, subscriber);
}

void events_emit(struct events *events, Cay__Vminitd__V1__Event *event)
{
	struct subscriber *subscriber, *next;

	event->time_ns = clock_now_ns();
	for (subscriber = TAILQ_FIRST(&events->subscribers); subscriber; subscriber = next) {
		struct cay_error err;

		next = TAILQ_NEXT(subscriber, link);
		if (rpc_call_queued(subscriber->call) < QUEUE_MAX) {
			(void)rpc_call_send(subscriber->call, &event->base);
			continue;
		}
		(void)cay_error_set(&err, CAY_CANCELLED, ECANCELED,
				    "the listener does not read its events");
		rpc_call_finish(subscriber->call, &err);
	}
}
