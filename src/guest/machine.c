/* SPDX-License-Identifier: Apache-2.0 */
/* The guest as a machine: clock, entropy, kernel settings, file systems, its end. */
#include "guest/machine.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/random.h>
#include <malloc.h>
#include <mntent.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <time.h>

enum { MOUNTS_MAX = 4096 };

int machine_set_time(int64_t unix_ns, bool only_forward, struct cay_error *err)
{
	struct timespec now = { .tv_sec = unix_ns / 1000000000, .tv_nsec = unix_ns % 1000000000 };

	if (unix_ns < 0)
		return cay_error_set(err, CAY_INVALID, EINVAL, "the time is before 1970");
	if (only_forward && clock_now_ns() >= unix_ns)
		return 0;
	if (clock_settime(CLOCK_REALTIME, &now) < 0)
		return cay_error_errno(err, errno, "setting the clock");
	return 0;
}

int machine_add_entropy(const void *data, size_t size, struct cay_error *err)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ struct rand_pool_info *info = NULL;

	if (size > MACHINE_ENTROPY_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "more than %d bytes of entropy",
				     MACHINE_ENTROPY_MAX);
	fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return cay_error_errno(err, errno, "opening /dev/urandom");
	info = xcalloc(1, sizeof(*info) + size);
	info->entropy_count = (int)size * 8;
	info->buf_size = (int)size;
	memcpy(info->buf, data, size);
	if (ioctl(fd, RNDADDENTROPY, info) < 0)
		return cay_error_errno(err, errno, "adding entropy");
	explicit_bzero(info, sizeof(*info) + size);
	/* -ENODATA until the pool is ready, which the call before has just made it. */
	if (ioctl(fd, RNDRESEEDCRNG) < 0 && errno != ENODATA)
		return cay_error_errno(err, errno, "reseeding");
	return 0;
}

int machine_set_sysctl(const char *name, const char *value, struct cay_error *err)
{
	_cleanup_free_ char *path = xasprintf("/proc/sys/%s", name);
	char *begin = path + strlen("/proc/sys/");
	_cleanup_close_ int fd = -1;
	/* As sysctl(8): where a '/' comes first, the name is a path, and '.' stands for itself. */
	size_t separator = strcspn(begin, "./");
	bool plain = begin[separator] == '/';

	for (char *at = begin; *at && !plain; at++)
		*at = *at == '.' ? '/' : *at == '/' ? '.' : *at;
	if (name[0] == '\0' || begin[0] == '/' || strstr(begin, "..") || strstr(begin, "//"))
		return cay_error_set(err, CAY_INVALID, EINVAL, "\"%.200s\" is no sysctl", name);
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		return cay_error_errno(err, errno, "setting the sysctl %.200s to \"%.200s\"", name,
				       value);
	return 0;
}

int machine_unmount(const char *target, bool lazy, struct cay_error *err)
{
	if (target[0] != '/')
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "the target \"%.200s\" is not absolute", target);
	if (umount2(target, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) < 0)
		return cay_error_set(err,
				     errno == EBUSY            ? CAY_CONFLICT
					     : errno == EINVAL ? CAY_NOT_FOUND
					     : errno == ENOENT ? CAY_NOT_FOUND
							       : CAY_INTERNAL,
				     errno, "unmounting %s: %s", target, errno_text(errno));
	return 0;
}

static int open_mount(const char *target, struct cay_error *err)
{
	int fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? cay_error_errno(err, errno, "opening %s", target) : fd;
}

int machine_freeze(const char *target, struct cay_error *err)
{
	_cleanup_close_ int fd = open_mount(target, err);

	if (fd < 0)
		return fd;
	if (ioctl(fd, FIFREEZE, 0) < 0)
		return cay_error_set(err, errno == EBUSY ? CAY_CONFLICT : CAY_INTERNAL, errno,
				     "freezing %s: %s", target, errno_text(errno));
	return 0;
}

int machine_thaw(const char *target, struct cay_error *err)
{
	_cleanup_close_ int fd = open_mount(target, err);

	if (fd < 0)
		return fd;
	if (ioctl(fd, FITHAW, 0) < 0)
		return cay_error_set(err, errno == EINVAL ? CAY_CONFLICT : CAY_INTERNAL, errno,
				     "thawing %s: %s", target, errno_text(errno));
	return 0;
}

int machine_trim(const char *target, uint64_t *ret_bytes, struct cay_error *err)
{
	_cleanup_close_ int fd = open_mount(target, err);
	struct fstrim_range range = { .len = UINT64_MAX };

	if (fd < 0)
		return fd;
	if (ioctl(fd, FITRIM, &range) < 0)
		return cay_error_set(err, errno == EOPNOTSUPP ? CAY_UNSUPPORTED : CAY_INTERNAL,
				     errno, "trimming %s: %s", target, errno_text(errno));
	*ret_bytes = range.len;
	return 0;
}

void machine_settle_disks(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *entry;
	unsigned int count = 0;

	sync();
	while (mounts && count++ < MOUNTS_MAX && (entry = getmntent(mounts)))
		/* Busy ones stay writable; they are clean after the sync. */
		if (starts_with(entry->mnt_fsname, "/dev/"))
			(void)mount(NULL, entry->mnt_dir, NULL, MS_REMOUNT | MS_RDONLY, NULL);
	if (mounts)
		(void)endmntent(mounts);
}

void machine_reboot(void)
{
	(void)reboot(RB_AUTOBOOT);
	for (;;)
		(void)pause(); /* the kernel did not: the host ends the machine */
}

void machine_shrink(void)
{
	static const struct {
		const char *name, *value;
	} orders[] = {
		{ "vm/drop_caches", "3" },    /* pages of files, inodes and names */
		{ "vm/compact_memory", "1" }, /* what is free is reported in large pieces only */
	};
	struct cay_error err = { 0 };

	(void)malloc_trim(0);
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++)
		if (machine_set_sysctl(orders[i].name, orders[i].value, &err) < 0)
			log_warning("%s", err.message);
}
