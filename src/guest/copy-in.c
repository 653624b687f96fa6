/* SPDX-License-Identifier: Apache-2.0 */
/* Unpacking a tar into a directory of a container. */
#include "guest/copy.h"

#include "guest/copy-path.h"
#include "guest/user.h"

#include "base/alloc.h"
#include "base/file.h"
#include "tar/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>

enum { DRAIN_SIZE = 64 * 1024 };

static int check_writable(const struct copy_child *child, int fd, struct cay_error *err)
{
	struct statx target = { 0 }, root = { 0 };
	struct statvfs fs;

	if (fstatvfs(fd, &fs) < 0 ||
	    statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_MNT_ID, &target) < 0 ||
	    statx(child->root_fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &root) < 0)
		return cay_error_errno(err, errno, "looking at the extraction point");
	if (!S_ISDIR(target.stx_mode))
		return cay_error_set(err, CAY_INVALID, ENOTDIR,
				     "extraction point is not a directory");
	if (!(fs.f_flag & ST_RDONLY))
		return 0;
	if (target.stx_mnt_id == root.stx_mnt_id)
		return cay_error_set(err, CAY_INVALID, EROFS,
				     "container rootfs is marked read-only");
	return cay_error_set(err, CAY_INVALID, EROFS, "mounted volume is marked read-only");
}

/* The directory as a path in the root without links. */
static int find_target(const struct copy_child *child, const char *text, char **ret_target,
		       struct cay_error *err)
{
	_cleanup_copy_path_ struct copy_path path = { 0 };
	_cleanup_free_ char *target = NULL;
	_cleanup_close_ int fd = -1;
	int r = copy_path_parse(text, &path, err);

	if (r < 0)
		return r;
	fd = copy_path_follow(child->root_fd, &path, err);
	if (fd < 0)
		return fd;
	if ((r = copy_path_resolve(child->root_fd, path.clean, &target, err)) < 0 ||
	    (r = check_writable(child, fd, err)) < 0)
		return r;
	*ret_target = TAKE_PTR(target);
	return 0;
}

/* Whose the files are to be: the container's user, by its own files. */
static int find_owner(const char *name, struct tar_unpack_options *options, struct cay_error *err)
{
	_cleanup_buf_ struct buf passwd = { 0 }, group = { 0 };
	_cleanup_user_ struct user user = { 0 };
	const struct strv none = { 0 };
	int r;

	if (!name || !name[0])
		return 0;
	if ((r = user_read_file("/etc/passwd", &passwd, err)) < 0 ||
	    (r = user_read_file("/etc/group", &group, err)) < 0 ||
	    (r = user_resolve(name, &none, (struct str){ buf_text(&passwd), passwd.length },
			      (struct str){ buf_text(&group), group.length }, &user, err)) < 0)
		return r;
	options->one_owner = true;
	options->uid = user.uid;
	options->gid = user.gid;
	return 0;
}

/* What follows the archive's end: padding, as a rule. Its sender should find a reader. */
static int drain(int fd, struct cay_error *err)
{
	_cleanup_free_ char *data = xmalloc(DRAIN_SIZE);
	ssize_t n;

	do
		n = read_full(fd, data, DRAIN_SIZE);
	while (n > 0);
	return n < 0 ? cay_error_errno(err, (int)n, "reading the archive") : 0;
}

int copy_in(struct copy_child *child, const struct copy_request *request, struct cay_error *err)
{
	_cleanup_(tar_reader_free_p) struct tar_reader *reader =
		tar_reader_new(tar_read_fd, &child->in);
	struct tar_unpack_options options = {
		.shown = "",
		.follow = true,
		.owner = true,
		.devices = true,
		.keep_kinds = request->no_overwrite_dir_nondir,
	};
	_cleanup_free_ char *target = NULL;
	int r;

	if ((r = find_target(child, request->path, &target, err)) < 0 ||
	    (r = find_owner(request->user, &options, err)) < 0)
		return r;
	options.below = target + 1; /* without the slash */
	r = tar_unpack(reader, child->root_fd, &options, err);
	return r < 0 ? r : drain(child->in, err);
}
