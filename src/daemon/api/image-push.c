/* SPDX-License-Identifier: Apache-2.0 */
/* Images that go out: POST /images/{name}/push. */
#include "base/alloc.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/api/image-json.h"
#include "daemon/api/progress.h"
#include "daemon/api/registry-auth.h"
#include "daemon/daemon.h"
#include "daemon/events.h"

#include <errno.h>

enum { PLATFORM_TEXT_MAX = 4096 };

/* {"os": …, "architecture": …, "variant": …}, as clients of version 1.46 send it; NULL for none. */
static int read_platform(const struct http_request *request, char **ret_platform,
			 struct cay_error *err)
{
	const char *text = http_query(request, "platform");
	_cleanup_free_ char *os = NULL, *architecture = NULL, *variant = NULL;
	_cleanup_json_ json_t *object = NULL;
	int r;

	if (!text || !*text)
		return 0;
	if (strlen(text) > PLATFORM_TEXT_MAX)
		return cay_error_set(err, CAY_INVALID, E2BIG, "platform is over %d bytes",
				     PLATFORM_TEXT_MAX);
	r = json_parse(text, strlen(text), "platform", &object, err);
	if (r == 0 && !json_is_object(object))
		r = cay_error_set(err, CAY_INVALID, EINVAL, "platform is not a JSON object");
	if (r == 0)
		r = json_read_string(object, "os", &os, err);
	if (r == 0)
		r = json_read_string(object, "architecture", &architecture, err);
	if (r == 0)
		r = json_read_string(object, "variant", &variant, err);
	if (r == 0 && (!os || !architecture))
		r = cay_error_set(err, CAY_INVALID, EINVAL,
				  "platform has no os or no architecture");
	if (r < 0)
		return r;
	*ret_platform = xasprintf("%s/%s%s%s", os, architecture, variant && *variant ? "/" : "",
				  variant ? variant : "");
	return 0;
}

/* The message that programs read, behind the one for people. */
static void tell_pushed(struct api_progress *progress, const char *tag,
			const struct image_pushed *pushed)
{
	json_t *aux = json_object();

	json_set_string(aux, "Tag", tag);
	json_set_string(aux, "Digest", pushed->digest);
	json_set_int(aux, "Size", (int64_t)pushed->size);
	api_progress_aux(progress, aux);
}

static int push_tag(struct daemon *daemon, struct api_progress *progress, const char *name,
		    const char *tag, const char *platform,
		    const struct image_credentials *credentials, struct cay_error *err)
{
	_cleanup_free_ char *reference = xasprintf("%s:%s", name, tag), *familiar = NULL;
	struct image_progress_sink sink = api_progress_sink(progress);
	_cleanup_(image_free_p) struct image *image = NULL;
	struct image_pushed pushed;
	int r = image_store_push(daemon->images, reference, platform, credentials, &sink, &pushed,
				 err);

	if (r < 0)
		return r;
	tell_pushed(progress, tag, &pushed);
	familiar = image_reference_familiar(reference);
	/* One that was removed in the meantime needs no event. */
	if (image_store_find(daemon->images, reference, &image, NULL) == 0)
		events_emit(daemon->events, "image", "push", familiar,
			    image_attributes(image, familiar), 0);
	return 0;
}

/* The tags to be pushed: the one that was asked for, or all. `name` is in full, without a tag. */
static int choose_tags(struct daemon *daemon, const struct http_request *request, const char *name,
		       const char *given, struct strv *tags, struct cay_error *err)
{
	const char *tag = http_query(request, "tag");
	int r = 0;

	if (given)
		strv_add(tags, given);
	else if (tag && *tag)
		strv_add(tags, tag);
	else
		r = image_store_local_tags(daemon->images, name, tags, err);
	if (r == 0 && tags->count == 0)
		r = cay_error_set(err, CAY_NOT_FOUND, ENOENT,
				  "An image does not exist locally with the tag: %s",
				  http_param(request, 0));
	return r;
}

static int push(struct daemon *daemon, struct api_progress *progress,
		const struct registry_auth *auth, struct cay_error *err)
{
	const struct image_credentials credentials = registry_auth_credentials(auth);
	const char *given = http_param(progress->request, 0), *last = strrchr(given, '/');
	_cleanup_free_ char *full = NULL, *platform = NULL;
	_cleanup_strv_ struct strv tags = {};
	bool tagged;
	char *colon;
	int r;

	r = image_reference_normalize(given, &full, err);
	if (r == 0 && strchr(full, '@'))
		r = cay_error_set(err, CAY_INVALID, EINVAL, "cannot push a digest reference");
	if (r == 0)
		r = read_platform(progress->request, &platform, err);
	if (r < 0)
		return r;
	/* The full form always has a tag; whether it was given shows in what was written. */
	colon = strrchr(full, ':');
	*colon = '\0';
	tagged = strchr(last ? last : given, ':') != NULL;
	r = choose_tags(daemon, progress->request, full, tagged ? colon + 1 : NULL, &tags, err);
	for (size_t i = 0; r == 0 && i < tags.count; i++)
		r = push_tag(daemon, progress, full, tags.items[i], platform, &credentials, err);
	return r;
}

static int post_push(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_registry_auth_ struct registry_auth auth = {};
	struct api_progress progress;
	int r = registry_auth_parse(http_header(request, "X-Registry-Auth"), &auth, err);

	if (r < 0)
		return r;
	api_progress_init(&progress, request, false);
	r = push(daemon, &progress, &auth, err);
	return api_progress_end(&progress, r, err);
}

const struct http_route api_image_push_routes[] = {
	{ "POST", "/images/**/push", post_push },
	{},
};
