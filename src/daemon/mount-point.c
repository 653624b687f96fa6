/* SPDX-License-Identifier: Apache-2.0 */
/* A mount point's life, its stored form, and paths without detours. */
#include "daemon/mount-point.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"

#include <errno.h>

static const char *const type_names[] = { [MOUNT_BIND] = "bind", [MOUNT_VOLUME] = "volume" };

static const char *const propagation_names[] = {
	[MOUNT_RPRIVATE] = "rprivate", [MOUNT_PRIVATE] = "private", [MOUNT_RSLAVE] = "rslave",
	[MOUNT_SLAVE] = "slave",       [MOUNT_RSHARED] = "rshared", [MOUNT_SHARED] = "shared",
};
static_assert(ARRAY_SIZE(propagation_names) == MOUNT_PROPAGATION_COUNT, "every one has a name");

void mount_point_done(struct mount_point *point)
{
	free(point->target);
	free(point->source);
	free(point->resolved);
	free(point->name);
	free(point->mode);
	free(point->subpath);
	json_decref(point->options);
	json_decref(point->labels);
	*point = (struct mount_point){ 0 };
}

void mount_point_copy(struct mount_point *to, const struct mount_point *from)
{
	*to = *from;
	to->target = xstrdup(from->target);
	to->source = xstrdup(from->source);
	to->resolved = xstrdup(from->resolved);
	to->name = xstrdup(from->name);
	to->mode = xstrdup(from->mode);
	to->subpath = xstrdup(from->subpath);
	to->declared = false;
	to->options = to->labels = NULL;
}

const char *mount_propagation_name(enum mount_propagation propagation)
{
	return propagation_names[propagation];
}

int mount_propagation_parse(const char *name, enum mount_propagation *ret)
{
	for (unsigned int i = 0; i < MOUNT_PROPAGATION_COUNT; i++) {
		if (strcmp(name, propagation_names[i]) == 0) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

/* The flags by their keys in the stored form. */
static const struct {
	const char *key;
	size_t offset;
} flags[] = {
	{ "ReadOnly", offsetof(struct mount_point, read_only) },
	{ "Cached", offsetof(struct mount_point, cached) },
	{ "NonRecursive", offsetof(struct mount_point, non_recursive) },
	{ "CreateSource", offsetof(struct mount_point, create_source) },
	{ "Anonymous", offsetof(struct mount_point, anonymous) },
	{ "NoCopy", offsetof(struct mount_point, no_copy) },
};

static const struct {
	const char *key;
	size_t offset;
} strings[] = {
	{ "Target", offsetof(struct mount_point, target) },
	{ "Source", offsetof(struct mount_point, source) },
	{ "Resolved", offsetof(struct mount_point, resolved) },
	{ "Name", offsetof(struct mount_point, name) },
	{ "Mode", offsetof(struct mount_point, mode) },
	{ "Subpath", offsetof(struct mount_point, subpath) },
};

json_t *mount_point_to_json(const struct mount_point *point)
{
	json_t *object = json_object();

	json_set_string(object, "Type", type_names[point->type]);
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
		const char *text = *(char *const *)((const char *)point + strings[i].offset);

		if (text)
			json_set_string(object, strings[i].key, text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (*(const bool *)((const char *)point + flags[i].offset))
			json_set_bool(object, flags[i].key, true);
	json_set_string(object, "Propagation", mount_propagation_name(point->propagation));
	return object;
}

int mount_point_from_json(const json_t *value, struct mount_point *ret_point, struct cay_error *err)
{
	_cleanup_mount_point_ struct mount_point point = { 0 };
	_cleanup_free_ char *type = NULL, *propagation = NULL;
	int r = json_read_string(value, "Type", &type, err);

	if (r == 0)
		r = json_read_string(value, "Propagation", &propagation, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(strings); i++)
		r = json_read_string(value, strings[i].key,
				     (char **)((char *)&point + strings[i].offset), err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(flags); i++)
		r = json_read_bool(value, flags[i].key, (bool *)((char *)&point + flags[i].offset),
				   err);
	if (r < 0)
		return r;
	point.type =
		type && strcmp(type, type_names[MOUNT_VOLUME]) == 0 ? MOUNT_VOLUME : MOUNT_BIND;
	if (!point.target || !point.mode || !propagation ||
	    mount_propagation_parse(propagation, &point.propagation) < 0 ||
	    (point.type == MOUNT_VOLUME ? !point.name : !point.source))
		return cay_error_set(err, CAY_CORRUPT, EBADMSG, "a stored mount is not whole");
	*ret_point = point;
	point = (struct mount_point){ 0 };
	return 0;
}

char *mount_path_resolve(const char *path)
{
	_cleanup_free_ char *whole = xstrdup(path), *there = NULL, *real = NULL;
	size_t length = strlen(whole);

	while (length > 1 && whole[length - 1] == '/')
		whole[--length] = '\0';
	there = xstrdup(whole);
	real = realpath(there, NULL);
	while (!real && errno == ENOENT && strcmp(there, "/") != 0) {
		size_t end = (size_t)(path_last(there) - there);

		/* Without the slash, unless that is all. */
		there[end > 1 ? end - 1 : end] = '\0';
		real = realpath(there, NULL);
	}
	if (!real || strlen(there) == length)
		return TAKE_PTR(real);
	return strcmp(there, "/") == 0 ? TAKE_PTR(whole)
				       : xasprintf("%s%s", real, whole + strlen(there));
}

bool mount_path_is_below(const char *path, const char *directory)
{
	const size_t length = strlen(directory);

	return strcmp(directory, "/") == 0 || (starts_with(path, directory) && path[length] == '/');
}

char *mount_path_clean(const char *path)
{
	_cleanup_buf_ struct buf out = { 0 };
	bool absolute = path[0] == '/';
	struct str rest = str_from(path);
	size_t kept = 0; /* parts that ".." can take away */

	while (rest.length > 0) {
		struct str part = str_split(rest, '/', &rest);
		bool up = str_equals(part, "..");

		if (part.length == 0 || str_equals(part, "."))
			continue;
		if (up && kept > 0) {
			do
				out.length--;
			while (out.length > 0 && out.data[out.length] != '/');
			kept--;
		} else if (!up || !absolute) {
			if (out.length > 0 || absolute)
				buf_putc(&out, '/');
			buf_append(&out, part.data, part.length);
			kept += up ? 0 : 1;
		}
	}
	if (out.length == 0)
		return xstrdup(absolute ? "/" : ".");
	out.data[out.length] = '\0';
	return buf_steal(&out);
}
