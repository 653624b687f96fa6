/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs from a container's image: a walk through the overlay's upper
 * directory, each name compared with the lower one. The rules are those of
 * docker's "diff": a directory is listed where it or something in it was
 * changed. One that was deleted and made anew has what the lower one had as
 * deleted.
 */
#include "guest/copy.h"

#include "guest/mounts.h"
#include "guest/overlay.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/strv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { DEPTH_MAX = 1500 };
enum { KIND_MODIFIED, KIND_ADDED, KIND_DELETED };

struct walk {
	int lower_fd;
	struct copy_output *output;
	struct buf path; /* without a slash before; "" for the root */
	unsigned int depth;
};

/* A directory whose children are looked at. */
struct level {
	size_t length;                    /* of its path */
	bool listed;                      /* it is among the changes */
	bool opaque;                      /* nothing of the lower one shows */
	const struct stat *upper, *lower; /* lower: NULL where there is no such directory */
};

static int walk_directory(struct walk *walk, int fd, struct level *level, struct cay_error *err);

static int put(struct walk *walk, int kind, size_t length, struct cay_error *err)
{
	const char head[2] = { (char)('0' + kind), '/' };
	int r;

	if (length + 1 >= COPY_PATH_SIZE)
		return cay_error_set(err, CAY_TOO_LARGE, ENAMETOOLONG,
				     "a changed file's path is too long");
	r = copy_output_put(walk->output, head, sizeof(head), err);
	if (r == 0)
		r = copy_output_put(walk->output, walk->path.data, length, err);
	return r == 0 ? copy_output_put(walk->output, "", 1, err) : r;
}

/* The directory of something that is listed. */
static int list_parent(struct walk *walk, struct level *level, struct cay_error *err)
{
	if (level->listed || level->length == 0)
		return 0;
	level->listed = true;
	return put(walk, KIND_MODIFIED, level->length, err);
}

static int list(struct walk *walk, struct level *level, int kind, struct cay_error *err)
{
	int r = list_parent(walk, level, err);

	return r == 0 ? put(walk, kind, walk->path.length, err) : r;
}

static bool same_directory(const struct stat *a, const struct stat *b)
{
	return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid;
}

static bool same_time(const struct stat *a, const struct stat *b)
{
	return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Whether one of the names is something that vminitd made to mount on. */
static bool has_mount_point(struct walk *walk, int fd, const struct strv *names)
{
	const size_t length = walk->path.length;
	bool found = false;

	for (size_t i = 0; !found && i < names->count; i++) {
		struct stat st, lower;

		buf_printf(&walk->path, "%s%s", length > 0 ? "/" : "", names->items[i]);
		found = fstatat(fd, names->items[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			overlay_is_mount_point(walk->path.data, &st) &&
			!overlay_lower(walk->lower_fd, walk->path.data, &lower);
		walk->path.length = length;
		walk->path.data[length] = '\0';
	}
	return found;
}

/* What the lower directory has and an opaque one above it hides and has not itself. */
static int list_hidden(struct walk *walk, struct level *level, const struct strv *names,
		       struct cay_error *err)
{
	_cleanup_strv_ struct strv lower = { 0 };
	_cleanup_close_ int fd = path_in_root(walk->lower_fd, walk->path.data, MOUNT_MAKE_NOTHING);
	const size_t length = walk->path.length;
	int r = fd < 0 ? fd : copy_list(fd, &lower);

	if (r < 0)
		return cay_error_errno(err, r, "reading the image's /%s", walk->path.data);
	for (size_t i = 0; r == 0 && i < lower.count; i++) {
		if (strv_contains(names, lower.items[i]))
			continue;
		buf_printf(&walk->path, "/%s", lower.items[i]);
		r = list(walk, level, KIND_DELETED, err);
		walk->path.length = length;
		walk->path.data[length] = '\0';
	}
	return r;
}

/* A directory of the upper layer; `level` is its parent. */
static int walk_child_directory(struct walk *walk, int fd, const struct stat *st,
				const struct stat *lower, struct level *level,
				struct cay_error *err)
{
	struct level own = { .length = walk->path.length,
			     .opaque = overlay_is_opaque(fd),
			     .upper = st,
			     .lower = lower && S_ISDIR(lower->st_mode) ? lower : NULL };
	int r = 0;

	if (!own.lower) {
		own.listed = true;
		r = list(walk, level, lower ? KIND_MODIFIED : KIND_ADDED, err);
	} else if (!same_directory(st, lower)) {
		own.listed = true;
		r = list(walk, level, KIND_MODIFIED, err);
	}
	return r == 0 ? walk_directory(walk, fd, &own, err) : r;
}

static int look_at(struct walk *walk, int fd, struct level *level, struct cay_error *err)
{
	struct stat st, lower;
	bool in_lower;

	if (fstat(fd, &st) < 0)
		return cay_error_errno(err, errno, "looking at /%s", walk->path.data);
	in_lower = level->lower && overlay_lower(walk->lower_fd, walk->path.data, &lower);
	if (overlay_is_whiteout(&st))
		return in_lower ? list(walk, level, KIND_DELETED, err) : 0;
	if (!in_lower && overlay_is_mount_point(walk->path.data, &st))
		return 0;
	if (S_ISDIR(st.st_mode))
		return walk_child_directory(walk, fd, &st, in_lower ? &lower : NULL, level, err);
	return list(walk, level, in_lower ? KIND_MODIFIED : KIND_ADDED, err);
}

static int look_at_child(struct walk *walk, int directory, const char *name, struct level *level,
			 struct cay_error *err)
{
	const size_t length = walk->path.length;
	_cleanup_close_ int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd < 0 && errno == ENOENT)
		return 0; /* it is gone by now */
	if (fd < 0)
		return cay_error_errno(err, errno, "opening a file in /%s", buf_text(&walk->path));
	buf_printf(&walk->path, "%s%s", length > 0 ? "/" : "", name);
	r = look_at(walk, fd, level, err);
	walk->path.length = length;
	walk->path.data[length] = '\0';
	return r;
}

static int walk_directory(struct walk *walk, int fd, struct level *level, struct cay_error *err)
{
	_cleanup_strv_ struct strv names = { 0 };
	int r = copy_list(fd, &names);

	if (r < 0)
		return cay_error_errno(err, r, "reading /%s", buf_text(&walk->path));
	if (walk->depth >= DEPTH_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, ELOOP,
				     "a directory is more than %d levels deep", DEPTH_MAX);
	/* Its time has changed, unless it is by what vminitd made there. */
	if (!level->listed && level->lower && !same_time(level->upper, level->lower) &&
	    !has_mount_point(walk, fd, &names))
		r = list_parent(walk, level, err);
	if (r == 0 && level->opaque && level->lower)
		r = list_hidden(walk, level, &names, err);
	walk->depth++;
	for (size_t i = 0; r == 0 && i < names.count; i++)
		r = look_at_child(walk, fd, names.items[i], level, err);
	walk->depth--;
	return r;
}

int copy_changes(struct copy_child *child, const struct copy_request *request,
		 struct cay_error *err)
{
	_cleanup_close_ int upper = open(request->upper, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int lower = open(request->lower, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ struct copy_output *output = xcalloc(1, sizeof(*output));
	struct walk walk = { .lower_fd = lower, .output = output };
	struct stat lower_st;
	struct level root = { .listed = true, .upper = &lower_st, .lower = &lower_st };
	int r;

	if (upper < 0 || lower < 0 || fstat(lower, &lower_st) < 0)
		return cay_error_errno(err, errno, "opening the container's layers");
	output->fd = child->out;
	r = walk_directory(&walk, upper, &root, err);
	buf_done(&walk.path);
	return r == 0 ? copy_output_flush(output, err) : r;
}
