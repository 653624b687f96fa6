/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts with options as OCI and mount(8) spell them; paths resolved inside a root. */
#include "guest/mounts.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* dangling links followed while making a path, as many as the kernel's */
enum { LINKS_MAX = 40 };

const char *mount_kernel_type(const char *type)
{
	return strcmp(type, "cgroup") == 0 ? "cgroup2" : type;
}

/* Flags of a bind mount take effect in a second step. */
static int bind(const char *source, const char *target, const struct mount_options *options,
		struct cay_error *err)
{
	const unsigned long kind = MS_BIND | MS_REC;
	unsigned long rest = options->flags & ~(kind | MS_SILENT);

	if (!(options->flags & MS_REMOUNT) &&
	    mount(source, target, NULL, MS_BIND | (options->flags & MS_REC), NULL) < 0)
		return cay_error_errno(err, errno, "binding %s", source);
	if (rest && mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | rest, NULL) < 0)
		return cay_error_errno(err, errno, "setting the flags of the bind of %s", source);
	if (options->recursive_readonly) {
		struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY };

		if (syscall(SYS_mount_setattr, AT_FDCWD, target, AT_RECURSIVE, &attributes,
			    sizeof(attributes)) < 0)
			return cay_error_errno(err, errno, "making the bind of %s read-only",
					       source);
	}
	return 0;
}

int mount_do(const char *type, const char *source, const char *target,
	     const struct mount_options *options, struct cay_error *err)
{
	int r;

	if ((options->flags & MS_BIND) || strcmp(type, "bind") == 0) {
		r = bind(source, target, options, err);
		if (r < 0)
			return r;
	} else if (mount(source, target, mount_kernel_type(type), options->flags,
			 buf_text(&options->data)) < 0) {
		return cay_error_errno(err, errno, "mounting %s (%s)",
				       source[0] ? source : "nothing", type);
	}
	for (size_t i = 0; i < options->propagation_count; i++)
		if (mount(NULL, target, NULL, options->propagation[i], NULL) < 0)
			return cay_error_errno(err, errno, "setting the propagation of %s",
					       source[0] ? source : type);
	return 0;
}

/* The directories that overlayfs wants to be there. */
static int make_overlay_dirs(const char *data, struct cay_error *err)
{
	struct str rest = str_from(data);

	while (rest.length > 0) {
		struct str value, name = str_split(str_split(rest, ',', &rest), '=', &value);
		_cleanup_free_ char *path = NULL;
		int r;

		if (!str_equals(name, "upperdir") && !str_equals(name, "workdir"))
			continue;
		path = str_dup(value);
		r = make_dirs(path, 0755, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Makes `target` for a mount: a file where `source` is bound and is one. */
static int make_target(const char *source, const char *target, bool is_bind, struct cay_error *err)
{
	_cleanup_free_ char *parent = NULL;
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	if (stat(target, &st) == 0)
		return 0;
	if (!is_bind || stat(source, &st) < 0 || S_ISDIR(st.st_mode))
		return make_dirs(target, 0755, err);
	parent = xstrndup(target, (size_t)(path_last(target) - target));
	r = make_dirs(parent, 0755, err);
	if (r < 0)
		return r;
	fd = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	return fd < 0 ? cay_error_errno(err, errno, "making %s", target) : 0;
}

int mount_guest(const char *type, const char *source, const char *target, const struct strv *list,
		struct cay_error *err)
{
	_cleanup_mount_options_ struct mount_options options = { 0 };
	bool is_bind;

	if (target[0] != '/')
		return cay_error_set(err, CAY_INVALID, EINVAL, "the target \"%s\" is not absolute",
				     target);
	if (mount_options_parse(list, &options, err) < 0)
		return cay_error_prefix(err, "mounting on %s", target);
	is_bind = (options.flags & MS_BIND) || strcmp(type, "bind") == 0;
	if (make_target(source, target, is_bind, err) < 0 ||
	    (strcmp(type, "overlay") == 0 && make_overlay_dirs(buf_text(&options.data), err) < 0) ||
	    mount_do(type, source, target, &options, err) < 0)
		return cay_error_prefix(err, "mounting on %s", target);
	return 0;
}

void fd_path(int fd, char ret_path[FD_PATH_SIZE])
{
	(void)snprintf(ret_path, FD_PATH_SIZE, "/proc/self/fd/%d", fd);
}

static int open_in_root(int root_fd, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	/* EAGAIN: a rename raced with "..", so that the kernel could not vouch for the result. */
	for (int tries = 0; tries < 16; tries++) {
		int fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));

		if (fd >= 0 || errno != EAGAIN)
			return fd < 0 ? -errno : fd;
	}
	return -EAGAIN;
}

static int make_in_root(int root_fd, const char *path, enum mount_make make, int *links);

/*
 * Makes the last part of `path`, whose parent is there. Where a dangling link has the name, what it
 * points to is made.
 */
static int make_last(int root_fd, const char *parent, const char *name, enum mount_make make,
		     int *links)
{
	_cleanup_close_ int fd = open_in_root(root_fd, parent[0] ? parent : "/");
	_cleanup_free_ char *target = NULL;
	char link[PATH_MAX];
	ssize_t n;

	if (fd < 0)
		return fd;
	if (make == MOUNT_MAKE_FILE ? mknodat(fd, name, S_IFREG | 0644, 0) == 0
				    : mkdirat(fd, name, 0755) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	n = readlinkat(fd, name, link, sizeof(link) - 1);
	if (n < 0)
		return 0; /* made by another meanwhile; the caller's open tells */
	if (++*links > LINKS_MAX)
		return -ELOOP;
	link[n] = '\0';
	target = link[0] == '/' ? xstrdup(link) : xasprintf("%s/%s", parent, link);
	return make_in_root(root_fd, target, make, links);
}

static int make_in_root(int root_fd, const char *path, enum mount_make make, int *links)
{
	_cleanup_buf_ struct buf parent = { 0 };
	struct str rest = str_from(path);

	while (rest.length > 0) {
		_cleanup_free_ char *name = str_dup(str_split(rest, '/', &rest));
		_cleanup_close_ int fd = -1;
		_cleanup_free_ char *here = NULL;
		int r;

		while (rest.length > 0 && rest.data[0] == '/')
			(void)str_split(rest, '/', &rest);
		if (name[0] == '\0')
			continue;
		here = xasprintf("%s/%s", buf_text(&parent), name);
		fd = open_in_root(root_fd, here);
		if (fd == -ENOENT) {
			r = make_last(root_fd, buf_text(&parent), name,
				      rest.length > 0 ? MOUNT_MAKE_DIRECTORY : make, links);
			if (r < 0)
				return r;
		} else if (fd < 0) {
			return fd;
		}
		buf_clear(&parent);
		buf_puts(&parent, here);
	}
	return 0;
}

int path_in_root(int root_fd, const char *path, enum mount_make make)
{
	int fd = open_in_root(root_fd, path), links = 0, r;

	if (fd != -ENOENT || make == MOUNT_MAKE_NOTHING)
		return fd;
	r = make_in_root(root_fd, path, make, &links);
	return r < 0 ? r : open_in_root(root_fd, path);
}
