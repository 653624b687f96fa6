/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The option --mount: "type=bind,source=/a,target=/b,readonly" as an object of
 * HostConfig.Mounts. What its keys mean, and in which words a wrong one is
 * refused, is docker's (opts/mount.go of its client).
 */
#include "cli/request.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "cli/text.h"
#include "cli/words.h"

#include <ctype.h>
#include <errno.h>

enum mount_value {
	MOUNT_TEXT,
	MOUNT_WORD, /* in lower case */
	MOUNT_PATH, /* of the host */
	MOUNT_FLAG, /* true also without a value */
	MOUNT_PAIR, /* KEY=VALUE of a map */
	MOUNT_SIZE,
	MOUNT_MODE,
	MOUNT_RECURSION,
};

/* The members of a mount that belong to one type of it. */
static const struct mount_group {
	const char *member, *type, *prefix;
} mount_groups[] = {
	{ "VolumeOptions", "volume", "volume-*" },
	{ "BindOptions", "bind", "bind-*" },
	{ "ImageOptions", "image", "image-*" },
	{ "TmpfsOptions", "tmpfs", "tmpfs-*" },
};

static const struct mount_key {
	const char *name;
	const char *group; /* the member of the mount it belongs into; NULL: the mount itself */
	const char *inner; /* a member of that one; NULL: none */
	const char *key;   /* NULL: of a map, whose keys are the user's */
	enum mount_value value;
} mount_keys[] = {
	{ "type", NULL, NULL, "Type", MOUNT_WORD },
	{ "source", NULL, NULL, "Source", MOUNT_PATH },
	{ "src", NULL, NULL, "Source", MOUNT_PATH },
	{ "target", NULL, NULL, "Target", MOUNT_TEXT },
	{ "destination", NULL, NULL, "Target", MOUNT_TEXT },
	{ "dst", NULL, NULL, "Target", MOUNT_TEXT },
	{ "readonly", NULL, NULL, "ReadOnly", MOUNT_FLAG },
	{ "ro", NULL, NULL, "ReadOnly", MOUNT_FLAG },
	{ "consistency", NULL, NULL, "Consistency", MOUNT_WORD },
	{ "bind-propagation", "BindOptions", NULL, "Propagation", MOUNT_WORD },
	{ "bind-nonrecursive", "BindOptions", NULL, "NonRecursive", MOUNT_FLAG },
	{ "bind-recursive", "BindOptions", NULL, NULL, MOUNT_RECURSION },
	{ "bind-create-src", "BindOptions", NULL, "CreateMountpoint", MOUNT_FLAG },
	{ "volume-nocopy", "VolumeOptions", NULL, "NoCopy", MOUNT_FLAG },
	{ "volume-subpath", "VolumeOptions", NULL, "Subpath", MOUNT_TEXT },
	{ "volume-label", "VolumeOptions", "Labels", NULL, MOUNT_PAIR },
	{ "volume-driver", "VolumeOptions", "DriverConfig", "Name", MOUNT_TEXT },
	{ "volume-opt", "VolumeOptions", "DriverConfig", "Options", MOUNT_PAIR },
	{ "image-subpath", "ImageOptions", NULL, "Subpath", MOUNT_TEXT },
	{ "tmpfs-size", "TmpfsOptions", NULL, "SizeBytes", MOUNT_SIZE },
	{ "tmpfs-mode", "TmpfsOptions", NULL, "Mode", MOUNT_MODE },
};

static const struct mount_key *find_mount_key(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(mount_keys); i++)
		if (strcmp(name, mount_keys[i].name) == 0)
			return &mount_keys[i];
	return NULL;
}

static void lower_case(char *text)
{
	for (; *text; text++)
		*text = (char)tolower((unsigned char)*text);
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

/* What of a bind's own mounts is seen, and whether it is read-only with it. */
static int set_recursion(json_t *bind, const char *value, struct cay_error *err)
{
	static const struct {
		const char *value, *key;
	} rows[] = { { "enabled", NULL },
		     { "disabled", "NonRecursive" },
		     { "writable", "ReadOnlyNonRecursive" },
		     { "readonly", "ReadOnlyForceRecursive" } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (strcmp(value, rows[i].value) != 0)
			continue;
		if (rows[i].key)
			json_set_bool(bind, rows[i].key, true);
		return 0;
	}
	return cay_error_invalid(
		err,
		"invalid value for bind-recursive: %s (must be \"enabled\", \"disabled\", "
		"\"writable\", or \"readonly\")",
		value);
}

/* One KEY=VALUE; without a key it says nothing. */
static int set_pair(json_t *map, const char *text, struct cay_error *err)
{
	struct str value, key = str_split(str_from(text), '=', &value);
	_cleanup_free_ char *name = str_dup(key);

	if (*name && json_object_set_new(map, name, json_stringn(value.data, value.length)) < 0)
		return cay_error_invalid(err, "\"%s\" is not UTF-8", text);
	return 0;
}

static int parse_mode(const char *text, int64_t *ret_mode)
{
	uint64_t mode = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '7')
			return -EINVAL;
		mode = mode << 3 | (uint64_t)(*text - '0');
		if (mode > UINT32_MAX)
			return -ERANGE;
	}
	*ret_mode = (int64_t)mode;
	return 0;
}

/* A number or a truth; -EINVAL where the text is none. */
static int set_scalar(json_t *object, const struct mount_key *row, const char *text)
{
	uint64_t size;
	int64_t mode;
	bool flag;
	int r;

	if (row->value == MOUNT_SIZE) {
		r = parse_size(text, &size);
		if (r < 0 || size > INT64_MAX)
			return -EINVAL;
		json_set_int(object, row->key, (int64_t)size);
		return 0;
	}
	if (row->value == MOUNT_MODE) {
		r = parse_mode(text, &mode);
		if (r >= 0)
			json_set_int(object, row->key, mode);
		return r;
	}
	r = flag_parse(text, &flag);
	if (r >= 0)
		json_set_bool(object, row->key, flag);
	return r;
}

static int set_value(json_t *mount, const struct mount_key *row, char *value, struct cay_error *err)
{
	json_t *object = member_object(member_object(mount, row->group), row->inner);
	_cleanup_free_ char *path = NULL;

	switch (row->value) {
	case MOUNT_WORD:
		lower_case(value);
		json_set_string(object, row->key, value);
		return 0;
	case MOUNT_TEXT:
		json_set_string(object, row->key, value);
		return 0;
	case MOUNT_PATH:
		path = request_host_path(value);
		json_set_string(object, row->key, path);
		return 0;
	case MOUNT_PAIR:
		return set_pair(member_object(object, row->key), value, err);
	case MOUNT_RECURSION:
		return set_recursion(object, value, err);
	case MOUNT_FLAG:
	case MOUNT_SIZE:
	case MOUNT_MODE:
		break;
	}
	if (set_scalar(object, row, value) < 0)
		return cay_error_invalid(err, "invalid value for %s: %s", row->name, value);
	return 0;
}

static int add_mount_word(const char *word, json_t *mount, struct cay_error *err)
{
	struct str rest, key = str_split(str_from(word), '=', &rest);
	_cleanup_free_ char *name = str_dup(key), *value = str_dup(rest);
	const struct mount_key *row;

	lower_case(name);
	row = find_mount_key(name);
	if (!word[key.length]) {
		if (!row || row->value != MOUNT_FLAG)
			return cay_error_invalid(err, "invalid field '%s' must be a key=value pair",
						 word);
		replace_string(&value, "true");
	}
	if (!row)
		return cay_error_invalid(err, "unexpected key '%s' in '%s'", name, word);
	if (strcmp(name, "bind-nonrecursive") == 0)
		text_complain("warning: bind-nonrecursive is deprecated, use "
			      "bind-recursive=disabled instead");
	return set_value(mount, row, value, err);
}

static bool has_flag(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

/* What the words mean together. */
static int check_mount(const json_t *mount, struct cay_error *err)
{
	const char *type = json_string_value(json_object_get(mount, "Type"));
	const char *target = json_string_value(json_object_get(mount, "Target"));
	const json_t *bind = json_object_get(mount, "BindOptions");
	const char *propagation = json_string_value(json_object_get(bind, "Propagation"));

	if (!type || !*type)
		return cay_error_invalid(err, "type is required");
	if (!target || !*target)
		return cay_error_invalid(err, "target is required");
	for (size_t i = 0; i < ARRAY_SIZE(mount_groups); i++)
		if (json_object_get(mount, mount_groups[i].member) &&
		    strcmp(type, mount_groups[i].type) != 0)
			return cay_error_invalid(err,
						 "cannot mix '%s' options with mount type '%s'",
						 mount_groups[i].prefix, type);
	if (has_flag(bind, "ReadOnlyNonRecursive") && !has_flag(mount, "ReadOnly"))
		return cay_error_invalid(
			err,
			"option 'bind-recursive=writable' requires 'readonly' to be "
			"specified in conjunction");
	if (!has_flag(bind, "ReadOnlyForceRecursive"))
		return 0;
	if (!has_flag(mount, "ReadOnly"))
		return cay_error_invalid(
			err,
			"option 'bind-recursive=readonly' requires 'readonly' to be "
			"specified in conjunction");
	if (!propagation || strcmp(propagation, "rprivate") != 0)
		return cay_error_invalid(
			err,
			"option 'bind-recursive=readonly' requires "
			"'bind-propagation=rprivate' to be specified in conjunction");
	return 0;
}

static int parse_mount(const char *text, json_t *mount, struct cay_error *err)
{
	_cleanup_strv_ struct strv words = { 0 };
	int r = words_split(text, &words, err);

	json_set_string(mount, "Type", "volume");
	for (size_t i = 0; i < words.count && r >= 0; i++)
		r = add_mount_word(words.items[i], mount, err);
	return r < 0 ? r : check_mount(mount, err);
}

int request_add_mounts(const struct options *options, json_t *host, struct cay_error *err)
{
	const struct strv *list = option_list(options, "mount");

	for (size_t i = 0; i < list->count; i++) {
		json_t *mount = json_object();
		int r;

		(void)json_array_append_new(request_member_array(host, "Mounts"), mount);
		r = parse_mount(list->items[i], mount, err);
		if (r < 0) {
			_cleanup_free_ char *quoted = text_quote(list->items[i]);

			return cay_error_prefix(err, "invalid argument %s for \"--mount\" flag",
						quoted);
		}
	}
	return 0;
}
