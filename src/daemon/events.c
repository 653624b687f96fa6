/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event log: a ring of the newest events, and a bounded queue for each
 * subscriber. One lock guards all of it; it is only ever held to move pointers.
 */
#include "daemon/events.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>

struct event_subscription {
	struct events *events;
	int fd; /* an eventfd, readable while the queue is not empty or after `dropped` */
	struct event **queue;
	size_t first, count, capacity; /* a ring; the capacity grows to EVENTS_QUEUE_MAX */
	bool dropped;                  /* nothing is added any more */
	struct event_subscription *next;
};

struct events {
	pthread_mutex_t lock;
	struct event *kept[EVENTS_KEPT]; /* a ring; kept_next is where the next goes */
	size_t kept_next;
	struct event_subscription *subscriptions;
	unsigned int subscriber_count;
};

struct event *event_ref(struct event *event)
{
	__atomic_add_fetch(&event->references, 1, __ATOMIC_RELAXED);
	return event;
}

void event_unref(struct event *event)
{
	if (!event || __atomic_sub_fetch(&event->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	free(event->type);
	free(event->action);
	free(event->id);
	json_decref(event->attributes);
	free(event);
}

json_t *event_to_json(const struct event *event)
{
	const json_t *image = json_object_get(event->attributes, "image");
	json_t *object = json_object(), *actor = json_object();

	json_set_string(object, "status", event->action);
	json_set_string(object, "id", event->id);
	if (image && strcmp(event->type, "container") == 0)
		json_set_string(object, "from", json_string_value(image));
	json_set_string(object, "Type", event->type);
	json_set_string(object, "Action", event->action);
	json_set_string(actor, "ID", event->id);
	/* A copy: the event is shared, and a reference count of jansson's is not for threads. */
	json_set(actor, "Attributes", json_deep_copy(event->attributes));
	json_set(object, "Actor", actor);
	json_set_string(object, "scope", "local");
	json_set_int(object, "time", event->time_ns / 1000000000);
	json_set_int(object, "timeNano", event->time_ns);
	return object;
}

struct events *events_new(void)
{
	struct events *events = xcalloc(1, sizeof(*events));

	pthread_mutex_init(&events->lock, NULL);
	return events;
}

void events_free(struct events *events)
{
	if (!events)
		return;
	assert(!events->subscriptions);
	for (size_t i = 0; i < EVENTS_KEPT; i++)
		event_unref(events->kept[i]);
	pthread_mutex_destroy(&events->lock);
	free(events);
}

/* ---- under the lock ---- */

static void grow_queue(struct event_subscription *subscription)
{
	size_t capacity = MIN(MAX(subscription->capacity * 2, 16), (size_t)EVENTS_QUEUE_MAX);
	struct event **queue = xcalloc(capacity, sizeof(struct event *));

	for (size_t i = 0; i < subscription->count; i++)
		queue[i] = subscription->queue[(subscription->first + i) % subscription->capacity];
	free(subscription->queue);
	subscription->queue = queue;
	subscription->first = 0;
	subscription->capacity = capacity;
}

static void queue_event(struct event_subscription *subscription, struct event *event)
{
	if (subscription->dropped)
		return;
	if (subscription->count == EVENTS_QUEUE_MAX) {
		subscription->dropped = true;
		fd_wake(subscription->fd);
		return;
	}
	if (subscription->count == subscription->capacity)
		grow_queue(subscription);
	subscription
		->queue[(subscription->first + subscription->count++) % subscription->capacity] =
		event_ref(event);
	fd_wake(subscription->fd);
}

static void keep(struct events *events, struct event *event)
{
	event_unref(events->kept[events->kept_next]);
	events->kept[events->kept_next] = event_ref(event);
	events->kept_next = (events->kept_next + 1) % EVENTS_KEPT;
}

/* ---- for everyone ---- */

void events_emit(struct events *events, const char *type, const char *action, const char *id,
		 json_t *attributes, int64_t time_ns)
{
	struct event *event = xcalloc(1, sizeof(*event));

	event->references = 1;
	event->time_ns = time_ns != 0 ? time_ns : clock_now_ns();
	event->type = xstrdup(type);
	event->action = xstrdup(action);
	event->id = xstrdup(id);
	event->attributes = attributes ? attributes : json_object();

	pthread_mutex_lock(&events->lock);
	keep(events, event);
	for (struct event_subscription *s = events->subscriptions; s; s = s->next)
		queue_event(s, event);
	pthread_mutex_unlock(&events->lock);
	event_unref(event);
}

int events_subscribe(struct events *events, int64_t since_ns,
		     struct event_subscription **ret_subscription, struct cay_error *err)
{
	struct event_subscription *subscription;
	_cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return cay_error_errno(err, errno, "can't subscribe to events");
	subscription = xcalloc(1, sizeof(*subscription));
	subscription->events = events;
	subscription->fd = fd;

	pthread_mutex_lock(&events->lock);
	if (events->subscriber_count == EVENTS_SUBSCRIBERS_MAX) {
		pthread_mutex_unlock(&events->lock);
		free(subscription);
		return cay_error_set(err, CAY_NO_SPACE, EUSERS,
				     "more than %d clients follow the events",
				     EVENTS_SUBSCRIBERS_MAX);
	}
	for (size_t i = 0; i < EVENTS_KEPT; i++) {
		struct event *event = events->kept[(events->kept_next + i) % EVENTS_KEPT];

		if (event && event->time_ns >= since_ns)
			queue_event(subscription, event);
	}
	subscription->next = events->subscriptions;
	events->subscriptions = subscription;
	events->subscriber_count++;
	pthread_mutex_unlock(&events->lock);
	(void)TAKE_FD(fd);
	*ret_subscription = subscription;
	return 0;
}

void events_unsubscribe(struct event_subscription *subscription)
{
	struct events *events;

	if (!subscription)
		return;
	events = subscription->events;
	pthread_mutex_lock(&events->lock);
	for (struct event_subscription **at = &events->subscriptions; *at; at = &(*at)->next) {
		if (*at == subscription) {
			*at = subscription->next;
			break;
		}
	}
	events->subscriber_count--;
	pthread_mutex_unlock(&events->lock);

	for (size_t i = 0; i < subscription->count; i++)
		event_unref(
			subscription->queue[(subscription->first + i) % subscription->capacity]);
	free(subscription->queue);
	close(subscription->fd);
	free(subscription);
}

int events_fd(const struct event_subscription *subscription)
{
	return subscription->fd;
}

int events_next(struct event_subscription *subscription, struct event **ret_event)
{
	struct events *events = subscription->events;
	uint64_t count;
	int r = 0;

	pthread_mutex_lock(&events->lock);
	if (subscription->count > 0) {
		*ret_event = subscription->queue[subscription->first];
		subscription->first = (subscription->first + 1) % subscription->capacity;
		subscription->count--;
	} else if (subscription->dropped) {
		r = -EOVERFLOW;
	} else {
		/* Unreadable until the next; -EAGAIN is as good. */
		(void)!read(subscription->fd, &count, sizeof(count));
		*ret_event = NULL;
	}
	pthread_mutex_unlock(&events->lock);
	return r;
}
