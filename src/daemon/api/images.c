/* SPDX-License-Identifier: Apache-2.0 */
/* Images that are here: list, inspect, history, tag, remove, prune. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/api/image-json.h"
#include "daemon/containers.h"
#include "daemon/daemon.h"
#include "daemon/events.h"
#include "daemon/filters.h"

#include <errno.h>

struct image_list {
	struct image **items;
	size_t count;
};

static void image_list_done(struct image_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		image_free(list->items[i]);
	free(list->items);
}
#define _cleanup_image_list_ _cleanup_(image_list_done)

/* ---- GET /images/json ---- */

static const char *const list_filters[] = { "before", "dangling", "label", "reference",
					    "since",  "until",    NULL };

/* One path segment against a pattern with '*' and '?'. Only the last '*' is ever tried again. */
static bool match_segment(struct str pattern, struct str text)
{
	size_t p = 0, t = 0, star = SIZE_MAX, retry = 0;

	while (t < text.length) {
		if (p < pattern.length && pattern.data[p] == '*') {
			star = p++;
			retry = t;
		} else if (p < pattern.length &&
			   (pattern.data[p] == '?' || pattern.data[p] == text.data[t])) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++retry;
		} else {
			return false;
		}
	}
	while (p < pattern.length && pattern.data[p] == '*')
		p++;
	return p == pattern.length;
}

/* '*' does not cross a '/'. */
static bool match_pattern(const char *pattern, const char *text)
{
	struct str pattern_rest = str_from(pattern), text_rest = str_from(text);
	bool more = true;

	while (more) {
		bool pattern_more = memchr(pattern_rest.data, '/', pattern_rest.length);
		struct str pattern_part = str_split(pattern_rest, '/', &pattern_rest);
		struct str text_part;

		more = memchr(text_rest.data, '/', text_rest.length);
		text_part = str_split(text_rest, '/', &text_rest);
		if (more != pattern_more || !match_segment(pattern_part, text_part))
			return false;
	}
	return true;
}

/* As docker: "debian:1*" against the name with its tag, "debi*" against the name alone. */
static bool match_name(const struct strv *patterns, const char *name)
{
	_cleanup_free_ char *familiar = image_reference_familiar(name);
	_cleanup_free_ char *alone = xstrdup(familiar);
	char *end = strchr(alone, '@');

	if (!end)
		end = strrchr(alone, ':');
	if (end)
		*end = '\0';
	for (size_t i = 0; i < patterns->count; i++)
		if (match_pattern(patterns->items[i], familiar) ||
		    match_pattern(patterns->items[i], alone))
			return true;
	return false;
}

static void keep_matching(const struct strv *patterns, struct strv *names)
{
	struct strv kept = { 0 };

	for (size_t i = 0; i < names->count; i++)
		if (match_name(patterns, names->items[i]))
			strv_add(&kept, names->items[i]);
	strv_done(names);
	*names = kept;
}

/* An image that is asked for by name is shown by those of its names that match. */
static bool narrow_references(const struct filters *filters, struct image *image)
{
	const struct strv *patterns = filters_get(filters, "reference");

	if (!patterns)
		return true;
	keep_matching(patterns, &image->names);
	keep_matching(patterns, &image->digests);
	return image->names.count > 0 || image->digests.count > 0;
}

/* The filters, with what they refer to looked up. */
struct image_query {
	struct filters filters;
	int64_t after_ns, before_ns;
	bool wants_dangling, dangling;
};

static void image_query_done(struct image_query *query)
{
	filters_done(&query->filters);
}

static int created_of(struct daemon *daemon, const struct filters *filters, const char *key,
		      int64_t *target, struct cay_error *err)
{
	const struct strv *names = filters_get(filters, key);
	_cleanup_(image_free_p) struct image *image = NULL;
	int r;

	if (!names)
		return 0;
	r = image_store_find(daemon->images, names->items[0], &image, err);
	if (r == 0)
		*target = image->created_ns;
	return r;
}

static int parse_query(struct daemon *daemon, const char *text, const char *const *allowed,
		       struct image_query *query, struct cay_error *err)
{
	const struct strv *until;
	int r;

	*query = (struct image_query){ .after_ns = INT64_MIN, .before_ns = INT64_MAX };
	r = filters_parse(text, allowed, &query->filters, err);
	if (r == 0)
		r = created_of(daemon, &query->filters, "since", &query->after_ns, err);
	if (r == 0)
		r = created_of(daemon, &query->filters, "before", &query->before_ns, err);
	if (r < 0)
		return r;
	until = filters_get(&query->filters, "until");
	if (until && http_time_parse(until->items[0], &query->before_ns) < 0)
		return cay_error_set(err, CAY_INVALID, EINVAL, "invalid filter 'until=%.64s'",
				     until->items[0]);
	query->wants_dangling = filters_get(&query->filters, "dangling");
	return filters_get_bool(&query->filters, "dangling", &query->dangling, err);
}

static bool match_image(const struct image_query *query, const struct image *image)
{
	bool dangling = image->names.count == 0 && !image->is_member;

	return (!query->wants_dangling || dangling == query->dangling) &&
		image->created_ns > query->after_ns && image->created_ns < query->before_ns &&
		filters_match_labels(&query->filters, "label", image_labels(image));
}

static int newest_first(const void *a, const void *b)
{
	const struct image *left = *(struct image *const *)a, *right = *(struct image *const *)b;

	return (left->created_ns < right->created_ns) - (left->created_ns > right->created_ns);
}

static int get_images(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_(image_query_done) struct image_query query = {};
	_cleanup_image_list_ struct image_list images = {};
	/* As docker's images in between, those of other platforms are shown on demand. */
	bool all = http_query_bool(request, "all", false);
	json_t *array;
	int r;

	r = parse_query(daemon, http_query(request, "filters"), list_filters, &query, err);
	if (r == 0)
		r = image_store_list(daemon->images, &images.items, &images.count, err);
	if (r < 0)
		return r;
	if (images.count > 0)
		qsort(images.items, images.count, sizeof(struct image *), newest_first);
	array = json_array();
	for (size_t i = 0; i < images.count; i++)
		if ((all || !images.items[i]->is_member) && match_image(&query, images.items[i]) &&
		    narrow_references(&query.filters, images.items[i]))
			json_array_append_new(
				array,
				image_to_summary(images.items[i], http_api_version(request)));
	return http_reply_json(request, 200, array);
}

/* ---- one image ---- */

static int get_image(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_(image_free_p) struct image *image = NULL;
	int r;

	r = image_store_find(daemon->images, http_param(request, 0), &image, err);
	if (r < 0)
		return r;
	return http_reply_json(request, 200, image_to_details(image, http_api_version(request)));
}

static int get_history(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_(image_free_p) struct image *image = NULL;
	int r;

	r = image_store_find(daemon->images, http_param(request, 0), &image, err);
	if (r < 0)
		return r;
	return http_reply_json(request, 200,
			       image_to_history(image, image->layer_sizes, image->layer_count));
}

static int post_tag(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	const char *repository = http_query(request, "repo"), *tag = http_query(request, "tag");
	_cleanup_(image_free_p) struct image *image = NULL;
	_cleanup_free_ char *name = NULL, *full = NULL, *familiar = NULL;
	int r;

	if (!repository || !*repository)
		return cay_error_set(err, CAY_INVALID, EINVAL, "repo is missing");
	name = tag && *tag ? xasprintf("%s:%s", repository, tag) : xstrdup(repository);
	r = image_reference_normalize(name, &full, err);
	if (r == 0)
		r = image_store_tag(daemon->images, http_param(request, 0), full, err);
	if (r == 0)
		r = image_store_find(daemon->images, full, &image, err);
	if (r != 0)
		return r;
	familiar = image_reference_familiar(full);
	events_emit(daemon->events, "image", "tag", image->id, image_attributes(image, familiar),
		    0);
	return http_reply_empty(request, 201);
}

/* ---- removal ---- */

static void add_removed(json_t *array, const char *key, const char *name)
{
	json_t *row = json_object();

	json_set_string(row, key, name);
	json_array_append_new(array, row);
}

/* Tells of what one removal did, as an answer and as events. */
static void tell_removed(struct daemon *daemon, const struct image *image,
			 const struct strv *untagged, const struct strv *deleted, json_t *array)
{
	for (size_t i = 0; i < untagged->count; i++) {
		_cleanup_free_ char *familiar = image_reference_familiar(untagged->items[i]);

		add_removed(array, "Untagged", familiar);
		events_emit(daemon->events, "image", "untag", image->id,
			    image_attributes(image, image->id), 0);
	}
	for (size_t i = 0; i < deleted->count; i++) {
		add_removed(array, "Deleted", deleted->items[i]);
		if (strcmp(deleted->items[i], image->id) == 0)
			events_emit(daemon->events, "image", "delete", image->id,
				    image_attributes(image, image->id), 0);
	}
}

static int remove_image(struct daemon *daemon, const struct image *image, const char *name,
			bool force, json_t *array, struct cay_error *err)
{
	_cleanup_strv_ struct strv untagged = {}, deleted = {};
	int r;

	r = image_store_remove(daemon->images, name, force, &untagged, &deleted, err);
	if (r == 0)
		tell_removed(daemon, image, &untagged, &deleted, array);
	return r;
}

static int delete_image(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	const char *name = http_param(request, 0);
	_cleanup_(image_free_p) struct image *image = NULL;
	_cleanup_json_ json_t *array = json_array();
	int r;

	r = image_store_find(daemon->images, name, &image, err);
	if (r == 0)
		r = remove_image(daemon, image, name, http_query_bool(request, "force", false),
				 array, err);
	if (r < 0)
		return r;
	return http_reply_json(request, 200, TAKE_PTR(array));
}

/* ---- POST /images/prune ---- */

static const char *const prune_filters[] = { "dangling", "label", "until", NULL };

static bool is_used(const struct container_list *containers, const struct image *image)
{
	for (size_t i = 0; i < containers->count; i++)
		if (strcmp(containers->items[i]->image_id, image->id) == 0)
			return true;
	return false;
}

/* All its names, then, if it is still there, the image. One that came to be used is left. */
static void prune_image(struct daemon *daemon, const struct image *image, json_t *deleted)
{
	for (size_t i = 0; i < image->names.count; i++)
		if (remove_image(daemon, image, image->names.items[i], false, deleted, NULL) < 0)
			return;
	if (image->names.count == 0)
		(void)remove_image(daemon, image, image->id, false, deleted, NULL);
}

static int post_prune(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_(image_query_done) struct image_query query = {};
	_cleanup_container_list_ struct container_list containers = {};
	_cleanup_image_list_ struct image_list images = {};
	json_t *deleted, *object;
	uint64_t reclaimed = 0;
	int r;

	r = parse_query(daemon, http_query(request, "filters"), prune_filters, &query, err);
	if (r == 0)
		r = image_store_list(daemon->images, &images.items, &images.count, err);
	if (r < 0)
		return r;
	/* "dangling=false" asks for all that are not used; without it, only those without a name.
	 */
	query.dangling = query.dangling || !query.wants_dangling;
	query.wants_dangling = query.dangling;
	containers_list(daemon->containers, &containers);
	deleted = json_array();
	for (size_t i = 0; i < images.count; i++) {
		_cleanup_(image_free_p) struct image *after = NULL;

		if (!match_image(&query, images.items[i]) || is_used(&containers, images.items[i]))
			continue;
		prune_image(daemon, images.items[i], deleted);
		if (image_store_find(daemon->images, images.items[i]->id, &after, NULL) < 0)
			reclaimed += images.items[i]->size;
	}
	object = json_object();
	json_set(object, "ImagesDeleted", deleted);
	json_set_int(object, "SpaceReclaimed", (int64_t)reclaimed);
	return http_reply_json(request, 200, object);
}

const struct http_route api_images_routes[] = {
	{ "GET", "/images/json", get_images },
	{ "POST", "/images/prune", post_prune },
	{ "GET", "/images/**/json", get_image },
	{ "GET", "/images/**/history", get_history },
	{ "POST", "/images/**/tag", post_tag },
	{ "DELETE", "/images/**", delete_image },
	{},
};
