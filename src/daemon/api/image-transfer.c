/* SPDX-License-Identifier: Apache-2.0 */
/* Images that come in: POST /images/create (pull) and POST /images/load. */
#include "base/alloc.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/api/image-json.h"
#include "daemon/api/progress.h"
#include "daemon/api/registry-auth.h"
#include "daemon/daemon.h"
#include "daemon/events.h"

#include <errno.h>

/* "name", "tag" → "name:tag" or, where the tag is a digest, "name@sha256:…". */
static char *join_reference(const char *name, const char *tag)
{
	if (!tag || !*tag)
		return xstrdup(name);
	return xasprintf("%s%c%s", name, strchr(tag, ':') ? '@' : ':', tag);
}

/* "Pulling from library/debian" with the tag as its id, before all else. */
static void set_heading(struct progress *progress, const char *full)
{
	struct str rest, tag, path;

	(void)str_split(str_from(full), '/', &rest); /* the registry */
	path = str_split(rest, '@', &tag);
	if (tag.length == 0)
		path = str_split(rest, ':', &tag);
	progress->heading = xasprintf("Pulling from %.*s", (int)path.length, path.data);
	progress->heading_id = str_dup(tag);
}

/* What docker's clients look for in the last line to tell whether anything was new. */
static void tell_pulled(struct progress *progress, const struct image *image, const char *name,
			bool is_new)
{
	_cleanup_free_ char *digest = xasprintf("Digest: %s", image->manifest_digest);
	_cleanup_free_ char *status =
		xasprintf("Status: %s for %s",
			  is_new ? "Downloaded newer image" : "Image is up to date", name);

	api_progress_status(progress, NULL, digest);
	api_progress_status(progress, NULL, status);
}

static int pull(struct daemon *daemon, struct progress *progress, const char *reference,
		const struct registry_auth *auth, struct cay_error *err)
{
	const struct image_credentials credentials = {
		.username = auth->username,
		.password = auth->password,
		.identity_token = auth->identity_token,
	};
	const char *platform = http_query(progress->request, "platform");
	struct image_progress_sink sink = api_progress_sink(progress);
	_cleanup_(image_free_p) struct image *before = NULL, *image = NULL;
	_cleanup_free_ char *full = NULL, *name = NULL;
	int r;

	r = image_reference_normalize(reference, &full, err);
	if (r < 0)
		return r;
	name = image_reference_familiar(full);
	if (image_store_find(daemon->images, full, &before, NULL) < 0)
		before = NULL;
	set_heading(progress, full);
	r = image_store_pull(daemon->images, full, platform && *platform ? platform : NULL,
			     &credentials, &sink, &image, err);
	if (r < 0)
		return r;
	tell_pulled(progress, image, name, !before || strcmp(before->id, image->id) != 0);
	events_emit(daemon->events, "image", "pull", name, image_attributes(image, name), 0);
	return 0;
}

static int post_create(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	const char *from = http_query(request, "fromImage");
	const char *source = http_query(request, "fromSrc");
	_cleanup_registry_auth_ struct registry_auth auth = {};
	_cleanup_free_ char *reference = NULL;
	struct progress progress;
	int r;

	if (source && *source)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP, "import is not supported");
	if (!from || !*from)
		return cay_error_set(err, CAY_INVALID, EINVAL, "fromImage is missing");
	r = registry_auth_parse(http_header(request, "X-Registry-Auth"), &auth, err);
	if (r < 0)
		return r;
	reference = join_reference(from, http_query(request, "tag"));
	api_progress_init(&progress, request, false);
	r = pull(daemon, &progress, reference, &auth, err);
	if (r < 0)
		r = api_progress_fail(&progress, err);
	api_progress_done(&progress);
	return r;
}

static void tell_loaded(struct daemon *daemon, struct progress *progress, const char *name)
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
	struct progress progress;
	int fd, r;

	r = http_body_fd(request, &fd, err);
	if (r < 0)
		return r;
	api_progress_init(&progress, request, http_query_bool(request, "quiet", false));
	sink = api_progress_sink(&progress);
	r = image_store_load(daemon->images, fd, &sink, &loaded, err);
	if (r < 0) {
		r = api_progress_fail(&progress, err);
	} else {
		for (size_t i = 0; i < loaded.count; i++)
			tell_loaded(daemon, &progress, loaded.items[i]);
		if (loaded.count == 0)
			api_progress_stream(&progress, "The archive holds no image\n");
	}
	api_progress_done(&progress);
	return r;
}

const struct http_route api_image_transfer_routes[] = {
	{ "POST", "/images/create", post_create },
	{ "POST", "/images/load", post_load, .raw_body = true },
	{},
};
