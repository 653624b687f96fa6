/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A part of a container's files as a tar, its whole root, or what its overlay
 * holds as a layer of an image (OCI image specification, "Layer Filesystem
 * Changeset"): whiteouts there are files whose names begin with ".wh.".
 */
#include "guest/copy.h"

#include "guest/copy-path.h"
#include "guest/overlay.h"

#include "base/alloc.h"
#include "base/file.h"
#include "tar/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

#define WHITEOUT        ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

/* What the hooks of tar_pack() know. */
struct packing {
	struct tar_writer *writer;
	int root_fd;  /* of the container, where all of it is copied; else -1 */
	int lower_fd; /* of an overlay */
};

/* The directory's entry now, and none of what is in it. */
static int write_empty(struct packing *packing, const struct tar_entry *entry,
		       struct cay_error *err)
{
	int r = tar_writer_add(packing->writer, entry, err);

	return MIN(r, 0);
}

/* What the kernel makes up as it is read, endless in part. */
static bool is_made_up(int directory, const char *name)
{
	static const unsigned long kinds[] = {
		PROC_SUPER_MAGIC,    SYSFS_MAGIC,        CGROUP_SUPER_MAGIC,
		CGROUP2_SUPER_MAGIC, DEVPTS_SUPER_MAGIC, DEBUGFS_MAGIC,
		TRACEFS_MAGIC,       SECURITYFS_MAGIC,   BPF_FS_MAGIC,
	};
	_cleanup_close_ int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct statfs fs;

	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if ((unsigned long)fs.f_type == kinds[i])
			return true;
	return false;
}

/* The mount that every container has on its /dev, as long as nothing but its whole root is copied.
 */
static bool is_dev(const struct packing *packing, int directory, const char *name)
{
	struct stat root, parent, st;

	return packing->root_fd >= 0 && strcmp(name, "dev") == 0 &&
		fstat(packing->root_fd, &root) == 0 && fstat(directory, &parent) == 0 &&
		fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		parent.st_ino == root.st_ino && parent.st_dev == root.st_dev &&
		st.st_dev != root.st_dev;
}

/* Mounts that every container gets are empty directories, as in docker's copies. */
static int edit_live(void *user, int directory, const char *name, struct tar_entry *entry,
		     struct cay_error *err)
{
	struct packing *packing = user;

	if (entry->type == TAR_DIRECTORY &&
	    (is_made_up(directory, name) || is_dev(packing, directory, name)))
		return write_empty(packing, entry, err);
	return 1;
}

/* The directory, and the mark that it hides the lower one. overlayfs marks many others, too. */
static int mark_opaque(struct packing *packing, int directory, const char *name,
		       struct tar_entry *entry, struct cay_error *err)
{
	_cleanup_close_ int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_free_ char *path = str_dup(entry->path), *mark = NULL;
	struct stat lower;
	int r;

	if (fd < 0 || !overlay_is_opaque(fd) || !overlay_lower(packing->lower_fd, path, &lower) ||
	    !S_ISDIR(lower.st_mode))
		return 1;
	mark = path_join(path, WHITEOUT_OPAQUE);
	r = tar_writer_add(packing->writer, entry, err);
	if (r >= 0) {
		const struct tar_entry file = { .type = TAR_FILE,
						.path = str_from(mark),
						.mode = 0600,
						.mtime = entry->mtime };

		r = tar_writer_add(packing->writer, &file, err);
	}
	entry->path.length = 0; /* it is written, what is in it is not */
	return r < 0 ? r : 1;
}

/* Whether it is nothing of the image's, but a place that vminitd made to mount on. */
static bool is_mount_point(const struct packing *packing, int directory, const char *name,
			   const char *path)
{
	struct stat st, lower;

	return fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		overlay_is_mount_point(path, &st) &&
		!overlay_lower(packing->lower_fd, path, &lower);
}

static int write_whiteout(struct packing *packing, const char *path, const char *name,
			  const struct tar_entry *entry, struct cay_error *err)
{
	_cleanup_free_ char *mark =
		xasprintf("%.*s" WHITEOUT "%s", (int)(strlen(path) - strlen(name)), path, name);
	const struct tar_entry file = {
		.type = TAR_FILE, .path = str_from(mark), .mode = 0600, .mtime = entry->mtime
	};

	return write_empty(packing, &file, err);
}

static int edit_layer(void *user, int directory, const char *name, struct tar_entry *entry,
		      struct cay_error *err)
{
	struct packing *packing = user;
	_cleanup_free_ char *path = str_dup(entry->path);

	if (path[0] == '\0')
		return 1; /* the upper directory itself, which has no entry */
	if (entry->type == TAR_CHARACTER && entry->device_major == 0 && entry->device_minor == 0)
		return write_whiteout(packing, path, name, entry, err);
	if (is_mount_point(packing, directory, name, path))
		return 0;
	if (starts_with(name, WHITEOUT))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "/%.200s can't be part of an image: names that begin with "
				     "\"" WHITEOUT "\" stand for deleted files there",
				     path);
	return entry->type == TAR_DIRECTORY ? mark_opaque(packing, directory, name, entry, err) : 1;
}

static int pack(const struct copy_child *child, int directory, const char *name, const char *as,
		const struct tar_pack_options *options, struct packing *packing,
		struct cay_error *err)
{
	_cleanup_free_ struct copy_output *output = xcalloc(1, sizeof(*output));
	_cleanup_(tar_writer_free_p) struct tar_writer *writer =
		tar_writer_new(copy_output_put, output);
	int r;

	output->fd = child->out;
	packing->writer = writer;
	r = tar_pack(writer, directory, name, as, options, err);
	if (r >= 0)
		r = tar_writer_finish(writer, err);
	return r >= 0 ? copy_output_flush(output, err) : r;
}

int copy_out(struct copy_child *child, const struct copy_request *request, struct cay_error *err)
{
	_cleanup_copy_path_ struct copy_path path = { 0 };
	struct packing packing = { .root_fd = -1, .lower_fd = -1 };
	struct tar_pack_options options = { .xattrs = true, .edit = edit_live, .user = &packing };
	_cleanup_close_ int directory = -1;
	const char *name;
	int r = copy_path_parse(request->path, &path, err);

	if (r < 0)
		return r;
	if (strcmp(path.clean, "/") == 0)
		packing.root_fd = child->root_fd;
	directory = copy_path_open_parent(child->root_fd, &path, &name, err);
	if (directory < 0)
		return directory;
	options.shown = path.clean;
	return pack(child, directory, name, request->as[0] ? request->as : path.name, &options,
		    &packing, err);
}

int copy_root(struct copy_child *child, const struct copy_request *request, struct cay_error *err)
{
	struct packing packing = { .root_fd = -1, .lower_fd = -1 };
	const struct tar_pack_options options = { .shown = "/", .xattrs = true };

	(void)request;
	return pack(child, child->root_fd, ".", "", &options, &packing, err);
}

int copy_layer(struct copy_child *child, const struct copy_request *request, struct cay_error *err)
{
	_cleanup_close_ int upper = open(request->upper, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int lower = open(request->lower, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct packing packing = { .root_fd = -1, .lower_fd = lower };
	const struct tar_pack_options options = {
		.shown = "/", .xattrs = true, .edit = edit_layer, .user = &packing
	};

	if (upper < 0 || lower < 0)
		return cay_error_errno(err, errno, "opening the container's layers");
	return pack(child, upper, ".", "", &options, &packing, err);
}
