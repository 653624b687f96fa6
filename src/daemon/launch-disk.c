/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at superblocks, and runs e2fsck where it must. */
#include "daemon/launch-disk.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "image/ext4.h"
#include "image/scratch.h"
#include "vmm/fsck.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* An empty file beside the disk: the guest could not mount it. */
static char *note_path(const char *disk)
{
	return xasprintf("%s.check", disk);
}

static uid_t owner_of(const struct container *container)
{
	return container->vm_uid > 0 ? container->vm_uid : geteuid();
}

static int run_fsck(const struct container *container, const char *what, const char *path,
		    struct cay_error *err)
{
	_cleanup_free_ char *jail =
		xasprintf("%s/check-%s", container->daemon->options.run, container->id);
	_cleanup_buf_ struct buf report = { 0 };
	const struct fsck fsck = {
		.disk = path,
		.jail_directory = jail,
		.uid = container->vm_uid,
		.disk_size = EXT4_DISK_SIZE,
	};
	int r;

	if (mkdir(jail, 0700) < 0 && errno != EEXIST)
		return cay_error_errno(err, errno, "making %s", jail);
	log_info("checking %s", what);
	r = fsck_run(&fsck, &report, err);
	(void)rmdir(jail);
	if (r < 0)
		return cay_error_prefix(err,
					"%s is damaged and could not be repaired; its data is kept "
					"in %s, to be repaired by hand with e2fsck or removed",
					what, path);
	log_warning("%s was checked%s: %s", what, r > 0 ? " and repaired" : ", it is sound",
		    buf_text(&report));
	return 0;
}

/* Disks of earlier versions are smaller, and a volume's last VM had another user. */
static int adopt(const struct container *container, int fd, const char *path, struct cay_error *err)
{
	const uid_t owner = owner_of(container);
	struct stat st;

	if (fstat(fd, &st) < 0)
		return cay_error_errno(err, errno, "opening %s", path);
	if ((uint64_t)st.st_size < EXT4_DISK_SIZE && ftruncate(fd, (off_t)EXT4_DISK_SIZE) < 0)
		return cay_error_errno(err, errno, "extending %s", path);
	if (st.st_uid != owner && fchown(fd, owner, owner) < 0)
		return cay_error_errno(err, errno, "handing over %s", path);
	return 0;
}

static int open_disk(const char *what, const char *path, int *ret_fd, enum ext4_state *ret_state,
		     struct cay_error *err)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	int r = fd < 0 ? -errno : ext4_read_state(fd, ret_state);

	if (r < 0)
		return cay_error_errno(err, r, "opening %s (%s)", what, path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int check(const struct container *container, const char *what, const char *path, int fd,
		 enum ext4_state state, struct cay_error *err)
{
	_cleanup_free_ char *note = note_path(path);
	const bool noted = file_exists(note);
	int r = adopt(container, fd, path, err);

	if (r < 0 || (state == EXT4_SOUND && !noted))
		return r;
	r = run_fsck(container, what, path, err);
	if (r == 0 && noted)
		(void)unlink(note); /* one that stays costs a check */
	return r;
}

int launch_disk_check(const struct container *container, const char *what, const char *path,
		      struct cay_error *err)
{
	_cleanup_close_ int fd = -1;
	enum ext4_state state;
	int r = open_disk(what, path, &fd, &state, err);

	return r < 0 ? r : check(container, what, path, fd, state, err);
}

int launch_disk_check_scratch(const struct container *container, const char *path,
			      struct cay_error *err)
{
	_cleanup_free_ char *what = xasprintf("the writable layer of container %s", container->id);
	_cleanup_close_ int fd = -1;
	enum ext4_state state;
	int r = open_disk(what, path, &fd, &state, err);

	if (r < 0)
		return r;
	if (state != EXT4_EMPTY)
		return check(container, what, path, fd, state, err);
	/* Copies are not synced when a container is made, and the guest's first sync syncs all. */
	log_warning("container %.12s: its writable layer was lost in a power cut before anything "
		    "was stored in it; it begins anew",
		    container->id);
	if (unlink(path) < 0)
		return cay_error_errno(err, errno, "removing %s", path);
	return scratch_create(container->daemon->options.root, path,
			      container->request->storage_size, owner_of(container), err);
}

int launch_disk_note_failure(const struct sandbox_config *config, struct cay_error *err)
{
	for (size_t i = 0; i < config->disk_count; i++) {
		const struct sandbox_disk *disk = &config->disks[i];
		_cleanup_free_ char *words = xasprintf("mounting /dev/vd%c ", 'a' + (int)i);
		_cleanup_free_ char *note = note_path(disk->extents[0].path);
		_cleanup_close_ int fd = -1;

		if (disk->read_only || !strstr(err->message, words))
			continue;
		fd = open(note, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd >= 0)
			return cay_error_prefix(
				err,
				"its disk %s could not be mounted, the next start will check it",
				disk->extents[0].path);
	}
	return -err->err;
}
