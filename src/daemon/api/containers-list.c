/* SPDX-License-Identifier: Apache-2.0 */
/* GET /containers/json, docker's ps, with its filters; and prune, which shares them. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "daemon/api/containers.h"
#include "daemon/api/network-json.h"
#include "daemon/containers.h"
#include "daemon/filters.h"
#include "daemon/lifecycle.h"
#include "daemon/log-reader.h"
#include "daemon/mounts.h"
#include "image/scratch.h"
#include "image/store.h"

#include <errno.h>

/* ---- words ---- */

/* How long ago, as docker's clients are used to read it. */
static void put_duration(struct buf *out, int64_t ns)
{
	int64_t seconds = ns / 1000000000, minutes = seconds / 60;
	int64_t hours = (seconds + 1800) / 3600;

	if (seconds < 1)
		buf_puts(out, "Less than a second");
	else if (seconds == 1)
		buf_puts(out, "1 second");
	else if (seconds < 60)
		buf_printf(out, "%lld seconds", (long long)seconds);
	else if (minutes == 1)
		buf_puts(out, "About a minute");
	else if (minutes < 60)
		buf_printf(out, "%lld minutes", (long long)minutes);
	else if (hours == 1)
		buf_puts(out, "About an hour");
	else if (hours < 48)
		buf_printf(out, "%lld hours", (long long)hours);
	else if (hours < 24 * 7 * 2)
		buf_printf(out, "%lld days", (long long)(hours / 24));
	else if (hours < 24 * 30 * 2)
		buf_printf(out, "%lld weeks", (long long)(hours / 24 / 7));
	else if (hours < 24 * 365 * 2)
		buf_printf(out, "%lld months", (long long)(hours / 24 / 30));
	else
		buf_printf(out, "%lld years", (long long)(hours / 24 / 365));
}

static char *make_status(const struct container_view *view)
{
	struct buf text = { 0 };
	int64_t now = clock_now_ns();

	switch (view->status) {
	case CONTAINER_RUNNING:
	case CONTAINER_PAUSED:
		buf_puts(&text, "Up ");
		put_duration(&text, now - view->run.started_ns);
		if (view->status == CONTAINER_PAUSED)
			buf_puts(&text, " (Paused)");
		break;
	case CONTAINER_EXITED:
		buf_printf(&text, "Exited (%d) ", view->run.exit_code);
		put_duration(&text, now - view->run.finished_ns);
		buf_puts(&text, " ago");
		break;
	case CONTAINER_REMOVING:
		buf_puts(&text, "Removal In Progress");
		break;
	case CONTAINER_DEAD:
		buf_puts(&text, "Dead");
		break;
	default:
		buf_puts(&text, "Created");
		break;
	}
	return buf_steal(&text);
}

static char *make_command(const struct request *request)
{
	struct buf text = { 0 };

	for (size_t i = 0; i < request->arguments.count; i++) {
		const char *word = request->arguments.items[i];
		bool quoted = i > 0 && strpbrk(word, " \t\n");

		buf_printf(&text, "%s%s%s%s", i > 0 ? " " : "", quoted ? "'" : "", word,
			   quoted ? "'" : "");
	}
	return buf_steal(&text);
}

static int64_t written_size(const struct container *container)
{
	_cleanup_free_ char *path = container_path(container, "scratch.ext4");

	return (int64_t)scratch_used(container->daemon->options.root, path,
				     container->request->storage_size);
}

void api_container_set_sizes(json_t *object, const struct container *container)
{
	const int64_t written = written_size(container);
	_cleanup_(image_free_p) struct image *image = NULL;
	struct cay_error ignored;
	int64_t below = 0;

	if (image_store_find(container->daemon->images, container->image_id, &image, &ignored) == 0)
		below = (int64_t)image->size;
	json_set_int(object, "SizeRw", written);
	json_set_int(object, "SizeRootFs", below + written);
}

static json_t *make_summary(const struct container *container, const struct container_view *view)
{
	const struct request *request = container->request;
	json_t *object = json_object();
	const json_t *mode = json_object_get(request->host_config, "NetworkMode");
	_cleanup_free_ char *command = make_command(request), *status = make_status(view);
	_cleanup_free_ char *name = xasprintf("/%s", view->name);
	const bool up = container_is_up(view->status);

	json_set_string(object, "Id", container->id);
	json_set(object, "Names", json_pack("[s]", name));
	json_set_string(object, "Image", container->image_name);
	json_set_string(object, "ImageID", container->image_id);
	json_set_string(object, "Command", command);
	json_set_int(object, "Created", container->created_ns / 1000000000);
	json_set(object, "Ports", api_container_port_list(container, up));
	json_set(object, "Labels", json_deep_copy(json_object_get(request->config, "Labels")));
	json_set_string(object, "State", container_status_name(view->status));
	json_set_string(object, "Status", status);
	json_set(object, "HostConfig", json_pack("{s:O}", "NetworkMode", mode));
	json_set(object, "NetworkSettings",
		 json_pack("{s:o}", "Networks", api_container_networks(container, up)));
	json_set(object, "Mounts", mounts_to_json(container));
	return object;
}

json_t *api_container_summary(const struct container *container, const struct container_view *view)
{
	json_t *summary = make_summary(container, view);

	api_container_set_sizes(summary, container);
	return summary;
}

/* ---- filters ---- */

/* Where a container stands among the others by age, for "before" and "since". */
static int bound_by(struct daemon *daemon, const struct filters *filters, const char *key,
		    int64_t *ret_created_ns, struct cay_error *err)
{
	const struct strv *names = filters_get(filters, key);

	for (size_t i = 0; names && i < names->count; i++) {
		_cleanup_container_ struct container *container = NULL;
		int r = containers_find(daemon->containers, names->items[i], &container, err);

		if (r < 0)
			return r;
		*ret_created_ns = container->created_ns;
	}
	return 0;
}

/* "ancestor" names an image in any way an image can be named. */
static bool has_ancestor(const struct container *container, const struct filters *filters)
{
	const struct strv *names = filters_get(filters, "ancestor");

	for (size_t i = 0; names && i < names->count; i++) {
		_cleanup_(image_free_p) struct image *image = NULL;
		struct cay_error ignored;

		if (strcmp(names->items[i], container->image_name) == 0)
			return true;
		if (image_store_find(container->daemon->images, names->items[i], &image,
				     &ignored) == 0 &&
		    strcmp(image->id, container->image_id) == 0)
			return true;
	}
	return !names;
}

static bool has_exit_code(const struct container_view *view, const struct filters *filters)
{
	char code[16];

	if (!filters_get(filters, "exited"))
		return true;
	(void)snprintf(code, sizeof(code), "%d", view->run.exit_code);
	return view->run.finished_ns > 0 && filters_match(filters, "exited", code);
}

struct network_filter {
	const struct filters *filters;
	bool found;
};

static void match_network(const struct endpoint *endpoint, const struct network *network,
			  void *user)
{
	struct network_filter *filter = user;

	filter->found = filter->found ||
		filters_match(filter->filters, "network", endpoint->config.network) ||
		(network && filters_match_prefix(filter->filters, "network", network->id));
}

static bool has_network(const struct container *container, const struct filters *filters)
{
	struct network_filter filter = { .filters = filters };

	if (!filters_get(filters, "network"))
		return true;
	networks_each_endpoint(container->daemon->networks, container, NULL, match_network,
			       &filter);
	return filter.found;
}

/* A volume by its name, a bind by its source, both by where they are mounted. */
static bool has_volume(const struct container *container, const struct filters *filters)
{
	const struct request *request = container->request;

	if (!filters_get(filters, "volume"))
		return true;
	for (size_t i = 0; i < request->mount_count; i++) {
		const struct mount_point *point = &request->mounts[i];

		if (filters_match(filters, "volume", point->target) ||
		    filters_match(filters, "volume", point->name ?: point->source))
			return true;
	}
	return false;
}

/* "80", "80/udp", "8000-8010/tcp" */
static bool names_port(const char *value, enum request_protocol protocol, uint16_t port)
{
	struct str type, last, ports = str_split(str_from(value), '/', &type);
	struct str first = str_split(ports, '-', &last);
	uint64_t from, to;

	if (!str_equals(type.length > 0 ? type : STR("tcp"), request_protocol_name(protocol)) ||
	    str_to_u64(first, UINT16_MAX, &from) < 0)
		return false;
	to = from;
	if (last.length > 0 && str_to_u64(last, UINT16_MAX, &to) < 0)
		return false;
	return port >= from && port <= to;
}

/* By the container's own ports, as docker does. */
static bool has_port(const struct container *container, const struct filters *filters,
		     const char *key)
{
	const struct strv *values = filters_get(filters, key);
	const struct request *request = container->request;
	bool publish = strcmp(key, "publish") == 0;

	for (size_t i = 0; values && i < values->count; i++) {
		for (size_t j = 0; !publish && j < request->exposed_count; j++)
			if (names_port(values->items[i], request->exposed[j].protocol,
				       request->exposed[j].port))
				return true;
		for (size_t j = 0; j < request->port_count; j++)
			if (names_port(values->items[i], request->ports[j].protocol,
				       request->ports[j].container_port))
				return true;
	}
	return !values;
}

static bool passes(const struct container *container, const struct container_view *view,
		   const struct filters *filters)
{
	_cleanup_free_ char *slashed = xasprintf("/%s", view->name);

	return filters_match_prefix(filters, "id", container->id) &&
		(filters_match_regex(filters, "name", view->name) ||
		 filters_match_regex(filters, "name", slashed)) &&
		filters_match_labels(filters, "label",
				     json_object_get(container->request->config, "Labels")) &&
		filters_match(filters, "status", container_status_name(view->status)) &&
		has_ancestor(container, filters) && has_exit_code(view, filters) &&
		has_network(container, filters) && has_volume(container, filters) &&
		has_port(container, filters, "publish") && has_port(container, filters, "expose") &&
		filters_match(filters, "health", "none") &&
		filters_match(filters, "is-task", "false");
}

static int check_statuses(const struct filters *filters, struct cay_error *err)
{
	const struct strv *names = filters_get(filters, "status");

	for (size_t i = 0; names && i < names->count; i++) {
		enum container_status status;

		if (container_status_parse(names->items[i], &status) < 0 &&
		    strcmp(names->items[i], "restarting") != 0)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "invalid filter 'status=%.64s'", names->items[i]);
	}
	return 0;
}

/* ---- the list ---- */

struct listing {
	struct filters filters;
	int64_t before_ns, since_ns, limit;
	bool all, sizes;
};

static int read_listing(struct daemon *daemon, struct http_request *request,
			struct listing *listing, struct cay_error *err)
{
	static const char *const keys[] = { "id",     "name",    "label",  "status",  "ancestor",
					    "exited", "before",  "since",  "health",  "network",
					    "volume", "publish", "expose", "is-task", NULL };
	int r = filters_parse(http_query(request, "filters"), keys, &listing->filters, err);

	listing->before_ns = INT64_MAX;
	if (r == 0)
		r = check_statuses(&listing->filters, err);
	if (r == 0)
		r = bound_by(daemon, &listing->filters, "before", &listing->before_ns, err);
	if (r == 0)
		r = bound_by(daemon, &listing->filters, "since", &listing->since_ns, err);
	if (r == 0)
		r = http_query_int(request, "limit", -1, INT32_MAX, &listing->limit, err);
	if (r < 0)
		return r;
	listing->sizes = http_query_bool(request, "size", false);
	/* These ask for containers that do not run. */
	listing->all = http_query_bool(request, "all", false) || listing->limit > 0 ||
		filters_get(&listing->filters, "status") ||
		filters_get(&listing->filters, "exited") ||
		filters_get(&listing->filters, "before") || filters_get(&listing->filters, "since");
	return 0;
}

int api_containers_list(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_container_list_ struct container_list list = { 0 };
	struct listing listing = { 0 };
	json_t *array;
	int r = read_listing(daemon, request, &listing, err);

	if (r < 0) {
		filters_done(&listing.filters);
		return r;
	}
	array = json_array();
	containers_list(daemon->containers, &list);
	for (size_t i = 0; i < list.count; i++) {
		const struct container *container = list.items[i];
		_cleanup_view_ struct container_view view = { 0 };
		json_t *summary;

		if (listing.limit > 0 && (int64_t)json_array_size(array) >= listing.limit)
			break;
		container_view(list.items[i], &view);
		if (view.status == CONTAINER_REMOVED ||
		    (!listing.all && !container_is_up(view.status)) ||
		    container->created_ns >= listing.before_ns ||
		    (listing.since_ns > 0 && container->created_ns <= listing.since_ns) ||
		    !passes(container, &view, &listing.filters))
			continue;
		summary = make_summary(container, &view);
		if (listing.sizes)
			api_container_set_sizes(summary, container);
		(void)json_array_append_new(array, summary);
	}
	filters_done(&listing.filters);
	return http_reply_json(request, 200, array);
}

/* ---- prune ---- */

/* "until": only what was made before a time, given as one or as a span back from now. */
int api_read_until(const struct filters *filters, int64_t *ret_until_ns, struct cay_error *err)
{
	const struct strv *values = filters_get(filters, "until");
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 } };

	*ret_until_ns = INT64_MAX;
	for (size_t i = 0; values && i < values->count; i++) {
		const char *text = values->items[i];
		struct str number = str_from(text);
		uint64_t count;

		if (log_parse_time(text, ret_until_ns) == 0)
			continue;
		number.length -= number.length > 0;
		*ret_until_ns = INT64_MAX;
		for (size_t j = 0; j < ARRAY_SIZE(units); j++)
			if (ends_with(text, (char[]){ units[j].unit, '\0' }) &&
			    str_to_u64(number, INT32_MAX, &count) == 0)
				*ret_until_ns = clock_now_ns() -
					(int64_t)count * units[j].seconds * 1000000000;
		if (*ret_until_ns == INT64_MAX)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "invalid filter 'until=%.64s'", text);
	}
	return 0;
}

int api_containers_prune(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	static const char *const keys[] = { "label", "label!", "until", NULL };
	_cleanup_container_list_ struct container_list list = { 0 };
	_cleanup_filters_ struct filters filters = { 0 };
	json_t *deleted;
	int64_t until_ns = INT64_MAX, freed = 0;
	int r = filters_parse(http_query(request, "filters"), keys, &filters, err);

	if (r == 0)
		r = api_read_until(&filters, &until_ns, err);
	if (r < 0)
		return r;
	deleted = json_array();
	containers_list(daemon->containers, &list);
	for (size_t i = 0; i < list.count; i++) {
		struct container *container = list.items[i];
		_cleanup_view_ struct container_view view = { 0 };
		const json_t *labels = json_object_get(container->request->config, "Labels");
		struct cay_error ignored; /* one that was started meanwhile stays */
		int64_t size = written_size(container);

		container_view(container, &view);
		if (container_is_up(view.status) || container->created_ns >= until_ns ||
		    !filters_match_labels(&filters, "label", labels) ||
		    !filters_miss_labels(&filters, "label!", labels) ||
		    container_remove(container, false, false, &ignored) < 0)
			continue;
		freed += size;
		(void)json_array_append_new(deleted, json_string(container->id));
	}
	return http_reply_json(request, 200,
			       json_pack("{s:o, s:I}", "ContainersDeleted", deleted,
					 "SpaceReclaimed", (json_int_t)freed));
}
