/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an image's configuration adds to a container's, by docker's rules: the
 * client's word stands; lists of variables, labels, ports and volumes are
 * joined by key; a client that names an entrypoint loses the image's command.
 */
#include "daemon/request-internal.h"

#include "base/json.h"

#include <errno.h>
#include <string.h>

static bool is_empty_string(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return !text || text[0] == '\0';
}

static void take_string(json_t *config, const json_t *image, const char *key)
{
	if (is_empty_string(config, key) && !is_empty_string(image, key))
		json_set(config, key, json_incref(json_object_get(image, key)));
}

/* Adds the members that are missing to an object that may be absent. */
static void join_objects(json_t *config, const json_t *image, const char *key)
{
	json_t *ours = json_object_get(config, key), *theirs = json_object_get(image, key), *value;
	const char *name;

	if (!json_is_object(theirs) || json_object_size(theirs) == 0)
		return;
	if (!json_is_object(ours)) {
		json_set(config, key, json_incref(theirs));
		return;
	}
	json_object_foreach(theirs, name, value) {
		if (!json_object_get(ours, name))
			json_set(ours, name, json_incref(value));
	}
}

static bool names_variable(const json_t *env, const char *entry)
{
	size_t length = strcspn(entry, "="), i;
	json_t *item;

	json_array_foreach(env, i, item) {
		const char *text = json_string_value(item);

		if (strcspn(text, "=") == length && strncmp(text, entry, length) == 0)
			return true;
	}
	return false;
}

static void join_env(json_t *config, const json_t *image)
{
	json_t *ours = json_object_get(config, "Env"), *item;
	json_t *own = json_copy(ours); /* a variable the image sets twice is taken twice */
	size_t i;

	json_array_foreach(json_object_get(image, "Env"), i, item) {
		if (!names_variable(own, json_string_value(item)))
			(void)json_array_append(ours, item);
	}
	json_decref(own);
}

static void take_command(json_t *config, const json_t *image)
{
	if (json_array_size(json_object_get(config, "Entrypoint")) != 0)
		return;
	if (json_array_size(json_object_get(config, "Cmd")) == 0)
		json_set(config, "Cmd", json_incref(json_object_get(image, "Cmd")));
	if (!json_is_array(json_object_get(config, "Entrypoint")))
		json_set(config, "Entrypoint", json_incref(json_object_get(image, "Entrypoint")));
}

int request_merge_image(json_t *config, const json_t *image, struct cay_error *err)
{
	_cleanup_json_ json_t *shaped = NULL;
	const json_t *source = image ? json_object_get(image, "config") : NULL;
	int r;

	if (!source || json_is_null(source))
		return 0;
	if (!json_is_object(source))
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "the image's configuration is not an object");
	r = request_shape_config(source, &shaped, err);
	if (r < 0)
		return cay_error_prefix(err, "the image's configuration");
	take_string(config, shaped, "User");
	take_string(config, shaped, "WorkingDir");
	take_string(config, shaped, "StopSignal");
	take_command(config, shaped);
	join_env(config, shaped);
	join_objects(config, shaped, "Labels");
	join_objects(config, shaped, "ExposedPorts");
	join_objects(config, shaped, "Volumes");
	join_objects(config, shaped, "Healthcheck");
	if (json_is_array(json_object_get(shaped, "Shell")) && !json_object_get(config, "Shell"))
		json_set(config, "Shell", json_incref(json_object_get(shaped, "Shell")));
	return 0;
}
