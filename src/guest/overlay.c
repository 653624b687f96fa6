/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in an overlay's upper directory. */
#include "guest/overlay.h"

#include "guest/copy-child.h"
#include "guest/mounts.h"

#include "base/alloc.h"
#include "base/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

bool overlay_is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

bool overlay_is_opaque(int fd)
{
	char link[COPY_LINK_SIZE], value;

	return getxattr(copy_link(fd, link), "trusted.overlay.opaque", &value, 1) == 1 &&
		value == 'y';
}

bool overlay_is_mount_point(const char *path, const struct stat *st)
{
	static const char *const directories[] = { "dev", "dev/pts", "dev/shm", "proc", "sys" };
	static const char *const files[] = { "dev/console", "etc/hostname", "etc/hosts",
					     "etc/resolv.conf" };

	if (S_ISDIR(st->st_mode)) {
		for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
			if (strcmp(path, directories[i]) == 0)
				return true;
		return false;
	}
	if (!S_ISREG(st->st_mode) || st->st_size > 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (strcmp(path, files[i]) == 0)
			return true;
	return false;
}

bool overlay_lower(int lower_fd, const char *path, struct stat *ret_st)
{
	_cleanup_free_ char *parent = xstrndup(path, (size_t)(path_last(path) - path));
	_cleanup_close_ int fd =
		path_in_root(lower_fd, parent[0] ? parent : "/", MOUNT_MAKE_NOTHING);

	return fd >= 0 && fstatat(fd, path_last(path), ret_st, AT_SYMLINK_NOFOLLOW) == 0;
}
