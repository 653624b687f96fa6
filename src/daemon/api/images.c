/* SPDX-License-Identifier: Apache-2.0 */
/* One image that is here: inspect, history, tag, remove. */
#include "daemon/api/images.h"
#include "base/alloc.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/api/image-json.h"
#include "daemon/containers.h"
#include "daemon/daemon.h"
#include "daemon/events.h"

#include <errno.h>

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
			 const struct image_removal *removal, json_t *array)
{
	for (size_t i = 0; i < removal->untagged.count; i++) {
		add_removed(array, "Untagged", removal->untagged.items[i]);
		events_emit(daemon->events, "image", "untag", image->id,
			    image_attributes(image, image->id), 0);
	}
	for (size_t i = 0; i < removal->deleted.count; i++) {
		add_removed(array, "Deleted", removal->deleted.items[i]);
		if (strcmp(removal->deleted.items[i], image->id) == 0)
			events_emit(daemon->events, "image", "delete", image->id,
				    image_attributes(image, image->id), 0);
	}
}

static void find_running(struct daemon *daemon, struct strv *running)
{
	_cleanup_container_list_ struct container_list containers = {};

	containers_list(daemon->containers, &containers);
	for (size_t i = 0; i < containers.count; i++) {
		_cleanup_view_ struct container_view view = {};

		container_view(containers.items[i], &view);
		if (view.status == CONTAINER_RUNNING || view.status == CONTAINER_PAUSED)
			strv_add(running, containers.items[i]->id);
	}
}

int images_remove(struct daemon *daemon, const struct image *image, const char *name, bool force,
		  json_t *array, uint64_t *reclaimed, struct cay_error *err)
{
	_cleanup_image_removal_ struct image_removal removal = {};
	_cleanup_strv_ struct strv running = {};
	int r;

	find_running(daemon, &running);
	r = image_store_remove(daemon->images, name, force, &running, &removal, err);
	if (r < 0)
		return r;
	tell_removed(daemon, image, &removal, array);
	*reclaimed += removal.reclaimed_bytes;
	return 0;
}

int images_remove_unchanged(struct daemon *daemon, const struct image *image, const char *name,
			    json_t *array, uint64_t *reclaimed, struct cay_error *err)
{
	_cleanup_image_removal_ struct image_removal removal = {};
	int r = image_store_remove_unchanged(daemon->images, name, image->id, &removal, err);

	if (r < 0)
		return r;
	tell_removed(daemon, image, &removal, array);
	*reclaimed += removal.reclaimed_bytes;
	return 0;
}

static int delete_image(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	const char *name = http_param(request, 0);
	_cleanup_(image_free_p) struct image *image = NULL;
	_cleanup_json_ json_t *array = json_array();
	uint64_t reclaimed = 0;
	int r;

	/* "noprune" keeps docker's parents, which images here do not have. */
	r = image_store_find(daemon->images, name, &image, err);
	if (r == 0)
		r = images_remove(daemon, image, name, http_query_bool(request, "force", false),
				  array, &reclaimed, err);
	if (r < 0)
		return r;
	return http_reply_json(request, 200, TAKE_PTR(array));
}

const struct http_route api_images_routes[] = {
	{ "GET", "/images/json", images_get },
	{ "POST", "/images/prune", images_prune },
	{ "GET", "/images/**/json", get_image },
	{ "GET", "/images/**/history", get_history },
	{ "POST", "/images/**/tag", post_tag },
	{ "DELETE", "/images/**", delete_image },
	{},
};
