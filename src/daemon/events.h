/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event log: what happened to containers and images, as docker's `events`
 * tells it. The newest EVENTS_KEPT events are kept in memory for clients that
 * ask for the past; those that ask for the future subscribe.
 *
 * All functions may be called from any thread; none blocks on anything but a
 * short lock. Who emits is never held up by who listens: a subscriber that does
 * not take its events loses its subscription.
 */
#pragma once

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>

enum {
	EVENTS_KEPT = 1024,      /* events in memory */
	EVENTS_QUEUE_MAX = 4096, /* untaken events of a subscriber, then it is dropped */
	EVENTS_SUBSCRIBERS_MAX = 512,
};

struct events;

/* One event, shared and never changed: every holder has a reference. */
struct event {
	unsigned int references; /* kept by event_ref() and event_unref() */
	int64_t time_ns;
	char *type;         /* "container", "image" */
	char *action;       /* "start", "die", "exec_create: sh -c …", "pull" */
	char *id;           /* the container's id, the image's name or id */
	json_t *attributes; /* strings: the name, the image, the labels, "exitCode" … */
};

struct event *event_ref(struct event *event);
void event_unref(struct event *event);
DEFINE_CLEANUP(struct event *, event_unref);

/* Docker's JSON for it: status, id, from, Type, Action, Actor, scope, time, timeNano. */
json_t *event_to_json(const struct event *event);

struct events *events_new(void);
/* Nobody may be subscribed any more. */
void events_free(struct events *events);

/*
 * Adds an event and hands it to the subscribers. `attributes` is an object of strings that is taken
 * over; NULL stands for an empty one. time_ns 0 stands for now.
 */
void events_emit(struct events *events, const char *type, const char *action, const char *id,
		 json_t *attributes, int64_t time_ns);

/*
 * Subscribes to what comes, preceded by the kept events since `since_ns` (INT64_MAX: by none).
 * CAY_NO_SPACE with EVENTS_SUBSCRIBERS_MAX subscribers.
 */
struct event_subscription;
int events_subscribe(struct events *events, int64_t since_ns,
		     struct event_subscription **ret_subscription, struct cay_error *err);
void events_unsubscribe(struct event_subscription *subscription);
DEFINE_CLEANUP(struct event_subscription *, events_unsubscribe);

/* Readable while an event waits, or after the subscription was dropped. Borrowed. */
int events_fd(const struct event_subscription *subscription);
/*
 * Takes the next event, a reference that the caller drops. 0 with NULL when none waits;
 * -EOVERFLOW once the subscription was dropped for falling behind and the queue is empty.
 */
int events_next(struct event_subscription *subscription, struct event **ret_event);
