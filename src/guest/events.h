/* SPDX-License-Identifier: Apache-2.0 */
/* Who listens for events, and telling them. */
#pragma once

#include "rpc/rpc.h"

#include <sys/queue.h>
#include <vminitd.pb-c.h>

struct subscriber;
TAILQ_HEAD(subscriber_list, subscriber);

struct events {
	struct subscriber_list subscribers;
};

void events_init(struct events *events);
/* Serves an Events call until its caller gives up or stops reading. */
void events_subscribe(struct events *events, struct rpc_call *call);
/* Tells everyone; the event's time is set here. */
void events_emit(struct events *events, Cay__Vminitd__V1__Event *event);
