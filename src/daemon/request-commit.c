/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of an image that is made of a container, or of a root file system. */
#include "daemon/request-internal.h"

#include "base/json.h"
#include "daemon/changes.h"

/* What an image's configuration has, of OCI's and of docker's own. */
static const char *const image_members[] = {
	"User",       "ExposedPorts", "Env",        "Entrypoint",  "Cmd",     "Volumes",
	"WorkingDir", "Labels",       "StopSignal", "Healthcheck", "OnBuild", "Shell",
};

static bool says_something(const json_t *value)
{
	if (json_is_string(value))
		return json_string_length(value) > 0;
	if (json_is_array(value))
		return json_array_size(value) > 0;
	return json_is_object(value) && json_object_size(value) > 0;
}

static json_t *select_members(const json_t *config)
{
	json_t *selected = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(image_members); i++) {
		json_t *value = json_object_get(config, image_members[i]);

		if (says_something(value))
			json_set(selected, image_members[i], json_deep_copy(value));
	}
	return selected;
}

int request_commit_config(const json_t *body, const json_t *container, const struct strv *changes,
			  json_t **ret_config, struct cay_error *err)
{
	const json_t *source = body ? body : container;
	_cleanup_json_ json_t *config = NULL, *base = NULL;
	int r = request_shape_config(source, &config, err);

	/* docker's client sends no members, or all of them empty, where nothing was said. */
	if (r == 0)
		r = changes_apply(config, changes, err);
	if (r == 0 && container) {
		base = json_pack("{s:O}", "config", container);
		r = request_merge_image(config, base, err);
	}
	if (r == 0)
		*ret_config = select_members(config);
	return r;
}
