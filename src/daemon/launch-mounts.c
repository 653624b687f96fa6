/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From mount points to shares. The file server opens the paths that are named
 * here without following a link, so they are made canonical first; a path that
 * runs through a volume, which other containers may be writing to, is resolved
 * by the kernel without leaving the volume.
 */
#include "daemon/launch-mounts.h"

#include "base/alloc.h"
#include "base/file.h"
#include "daemon/daemon.h"
#include "daemon/host-path.h"
#include "daemon/launch-block.h"
#include "daemon/launch-sockets.h"
#include "daemon/volumes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static_assert((int)REQUEST_MOUNTS_MAX <= (int)SANDBOX_SHARES_MAX,
	      "each mount may be a share of its own");

/* ---- sources ---- */

static int missing(const char *source, struct cay_error *err)
{
	return cay_error_set(err, CAY_INVALID, ENOENT,
			     "invalid mount config for type \"bind\": bind source path does not "
			     "exist: %.600s",
			     source);
}

static int check_resolved(const struct container *container, const struct mount_point *point,
			  const char *path, struct cay_error *err)
{
	return host_path_check(container->daemon, "bind source path", "the container was made",
			       point->source, point->resolved, path, err);
}

/* The canonical path of a bind's source, which -v makes where it is not there. */
static int find_bind(const struct container *container, const struct mount_point *point,
		     char **ret_path, struct cay_error *err)
{
	_cleanup_free_ char *expected = mount_path_resolve(point->source);
	char *path;
	int r;

	if (!expected)
		return cay_error_errno(err, errno, "bind source path %s", point->source);
	r = check_resolved(container, point, expected, err);
	if (r < 0)
		return r;
	path = realpath(point->source, NULL);

	if (!path && errno == ENOENT && point->create_source) {
		/* Where that was checked to be, whatever a guest makes of the way there. */
		r = make_dirs_canonical(expected, 0755, err);
		if (r < 0)
			return cay_error_prefix(err, "error while creating mount source path '%s'",
						point->source);
		path = realpath(point->source, NULL);
	}
	if (!path)
		return errno == ENOENT
			? missing(point->source, err)
			: cay_error_errno(err, errno, "bind source path %s", point->source);
	/* Another one than a moment ago: it is being changed right now. */
	r = check_resolved(container, point, path, err);
	if (r < 0) {
		free(path);
		return r;
	}
	*ret_path = path;
	return 0;
}

/* What a volume's subpath names, links in it included, as long as it is in the volume. */
static int find_subpath(const struct volume *volume, const char *subpath, char **ret_path,
			struct cay_error *err)
{
	const struct open_how how = { .flags = O_PATH | O_CLOEXEC,
				      .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	_cleanup_close_ int root =
		open(volume->mountpoint, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_close_ int fd = -1;
	char *path;

	if (root < 0)
		return cay_error_errno(err, errno, "opening volume %s", volume->name);
	fd = (int)syscall(SYS_openat2, root, subpath, &how, sizeof(how));
	if (fd < 0)
		return cay_error_set(err, errno == ENOENT ? CAY_INVALID : CAY_FORBIDDEN, errno,
				     "cannot access path %s/%s: %s", volume->mountpoint, subpath,
				     errno == EXDEV ? "path is outside of the volume"
						    : errno_text(errno));
	/* Going that path again might lead elsewhere: the file server refuses to follow links. */
	path = open_path_of(fd);
	if (!path)
		return cay_error_errno(err, errno, "volume %s: %s", volume->name, subpath);
	*ret_path = path;
	return 0;
}

static int find_volume(const struct container *container, const struct mount_point *point,
		       const struct volume *volume, char **ret_path, struct cay_error *err)
{
	int r = volumes_enter(container->daemon->volumes, volume, container, point->target,
			      point->read_only, err);

	if (r < 0)
		return r;
	if (point->subpath)
		return find_subpath(volume, point->subpath, ret_path, err);
	*ret_path = realpath(volume->mountpoint, NULL);
	return *ret_path
		? 0
		: cay_error_errno(err, errno, "volume %s: %s", volume->name, volume->mountpoint);
}

/* ---- shares ---- */

static bool is_same(const struct sandbox_share *a, const struct sandbox_share *b)
{
	return strcmp(a->source, b->source) == 0 && a->read_only == b->read_only &&
		a->recursive == b->recursive && a->slave == b->slave && a->cached == b->cached;
}

static void add_share_mount(const struct container *container, struct sandbox_container *target,
			    size_t index, bool is_file)
{
	_cleanup_free_ char *name = xasprintf("share%zu", index);
	struct sandbox_mount *mount;

	target->mounts =
		xreallocarray(target->mounts, target->mount_count + 1, sizeof(*target->mounts));
	mount = &target->mounts[target->mount_count++];
	*mount = (struct sandbox_mount){ .type = xstrdup("share"),
					 .source = xasprintf("%zu", index),
					 .target = spec_guest_path(container->id, name) };
	if (is_file)
		strv_add(&mount->options, "file");
}

/* Where the guest has it; takes over what `share` points to. One that is there is used again. */
static char *add_share(const struct container *container, struct sandbox_config *config,
		       struct sandbox_container *target, struct sandbox_share *share, bool is_file)
{
	_cleanup_free_ char *name = NULL;
	size_t index = 0;

	while (index < config->share_count && !is_same(&config->shares[index], share))
		index++;
	if (index < config->share_count) {
		free(share->source);
	} else {
		config->shares = xreallocarray(config->shares, config->share_count + 1,
					       sizeof(*config->shares));
		config->shares[config->share_count++] = *share;
		add_share_mount(container, target, index, is_file);
	}
	name = xasprintf("share%zu", index);
	return spec_guest_path(container->id, name);
}

/* ---- contents for empty volumes ---- */

/* What a volume holds: a fill that was broken off, of which src/guest/fill.c tells, and the rest.
 */
static void look_into(const char *path, bool *ret_begun, bool *ret_used)
{
	DIR *directory = opendir(path);
	struct dirent *entry;

	*ret_begun = false;
	*ret_used = !directory;
	while (directory && (entry = readdir(directory))) {
		if (starts_with(entry->d_name, VOLUME_FILL_PREFIX))
			*ret_begun = true;
		else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			*ret_used = true;
	}
	if (directory)
		(void)closedir(directory);
}

static bool may_fill(const struct mount_point *point)
{
	return point->type == MOUNT_VOLUME && !point->no_copy && !point->subpath;
}

/*
 * As docker has it, a container that is new fills the volumes that are empty. One that has run
 * leaves a volume alone that it has emptied. What was begun is brought to its end, but not by one
 * that has it read-only and could make it look so: to fill it is to write to it.
 */
static bool wants_fill(const struct container *container, const struct mount_point *point,
		       const char *path)
{
	const bool is_new = container->run.started_ns == 0;
	bool begun, used;

	if (!may_fill(point))
		return false;
	look_into(path, &begun, &used);
	return is_new ? begun || !used : begun && !point->read_only;
}

static void add_fill(struct sandbox_container *target, const char *path, const char *guest_source)
{
	for (size_t i = 0; i < target->fill_count; i++)
		if (strcmp(target->fills[i].target, guest_source) == 0)
			return; /* mounted twice: the first place fills it */
	target->fills =
		xreallocarray(target->fills, target->fill_count + 1, sizeof(*target->fills));
	target->fills[target->fill_count++] = (struct sandbox_fill){
		.path = xstrdup(path),
		.target = xstrdup(guest_source),
	};
}

/* ---- one mount ---- */

static bool is_slave(enum mount_propagation propagation)
{
	return propagation != MOUNT_RPRIVATE && propagation != MOUNT_PRIVATE;
}

/* A directory or a file of the host; `path` is taken over. */
static int share_path(const struct container *container, const struct mount_point *point,
		      char *path, struct sandbox_config *config, struct sandbox_container *target,
		      char **ret_guest_source, struct cay_error *err)
{
	struct sandbox_share share = {
		.source = path,
		.read_only = point->read_only,
		.recursive = !point->non_recursive,
		.slave = point->type == MOUNT_BIND && is_slave(point->propagation),
		.cached = point->cached,
	};
	/* Opened here, so that what autofs mounts is there before the file server looks. */
	_cleanup_close_ int fd = open_canonical(path);
	struct stat status;
	bool fill;
	int r = fd < 0 ? cay_error_errno(err, fd, "%s", path) : 0;

	if (r == 0 &&
	    (fstat(fd, &status) < 0 || !(S_ISDIR(status.st_mode) || S_ISREG(status.st_mode))))
		r = cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				  "%.600s is no directory, file or socket: nothing else of the "
				  "host can be mounted into a container",
				  path);
	if (r < 0) {
		free(path);
		return r;
	}
	fill = wants_fill(container, point, path);
	/* The guest has to write into it once; what the container mounts is read-only. */
	share.read_only = share.read_only && !fill;
	*ret_guest_source = add_share(container, config, target, &share, !S_ISDIR(status.st_mode));
	if (fill)
		add_fill(target, point->target, *ret_guest_source);
	return 0;
}

static int mount_bind(const struct container *container, const struct mount_point *point,
		      struct sandbox_config *config, struct sandbox_container *target,
		      char **ret_guest_source, struct cay_error *err)
{
	struct stat status;
	char *path = NULL;
	int r = find_bind(container, point, &path, err);

	if (r < 0)
		return r;
	if (stat(path, &status) == 0 && S_ISSOCK(status.st_mode)) {
		/* Nothing listens where only files are looked at. */
		if (!target->files_only)
			r = launch_socket_add(config, container, path, &status, ret_guest_source,
					      err);
		free(path);
		return r;
	}
	return share_path(container, point, path, config, target, ret_guest_source, err);
}

static int mount_volume(const struct container *container, const struct mount_point *point,
			struct sandbox_config *config, struct sandbox_container *target,
			char **ret_guest_source, struct cay_error *err)
{
	_cleanup_volume_ struct volume *volume = NULL;
	char *path = NULL;
	int r = volumes_find(container->daemon->volumes, point->name, &volume, err);

	if (r == 0 && volume->kind == VOLUME_BLOCK) {
		r = launch_block(container, point, volume, config, target, ret_guest_source, err);
		/* Whether it is empty, or half filled, is for the guest to see. */
		if (r == 0 && may_fill(point) && container->run.started_ns == 0)
			add_fill(target, point->target, *ret_guest_source);
		return r;
	}
	if (r == 0)
		r = find_volume(container, point, volume, &path, err);
	return r < 0 ? r
		     : share_path(container, point, path, config, target, ret_guest_source, err);
}

/* Binds first, then volumes by name; else as they come. */
static int compare_taking(const void *a, const void *b)
{
	const struct mount_point *one = *(const struct mount_point *const *)a,
				 *two = *(const struct mount_point *const *)b;
	int r = strcmp(one->name ?: "", two->name ?: "");

	return r != 0 ? r : one < two ? -1 : one > two;
}

static int add_point(const struct container *container, const struct mount_point *point,
		     struct sandbox_config *config, struct sandbox_container *target,
		     char **ret_guest_source, struct cay_error *err)
{
	return point->type == MOUNT_BIND
		? mount_bind(container, point, config, target, ret_guest_source, err)
		: mount_volume(container, point, config, target, ret_guest_source, err);
}

int launch_mounts(const struct container *container, struct sandbox_config *config,
		  struct sandbox_container *target, struct spec_mounts *mounts,
		  struct cay_error *err)
{
	const struct request *request = container->request;
	const struct mount_point *points[REQUEST_MOUNTS_MAX] = { 0 };
	char *guest_sources[REQUEST_MOUNTS_MAX] = { 0 };
	int r = 0;

	/*
	 * All take volumes that are one's at a time in one order: two that each have what the other
	 * one lacks would wait for each other.
	 */
	for (size_t i = 0; i < request->mount_count; i++)
		points[i] = &request->mounts[i];
	qsort(points, request->mount_count, sizeof(*points), compare_taking);
	for (size_t i = 0; r == 0 && i < request->mount_count; i++)
		r = add_point(container, points[i], config, target,
			      &guest_sources[points[i] - request->mounts], err);
	for (size_t i = 0; i < request->mount_count; i++) {
		const struct mount_point *point = &request->mounts[i];

		if (r == 0 && guest_sources[i])
			spec_mounts_add_bind(mounts, guest_sources[i], point->target,
					     point->read_only);
		else
			free(guest_sources[i]);
	}
	if (r == 0 && config->share_count > 0)
		config->files_program = xstrdup(container->daemon->options.files);
	return r;
}
