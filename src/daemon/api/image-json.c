/* SPDX-License-Identifier: Apache-2.0 */
/* Images in docker's JSON. */
#include "daemon/api/image-json.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "image/platform.h"

enum {
	NS_PER_SECOND = 1000000000,
	VERSION_NO_VIRTUAL_SIZE = 44, /* the first API without "VirtualSize" */
	VERSION_NO_NONE = 43,         /* the first that says [] and not ["<none>:<none>"] */
	VERSION_NO_CONTAINER = 45,    /* the first without "Container" in details */
};

static const json_t *runtime_config(const struct image *image)
{
	return json_object_get(image->config, "config");
}

const json_t *image_labels(const struct image *image)
{
	const json_t *labels = json_object_get(runtime_config(image), "Labels");

	return json_is_object(labels) ? labels : NULL;
}

json_t *image_attributes(const struct image *image, const char *name)
{
	const json_t *labels = image_labels(image);
	json_t *attributes = labels ? json_deep_copy(labels) : json_object();

	json_set_string(attributes, "name", name);
	return attributes;
}

static json_t *familiar_names(const struct strv *names)
{
	json_t *array = json_array();

	for (size_t i = 0; i < names->count; i++) {
		_cleanup_free_ char *familiar = image_reference_familiar(names->items[i]);

		json_array_append_new(array, json_string(familiar));
	}
	return array;
}

static json_t *tags_or_none(const struct strv *names, const char *none, unsigned int version)
{
	if (names->count > 0 || version >= VERSION_NO_NONE)
		return familiar_names(names);
	return json_pack("[s]", none);
}

int image_platform_argument(const char *text, char **ret_platform, struct cay_error *err)
{
	_cleanup_platform_ struct platform platform = {};
	_cleanup_json_ json_t *object = NULL;
	int r = 0;

	if (!text || !*text) {
		*ret_platform = NULL;
		return 0;
	}
	if (*text == '{') {
		r = json_parse(text, strlen(text), "platform", &object, err);
		if (r == 0)
			r = platform_read(object, &platform, err);
	} else {
		r = platform_parse(text, &platform, err);
	}
	if (r == 0)
		*ret_platform = platform_format(&platform);
	return r;
}

json_t *image_to_summary(const struct image *image, unsigned int version)
{
	const json_t *labels = image_labels(image);
	json_t *object = json_object();

	json_set_int(object, "Containers", -1); /* not counted, as docker says it */
	json_set_int(object, "Created", image->created_ns / NS_PER_SECOND);
	json_set_string(object, "Id", image->id);
	json_set(object, "Labels", labels ? json_deep_copy(labels) : json_null());
	json_set_string(object, "ParentId", "");
	json_set(object, "RepoDigests", tags_or_none(&image->digests, "<none>@<none>", version));
	json_set(object, "RepoTags", tags_or_none(&image->names, "<none>:<none>", version));
	json_set_int(object, "SharedSize", -1);
	json_set_int(object, "Size", (int64_t)image->size);
	if (version < VERSION_NO_VIRTUAL_SIZE)
		json_set_int(object, "VirtualSize", (int64_t)image->size);
	return object;
}

/* Docker's clients expect these members, whether the image has them or not. */
static json_t *complete_config(const struct image *image)
{
	static const char *const strings[] = { "Hostname", "Domainname", "User", "Image",
					       "WorkingDir" };
	static const char *const booleans[] = { "AttachStdin", "AttachStdout", "AttachStderr",
						"Tty",         "OpenStdin",    "StdinOnce" };
	static const char *const nulls[] = { "Env",        "Cmd",     "Volumes",
					     "Entrypoint", "OnBuild", "Labels" };
	const json_t *own = runtime_config(image);
	json_t *config = json_is_object(own) ? json_deep_copy(own) : json_object();

	for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
		if (!json_object_get(config, strings[i]))
			json_set_string(config, strings[i], "");
	for (size_t i = 0; i < ARRAY_SIZE(booleans); i++)
		if (!json_object_get(config, booleans[i]))
			json_set_bool(config, booleans[i], false);
	for (size_t i = 0; i < ARRAY_SIZE(nulls); i++)
		if (!json_object_get(config, nulls[i]))
			json_set(config, nulls[i], json_null());
	return config;
}

static void copy_string(json_t *to, const char *key, const json_t *from, const char *from_key)
{
	const char *text = json_string_value(json_object_get(from, from_key));

	json_set_string(to, key, text ? text : "");
}

static const json_t *history_of(const struct image *image)
{
	return json_object_get(image->config, "history");
}

json_t *image_to_details(const struct image *image, unsigned int version)
{
	const json_t *history = history_of(image);
	const json_t *last = json_array_get(history, json_array_size(history) - 1);
	json_t *object = json_object();
	const char *own = json_string_value(json_object_get(image->config, "created"));
	char created[CLOCK_TEXT_MAX];
	int64_t own_ns;

	clock_format_utc(image->created_ns, created);
	json_set_string(object, "Id", image->id);
	json_set(object, "RepoTags", familiar_names(&image->names));
	json_set(object, "RepoDigests", familiar_names(&image->digests));
	json_set_string(object, "Parent", "");
	copy_string(object, "Comment", last, "comment");
	/* Word for word where it can be read. */
	json_set_string(object, "Created", own && clock_parse(own, &own_ns) == 0 ? own : created);
	if (version < VERSION_NO_CONTAINER)
		json_set_string(object, "Container", "");
	copy_string(object, "DockerVersion", image->config, "docker_version");
	copy_string(object, "Author", image->config, "author");
	json_set(object, "Config", complete_config(image));
	json_set_string(object, "Architecture", image->architecture);
	if (image->variant && *image->variant)
		json_set_string(object, "Variant", image->variant);
	json_set_string(object, "Os", image->os);
	json_set_int(object, "Size", (int64_t)image->size);
	if (version < VERSION_NO_VIRTUAL_SIZE)
		json_set_int(object, "VirtualSize", (int64_t)image->size);
	json_set(object, "GraphDriver", json_pack("{s:n, s:s}", "Data", "Name", "erofs"));
	json_set(object, "RootFS",
		 json_pack("{s:s, s:o}", "Type", "layers", "Layers",
			   json_from_strv(&image->diff_ids)));
	json_set(object, "Metadata", json_pack("{s:s}", "LastTagTime", "0001-01-01T00:00:00Z"));
	return object;
}

static json_t *history_row(const json_t *entry, uint64_t size)
{
	const char *created = json_string_value(json_object_get(entry, "created"));
	json_t *row = json_object();
	int64_t created_ns = 0;

	if (created && clock_parse(created, &created_ns) < 0)
		created_ns = 0; /* the image's own nonsense */
	json_set_string(row, "Id", "<missing>");
	json_set_int(row, "Created", created_ns / NS_PER_SECOND);
	copy_string(row, "CreatedBy", entry, "created_by");
	json_set(row, "Tags", json_null());
	json_set_int(row, "Size", (int64_t)size);
	copy_string(row, "Comment", entry, "comment");
	return row;
}

json_t *image_to_history(const struct image *image, const uint64_t *sizes, size_t size_count)
{
	const json_t *history = history_of(image), *entry;
	json_t *rows = json_array();
	size_t layer = 0, told = 0, i;

	/* An image may have more layers than its history tells of. */
	json_array_foreach(history, i, entry)
		told += !json_is_true(json_object_get(entry, "empty_layer"));
	for (; layer + told < size_count; layer++)
		json_array_insert_new(rows, 0, history_row(NULL, sizes[layer]));
	json_array_foreach(history, i, entry) {
		bool empty = json_is_true(json_object_get(entry, "empty_layer"));
		uint64_t size = !empty && layer < size_count ? sizes[layer++] : 0;

		json_array_insert_new(rows, 0, history_row(entry, size));
	}
	if (json_array_size(rows) > 0) {
		json_t *newest = json_array_get(rows, 0);

		json_set_string(newest, "Id", image->id);
		if (image->names.count > 0)
			json_set(newest, "Tags", familiar_names(&image->names));
	}
	return rows;
}
