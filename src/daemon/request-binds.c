/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands behind docker's -v, and in other places that are written alike:
 * HostConfig's Binds and VolumesFrom, Config's Volumes. The rules and the words
 * of refusals are those of docker's parser for Linux (volume/mounts in moby).
 */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/json.h"
#include "daemon/request-internal.h"

#include <errno.h>

/* The words of a mode; of each kind one at most. */
static int parse_mode(const char *mode, struct mount_point *point, bool *ret_propagates,
		      struct cay_error *err)
{
	enum { ACCESS, LABEL, PROPAGATION, COPY, CONSISTENCY, KINDS };
	unsigned int seen[KINDS] = { 0 };
	struct str rest = str_from(mode);

	while (rest.length > 0) {
		_cleanup_free_ char *word = str_dup(str_split(rest, ',', &rest));

		if (strcmp(word, "ro") == 0 || strcmp(word, "rw") == 0) {
			seen[ACCESS]++;
			point->read_only = word[1] == 'o';
		} else if (strcmp(word, "z") == 0 || strcmp(word, "Z") == 0) {
			seen[LABEL]++; /* SELinux's labels: the guest has none */
		} else if (mount_propagation_parse(word, &point->propagation) == 0) {
			seen[PROPAGATION]++;
		} else if (strcmp(word, "nocopy") == 0) {
			seen[COPY]++;
			point->no_copy = true;
		} else if (strcmp(word, "consistent") == 0 || strcmp(word, "default") == 0 ||
			   strcmp(word, "cached") == 0 || strcmp(word, "delegated") == 0) {
			seen[CONSISTENCY]++;
			point->cached =
				strcmp(word, "cached") == 0 || strcmp(word, "delegated") == 0;
		} else {
			return cay_error_invalid(err, "invalid mode: %.100s", mode);
		}
	}
	for (size_t i = 0; i < KINDS; i++)
		if (seen[i] > 1)
			return cay_error_invalid(err, "invalid mode: %.100s", mode);
	*ret_propagates = seen[PROPAGATION] > 0;
	return mode[0] != '\0' && ends_with(mode, ",")
		? cay_error_invalid(err, "invalid mode: %.100s", mode)
		: 0;
}

static bool is_mode(const char *text)
{
	_cleanup_mount_point_ struct mount_point ignored = { 0 };
	bool propagates;

	return parse_mode(text, &ignored, &propagates, NULL) == 0;
}

/* "TARGET", "SOURCE:TARGET" or "SOURCE:TARGET:MODE". */
static int split_bind(const char *raw, struct strv *parts, struct cay_error *err)
{
	struct str rest = str_from(raw);

	if (raw[0] == '\0')
		return cay_error_invalid(err, "invalid volume specification: ''");
	for (;;) {
		bool more = memchr(rest.data, ':', rest.length);

		strv_take(parts, str_dup(str_split(rest, ':', &rest)));
		if (!more)
			break;
	}
	if (parts->count > 3 || parts->items[0][0] == '\0' ||
	    (parts->count == 2 && is_mode(parts->items[1])))
		return cay_error_invalid(err, "invalid volume specification: '%.300s'", raw);
	return 0;
}

static int read_bind(const struct strv *parts, struct mount_point *point, struct cay_error *err)
{
	const char *source = parts->count > 1 ? parts->items[0] : "";
	const char *target = parts->count > 1 ? parts->items[1] : parts->items[0];
	bool propagates = false;
	int r;

	point->mode = xstrdup(parts->count > 2 ? parts->items[2] : "");
	r = parse_mode(point->mode, point, &propagates, err);
	if (r < 0)
		return r;
	point->type = source[0] == '/' ? MOUNT_BIND : MOUNT_VOLUME;
	r = request_check_target(target, err);
	if (r == 0 && point->type == MOUNT_VOLUME && propagates)
		r = cay_error_invalid(err, "field BindOptions must not be specified");
	if (r == 0 && point->type == MOUNT_BIND && point->no_copy)
		r = cay_error_invalid(err, "field VolumeOptions must not be specified");
	if (r < 0)
		return cay_error_prefix(err, "invalid mount config for type \"%s\"",
					point->type == MOUNT_BIND ? "bind" : "volume");
	point->target = mount_path_clean(target);
	if (point->type == MOUNT_BIND) {
		point->source = mount_path_clean(source);
		point->create_source = true;
		return 0;
	}
	if (source[0] == '\0')
		request_make_anonymous(point);
	else
		point->name = xstrdup(source);
	if (point->mode[0] == '\0' && !point->anonymous)
		replace_string(&point->mode, "z"); /* as docker shows it */
	return 0;
}

static int parse_bind(const char *raw, struct mount_point *ret_point, struct cay_error *err)
{
	_cleanup_mount_point_ struct mount_point point = { 0 };
	_cleanup_strv_ struct strv parts = { 0 };
	int r = split_bind(raw, &parts, err);

	if (r < 0)
		return r;
	r = read_bind(&parts, &point, err);
	if (r < 0) {
		bool mode = err && starts_with(err->message, "invalid mode");

		return mode ? r
			    : cay_error_prefix(err, "invalid volume specification: '%.300s'", raw);
	}
	*ret_point = point;
	point = (struct mount_point){ 0 };
	return 0;
}

int request_read_binds(struct request *request, struct cay_error *err)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(request->host_config, "Binds"), i, item) {
		_cleanup_mount_point_ struct mount_point point = { 0 };
		int r = parse_bind(json_string_value(item), &point, err);

		if (r == 0)
			r = request_add_unique_mount(request, &point, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int request_check_volumes(const json_t *config, struct cay_error *err)
{
	json_t *value;
	const char *path;

	json_object_foreach(json_object_get(config, "Volumes"), path, value) {
		_cleanup_mount_point_ struct mount_point point = { 0 };
		int r = parse_bind(path, &point, err);

		if (r == 0 && !point.anonymous)
			r = cay_error_invalid(err, "it names more than a path in the container");
		if (r < 0)
			return cay_error_prefix(err, "invalid volume spec \"%.300s\"", path);
	}
	return 0;
}

int request_parse_volumes_from(const char *text, char **ret_container, bool *ret_read_only,
			       struct cay_error *err)
{
	_cleanup_mount_point_ struct mount_point point = { 0 };
	struct str mode, container = str_split(str_from(text), ':', &mode);
	_cleanup_free_ char *mode_text = str_dup(mode);
	bool propagates = false;
	int r;

	if (text[0] == '\0')
		return cay_error_invalid(err,
					 "volumes-from specification cannot be an empty string");
	r = parse_mode(mode_text, &point, &propagates, err);
	if (r < 0)
		return r;
	if (propagates || point.no_copy)
		return cay_error_invalid(err, "invalid mode: %.100s", mode_text);
	*ret_container = str_dup(container);
	*ret_read_only = point.read_only;
	return 0;
}
