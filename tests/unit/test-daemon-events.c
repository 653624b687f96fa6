/* SPDX-License-Identifier: Apache-2.0 */
/* The event log: what is kept, what subscribers get, and what happens to slow ones. */
#include "test.h"

#include "base/alloc.h"
#include "base/json.h"
#include "daemon/events.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>

static void emit(struct events *events, const char *action, int64_t time_ns)
{
	events_emit(events, "container", action, "0123", json_pack("{s:s}", "image", "debian:12"),
		    time_ns);
}

static bool is_readable(const struct event_subscription *subscription)
{
	struct pollfd waiting = { .fd = events_fd(subscription), .events = POLLIN };

	return poll(&waiting, 1, 0) == 1;
}

static void assert_next(struct event_subscription *subscription, const char *action)
{
	_cleanup_(event_unref_p) struct event *event = NULL;

	assert_int_equal(events_next(subscription, &event), 0);
	if (!action) {
		assert_null(event);
		return;
	}
	assert_non_null(event);
	assert_string_equal(event->action, action);
}

static void test_future(void **state)
{
	struct events *events = events_new();
	struct event_subscription *one, *two;
	struct cay_error err = {};

	emit(events, "create", 0);
	assert_ok(events_subscribe(events, INT64_MAX, &one, &err));
	assert_ok(events_subscribe(events, INT64_MAX, &two, &err));
	assert_false(is_readable(one));
	assert_next(one, NULL);
	emit(events, "start", 0);
	emit(events, "die", 0);
	assert_true(is_readable(one));
	assert_next(one, "start");
	assert_true(is_readable(one));
	assert_next(one, "die");
	assert_next(one, NULL);
	assert_false(is_readable(one));
	events_unsubscribe(one);
	emit(events, "destroy", 0);
	assert_next(two, "start");
	/* What was not taken is released with the subscription. */
	events_unsubscribe(two);
	events_free(events);
}

static void test_past(void **state)
{
	struct events *events = events_new();
	struct event_subscription *subscription;
	struct cay_error err = {};

	emit(events, "create", 1000);
	emit(events, "start", 2000);
	emit(events, "die", 3000);
	assert_ok(events_subscribe(events, 2000, &subscription, &err));
	emit(events, "destroy", 4000);
	assert_next(subscription, "start");
	assert_next(subscription, "die");
	assert_next(subscription, "destroy");
	assert_next(subscription, NULL);
	events_unsubscribe(subscription);
	events_free(events);
}

static void test_kept_are_bounded(void **state)
{
	struct events *events = events_new();
	struct event_subscription *subscription;
	struct cay_error err = {};

	for (int i = 1; i <= 3 * EVENTS_KEPT + 7; i++)
		emit(events, "start", i);
	assert_ok(events_subscribe(events, 0, &subscription, &err));
	/* The newest, from the oldest of them on. */
	for (int i = 2 * EVENTS_KEPT + 8; i <= 3 * EVENTS_KEPT + 7; i++) {
		_cleanup_(event_unref_p) struct event *event = NULL;

		assert_int_equal(events_next(subscription, &event), 0);
		assert_non_null(event);
		assert_int_equal(event->time_ns, i);
	}
	assert_next(subscription, NULL);
	events_unsubscribe(subscription);
	events_free(events);
}

static void test_slow_subscriber(void **state)
{
	struct events *events = events_new();
	struct event_subscription *slow, *quick;
	_cleanup_(event_unref_p) struct event *event = NULL;
	struct cay_error err = {};

	assert_ok(events_subscribe(events, INT64_MAX, &slow, &err));
	assert_ok(events_subscribe(events, INT64_MAX, &quick, &err));
	for (int i = 0; i < EVENTS_QUEUE_MAX + 10; i++) {
		emit(events, "start", 0);
		assert_next(quick, "start");
	}
	/* It gets what was queued for it, then learns that it was dropped, and stays so. */
	for (int i = 0; i < EVENTS_QUEUE_MAX; i++)
		assert_next(slow, "start");
	assert_int_equal(events_next(slow, &event), -EOVERFLOW);
	assert_true(is_readable(slow));
	emit(events, "die", 0);
	assert_int_equal(events_next(slow, &event), -EOVERFLOW);
	assert_next(quick, "die");
	events_unsubscribe(slow);
	events_unsubscribe(quick);
	events_free(events);
}

static void test_too_many_subscribers(void **state)
{
	struct event_subscription *all[EVENTS_SUBSCRIBERS_MAX], *more;
	struct events *events = events_new();
	struct cay_error err = {};

	for (int i = 0; i < EVENTS_SUBSCRIBERS_MAX; i++)
		assert_ok(events_subscribe(events, INT64_MAX, &all[i], &err));
	assert_true(events_subscribe(events, INT64_MAX, &more, &err) < 0);
	assert_int_equal(err.code, CAY_NO_SPACE);
	events_unsubscribe(all[7]);
	assert_ok(events_subscribe(events, INT64_MAX, &all[7], &err));
	for (int i = 0; i < EVENTS_SUBSCRIBERS_MAX; i++)
		events_unsubscribe(all[i]);
	events_free(events);
}

static void test_json(void **state)
{
	struct events *events = events_new();
	_cleanup_(event_unref_p) struct event *event = NULL;
	_cleanup_json_ json_t *object = NULL;
	_cleanup_free_ char *text = NULL;
	struct event_subscription *subscription;
	struct cay_error err = {};

	assert_ok(events_subscribe(events, INT64_MAX, &subscription, &err));
	emit(events, "start", 1700000000123456789);
	assert_int_equal(events_next(subscription, &event), 0);
	object = event_to_json(event);
	text = json_print(object);
	assert_string_equal(
		text,
		"{\"status\":\"start\",\"id\":\"0123\",\"from\":\"debian:12\","
		"\"Type\":\"container\",\"Action\":\"start\",\"Actor\":{\"ID\":\"0123\","
		"\"Attributes\":{\"image\":\"debian:12\"}},\"scope\":\"local\","
		"\"time\":1700000000,\"timeNano\":1700000000123456789}");
	events_unsubscribe(subscription);
	events_free(events);
}

enum { THREADS = 4, EACH = 500 };

static void *emit_many(void *user)
{
	for (int i = 0; i < EACH; i++)
		emit(user, "start", 0);
	return NULL;
}

static void test_threads(void **state)
{
	struct events *events = events_new();
	struct event_subscription *subscription;
	pthread_t threads[THREADS];
	struct cay_error err = {};
	int count = 0;

	assert_ok(events_subscribe(events, INT64_MAX, &subscription, &err));
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, emit_many, events), 0);
	while (count < THREADS * EACH) {
		struct pollfd waiting = { .fd = events_fd(subscription), .events = POLLIN };
		_cleanup_(event_unref_p) struct event *event = NULL;

		assert_int_equal(poll(&waiting, 1, 10000), 1);
		assert_int_equal(events_next(subscription, &event), 0);
		count += event != NULL;
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_next(subscription, NULL);
	events_unsubscribe(subscription);
	events_free(events);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_future),
		cmocka_unit_test(test_past),
		cmocka_unit_test(test_kept_are_bounded),
		cmocka_unit_test(test_slow_subscriber),
		cmocka_unit_test(test_too_many_subscribers),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
