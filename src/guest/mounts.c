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

enum {
	LINKS_MAX = 40, /* dangling links followed while making a path, as many as the kernel's */
	DATA_MAX = 4096 - 64, /* the kernel takes a page of options */
};

static const struct {
	const char *name;
	unsigned long set, clear;
} flag_options[] = {
	{ "async", 0, MS_SYNCHRONOUS },
	{ "atime", 0, MS_NOATIME },
	{ "bind", MS_BIND, 0 },
	{ "defaults", 0, 0 },
	{ "dev", 0, MS_NODEV },
	{ "diratime", 0, MS_NODIRATIME },
	{ "dirsync", MS_DIRSYNC, 0 },
	{ "exec", 0, MS_NOEXEC },
	{ "lazytime", MS_LAZYTIME, 0 },
	{ "noatime", MS_NOATIME, 0 },
	{ "nodev", MS_NODEV, 0 },
	{ "nodiratime", MS_NODIRATIME, 0 },
	{ "noexec", MS_NOEXEC, 0 },
	{ "nolazytime", 0, MS_LAZYTIME },
	{ "norelatime", 0, MS_RELATIME },
	{ "nostrictatime", 0, MS_STRICTATIME },
	{ "nosuid", MS_NOSUID, 0 },
	{ "nosymfollow", MS_NOSYMFOLLOW, 0 },
	{ "rbind", MS_BIND | MS_REC, 0 },
	{ "relatime", MS_RELATIME, 0 },
	{ "remount", MS_REMOUNT, 0 },
	{ "ro", MS_RDONLY, 0 },
	{ "rw", 0, MS_RDONLY },
	{ "silent", MS_SILENT, 0 },
	{ "strictatime", MS_STRICTATIME, 0 },
	{ "suid", 0, MS_NOSUID },
	{ "symfollow", 0, MS_NOSYMFOLLOW },
	{ "sync", MS_SYNCHRONOUS, 0 },
};

static const struct {
	const char *name;
	unsigned long flag;
} propagation_options[] = {
	{ "private", MS_PRIVATE },       { "rprivate", MS_PRIVATE | MS_REC },
	{ "shared", MS_SHARED },         { "rshared", MS_SHARED | MS_REC },
	{ "slave", MS_SLAVE },           { "rslave", MS_SLAVE | MS_REC },
	{ "unbindable", MS_UNBINDABLE }, { "runbindable", MS_UNBINDABLE | MS_REC },
};

static bool take_flag(const char *option, struct mount_options *options)
{
	for (size_t i = 0; i < ARRAY_SIZE(flag_options); i++) {
		if (strcmp(option, flag_options[i].name) != 0)
			continue;
		options->flags = (options->flags & ~flag_options[i].clear) | flag_options[i].set;
		return true;
	}
	return false;
}

static int take_propagation(const char *option, struct mount_options *options)
{
	for (size_t i = 0; i < ARRAY_SIZE(propagation_options); i++) {
		if (strcmp(option, propagation_options[i].name) != 0)
			continue;
		if (options->propagation_count == ARRAY_SIZE(options->propagation))
			return -E2BIG;
		options->propagation[options->propagation_count++] = propagation_options[i].flag;
		return 1;
	}
	return 0;
}

int mount_options_parse(const struct strv *list, struct mount_options *ret, struct cay_error *err)
{
	_cleanup_mount_options_ struct mount_options options = { 0 };

	for (size_t i = 0; i < list->count; i++) {
		const char *option = list->items[i];
		int r;

		if (option[0] == '\0' || take_flag(option, &options))
			continue;
		if (strcmp(option, "rro") == 0) {
			options.recursive_readonly = true;
			continue;
		}
		r = take_propagation(option, &options);
		if (r > 0)
			continue;
		if (r < 0 || options.data.length + strlen(option) >= DATA_MAX)
			return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "too many mount options");
		if (options.data.length > 0)
			buf_putc(&options.data, ',');
		buf_puts(&options.data, option);
	}
	*ret = options;
	options = (struct mount_options){ 0 };
	return 0;
}

void mount_options_done(struct mount_options *options)
{
	buf_done(&options->data);
	*options = (struct mount_options){ 0 };
}

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

	if (file_exists(target))
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
