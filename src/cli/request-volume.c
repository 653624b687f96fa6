/* SPDX-License-Identifier: Apache-2.0 */
/* The options that mount something: -v, --mount and --tmpfs. */
#include "cli/request.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "cli/human.h"
#include "cli/words.h"

#include <errno.h>

/* The host's paths are cay's to resolve: the daemon stands in another directory. */
static char *resolve(const char *path)
{
	_cleanup_free_ char *directory = NULL;

	if (*path != '.' || !(directory = getcwd(NULL, 0)))
		return xstrdup(path);
	if (strcmp(path, ".") == 0)
		return xstrdup(directory);
	return path_join(directory, starts_with(path, "./") ? path + 2 : path);
}

/* "PATH", "SOURCE:PATH" or "SOURCE:PATH:OPTIONS" */
static int add_volume(const char *text, json_t *volumes, json_t *binds, struct cay_error *err)
{
	struct str options, path, source = str_split(str_from(text), ':', &path);
	_cleanup_free_ char *source_text = str_dup(source), *resolved = NULL;

	if (source.length == strlen(text)) {
		if (*text == '/' && json_object_set_new(volumes, text, json_object()) == 0)
			return 0;
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "--volume: \"%s\" is not an absolute path", text);
	}
	path = str_split(path, ':', &options);
	if (source.length == 0 || path.length == 0 || path.data[0] != '/' ||
	    memchr(options.data, ':', options.length))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "--volume: \"%s\" is not of the form [SOURCE:]PATH[:OPTIONS] "
				     "with an absolute PATH",
				     text);
	resolved = resolve(source_text);
	_cleanup_free_ char *bind = xasprintf("%s:%s", resolved, path.data);
	if (json_array_append_new(binds, json_string(bind)) < 0)
		return cay_error_set(err, CAY_INVALID, EILSEQ, "--volume: \"%s\" is not UTF-8",
				     text);
	return 0;
}

/* ---- --mount ---- */

enum mount_value { MOUNT_TEXT, MOUNT_PATH, MOUNT_FLAG, MOUNT_SIZE, MOUNT_MODE };

static const struct mount_key {
	const char *name;
	const char *object; /* the member of the mount it belongs into; NULL: the mount itself */
	const char *key;
	enum mount_value value;
} mount_keys[] = {
	{ "type", NULL, "Type", MOUNT_TEXT },
	{ "source", NULL, "Source", MOUNT_PATH },
	{ "src", NULL, "Source", MOUNT_PATH },
	{ "target", NULL, "Target", MOUNT_TEXT },
	{ "destination", NULL, "Target", MOUNT_TEXT },
	{ "dst", NULL, "Target", MOUNT_TEXT },
	{ "readonly", NULL, "ReadOnly", MOUNT_FLAG },
	{ "ro", NULL, "ReadOnly", MOUNT_FLAG },
	{ "consistency", NULL, "Consistency", MOUNT_TEXT },
	{ "bind-propagation", "BindOptions", "Propagation", MOUNT_TEXT },
	{ "bind-create-src", "BindOptions", "CreateMountpoint", MOUNT_FLAG },
	{ "volume-nocopy", "VolumeOptions", "NoCopy", MOUNT_FLAG },
	{ "volume-subpath", "VolumeOptions", "Subpath", MOUNT_TEXT },
	{ "tmpfs-size", "TmpfsOptions", "SizeBytes", MOUNT_SIZE },
	{ "tmpfs-mode", "TmpfsOptions", "Mode", MOUNT_MODE },
};

static const struct mount_key *find_mount_key(struct str name)
{
	for (size_t i = 0; i < ARRAY_SIZE(mount_keys); i++)
		if (str_equals(name, mount_keys[i].name))
			return &mount_keys[i];
	return NULL;
}

/* The value as JSON, or NULL where it is not one. */
static json_t *mount_value(enum mount_value kind, const char *text, bool given)
{
	_cleanup_free_ char *path = NULL;
	uint64_t size;
	char *end;
	long mode;

	switch (kind) {
	case MOUNT_TEXT:
		return given ? json_string(text) : NULL;
	case MOUNT_PATH:
		path = resolve(text);
		return given ? json_string(path) : NULL;
	case MOUNT_FLAG:
		if (!given || strcmp(text, "true") == 0 || strcmp(text, "1") == 0)
			return json_true();
		return strcmp(text, "false") == 0 || strcmp(text, "0") == 0 ? json_false() : NULL;
	case MOUNT_SIZE:
		if (parse_human_size(text, &size) < 0 || size > INT64_MAX)
			return NULL;
		return json_integer((json_int_t)size);
	case MOUNT_MODE:
		mode = strtol(text, &end, 8);
		return *text && !*end && mode >= 0 && mode <= 07777 ? json_integer(mode) : NULL;
	}
	return NULL;
}

static json_t *member_object(json_t *object, const char *key)
{
	json_t *member = key ? json_object_get(object, key) : object;

	if (!member) {
		member = json_object();
		json_set(object, key, member);
	}
	return member;
}

static int add_mount_word(struct str word, json_t *mount, struct cay_error *err)
{
	struct str value, name = str_split(word, '=', &value);
	_cleanup_free_ char *text = str_dup(value);
	const struct mount_key *row = find_mount_key(name);
	json_t *json;

	if (!row)
		return cay_error_set(err, CAY_INVALID, EINVAL, "--mount: unknown key \"%.*s\"",
				     (int)MIN(name.length, 100), name.data);
	json = mount_value(row->value, text, name.length < word.length);
	if (!json)
		return cay_error_set(err, CAY_INVALID, EINVAL, "--mount: \"%s\" is no value for %s",
				     text, row->name);
	json_set(member_object(mount, row->object), row->key, json);
	return 0;
}

static int add_mount(const char *text, json_t *mounts, struct cay_error *err)
{
	_cleanup_strv_ struct strv words = { 0 };
	json_t *mount = json_object();

	(void)json_array_append_new(mounts, mount);
	if (words_split(text, &words) < 0)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "--mount: \"%s\" has text behind a quote", text);
	for (size_t i = 0; i < words.count; i++) {
		int r = add_mount_word(str_from(words.items[i]), mount, err);

		if (r < 0)
			return r;
	}
	if (!json_object_get(mount, "Target"))
		return cay_error_set(err, CAY_INVALID, EINVAL, "--mount: \"%s\" has no target",
				     text);
	if (!json_object_get(mount, "Type"))
		json_set_string(mount, "Type", "volume");
	return 0;
}

int request_add_volumes(const struct options *options, json_t *body, json_t *host,
			struct cay_error *err)
{
	const struct strv *volume_list = option_list(options, "volume");
	const struct strv *mount_list = option_list(options, "mount");
	const struct strv *tmpfs_list = option_list(options, "tmpfs");
	_cleanup_json_ json_t *volumes = json_object(), *binds = json_array();
	_cleanup_json_ json_t *mounts = json_array(), *tmpfs = json_object();
	int r = 0;

	for (size_t i = 0; i < volume_list->count && r >= 0; i++)
		r = add_volume(volume_list->items[i], volumes, binds, err);
	for (size_t i = 0; i < mount_list->count && r >= 0; i++)
		r = add_mount(mount_list->items[i], mounts, err);
	for (size_t i = 0; i < tmpfs_list->count; i++) {
		struct str rest, path = str_split(str_from(tmpfs_list->items[i]), ':', &rest);
		_cleanup_free_ char *path_text = str_dup(path);

		if (*path_text != '/' ||
		    json_object_set_new(tmpfs, path_text, json_string(rest.data)) < 0)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "--tmpfs: \"%s\" is not of the form PATH[:OPTIONS] "
					     "with an absolute PATH",
					     tmpfs_list->items[i]);
	}
	if (json_object_size(volumes) > 0)
		json_set(body, "Volumes", json_incref(volumes));
	if (json_array_size(binds) > 0)
		json_set(host, "Binds", json_incref(binds));
	if (json_array_size(mounts) > 0)
		json_set(host, "Mounts", json_incref(mounts));
	if (json_object_size(tmpfs) > 0)
		json_set(host, "Tmpfs", json_incref(tmpfs));
	return r;
}
