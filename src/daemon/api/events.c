/* SPDX-License-Identifier: Apache-2.0 */
/* GET /events: the past that was asked for, then what happens, one JSON object a line. */
#include "daemon/events.h"
#include "base/clock.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/daemon.h"
#include "daemon/filters.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>

/* Those that name what cay does not have are accepted, since no event of ours matches them. */
static const char *const event_filters[] = {
	"config", "container", "daemon", "event",   "image", "label",  "network", "node",
	"plugin", "scope",     "secret", "service", "type",  "volume", NULL,
};

/* "exec_create: sh -c true" and "health_status: healthy" go by the word before the colon too. */
static bool match_action(const struct filters *filters, const struct event *event)
{
	_cleanup_free_ char *word = NULL;
	struct str rest;

	if (filters_match(filters, "event", event->action))
		return true;
	word = str_dup(str_split(str_from(event->action), ':', &rest));
	return filters_match(filters, "event", word);
}

static const char *attribute(const struct event *event, const char *name)
{
	const char *value = json_string_value(json_object_get(event->attributes, name));

	return value ? value : "";
}

static bool match_image_name(const struct filters *filters, const char *name)
{
	const char *tag = strrchr(name, ':');
	_cleanup_free_ char *untagged = NULL;

	if (filters_match(filters, "image", name))
		return true;
	if (!tag || strchr(tag, '/'))
		return false;
	untagged = str_dup((struct str){ name, (size_t)(tag - name) });
	return filters_match(filters, "image", untagged);
}

static bool match_image(const struct filters *filters, const struct event *event)
{
	if (strcmp(event->type, "image") == 0)
		return match_image_name(filters, event->id) ||
			match_image_name(filters, attribute(event, "name"));
	return match_image_name(filters, attribute(event, "image"));
}

/* A filter that names an object lets only events of that object through. */
static bool match_object(const struct filters *filters, const struct event *event, const char *type)
{
	if (!filters_get(filters, type))
		return true;
	return strcmp(event->type, type) == 0 &&
		(filters_match_prefix(filters, type, event->id) ||
		 filters_match(filters, type, attribute(event, "name")));
}

static bool match_event(const struct filters *filters, const struct event *event)
{
	static const char *const objects[] = { "container", "config", "daemon",  "network", "node",
					       "plugin",    "secret", "service", "volume" };

	for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
		if (!match_object(filters, event, objects[i]))
			return false;
	return filters_match(filters, "type", event->type) &&
		filters_match(filters, "scope", "local") && match_action(filters, event) &&
		match_image(filters, event) &&
		filters_match_labels(filters, "label", event->attributes);
}

static int write_event(struct http_request *request, const struct event *event)
{
	_cleanup_json_ json_t *object = event_to_json(event);
	_cleanup_buf_ struct buf line = {};

	json_print_to(object, &line);
	buf_putc(&line, '\n');
	return http_stream_write(request, line.data, line.length);
}

/* Writes what waits; 1 when the time is up. */
static int write_waiting(struct http_request *request, struct event_subscription *subscription,
			 const struct filters *filters, int64_t until_ns)
{
	for (;;) {
		_cleanup_(event_unref_p) struct event *event = NULL;
		int r = events_next(subscription, &event);

		if (r < 0 || !event)
			return r;
		if (event->time_ns > until_ns)
			return 1;
		if (!match_event(filters, event))
			continue;
		r = write_event(request, event);
		if (r < 0)
			return r;
	}
}

static int follow(struct http_request *request, struct event_subscription *subscription,
		  const struct filters *filters, int64_t until_ns)
{
	struct pollfd fds[] = {
		{ .fd = events_fd(subscription), .events = POLLIN },
		{ .fd = http_request_gone_fd(request), .events = POLLIN },
	};

	for (;;) {
		int r = write_waiting(request, subscription, filters, until_ns);
		int64_t left_ms = -1;

		if (r != 0)
			return r;
		if (until_ns != INT64_MAX) {
			left_ms = (until_ns - clock_now_ns()) / 1000000;
			if (left_ms < 0)
				return 0;
			/* Rounded up, and looked at again now and then: the clock can be set. */
			left_ms = MIN(left_ms + 1, 60 * 1000);
		}
		if (poll(fds, ARRAY_SIZE(fds), (int)left_ms) < 0 && errno != EINTR)
			return -errno;
		if (fds[1].revents)
			return -ECANCELED;
	}
}

static int get_events(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_(events_unsubscribe_p) struct event_subscription *subscription = NULL;
	_cleanup_filters_ struct filters filters = {};
	int64_t since_ns = INT64_MAX, until_ns = INT64_MAX;
	int r;

	r = filters_parse(http_query(request, "filters"), event_filters, &filters, err);
	if (r == 0)
		r = http_query_time(request, "since", &since_ns, err);
	if (r == 0)
		r = http_query_time(request, "until", &until_ns, err);
	if (r == 0)
		r = events_subscribe(daemon->events, since_ns, &subscription, err);
	if (r < 0)
		return r;
	if (http_stream_begin(request, 200, "application/json") == 0)
		(void)follow(request, subscription, &filters, until_ns);
	return 0; /* whatever ended it, the client sees by the stream's end */
}

const struct http_route api_events_routes[] = {
	{ "GET", "/events", get_events },
	{},
};
