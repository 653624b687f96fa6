/* SPDX-License-Identifier: Apache-2.0 */
/* Images by filters: the list, and prune. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "daemon/api/image-json.h"
#include "daemon/api/images.h"
#include "daemon/containers.h"
#include "daemon/daemon.h"
#include "daemon/damaged.h"
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
static bool match_reference(const char *pattern, const char *name)
{
	_cleanup_free_ char *familiar = image_reference_familiar(name);
	char *end;

	if (match_pattern(pattern, familiar))
		return true;
	end = strchr(familiar, '@');
	if (!end)
		end = strrchr(familiar, ':');
	if (end)
		*end = '\0';
	return match_pattern(pattern, familiar);
}

static void narrow_names(struct strv *names, const struct strv *patterns)
{
	struct strv kept = {};

	for (size_t i = 0; i < names->count; i++) {
		bool matches = false;

		for (size_t j = 0; j < patterns->count && !matches; j++)
			matches = match_reference(patterns->items[j], names->items[i]);
		if (matches)
			strv_add(&kept, names->items[i]);
	}
	strv_done(names);
	*names = kept;
}

/* With the filter an image shows the names that fit, and one without such names is not shown. */
static bool match_references(const struct filters *filters, struct image *image)
{
	const struct strv *patterns = filters_get(filters, "reference");

	if (!patterns)
		return true;
	narrow_names(&image->names, patterns);
	narrow_names(&image->digests, patterns);
	return image->names.count + image->digests.count > 0;
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

static bool match_image(const struct image_query *query, struct image *image)
{
	/* Docker's two questions: an image known by a digest alone answers no to both. */
	const bool fits = !query->wants_dangling ||
		(query->dangling ? image->names.count == 0 && !image->is_member
				 : image->names.count > 0 || image->digests.count > 0);

	return fits && image->created_ns > query->after_ns &&
		image->created_ns < query->before_ns &&
		filters_match_labels(&query->filters, "label", image_labels(image)) &&
		filters_miss_labels(&query->filters, "label!", image_labels(image)) &&
		match_references(&query->filters, image);
}

static int newest_first(const void *a, const void *b)
{
	const struct image *left = *(struct image *const *)a, *right = *(struct image *const *)b;

	return (left->created_ns < right->created_ns) - (left->created_ns > right->created_ns);
}

static json_t *summarize(struct http_request *request, const struct image *image)
{
	json_t *summary = image_to_summary(image, http_api_version(request));

	if (http_query_bool(request, "shared-size", false))
		json_set_int(summary, "SharedSize", (int64_t)image->shared_size);
	return summary;
}

int images_get(struct daemon *daemon, struct http_request *request, struct cay_error *err)
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
		if ((all || !images.items[i]->is_member) && match_image(&query, images.items[i]))
			json_array_append_new(array, summarize(request, images.items[i]));
	return http_reply_json(request, 200, array);
}

/* ---- POST /images/prune ---- */

static const char *const prune_filters[] = { "dangling", "label", "label!", "until", NULL };

static bool is_used(const struct container_list *containers, const struct image *image)
{
	for (size_t i = 0; i < containers->count; i++)
		if (strcmp(containers->items[i]->image_id, image->id) == 0)
			return true;
	return false;
}

/* All its names, or, if it has none, the image. One that came to be used or named is left. */
static void prune_image(struct daemon *daemon, const struct image *image, json_t *deleted,
			uint64_t *reclaimed)
{
	_cleanup_strv_ struct strv names = {};

	for (size_t i = 0; i < image->names.count; i++)
		strv_add(&names, image->names.items[i]);
	for (size_t i = 0; i < image->digests.count; i++)
		strv_add(&names, image->digests.items[i]);
	if (names.count == 0)
		strv_add(&names, image->id);
	/* A digest may be gone with its repository's last tag. */
	for (size_t i = 0; i < names.count; i++)
		(void)images_remove_unchanged(daemon, image, names.items[i], deleted, reclaimed,
					      NULL);
}

static void tell_pruned(struct daemon *daemon, uint64_t reclaimed)
{
	_cleanup_free_ char *text = xasprintf("%ju", (uintmax_t)reclaimed);
	json_t *attributes = json_object();

	json_set_string(attributes, "reclaimed", text);
	events_emit(daemon->events, "image", "prune", "", attributes, 0);
}

int images_prune(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_(image_query_done) struct image_query query = {};
	_cleanup_container_list_ struct container_list containers = {};
	_cleanup_image_list_ struct image_list images = {};
	json_t *deleted, *object;
	uint64_t reclaimed = 0;
	int r;

	r = parse_query(daemon, http_query(request, "filters"), prune_filters, &query, err);
	if (r == 0)
		r = damaged_check_images(daemon, err);
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
	for (size_t i = 0; i < images.count; i++)
		if (!images.items[i]->is_member && match_image(&query, images.items[i]) &&
		    !is_used(&containers, images.items[i]) &&
		    !damaged_has_image(daemon, images.items[i]->id))
			prune_image(daemon, images.items[i], deleted, &reclaimed);
	tell_pruned(daemon, reclaimed);
	object = json_object();
	json_set(object, "ImagesDeleted", deleted);
	json_set_int(object, "SpaceReclaimed", (int64_t)reclaimed);
	return http_reply_json(request, 200, object);
}
