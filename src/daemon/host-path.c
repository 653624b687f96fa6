/* SPDX-License-Identifier: Apache-2.0 */
/* Which directories of this host guests write to, and what leads through them. */
#include "daemon/host-path.h"

#include "base/alloc.h"
#include "base/strv.h"
#include "daemon/containers.h"
#include "daemon/daemon.h"
#include "daemon/mount-point.h"
#include "daemon/volumes.h"

#include <errno.h>

/* A path that is asked about, as it was named and as it was then (NULL: not known). */
struct way {
	const char *path, *then;
	struct strv directories; /* where those on the way lead now */
};

static void list_directories(const char *path, struct strv *list)
{
	_cleanup_free_ char *copy = xstrdup(path);

	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		char *real;

		*slash = '\0';
		real = realpath(copy, NULL);
		if (real)
			strv_take(list, real);
		*slash = '/';
	}
}

/* Whether it goes on below the directory. */
static bool runs_below(const struct way *way, const char *directory)
{
	bool found = mount_path_is_below(way->path, directory) ||
		(way->then && mount_path_is_below(way->then, directory));

	for (size_t i = 0; !found && i < way->directories.count; i++)
		found = strcmp(way->directories.items[i], directory) == 0 ||
			mount_path_is_below(way->directories.items[i], directory);
	return found;
}

/* The directory may be named through links, too. */
static bool runs_through(const struct way *way, const char *directory, const char *resolved)
{
	return runs_below(way, directory) || (resolved && runs_below(way, resolved));
}

static bool runs_through_bind(const struct daemon *daemon, const struct way *way)
{
	_cleanup_container_list_ struct container_list list = { 0 };
	bool found = false;

	containers_list(daemon->containers, &list);
	for (size_t i = 0; !found && i < list.count; i++) {
		const struct request *request = list.items[i]->request;

		for (size_t j = 0; !found && j < request->mount_count; j++) {
			const struct mount_point *point = &request->mounts[j];

			found = point->type == MOUNT_BIND && !point->read_only &&
				runs_through(way, point->source, point->resolved);
		}
	}
	return found;
}

static bool runs_through_volume(const struct daemon *daemon, const struct way *way)
{
	_cleanup_volume_list_ struct volume_list list = { 0 };
	bool found = false;

	volumes_list(daemon->volumes, &list);
	for (size_t i = 0; !found && i < list.count; i++) {
		const struct volume *volume = list.items[i];
		_cleanup_free_ char *resolved = NULL;

		if (volume->kind == VOLUME_BLOCK)
			continue;
		resolved = mount_path_resolve(volume->mountpoint);
		found = runs_through(way, volume->mountpoint, resolved) ||
			(volume->bind_source &&
			 runs_through(way, volume->bind_source, volume->bind_resolved));
	}
	return found;
}

int host_path_check(const struct daemon *daemon, const char *what, const char *made,
		    const char *path, const char *then, const char *now, struct cay_error *err)
{
	struct way way = { .path = path, .then = then };
	bool found;

	if (then && strcmp(now, then) == 0)
		return 0;
	list_directories(path, &way.directories);
	found = runs_through_bind(daemon, &way) || runs_through_volume(daemon, &way);
	strv_done(&way.directories);
	if (!found)
		return 0;
	if (!then)
		return cay_error_set(err, CAY_FORBIDDEN, ELOOP,
				     "%s %.400s is in a directory that a container can write to, "
				     "and led nowhere when %s: make that anew",
				     what, path, made);
	return cay_error_set(err, CAY_FORBIDDEN, ELOOP,
			     "%s %.400s leads elsewhere than when %s, to %.400s, and is in a "
			     "directory that a container can write to",
			     what, path, made, now);
}
