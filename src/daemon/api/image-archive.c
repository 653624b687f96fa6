/* SPDX-License-Identifier: Apache-2.0 */
/* Images as archives: POST /images/load, GET /images/get and GET /images/NAME/get. */
#include "base/alloc.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/api/image-json.h"
#include "daemon/api/progress.h"
#include "daemon/api/stream-writer.h"
#include "daemon/daemon.h"
#include "daemon/events.h"

#include <errno.h>

/* ---- in ---- */

static void tell_loaded(struct daemon *daemon, struct api_progress *progress, const char *name)
{
	_cleanup_(image_free_p) struct image *image = NULL;
	_cleanup_free_ char *text = NULL, *familiar = NULL;

	if (starts_with(name, "sha256:")) {
		text = xasprintf("Loaded image ID: %s\n", name);
	} else {
		familiar = image_reference_familiar(name);
		text = xasprintf("Loaded image: %s\n", familiar);
	}
	api_progress_stream(progress, text);
	/* One that was removed in the meantime needs no event. */
	if (image_store_find(daemon->images, name, &image, NULL) == 0)
		events_emit(daemon->events, "image", "load", image->id,
			    image_attributes(image, familiar ? familiar : image->id), 0);
}

static int post_load(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_strv_ struct strv loaded = {};
	struct image_progress_sink sink;
	struct api_progress progress;
	int fd, r;

	r = http_body_fd(request, &fd, err);
	if (r < 0)
		return r;
	api_progress_init(&progress, request, http_query_bool(request, "quiet", false));
	sink = api_progress_sink(&progress);
	r = image_store_load(daemon->images, fd, &sink, &loaded, err);
	if (r < 0 && err->code == CAY_CORRUPT)
		err->code = CAY_INVALID; /* what is broken is the client's */
	for (size_t i = 0; i < loaded.count; i++)
		tell_loaded(daemon, &progress, loaded.items[i]);
	if (r == 0 && loaded.count == 0)
		api_progress_stream(&progress, "The archive holds no image\n");
	return api_progress_end(&progress, r, err);
}

/* ---- out ---- */

static void tell_saved(struct daemon *daemon, const struct strv *names)
{
	for (size_t i = 0; i < names->count; i++) {
		_cleanup_(image_free_p) struct image *image = NULL;

		if (image_store_find(daemon->images, names->items[i], &image, NULL) == 0)
			events_emit(daemon->events, "image", "save", image->id,
				    image_attributes(image, image->id), 0);
	}
}

static int save(struct daemon *daemon, struct http_request *request, const struct strv *names,
		struct cay_error *err)
{
	struct stream_writer writer;
	_cleanup_free_ char *platform = NULL;
	int r = image_platform_argument(http_query(request, "platform"), &platform, err);

	stream_writer_init(&writer, request, "application/x-tar");
	if (r == 0)
		r = image_store_save(daemon->images, names, platform, &writer.writer, NULL, err);
	if (r == 0)
		tell_saved(daemon, names);
	return stream_writer_end(&writer, r);
}

static int get_archive(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_strv_ struct strv names = {};

	http_query_all(request, "names", &names);
	return save(daemon, request, &names, err);
}

static int get_image_archive(struct daemon *daemon, struct http_request *request,
			     struct cay_error *err)
{
	_cleanup_strv_ struct strv names = {};

	strv_add(&names, http_param(request, 0));
	return save(daemon, request, &names, err);
}

const struct http_route api_image_archive_routes[] = {
	{ "POST", "/images/load", post_load, .raw_body = true },
	{ "GET", "/images/get", get_archive },
	{ "GET", "/images/**/get", get_image_archive },
	{},
};
