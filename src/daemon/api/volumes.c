/* SPDX-License-Identifier: Apache-2.0 */
/* The Engine API's volumes. */
#include "daemon/volumes.h"

#include "base/clock.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/api/volume-json.h"
#include "daemon/daemon.h"
#include "daemon/damaged.h"
#include "daemon/events.h"
#include "daemon/filters.h"
#include "daemon/volume-block.h"

#include <errno.h>
#include <string.h>

/* ---- one as JSON ---- */

static json_t *copy_or_null(const json_t *object)
{
	return object ? json_deep_copy(object) : json_null();
}

json_t *api_volume_json(const struct volume *volume)
{
	json_t *object = json_object();
	char created[CLOCK_TEXT_MAX];

	clock_format_utc(volume->created_ns, created);
	/* In whole seconds, as docker has it. */
	(void)snprintf(strchr(created, '.'), 2, "Z");
	json_set_string(object, "CreatedAt", created);
	json_set_string(object, "Driver", "local");
	json_set(object, "Labels", copy_or_null(volume->labels));
	json_set_string(object, "Mountpoint", volume->mountpoint);
	json_set_string(object, "Name", volume->name);
	json_set(object, "Options", copy_or_null(volume->options));
	json_set_string(object, "Scope", "local");
	if (volume->kind == VOLUME_BLOCK)
		json_set(object, "Status", volume_block_status(volume));
	return object;
}

json_t *api_volume_usage_json(struct volumes *volumes, const struct volume *volume)
{
	json_t *object = api_volume_json(volume);

	json_set(object, "UsageData",
		 json_pack("{s:I, s:I}", "RefCount",
			   (json_int_t)volumes_count_users(volumes, volume->name), "Size",
			   (json_int_t)volume_usage(volume)));
	return object;
}

/* ---- list and inspect ---- */

static bool passes(struct volumes *volumes, const struct volume *volume,
		   const struct filters *filters, const bool *dangling)
{
	return filters_match_regex(filters, "name", volume->name) &&
		filters_match(filters, "driver", "local") &&
		filters_match_labels(filters, "label", volume->labels) &&
		(!dangling || *dangling == (volumes_count_users(volumes, volume->name) == 0));
}

static int list(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	static const char *const keys[] = { "dangling", "driver", "label", "name", NULL };
	_cleanup_filters_ struct filters filters = { 0 };
	_cleanup_volume_list_ struct volume_list all = { 0 };
	bool dangling = false;
	json_t *array;
	int r = filters_parse(http_query(request, "filters"), keys, &filters, err);

	if (r == 0)
		r = filters_get_bool(&filters, "dangling", &dangling, err);
	if (r < 0)
		return r;
	array = json_array();
	volumes_list(daemon->volumes, &all);
	for (size_t i = 0; i < all.count; i++)
		if (passes(daemon->volumes, all.items[i], &filters,
			   filters_get(&filters, "dangling") ? &dangling : NULL))
			(void)json_array_append_new(array, api_volume_json(all.items[i]));
	return http_reply_json(request, 200, json_pack("{s:o, s:n}", "Volumes", array, "Warnings"));
}

static int inspect(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_volume_ struct volume *volume = NULL;
	int r = volumes_find(daemon->volumes, http_param(request, 0), &volume, err);

	return r < 0 ? r : http_reply_json(request, 200, api_volume_json(volume));
}

/* ---- create, remove, prune ---- */

static int read_create(const json_t *body, char **name, char **driver, json_t **options,
		       json_t **labels, struct cay_error *err)
{
	int r = json_read_string(body, "Name", name, err);

	if (r == 0)
		r = json_read_string(body, "Driver", driver, err);
	if (r == 0)
		r = json_read_string_map(body, "DriverOpts", options, err);
	if (r == 0)
		r = json_read_string_map(body, "Labels", labels, err);
	return r;
}

static int create(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_volume_ struct volume *volume = NULL;
	_cleanup_free_ char *name = NULL, *driver = NULL;
	json_t *body = NULL, *options = NULL, *labels = NULL;
	int r = http_body_json(request, &body, err);

	if (r == 0 && body)
		r = read_create(body, &name, &driver, &options, &labels, err);
	if (r < 0)
		return r;
	if (driver && driver[0] != '\0' && strcmp(driver, "local") != 0)
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT,
				     "create %.200s: error looking up volume plugin %.100s: plugin "
				     "\"%.100s\" not found",
				     name ?: "", driver, driver);
	r = volumes_create(daemon->volumes, name && name[0] != '\0' ? name : NULL, options, labels,
			   NULL, &volume, NULL, err);
	return r < 0 ? r : http_reply_json(request, 201, api_volume_json(volume));
}

static int remove_volume(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	int r = volumes_remove(daemon->volumes, http_param(request, 0), err);

	/* docker's force: what is not there is as good as removed. */
	if (r < 0 && (err->code != CAY_NOT_FOUND || !http_query_bool(request, "force", false)))
		return r;
	return http_reply_empty(request, 204);
}

/* Docker's clients before 1.42 mean all that are unused; later ones the anonymous, unless "all". */
static int prune_means_all(const struct http_request *request, const struct filters *filters,
			   bool *ret_all, struct cay_error *err)
{
	*ret_all = http_api_version(request) < 42;
	return filters_get_bool(filters, "all", ret_all, err);
}

static bool may_prune(struct volumes *volumes, const struct volume *volume,
		      const struct filters *filters, bool all)
{
	/* As docker: what options describe is somewhere else, and stays. */
	return volume->kind != VOLUME_MOUNT &&
		(all || json_object_get(volume->labels, VOLUME_ANONYMOUS_LABEL)) &&
		volumes_count_users(volumes, volume->name) == 0 &&
		filters_match_labels(filters, "label", volume->labels) &&
		filters_miss_labels(filters, "label!", volume->labels);
}

static int prune(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	static const char *const keys[] = { "all", "label", "label!", NULL };
	_cleanup_filters_ struct filters filters = { 0 };
	_cleanup_volume_list_ struct volume_list found = { 0 };
	json_t *deleted;
	int64_t freed = 0;
	bool all = false;
	int r = filters_parse(http_query(request, "filters"), keys, &filters, err);

	if (r == 0)
		r = prune_means_all(request, &filters, &all, err);
	if (r == 0)
		r = damaged_check_volumes(daemon, err);
	if (r < 0)
		return r;
	deleted = json_array();
	volumes_list(daemon->volumes, &found);
	for (size_t i = 0; i < found.count; i++) {
		const struct volume *volume = found.items[i];
		struct cay_error ignored; /* one that came into use meanwhile stays */
		int64_t size;

		if (!may_prune(daemon->volumes, volume, &filters, all))
			continue;
		size = volume_usage(volume);
		if (volumes_remove(daemon->volumes, volume->name, &ignored) < 0)
			continue;
		freed += size;
		(void)json_array_append_new(deleted, json_string(volume->name));
	}
	events_emit(daemon->events, "volume", "prune", "",
		    json_pack("{s:o}", "reclaimed", json_sprintf("%lld", (long long)freed)), 0);
	return http_reply_json(request, 200,
			       json_pack("{s:o, s:I}", "VolumesDeleted", deleted, "SpaceReclaimed",
					 (json_int_t)freed));
}

const struct http_route api_volumes_routes[] = {
	{ "GET", "/volumes", list },
	{ "POST", "/volumes/create", create },
	{ "POST", "/volumes/prune", prune },
	{ "GET", "/volumes/*", inspect },
	{ "DELETE", "/volumes/*", remove_volume },
	{ 0 },
};
