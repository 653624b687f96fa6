/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks of block volumes: /dev/vdc, /dev/vdd. The host does not look into
 * them; that the guest mounts one, and what it then finds there, is the
 * container's own affair.
 */
#include "daemon/launch-block.h"

#include "base/alloc.h"
#include "daemon/containers.h"
#include "daemon/daemon.h"
#include "daemon/launch-disk.h"
#include "daemon/lifecycle-internal.h"
#include "daemon/spec.h"
#include "image/ext4.h"
#include "vmm/cmdline.h"

#include <errno.h>

static size_t find_disk(const struct sandbox_config *config, const char *path)
{
	size_t i = LAUNCH_DISKS_OWN;

	while (i < config->disk_count && strcmp(config->disks[i].extents[0].path, path) != 0)
		i++;
	return i;
}

static void add_disk(struct sandbox_config *config, const char *path)
{
	struct sandbox_disk *disk;

	config->disks =
		xreallocarray(config->disks, config->disk_count + 1, sizeof(*config->disks));
	disk = &config->disks[config->disk_count++];
	*disk = (struct sandbox_disk){ .extents = xcalloc(1, sizeof(*disk->extents)),
				       .extent_count = 1 };
	disk->extents[0] = (struct sandbox_extent){ .path = xstrdup(path), .size = EXT4_DISK_SIZE };
}

static void add_mount(const struct container *container, struct sandbox_container *target,
		      size_t index)
{
	_cleanup_free_ char *name = xasprintf("volume%zu", index);
	struct sandbox_mount *mount;

	target->mounts =
		xreallocarray(target->mounts, target->mount_count + 1, sizeof(*target->mounts));
	mount = &target->mounts[target->mount_count++];
	*mount = (struct sandbox_mount){
		.type = xstrdup("ext4"),
		.source = xasprintf("/dev/vd%c", 'a' + (int)index),
		.target = spec_guest_path(container->id, name),
	};
	/* As for the scratch; and no more writes once something is wrong: this data is to last. */
	strv_add(&mount->options, "noinit_itable");
	strv_add(&mount->options, "discard");
	strv_add(&mount->options, "errors=remount-ro");
}

/*
 * Who has just ended gives it back in a moment, and clients start the next one at once: true where
 * that was waited for. *ret_name is the name of one that does not end, which the caller frees.
 */
static bool wait_ended(const struct container *container, const struct volume *volume,
		       char **ret_name)
{
	struct daemon *daemon = container->daemon;
	_cleanup_free_ char *id = volumes_find_other(daemon->volumes, volume->name, container->id);
	_cleanup_container_ struct container *other = NULL;
	struct cay_error ignored; /* it takes too long; the second try tells who has it */
	bool ended;

	if (!id || containers_find(daemon->containers, id, &other, &ignored) < 0)
		return true;
	(void)pthread_mutex_lock(&other->lock);
	ended = !container_is_up(other->status) && other->status != CONTAINER_STARTING;
	if (ended)
		(void)lifecycle_wait_free(other, false, &ignored);
	*ret_name = xstrdup(other->name);
	(void)pthread_mutex_unlock(&other->lock);
	return ended;
}

static int enter(const struct container *container, const struct mount_point *point,
		 const struct volume *volume, struct cay_error *err)
{
	struct volumes *volumes = container->daemon->volumes;
	_cleanup_free_ char *holder = NULL;
	int r = volumes_enter(volumes, volume, container, point->target, point->read_only, err);

	if (r == 0 || err->code != CAY_CONFLICT)
		return r;
	if (wait_ended(container, volume, &holder)) {
		cay_error_clear(err);
		r = volumes_enter(volumes, volume, container, point->target, point->read_only, err);
	}
	if (r < 0 && err->code == CAY_CONFLICT && holder)
		return cay_error_prefix(err, "container %s has it", holder);
	return r;
}

static int add(const struct container *container, const struct volume *volume,
	       struct sandbox_config *config, struct sandbox_container *target,
	       struct cay_error *err)
{
	_cleanup_free_ char *what = xasprintf("the volume %s", volume->name);
	int r;

	if (config->disk_count == VMM_DISKS_MAX)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "volume %s: a container can have %d block volumes at most",
				     volume->name, VMM_DISKS_MAX - LAUNCH_DISKS_OWN);
	r = launch_disk_check(container, what, volume->mountpoint, err);
	if (r < 0)
		return r;
	add_mount(container, target, config->disk_count);
	add_disk(config, volume->mountpoint);
	return 0;
}

int launch_block(const struct container *container, const struct mount_point *point,
		 const struct volume *volume, struct sandbox_config *config,
		 struct sandbox_container *target, char **ret_guest_source, struct cay_error *err)
{
	const size_t index = find_disk(config, volume->mountpoint);
	_cleanup_free_ char *name = xasprintf("volume%zu/data", index);
	int r = 0;

	if (point->subpath)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "volume %s: a part of a block volume (volume-subpath) can't "
				     "be mounted, only the whole",
				     volume->name);
	r = enter(container, point, volume, err);
	if (r == 0 && index == config->disk_count)
		r = add(container, volume, config, target, err);
	if (r == 0)
		*ret_guest_source = spec_guest_path(container->id, name);
	return r;
}
