/* SPDX-License-Identifier: Apache-2.0 */
/* Paths that clients name for copying. */
#include "guest/copy-path.h"

#include "guest/mounts.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

enum { LINKS_MAX = 40 }; /* as many as the kernel follows */

/* Takes the last part off an absolute path that is clean; "" is the root here. */
static void pop(struct buf *path)
{
	const char *slash = path->length > 0 ? strrchr(path->data, '/') : NULL;

	if (!slash)
		return;
	path->length = (size_t)(slash - path->data);
	path->data[path->length] = '\0';
}

static void push(struct buf *path, struct str part)
{
	buf_putc(path, '/');
	buf_append(path, part.data, part.length);
}

int copy_path_parse(const char *text, struct copy_path *ret_path, struct cay_error *err)
{
	_cleanup_buf_ struct buf clean = { 0 };
	struct str rest = str_from(text), last = { 0 };
	bool directory = text[0] == '\0' || ends_with(text, "/");

	if (rest.length >= PATH_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, ENAMETOOLONG, "the path is too long");
	while (rest.length > 0) {
		struct str part = str_split(rest, '/', &rest);

		if (part.length > 0)
			last = part;
		if (str_equals(part, ".."))
			pop(&clean);
		else if (part.length > 0 && !str_equals(part, "."))
			push(&clean, part);
	}
	directory |= str_equals(last, ".");
	ret_path->clean = clean.length > 0 ? buf_steal(&clean) : xstrdup("/");
	ret_path->directory = directory;
	ret_path->name = path_last(ret_path->clean);
	if (str_equals(last, "."))
		ret_path->name = ".";
	else if (ret_path->name[0] == '\0')
		ret_path->name = "/";
	return 0;
}

void copy_path_done(struct copy_path *path)
{
	free(path->clean);
	*path = (struct copy_path){ 0 };
}

static int opening_failed(int error, const char *path, struct cay_error *err)
{
	if (error == -ENOTDIR)
		return cay_error_set(err, CAY_INVALID, ENOTDIR, "%s: not a directory", path);
	if (error == -ELOOP)
		return cay_error_set(err, CAY_INVALID, ELOOP, "%s: too many levels of links", path);
	return cay_error_errno(err, error, "%s", path);
}

int copy_path_follow(int root_fd, const struct copy_path *path, struct cay_error *err)
{
	int fd = path_in_root(root_fd, path->clean, MOUNT_MAKE_NOTHING);

	return fd < 0 ? opening_failed(fd, path->clean, err) : fd;
}

int copy_path_open_parent(int root_fd, const struct copy_path *path, const char **ret_name,
			  struct cay_error *err)
{
	const char *name = path_last(path->clean);
	bool itself = path->directory || name[0] == '\0';
	_cleanup_free_ char *parent =
		itself ? xstrdup(path->clean) : xstrndup(path->clean, (size_t)(name - path->clean));
	_cleanup_close_ int fd = path_in_root(root_fd, parent, MOUNT_MAKE_NOTHING);
	struct stat st;

	if (fd < 0)
		return opening_failed(fd, path->clean, err);
	if (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))
		return opening_failed(-ENOTDIR, path->clean, err);
	if (!itself && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return opening_failed(-errno, path->clean, err);
	*ret_name = itself ? "." : name;
	return TAKE_FD(fd);
}

int copy_path_open(int root_fd, const struct copy_path *path, struct cay_error *err)
{
	const char *name;
	_cleanup_close_ int parent = copy_path_open_parent(root_fd, path, &name, err);
	int fd;

	if (parent < 0)
		return parent;
	fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? opening_failed(-errno, path->clean, err) : fd;
}

/* The target of the link that `path` names, or "" where it names something else or nothing. */
static char *read_link(int root_fd, const struct buf *parent, const char *name)
{
	_cleanup_close_ int fd =
		path_in_root(root_fd, parent->length > 0 ? parent->data : "/", MOUNT_MAKE_NOTHING);
	char target[PATH_MAX];
	ssize_t n = fd >= 0 ? readlinkat(fd, name, target, sizeof(target)) : -1;

	return xstrndup(target, n > 0 ? (size_t)n : 0);
}

int copy_path_resolve(int root_fd, const char *path, char **ret_resolved, struct cay_error *err)
{
	_cleanup_buf_ struct buf done = { 0 }, left = { 0 };
	int links = 0;

	buf_puts(&left, path);
	while (left.length > 0) {
		struct str rest,
			part = str_split((struct str){ left.data, left.length }, '/', &rest);
		_cleanup_free_ char *name = str_dup(part), *target = NULL;

		buf_consume(&left, left.length - rest.length);
		if (name[0] == '\0' || strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0) {
			pop(&done);
			continue;
		}
		target = read_link(root_fd, &done, name);
		if (target[0] == '\0') {
			push(&done, str_from(name));
			if (done.length >= PATH_MAX)
				return cay_error_set(
					err, CAY_INVALID, ENAMETOOLONG,
					"%.200s: a link leads to a path that is too long", path);
			continue;
		}
		if (++links > LINKS_MAX)
			return opening_failed(-ELOOP, path, err);
		if (target[0] == '/')
			buf_clear(&done);
		/* The link's target comes before what was behind it. */
		struct buf next = { 0 };

		buf_puts(&next, target);
		push(&next, (struct str){ buf_text(&left), left.length });
		buf_done(&left);
		left = next;
	}
	*ret_resolved = done.length > 0 ? buf_steal(&done) : xstrdup("/");
	return 0;
}
