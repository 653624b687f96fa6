/* SPDX-License-Identifier: Apache-2.0 */
/* From the mounts that a request names to volumes that a container has. */
#include "daemon/mounts.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/containers.h"
#include "daemon/daemon.h"
#include "daemon/volumes.h"

#include <errno.h>
#include <sys/stat.h>

/* ---- VolumesFrom ---- */

/* What the client names itself stays; what is only declared, or was lent before, gives way. */
static int lend(struct request *request, size_t own, const struct mount_point *lent, bool read_only,
		struct cay_error *err)
{
	struct mount_point *there = request_find_mount(request, lent->target);
	struct mount_point copy = { 0 };
	int r = 0;

	if (there && (size_t)(there - request->mounts) < own && !there->declared)
		return 0;
	mount_point_copy(&copy, lent);
	copy.read_only = copy.read_only || read_only;
	copy.no_copy = true; /* who lends it has filled it */
	replace_string(&copy.mode, "");
	if (there) {
		mount_point_done(there);
		*there = copy;
	} else {
		r = request_add_mount(request, &copy, err);
	}
	if (r < 0)
		mount_point_done(&copy);
	return r;
}

static int lend_all(struct daemon *daemon, struct request *request, size_t own, const char *text,
		    struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	_cleanup_free_ char *name = NULL;
	bool read_only = false;
	int r = request_parse_volumes_from(text, &name, &read_only, err);

	if (r == 0)
		r = containers_find(daemon->containers, name, &container, err);
	for (size_t i = 0; r == 0 && i < container->request->mount_count; i++)
		r = lend(request, own, &container->request->mounts[i], read_only, err);
	return r;
}

static int read_volumes_from(struct daemon *daemon, struct request *request, struct cay_error *err)
{
	const json_t *list = json_object_get(request->host_config, "VolumesFrom");
	size_t own = request->mount_count, i;
	json_t *item;

	json_array_foreach(list, i, item) {
		int r = lend_all(daemon, request, own, json_string_value(item), err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- making them real ---- */

static int check_source(struct mount_point *point, struct cay_error *err)
{
	struct stat status;

	free(point->resolved);
	point->resolved = mount_path_resolve(point->source);
	if (point->create_source || stat(point->source, &status) == 0)
		return 0;
	return cay_error_set(err, CAY_INVALID, ENOENT,
			     "invalid mount config for type \"bind\": bind source path does not "
			     "exist: %.600s",
			     point->source);
}

static void find_directory(struct request_socket *published)
{
	_cleanup_free_ char *directory =
		xstrndup(published->host, (size_t)(path_last(published->host) - published->host));

	free(published->resolved);
	published->resolved = mount_path_resolve(directory);
}

static int make_volume(struct daemon *daemon, struct mount_point *point, const char *id,
		       struct cay_error *err)
{
	_cleanup_json_ json_t *labels = point->labels ? json_deep_copy(point->labels) : NULL;
	_cleanup_volume_ struct volume *volume = NULL;

	if (point->anonymous) {
		labels = labels ? labels : json_object();
		json_set_string(labels, VOLUME_ANONYMOUS_LABEL, "");
	}
	return volumes_create(daemon->volumes, point->name, point->options, labels, id, &volume,
			      NULL, err);
}

int mounts_prepare(struct daemon *daemon, struct request *request, const char *id,
		   struct cay_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < request->mount_count; i++)
		if (request->mounts[i].type == MOUNT_BIND)
			r = check_source(&request->mounts[i], err);
	for (size_t i = 0; i < request->publish_socket_count; i++)
		find_directory(&request->publish_sockets[i]);
	if (r == 0)
		r = read_volumes_from(daemon, request, err);
	for (size_t i = 0; r == 0 && i < request->mount_count; i++)
		if (request->mounts[i].type == MOUNT_VOLUME)
			r = make_volume(daemon, &request->mounts[i], id, err);
	if (r < 0)
		mounts_release(daemon, request, id, true);
	return r;
}

void mounts_release(struct daemon *daemon, const struct request *request, const char *id,
		    bool remove_anonymous)
{
	for (size_t i = 0; i < request->mount_count; i++) {
		const struct mount_point *point = &request->mounts[i];
		struct cay_error err = { 0 };

		if (point->type != MOUNT_VOLUME)
			continue;
		volumes_release(daemon->volumes, point->name, id);
		if (remove_anonymous && point->anonymous &&
		    volumes_remove(daemon->volumes, point->name, &err) < 0 &&
		    err.code != CAY_CONFLICT && err.code != CAY_NOT_FOUND)
			log_warning("container %.12s: %s", id, err.message);
	}
}

void mounts_take_up(const struct container *container)
{
	const struct request *request = container->request;

	for (size_t i = 0; i < request->mount_count; i++) {
		struct cay_error err = { 0 };

		if (request->mounts[i].type == MOUNT_VOLUME &&
		    volumes_hold(container->daemon->volumes, request->mounts[i].name, container->id,
				 &err) < 0)
			log_warning("container %.12s: %s", container->id, err.message);
	}
}

/* ---- showing them ---- */

static json_t *point_to_json(const struct container *container, const struct mount_point *point)
{
	_cleanup_volume_ struct volume *volume = NULL;
	json_t *object = json_object();
	struct cay_error ignored;
	bool is_volume = point->type == MOUNT_VOLUME;

	json_set_string(object, "Type", is_volume ? "volume" : "bind");
	if (is_volume)
		json_set_string(object, "Name", point->name);
	if (is_volume &&
	    volumes_find(container->daemon->volumes, point->name, &volume, &ignored) == 0)
		json_set_string(object, "Source", volume->mountpoint);
	else
		json_set_string(object, "Source", is_volume ? "" : point->source);
	json_set_string(object, "Destination", point->target);
	if (is_volume)
		json_set_string(object, "Driver", "local");
	json_set_string(object, "Mode", point->mode);
	json_set_bool(object, "RW", !point->read_only);
	json_set_string(object, "Propagation",
			is_volume ? "" : mount_propagation_name(point->propagation));
	return object;
}

static json_t *tmpfs_to_json(const struct request_tmpfs *tmpfs)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:b, s:s}", "Type", "tmpfs", "Source", "",
			 "Destination", tmpfs->target, "Mode", "", "RW",
			 !strv_contains(&tmpfs->options, "ro"), "Propagation", "");
}

json_t *mounts_to_json(const struct container *container)
{
	const struct request *request = container->request;
	json_t *array = json_array();

	for (size_t i = 0; i < request->mount_count; i++)
		(void)json_array_append_new(array, point_to_json(container, &request->mounts[i]));
	for (size_t i = 0; i < request->tmpfs_count; i++)
		if (request->tmpfs[i].is_mount)
			(void)json_array_append_new(array, tmpfs_to_json(&request->tmpfs[i]));
	return array;
}
