/* SPDX-License-Identifier: Apache-2.0 */
/* Images that come in: POST /images/create. */
#include "base/alloc.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/api/image-import.h"
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

static int pull(struct daemon *daemon, struct api_progress *progress, const char *reference,
		const struct registry_auth *auth, struct cay_error *err)
{
	const struct image_credentials credentials = registry_auth_credentials(auth);
	const char *platform = http_query(progress->request, "platform");
	struct image_progress_sink sink = api_progress_sink(progress);
	_cleanup_(image_free_p) struct image *image = NULL;
	_cleanup_free_ char *full = NULL, *name = NULL;
	int r;

	r = image_reference_normalize(reference, &full, err);
	if (r < 0)
		return r;
	name = image_reference_familiar(full);
	r = image_store_pull(daemon->images, full, platform && *platform ? platform : NULL,
			     &credentials, &sink, &image, err);
	if (r < 0)
		return r;
	events_emit(daemon->events, "image", "pull", name, image_attributes(image, name), 0);
	return 0;
}

/* All tags that the registry has; each is pulled like one that was named. */
static int pull_all(struct daemon *daemon, struct api_progress *progress, const char *name,
		    const struct registry_auth *auth, struct cay_error *err)
{
	const struct image_credentials credentials = registry_auth_credentials(auth);
	struct image_progress_sink sink = api_progress_sink(progress);
	_cleanup_strv_ struct strv tags = {};
	int r = image_store_remote_tags(daemon->images, name, &credentials, &sink, &tags, err);

	if (r == 0 && tags.count == 0)
		r = cay_error_set(err, CAY_NOT_FOUND, ENOENT, "%s has no tags", name);
	for (size_t i = 0; r == 0 && i < tags.count; i++) {
		_cleanup_free_ char *reference = xasprintf("%s:%s", name, tags.items[i]);

		r = pull(daemon, progress, reference, auth, err);
	}
	return r;
}

/* Neither a tag nor a digest: docker's words for all tags. */
static bool is_name_only(const char *reference)
{
	const char *last = strrchr(reference, '/');

	return !strpbrk(last ? last : reference, ":@");
}

static int post_create(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	const char *from = http_query(request, "fromImage");
	const char *source = http_query(request, "fromSrc");
	_cleanup_registry_auth_ struct registry_auth auth = {};
	_cleanup_free_ char *reference = NULL;
	struct api_progress progress;
	int r;

	if (source && *source)
		return api_image_import(daemon, request, source, err);
	if (!from || !*from)
		return cay_error_set(err, CAY_INVALID, EINVAL, "fromImage is missing");
	r = registry_auth_parse(http_header(request, "X-Registry-Auth"), &auth, err);
	if (r < 0)
		return r;
	reference = join_reference(from, http_query(request, "tag"));
	api_progress_init(&progress, request, false);
	r = is_name_only(reference) ? pull_all(daemon, &progress, reference, &auth, err)
				    : pull(daemon, &progress, reference, &auth, err);
	return api_progress_end(&progress, r, err);
}

const struct http_route api_image_transfer_routes[] = {
	/* A body is a tar to be imported; pulls have none, and none is read. */
	{ "POST", "/images/create", post_create, .raw_body = true },
	{},
};
