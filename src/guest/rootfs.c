/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root file system of a container. Everything here runs in the child that
 * is to become a container's process, as root, in its mount namespace, before
 * the change of root: sources of bind mounts are the guest's paths, targets
 * are resolved inside the container's root by descriptor.
 */
#include "guest/rootfs.h"

#include "guest/mounts.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

/* The devices the specification promises to every container. */
static const struct oci_device default_devices[] = {
	{ (char *)"/dev/null", S_IFCHR | 0666, 1, 3, 0, 0 },
	{ (char *)"/dev/zero", S_IFCHR | 0666, 1, 5, 0, 0 },
	{ (char *)"/dev/full", S_IFCHR | 0666, 1, 7, 0, 0 },
	{ (char *)"/dev/random", S_IFCHR | 0666, 1, 8, 0, 0 },
	{ (char *)"/dev/urandom", S_IFCHR | 0666, 1, 9, 0, 0 },
	{ (char *)"/dev/tty", S_IFCHR | 0666, 5, 0, 0, 0 },
};

static const struct {
	const char *path, *target;
} default_links[] = {
	{ "/dev/fd", "/proc/self/fd" },       { "/dev/stdin", "/proc/self/fd/0" },
	{ "/dev/stdout", "/proc/self/fd/1" }, { "/dev/stderr", "/proc/self/fd/2" },
	{ "/dev/core", "/proc/kcore" },       { "/dev/ptmx", "pts/ptmx" },
};

/* Mounts on what `path` names in the root, making it if it is absent. */
static int mount_in_root(int root_fd, const char *type, const char *source, const char *path,
			 const struct mount_options *options, struct cay_error *err)
{
	bool is_bind = (options->flags & MS_BIND) || strcmp(type, "bind") == 0;
	enum mount_make make = MOUNT_MAKE_DIRECTORY;
	_cleanup_close_ int fd = -1;
	char target[FD_PATH_SIZE];
	struct stat st;

	if (is_bind) {
		if (stat(source, &st) < 0)
			return cay_error_errno(err, errno, "binding %s", source);
		if (!S_ISDIR(st.st_mode))
			make = MOUNT_MAKE_FILE;
	}
	fd = path_in_root(root_fd, path, make);
	if (fd < 0)
		return cay_error_errno(err, fd, "making the mount point");
	fd_path(fd, target);
	if (!is_bind || (options->flags & MS_REMOUNT))
		return mount_do(type, source, target, options, err);

	/* The flags of a bind are set on the mount itself, which only a second look-up finds. */
	if (mount(source, target, NULL, MS_BIND | (options->flags & MS_REC), NULL) < 0)
		return cay_error_errno(err, errno, "binding %s", source);
	if ((options->flags & ~(MS_BIND | MS_REC)) || options->recursive_readonly ||
	    options->propagation_count > 0) {
		struct mount_options rest = *options;
		_cleanup_close_ int mounted = path_in_root(root_fd, path, MOUNT_MAKE_NOTHING);

		if (mounted < 0)
			return cay_error_errno(err, mounted, "finding the mount");
		fd_path(mounted, target);
		rest.flags |= MS_BIND | MS_REMOUNT;
		return mount_do("bind", source, target, &rest, err);
	}
	return 0;
}

static int do_mounts(const struct oci_config *config, int root_fd, bool binds_only,
		     struct cay_error *err)
{
	for (size_t i = 0; i < config->mount_count; i++) {
		const struct oci_mount *mount = &config->mounts[i];
		_cleanup_mount_options_ struct mount_options options = { 0 };
		int r = mount_options_parse(&mount->options, &options, err);

		if (r >= 0 && binds_only && !(options.flags & MS_BIND) &&
		    strcmp(mount->type, "bind") != 0)
			continue;
		if (r >= 0)
			r = mount_in_root(root_fd, mount->type, mount->source, mount->destination,
					  &options, err);
		if (r < 0)
			return cay_error_prefix(err, "mounting on %s", mount->destination);
	}
	return 0;
}

/* The directory of `path` in the root and, in *ret_name, the last part. */
static int open_parent(int root_fd, const char *path, const char **ret_name)
{
	_cleanup_free_ char *parent = NULL;
	const char *name = path_last(path);

	if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EINVAL;
	parent = xstrndup(path, (size_t)(name - path));
	*ret_name = name;
	return path_in_root(root_fd, parent, MOUNT_MAKE_DIRECTORY);
}

static int make_device(const struct oci_device *device, int root_fd, struct cay_error *err)
{
	const char *name = NULL;
	_cleanup_close_ int parent = open_parent(root_fd, device->path, &name);
	struct stat st;

	if (parent < 0)
		return cay_error_errno(err, parent, "making the device %s", device->path);
	if (mknodat(parent, name, device->mode, makedev(device->major, device->minor)) < 0) {
		if (errno != EEXIST)
			return cay_error_errno(err, errno, "making the device %s", device->path);
		/* What an image or a bind mount has put there stays if it is that very device. */
		if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    (st.st_mode & S_IFMT) == (device->mode & S_IFMT) &&
		    st.st_rdev == makedev(device->major, device->minor))
			return 0;
		if (unlinkat(parent, name, 0) < 0 ||
		    mknodat(parent, name, device->mode, makedev(device->major, device->minor)) < 0)
			return cay_error_errno(err, errno, "replacing the device %s", device->path);
	}
	/* The mode is as asked: vminitd and its children have an empty umask. */
	if ((device->uid != 0 || device->gid != 0) &&
	    fchownat(parent, name, device->uid, device->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return cay_error_errno(err, errno, "giving away the device %s", device->path);
	return 0;
}

static int make_link(const char *path, const char *target, int root_fd, struct cay_error *err)
{
	const char *name = NULL;
	_cleanup_close_ int parent = open_parent(root_fd, path, &name);

	if (parent < 0 || (symlinkat(target, parent, name) < 0 && errno != EEXIST))
		return cay_error_errno(err, parent < 0 ? parent : errno, "making the link %s",
				       path);
	return 0;
}

static bool dev_is_bound(const struct oci_config *config)
{
	for (size_t i = 0; i < config->mount_count; i++)
		if (strcmp(config->mounts[i].destination, "/dev") == 0)
			return strcmp(config->mounts[i].type, "bind") == 0 ||
				strv_contains(&config->mounts[i].options, "bind") ||
				strv_contains(&config->mounts[i].options, "rbind");
	return false;
}

static int make_devices(const struct oci_config *config, int root_fd, struct cay_error *err)
{
	int r = 0;

	/* A /dev of the guest's that is bound has its nodes, and they are not ours to change. */
	if (!dev_is_bound(config)) {
		for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(default_devices); i++)
			r = make_device(&default_devices[i], root_fd, err);
		for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(default_links); i++)
			r = make_link(default_links[i].path, default_links[i].target, root_fd, err);
	}
	for (size_t i = 0; r >= 0 && i < config->device_count; i++)
		r = make_device(&config->devices[i], root_fd, err);
	return r;
}

/* Mounts over the path if it is there: "/dev/null" over what is no directory, else an empty one. */
static int mask(const char *path, int root_fd, struct cay_error *err)
{
	_cleanup_close_ int fd = path_in_root(root_fd, path, MOUNT_MAKE_NOTHING);
	char target[FD_PATH_SIZE];
	struct stat st;
	int r;

	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return cay_error_errno(err, fd < 0 ? fd : errno, "masking %s", path);
	fd_path(fd, target);
	if (S_ISDIR(st.st_mode))
		r = mount("tmpfs", target, "tmpfs", MS_RDONLY, NULL);
	else
		r = mount("/dev/null", target, NULL, MS_BIND, NULL);
	return r < 0 ? cay_error_errno(err, errno, "masking %s", path) : 0;
}

static int make_readonly(const char *path, int root_fd, struct cay_error *err)
{
	_cleanup_close_ int fd = path_in_root(root_fd, path, MOUNT_MAKE_NOTHING);
	_cleanup_close_ int mounted = -1;
	char target[FD_PATH_SIZE];
	struct statfs fs;

	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	if (fd < 0)
		return cay_error_errno(err, fd, "making %s read-only", path);
	fd_path(fd, target);
	if (mount(target, target, NULL, MS_BIND | MS_REC, NULL) < 0)
		return cay_error_errno(err, errno, "making %s read-only", path);
	mounted = path_in_root(root_fd, path, MOUNT_MAKE_NOTHING);
	if (mounted < 0 || fstatfs(mounted, &fs) < 0)
		return cay_error_errno(err, mounted < 0 ? mounted : errno, "making %s read-only",
				       path);
	fd_path(mounted, target);
	/* The flags below have the same values in both worlds (linux/statfs.h, ST_…). */
	if (mount(NULL, target, NULL,
		  MS_BIND | MS_REMOUNT | MS_RDONLY |
			  ((unsigned long)fs.f_flags & (MS_NOSUID | MS_NODEV | MS_NOEXEC)),
		  NULL) < 0)
		return cay_error_errno(err, errno, "making %s read-only", path);
	return 0;
}

int terminal_open(int root_fd, struct cay_error *err)
{
	_cleanup_close_ int pts = path_in_root(root_fd, "/dev/pts", MOUNT_MAKE_NOTHING);
	_cleanup_close_ int fd = -1;
	struct statfs fs;
	struct stat st;
	int unlock = 0;

	if (pts < 0 || fstatfs(pts, &fs) < 0 || fs.f_type != DEVPTS_SUPER_MAGIC)
		return cay_error_set(err, CAY_INVALID, ENODEV,
				     "a terminal needs a devpts mounted on the container's "
				     "/dev/pts");
	fd = openat(pts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return cay_error_errno(err, errno, "opening a terminal");
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2))
		return cay_error_set(err, CAY_INVALID, ENODEV,
				     "the container's /dev/pts/ptmx is no terminal multiplexer");
	if (ioctl(fd, TIOCSPTLCK, &unlock) < 0)
		return cay_error_errno(err, errno, "unlocking a terminal");
	return TAKE_FD(fd);
}

/* Binds the terminal's slave on /dev/console. */
static int make_console(int root_fd, int terminal, struct cay_error *err)
{
	_cleanup_close_ int slave = -1, target = -1;
	char from[FD_PATH_SIZE], to[FD_PATH_SIZE];

	slave = ioctl(terminal, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	target = path_in_root(root_fd, "/dev/console", MOUNT_MAKE_FILE);
	if (slave < 0 || target < 0)
		return cay_error_errno(err, slave < 0 ? errno : target, "making /dev/console");
	fd_path(slave, from);
	fd_path(target, to);
	if (mount(from, to, NULL, MS_BIND, NULL) < 0)
		return cay_error_errno(err, errno, "making /dev/console");
	return 0;
}

/* Makes `root_fd` the root of the mount namespace and forgets the old one. */
static int change_root(int root_fd, unsigned long propagation, struct cay_error *err)
{
	/* Both arguments "." stack the old root on the new one, from where it is unmounted. */
	if (fchdir(root_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return cay_error_errno(err, errno, "changing the root");
	if (propagation != MS_PRIVATE && mount(NULL, "/", NULL, propagation | MS_REC, NULL) < 0)
		return cay_error_errno(err, errno, "setting the root's propagation");
	return 0;
}

static int finish_root(const struct oci_config *config, int root_fd, struct cay_error *err)
{
	int r = change_root(root_fd, config->propagation, err);

	if (r == 0 && config->root_readonly &&
	    mount(NULL, "/", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)
		return cay_error_errno(err, errno, "making the root read-only");
	return r;
}

/* The root as a mount of its own, which pivot_root() and the flag for read-only need. */
static int open_root(const char *path, struct cay_error *err)
{
	int fd;

	if (mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0 ||
	    mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0)
		return cay_error_errno(err, errno, "preparing the root %s", path);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return cay_error_errno(err, errno, "opening the root %s", path);
	return fd;
}

int rootfs_enter(const struct oci_config *config, bool want_terminal, int *ret_terminal,
		 struct cay_error *err)
{
	_cleanup_close_ int root_fd = open_root(config->root_path, err), terminal = -1;
	int r;

	if (root_fd < 0)
		return root_fd;
	if ((r = do_mounts(config, root_fd, false, err)) < 0 ||
	    (r = make_devices(config, root_fd, err)) < 0)
		return r;
	if (want_terminal) {
		terminal = terminal_open(root_fd, err);
		if (terminal < 0)
			return terminal;
		if ((r = make_console(root_fd, terminal, err)) < 0)
			return r;
	}
	for (size_t i = 0; i < config->readonly_paths.count; i++)
		if ((r = make_readonly(config->readonly_paths.items[i], root_fd, err)) < 0)
			return r;
	for (size_t i = 0; i < config->masked_paths.count; i++)
		if ((r = mask(config->masked_paths.items[i], root_fd, err)) < 0)
			return r;
	if ((r = finish_root(config, root_fd, err)) < 0)
		return r;
	*ret_terminal = TAKE_FD(terminal);
	return 0;
}

int rootfs_enter_files(const struct oci_config *config, struct cay_error *err)
{
	_cleanup_close_ int root_fd = open_root(config->root_path, err);
	int r = root_fd < 0 ? root_fd : do_mounts(config, root_fd, true, err);

	return r < 0 ? r : finish_root(config, root_fd, err);
}
