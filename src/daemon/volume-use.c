/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes while containers run with them: what the host mounts for them, and their sizes. */
#include "daemon/volumes-internal.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/container.h"
#include "daemon/daemon.h"
#include "daemon/host-path.h"
#include "daemon/volume-block.h"
#include "daemon/volume-options.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* ---- in use ---- */

/* Containers without such volumes wait for no server that another one's is on. */
static void lock_mounting(struct volumes *volumes, const struct volume *volume)
{
	if (volume->kind == VOLUME_MOUNT)
		(void)pthread_mutex_lock(&volumes->mounting);
}

static void unlock_mounting(struct volumes *volumes, const struct volume *volume)
{
	if (volume->kind == VOLUME_MOUNT)
		(void)pthread_mutex_unlock(&volumes->mounting);
}

/* Opens the directory that is to be bound, or says with which -errno that failed. */
static int open_directory(const struct volumes *volumes, const struct volume *volume, int *ret_fd,
			  struct cay_error *err)
{
	_cleanup_free_ char *now = realpath(volume->bind_source, NULL);
	int r;

	if (!now) {
		*ret_fd = -errno;
		return 0;
	}
	r = host_path_check(volumes->daemon, "its device", "the volume was made",
			    volume->bind_source, volume->bind_resolved, now, err);
	if (r == 0)
		*ret_fd = open_canonical(now);
	return r;
}

/* With `mounting` held, not the other lock: a server may take long to answer. */
static int mount_for_use(const struct volumes *volumes, const struct volume *volume,
			 struct cay_error *err)
{
	_cleanup_close_ int fd = -1;
	int r = 0;

	if (volume->kind != VOLUME_MOUNT || volume_is_mounted(volume->mountpoint))
		return 0;
	/* It stays the directory that was checked, whatever becomes of the way there. */
	if (volume->bind_source)
		r = open_directory(volumes, volume, &fd, err);
	if (r == 0)
		r = volume_options_mount(volume->options, fd, volume->mountpoint, err);
	return r < 0 ? cay_error_prefix(err, "error while mounting volume '%s'", volume->mountpoint)
		     : 0;
}

/* With the lock held: another container that runs with it, or NULL. */
static const char *find_other(const struct volumes *volumes, const char *name, const char *id)
{
	const struct volume_row *row = volumes_row((struct volumes *)volumes, name);

	for (size_t i = 0; row && i < row->active.count; i++)
		if (strcmp(row->active.items[i], id) != 0)
			return row->active.items[i];
	return NULL;
}

/* With the lock held. A disk that two kernels write to is lost. */
static int check_alone(const struct volumes *volumes, const struct volume *volume, const char *id,
		       struct cay_error *err)
{
	const char *other =
		volume->kind == VOLUME_BLOCK ? find_other(volumes, volume->name, id) : NULL;

	if (!other)
		return 0;
	return cay_error_set(err, CAY_CONFLICT, EBUSY,
			     "volume %s is in use by container %s: a block volume is one "
			     "container's at a time; stop that one first, or use a volume without "
			     "type=block to share",
			     volume->name, other);
}

char *volumes_find_other(struct volumes *volumes, const char *name, const char *id)
{
	const char *other;
	char *copy;

	(void)pthread_mutex_lock(&volumes->lock);
	other = find_other(volumes, name, id);
	copy = other ? xstrdup(other) : NULL;
	(void)pthread_mutex_unlock(&volumes->lock);
	return copy;
}

/* With the lock held. */
static void set_active(struct volumes *volumes, const char *name, const char *id)
{
	struct volume_row *row = volumes_row(volumes, name);

	if (row && !strv_contains(&row->active, id))
		strv_add(&row->active, id);
}

int volumes_enter(struct volumes *volumes, const struct volume *volume,
		  const struct container *container, const char *target, bool read_only,
		  struct cay_error *err)
{
	int r;

	lock_mounting(volumes, volume);
	r = mount_for_use(volumes, volume, err);
	if (r == 0) {
		(void)pthread_mutex_lock(&volumes->lock);
		r = check_alone(volumes, volume, container->id, err);
		if (r == 0)
			set_active(volumes, volume->name, container->id);
		(void)pthread_mutex_unlock(&volumes->lock);
	}
	unlock_mounting(volumes, volume);
	if (r == 0)
		volume_emit(volumes, volume, "mount",
			    json_pack("{s:s, s:s, s:s, s:s}", "container", container->id,
				      "destination", target, "propagation", "", "read/write",
				      read_only ? "false" : "true"));
	return r;
}

void volumes_take_up(struct volumes *volumes, const struct container *container)
{
	const struct request *request = container->request;

	(void)pthread_mutex_lock(&volumes->lock);
	for (size_t i = 0; i < request->mount_count; i++)
		if (request->mounts[i].type == MOUNT_VOLUME)
			set_active(volumes, request->mounts[i].name, container->id);
	(void)pthread_mutex_unlock(&volumes->lock);
}

/* True if nobody else runs with it. */
static bool set_inactive(struct volumes *volumes, const char *name, const char *id)
{
	struct volume_row *row;
	bool last;

	(void)pthread_mutex_lock(&volumes->lock);
	row = volumes_row(volumes, name);
	if (row)
		strv_remove(&row->active, id);
	last = !row || row->active.count == 0;
	(void)pthread_mutex_unlock(&volumes->lock);
	return last;
}

/* NULL where the container has not entered it. */
static struct volume *find_entered(struct volumes *volumes, const char *name, const char *id)
{
	const struct volume_row *row;
	struct volume *volume = NULL;

	(void)pthread_mutex_lock(&volumes->lock);
	row = volumes_row(volumes, name);
	if (row && strv_contains(&row->active, id))
		volume = volume_ref(row->volume);
	(void)pthread_mutex_unlock(&volumes->lock);
	return volume;
}

static void leave(struct volumes *volumes, const char *name, const struct container *container)
{
	_cleanup_volume_ struct volume *volume = find_entered(volumes, name, container->id);
	struct cay_error err = { 0 };

	if (!volume)
		return;
	lock_mounting(volumes, volume);
	if (set_inactive(volumes, name, container->id) && volume->kind == VOLUME_MOUNT &&
	    volume_unmount(volume->mountpoint, &err) < 0)
		log_warning("volume %s: %s", volume->name, err.message);
	unlock_mounting(volumes, volume);
	volume_emit(volumes, volume, "unmount", json_pack("{s:s}", "container", container->id));
}

void volumes_leave(struct volumes *volumes, const struct container *container)
{
	const struct request *request = container->request;

	for (size_t i = 0; i < request->mount_count; i++)
		if (request->mounts[i].type == MOUNT_VOLUME)
			leave(volumes, request->mounts[i].name, container);
}

/* ---- sizes ---- */

enum { DEPTH_MAX = 200 }; /* directories in each other; what is below is not counted */

/* Takes `fd` over. No link that a container made is followed. */
static int64_t usage_at(int fd, unsigned int depth)
{
	DIR *directory = fdopendir(fd);
	struct dirent *entry;
	int64_t sum = 0;

	if (!directory) {
		(void)close(fd);
		return 0;
	}
	while ((entry = readdir(directory))) {
		const char *name = entry->d_name;
		struct stat status;
		int below;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
		    fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (!S_ISDIR(status.st_mode)) {
			/* All its names together count once. */
			sum += (int64_t)status.st_size / (int64_t)MAX(status.st_nlink, 1);
			continue;
		}
		below = depth < DEPTH_MAX
			? openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
			: -1;
		if (below >= 0)
			sum += usage_at(below, depth + 1);
	}
	(void)closedir(directory);
	return sum;
}

int64_t volume_usage(const struct volume *volume)
{
	int fd;

	if (volume->kind == VOLUME_MOUNT)
		return -1;
	if (volume->kind == VOLUME_BLOCK)
		return volume_block_usage(volume);
	fd = open(volume->mountpoint, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 ? usage_at(fd, 0) : 0;
}
