/* SPDX-License-Identifier: Apache-2.0 */
/* What clients ask of a registry through the daemon: POST /auth, GET /distribution/{name}/json. */
#include "base/alloc.h"
#include "base/json.h"
#include "base/secret.h"
#include "daemon/api/api.h"
#include "daemon/api/progress.h"
#include "daemon/api/registry-auth.h"
#include "daemon/daemon.h"
#include "image/store.h"

#include <errno.h>

static bool is_gone(void *user)
{
	return http_request_gone(user);
}

static int post_auth(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	const struct image_progress_sink sink = { .cancelled = is_gone, .user = request };
	_cleanup_registry_auth_ struct registry_auth auth = {};
	_cleanup_free_ char *address = xstrdup("");
	struct image_credentials credentials;
	char *identity_token = NULL;
	json_t *body = NULL, *answer;
	int r = http_body_json(request, &body, err);

	if (r == 0 && !body)
		r = cay_error_set(err, CAY_INVALID, EINVAL, "the body with the login is missing");
	if (r == 0)
		r = registry_auth_read(body, &auth, err);
	if (r == 0)
		r = json_read_string(body, "serveraddress", &address, err);
	if (r < 0)
		return r;
	credentials = registry_auth_credentials(&auth);
	r = image_store_login(daemon->images, address, &credentials, &sink, &identity_token, err);
	if (r < 0)
		return r;
	answer = json_object();
	json_set_string(answer, "Status", "Login Succeeded");
	json_set_string(answer, "IdentityToken", identity_token ? identity_token : "");
	secret_free(identity_token);
	return http_reply_json(request, 200, answer);
}

static json_t *platforms_json(const struct image_remote *remote)
{
	json_t *list = json_array();

	for (size_t i = 0; i < remote->platform_count; i++) {
		json_t *platform = json_object();

		json_set_string(platform, "architecture", remote->platforms[i].architecture);
		json_set_string(platform, "os", remote->platforms[i].os);
		if (remote->platforms[i].variant)
			json_set_string(platform, "variant", remote->platforms[i].variant);
		(void)json_array_append_new(list, platform); /* fails only for lack of memory */
	}
	return list;
}

static int get_distribution(struct daemon *daemon, struct http_request *request,
			    struct cay_error *err)
{
	const struct image_progress_sink sink = { .cancelled = is_gone, .user = request };
	_cleanup_registry_auth_ struct registry_auth auth = {};
	struct image_credentials credentials;
	struct image_remote remote = {};
	json_t *answer, *descriptor;
	int r = registry_auth_parse(http_header(request, "X-Registry-Auth"), &auth, err);

	if (r < 0)
		return r;
	credentials = registry_auth_credentials(&auth);
	r = image_store_inspect_remote(daemon->images, http_param(request, 0), &credentials, &sink,
				       &remote, err);
	if (r < 0)
		return r;
	descriptor = json_object();
	json_set_string(descriptor, "mediaType", remote.media_type);
	json_set_string(descriptor, "digest", remote.digest);
	json_set_int(descriptor, "size", (int64_t)remote.size);
	answer = json_object();
	json_set(answer, "Descriptor", descriptor);
	json_set(answer, "Platforms", platforms_json(&remote));
	image_remote_done(&remote);
	return http_reply_json(request, 200, answer);
}

const struct http_route api_registry_routes[] = {
	{ "POST", "/auth", post_auth },
	{ "GET", "/distribution/**/json", get_distribution },
	{},
};
