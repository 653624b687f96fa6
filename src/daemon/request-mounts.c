/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mounts of a create request: docker's -v (request-binds.c), --mount
 * (HostConfig.Mounts) and the volumes that client and image declare (Config's
 * Volumes). The rules and the words of refusals are those of docker's parser
 * for Linux (volume/mounts in moby).
 *
 * Nothing here looks at the host's files: the document is judged alone.
 */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/json.h"
#include "daemon/request-internal.h"

#include <errno.h>
#include <limits.h>

/* ---- the list ---- */

struct mount_point *request_find_mount(const struct request *request, const char *target)
{
	for (size_t i = 0; i < request->mount_count; i++)
		if (strcmp(request->mounts[i].target, target) == 0)
			return &request->mounts[i];
	return NULL;
}

int request_add_mount(struct request *request, struct mount_point *point, struct cay_error *err)
{
	if (request->mount_count == REQUEST_MOUNTS_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG,
				     "a container can have %d mounts and volumes, no more",
				     REQUEST_MOUNTS_MAX);
	request->mounts =
		xreallocarray(request->mounts, request->mount_count + 1, sizeof(*request->mounts));
	request->mounts[request->mount_count++] = *point;
	*point = (struct mount_point){ 0 };
	return 0;
}

/* Their targets stand as the client wrote them. */
static size_t count_tmpfs(const struct request *request, const char *target)
{
	size_t count = 0;

	for (size_t i = 0; i < request->tmpfs_count; i++) {
		_cleanup_free_ char *clean = mount_path_clean(request->tmpfs[i].target);

		count += strcmp(clean, target) == 0;
	}
	return count;
}

int request_add_unique_mount(struct request *request, struct mount_point *point,
			     struct cay_error *err)
{
	if (request_find_mount(request, point->target) || count_tmpfs(request, point->target) > 0)
		return cay_error_invalid(err, "Duplicate mount point: %.300s", point->target);
	return request_add_mount(request, point, err);
}

void request_make_anonymous(struct mount_point *point)
{
	char name[ID_SIZE];

	id_make(name);
	replace_string(&point->name, name);
	point->anonymous = true;
}

/* ---- what all have in common ---- */

int request_check_target(const char *target, struct cay_error *err)
{
	_cleanup_free_ char *clean = mount_path_clean(target);

	if (target[0] == '\0')
		return cay_error_invalid(err, "field Target must not be empty");
	if (strlen(target) >= PATH_MAX)
		return cay_error_invalid(err, "the mount path is over %d bytes", PATH_MAX - 1);
	if (strcmp(clean, "/") == 0)
		return cay_error_invalid(err, "invalid specification: destination can't be '/'");
	if (target[0] != '/')
		return cay_error_invalid(
			err, "invalid mount path: '%.300s' mount path must be absolute", target);
	return 0;
}

static int check_driver(const char *driver, struct cay_error *err)
{
	if (driver[0] == '\0' || strcmp(driver, "local") == 0)
		return 0;
	return cay_error_set(err, CAY_NOT_FOUND, ENOENT,
			     "error looking up volume plugin %.100s: plugin \"%.100s\" not found",
			     driver, driver);
}

/* ---- --mount ---- */

static int read_bind_options(const json_t *mount, const json_t *options, struct mount_point *point,
			     struct cay_error *err)
{
	_cleanup_free_ char *propagation = xstrdup("");
	bool read_only_non_recursive = false;
	int r;

	if (point->source[0] == '\0')
		return cay_error_invalid(err, "field Source must not be empty");
	if (json_is_object(json_object_get(mount, "VolumeOptions")))
		return cay_error_invalid(err, "field VolumeOptions must not be specified");
	if (point->source[0] != '/')
		return cay_error_invalid(err,
					 "invalid mount path: '%.300s' mount path must be absolute",
					 point->source);
	if (!options)
		return 0;
	r = json_read_string(options, "Propagation", &propagation, err);
	if (r == 0)
		r = json_read_bool(options, "NonRecursive", &point->non_recursive, err);
	if (r == 0)
		r = json_read_bool(options, "CreateMountpoint", &point->create_source, err);
	if (r == 0)
		r = json_read_bool(options, "ReadOnlyNonRecursive", &read_only_non_recursive, err);
	if (r < 0)
		return r;
	if (propagation[0] != '\0' && mount_propagation_parse(propagation, &point->propagation) < 0)
		return cay_error_invalid(err, "invalid propagation mode: %.64s", propagation);
	/* The file server's read-only has no holes. */
	if (read_only_non_recursive && point->read_only && !point->non_recursive)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "a read-only mount with writable mounts below it is not "
				     "supported: mount those by themselves");
	return 0;
}

static int read_volume_driver(const json_t *options, struct mount_point *point,
			      struct cay_error *err)
{
	_cleanup_free_ char *driver = xstrdup("");
	json_t *config = NULL, *driver_options = NULL;
	int r = json_read_object(options, "DriverConfig", &config, err);

	if (r < 0 || !config)
		return r;
	r = json_read_string(config, "Name", &driver, err);
	if (r == 0)
		r = json_read_string_map(config, "Options", &driver_options, err);
	if (r == 0)
		r = check_driver(driver, err);
	if (r == 0)
		point->options = json_incref(driver_options);
	return r;
}

static int check_subpath(const char *subpath, bool anonymous, struct cay_error *err)
{
	_cleanup_free_ char *clean = mount_path_clean(subpath);

	if (anonymous)
		return cay_error_invalid(err, "must not set Subpath when using anonymous volumes");
	if (subpath[0] == '/' || strcmp(clean, "..") == 0 || starts_with(clean, "../"))
		return cay_error_invalid(err, "subpath must be a relative path within the volume");
	return 0;
}

static int read_volume_options(const json_t *mount, const json_t *options,
			       struct mount_point *point, struct cay_error *err)
{
	bool anonymous = point->source[0] == '\0';
	json_t *labels = NULL;
	int r = 0;

	if (json_is_object(json_object_get(mount, "BindOptions")))
		return cay_error_invalid(err, "field BindOptions must not be specified");
	if (options) {
		r = json_read_bool(options, "NoCopy", &point->no_copy, err);
		if (r == 0)
			r = json_read_string(options, "Subpath", &point->subpath, err);
		if (r == 0)
			r = json_read_string_map(options, "Labels", &labels, err);
		if (r == 0)
			r = read_volume_driver(options, point, err);
	}
	if (r == 0 && point->subpath && point->subpath[0] == '\0')
		replace_string(&point->subpath, NULL);
	if (r == 0 && point->subpath)
		r = check_subpath(point->subpath, anonymous, err);
	if (r < 0)
		return r;
	if (point->read_only && anonymous)
		return cay_error_invalid(err,
					 "must not set ReadOnly mode when using anonymous volumes");
	point->labels = json_incref(labels);
	if (anonymous)
		request_make_anonymous(point);
	else
		point->name = xstrdup(point->source);
	replace_string(&point->source, NULL);
	replace_string(&point->mode, "z");
	return 0;
}

/* Type, source, target and access of one of HostConfig's Mounts. */
static int read_mount_heads(const json_t *mount, struct mount_point *point, char **type,
			    struct cay_error *err)
{
	_cleanup_free_ char *target = xstrdup(""), *consistency = xstrdup("");
	int r = json_read_string(mount, "Type", type, err);

	if (r == 0)
		r = json_read_string(mount, "Source", &point->source, err);
	if (r == 0)
		r = json_read_string(mount, "Target", &target, err);
	if (r == 0)
		r = json_read_bool(mount, "ReadOnly", &point->read_only, err);
	if (r == 0)
		r = json_read_string(mount, "Consistency", &consistency, err);
	if (r < 0)
		return r;
	point->cached = strcmp(consistency, "cached") == 0 || strcmp(consistency, "delegated") == 0;
	r = request_check_target(target, err);
	if (r == 0)
		point->target = mount_path_clean(target);
	return r;
}

static int read_mount_options(const json_t *mount, const char *type, struct mount_point *point,
			      struct cay_error *err)
{
	json_t *options = NULL;
	bool bind = strcmp(type, "bind") == 0;
	int r;

	if (strcmp(type, "tmpfs") == 0) {
		if (json_is_object(json_object_get(mount, "BindOptions")))
			return cay_error_invalid(err, "field BindOptions must not be specified");
		return point->source[0] != '\0'
			? cay_error_invalid(err, "field Source must not be specified")
			: 0;
	}
	if (!bind && strcmp(type, "volume") != 0)
		return cay_error_invalid(err, "mount type unknown");
	point->type = bind ? MOUNT_BIND : MOUNT_VOLUME;
	r = json_read_object(mount, bind ? "BindOptions" : "VolumeOptions", &options, err);
	if (r < 0)
		return r;
	if (!bind)
		return read_volume_options(mount, options, point, err);
	r = read_bind_options(mount, options, point, err);
	if (r == 0) {
		char *clean = mount_path_clean(point->source);

		free(point->source);
		point->source = clean;
	}
	return r;
}

static int read_mount(struct request *request, const json_t *mount, struct cay_error *err)
{
	_cleanup_mount_point_ struct mount_point point = { .source = xstrdup(""),
							   .mode = xstrdup("") };
	_cleanup_free_ char *type = xstrdup("");
	int r = read_mount_heads(mount, &point, &type, err);

	if (r == 0)
		r = read_mount_options(mount, type, &point, err);
	if (r < 0)
		return cay_error_prefix(err, "invalid mount config for type \"%.64s\"", type);
	if (strcmp(type, "tmpfs") != 0)
		return request_add_unique_mount(request, &point, err);
	/* Its options were read with those of HostConfig's Tmpfs. */
	if (request_find_mount(request, point.target) || count_tmpfs(request, point.target) > 1)
		return cay_error_invalid(err, "Duplicate mount point: %.300s", point.target);
	return 0;
}

static int read_mounts(struct request *request, struct cay_error *err)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(request->host_config, "Mounts"), i, item) {
		int r = read_mount(request, item, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- volumes that are declared ---- */

/* Images may declare "data" and mean "/data". */
static int read_declared(struct request *request, struct cay_error *err)
{
	json_t *value;
	const char *path;

	json_object_foreach(json_object_get(request->config, "Volumes"), path, value) {
		_cleanup_mount_point_ struct mount_point point = { .type = MOUNT_VOLUME,
								   .declared = true };
		_cleanup_free_ char *absolute = xasprintf("/%s", path);
		int r;

		point.target = mount_path_clean(absolute);
		point.mode = xstrdup("");
		request_make_anonymous(&point);
		r = request_check_target(point.target, err);
		if (r == 0 && !request_find_mount(request, point.target) &&
		    count_tmpfs(request, point.target) == 0)
			r = request_add_mount(request, &point, err);
		if (r < 0)
			return cay_error_prefix(err, "volume %.300s", path);
	}
	return 0;
}

int request_read_mounts(struct request *request, struct cay_error *err)
{
	_cleanup_free_ char *driver = xstrdup("");
	int r = json_read_string(request->host_config, "VolumeDriver", &driver, err);

	if (r == 0)
		r = check_driver(driver, err);
	if (r == 0)
		r = request_read_binds(request, err);
	if (r == 0)
		r = read_mounts(request, err);
	if (r == 0)
		r = read_declared(request, err);
	return r;
}

int request_load_mounts(struct request *request, const json_t *document, struct cay_error *err)
{
	json_t *list = NULL, *item;
	size_t i;
	int r = json_read_array(document, "Mounts", &list, err);

	json_array_foreach(list, i, item) {
		_cleanup_mount_point_ struct mount_point point = { 0 };

		if (r == 0)
			r = mount_point_from_json(item, &point, err);
		if (r == 0)
			r = request_add_mount(request, &point, err);
	}
	return r;
}
