/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of a published socket. Root acts with the file system identity of
 * the directory's owner: what that user may not do there, or elsewhere by a
 * link that he put in the way meanwhile, the kernel refuses, and the file is
 * his from its birth, which changing its owner afterwards could not promise.
 */
#include "sandbox/socket-file.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/unix.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>

static void become(uid_t uid, gid_t gid)
{
	/* The calls answer with the old identity; where they are not allowed it stays ours. */
	if (geteuid() != 0)
		return;
	(void)setfsgid(gid);
	(void)setfsuid(uid);
}

static void become_self(void)
{
	become(0, getegid());
}

/* The directory, and its owner taken on until become_self(). */
static int enter(const char *path, struct socket_file *file)
{
	const char *name = path_last(path);
	_cleanup_free_ char *parent = xstrndup(path, (size_t)(name - path));
	_cleanup_close_ int directory = -1;
	struct stat st;

	if (*parent != '/' || *name == '\0')
		return -EINVAL;
	directory = open_canonical(parent);
	if (directory < 0)
		return directory;
	if (fstat(directory, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	become(st.st_uid, st.st_gid);
	*file = (struct socket_file){ .directory = TAKE_FD(directory), .name = xstrdup(name) };
	return 0;
}

static void forget(struct socket_file *file)
{
	cay_close_p(&file->directory);
	free(file->name);
	*file = (struct socket_file){ .directory = -1 };
}

/* A path that leads to the file whatever becomes of the directory's own. */
static char *reach(const struct socket_file *file)
{
	return xasprintf("/proc/self/fd/%d/%s", file->directory, file->name);
}

/* 0 where a socket may be made. */
static int check_free(const struct socket_file *file, const char *reached)
{
	struct stat st;
	_cleanup_close_ int fd = -1;

	if (fstatat(file->directory, file->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = unix_try_connect(reached);
	return fd == -ECONNREFUSED || fd == -ENOENT ? 0 : -EADDRINUSE;
}

static int listen_in(struct socket_file *file, struct cay_error *err)
{
	_cleanup_free_ char *reached = reach(file);
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r = check_free(file, reached);

	if (r == -EADDRINUSE)
		return cay_error_set(err, CAY_EXISTS, EADDRINUSE,
				     "another program listens on it; stop that, or publish at "
				     "another path");
	if (r == -EEXIST)
		return cay_error_set(err, CAY_EXISTS, EEXIST, "something else is there already");
	if (r < 0)
		return cay_error_errno(err, r, "looking at it");
	fd = unix_listen(reached, 0600, err);
	if (fd < 0)
		return fd;
	if (fstatat(file->directory, file->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return cay_error_errno(err, errno, "looking at it");
	file->device = st.st_dev;
	file->inode = st.st_ino;
	return TAKE_FD(fd);
}

int socket_file_listen(const char *path, struct socket_file *ret_file, struct cay_error *err)
{
	struct socket_file file;
	int r = enter(path, &file);

	/* Not in the words of errno, by which clients know that a command is missing. */
	if (r == -ENOENT)
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT,
				     "publishing the socket %s: its directory does not exist; make "
				     "it first",
				     path);
	if (r < 0)
		return cay_error_errno(err, r, "publishing the socket %s: its directory", path);
	r = listen_in(&file, err);
	become_self();
	if (r < 0) {
		forget(&file);
		return cay_error_prefix(err, "publishing the socket %s", path);
	}
	*ret_file = file;
	return r;
}

static bool is_same(const struct socket_file *file)
{
	struct stat st;

	return fstatat(file->directory, file->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		S_ISSOCK(st.st_mode) && st.st_dev == file->device && st.st_ino == file->inode;
}

void socket_file_remove(struct socket_file *file)
{
	struct stat st;

	if (file->directory < 0)
		return;
	if (fstat(file->directory, &st) == 0) {
		become(st.st_uid, st.st_gid);
		if (is_same(file) && unlinkat(file->directory, file->name, 0) < 0)
			log_warning("removing the socket %s: %s", file->name, errno_text(errno));
		become_self();
	}
	forget(file);
}

void socket_file_sweep(const char *path)
{
	struct socket_file file;
	struct stat st;

	if (enter(path, &file) < 0)
		return; /* without its directory there is none */
	if (fstatat(file.directory, file.name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISSOCK(st.st_mode)) {
		_cleanup_free_ char *reached = reach(&file);

		if (check_free(&file, reached) == 0 && unlinkat(file.directory, file.name, 0) < 0)
			log_warning("removing the socket %s: %s", path, errno_text(errno));
	}
	become_self();
	forget(&file);
}
