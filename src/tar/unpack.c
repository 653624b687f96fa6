/* SPDX-License-Identifier: Apache-2.0 */
/* The names of entries to places below a directory, and what may stand there already. */
#include "tar/unpack-internal.h"

#include "base/alloc.h"
#include "base/file.h"
#include "tar/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

enum {
	OPEN_TRIES = 64,    /* the kernel asks for another one where a rename crossed its way */
	PARENT_MODE = 0755, /* of directories that the archive has no entry for */
};

int unpack_failed(const struct unpack *unpack, const char *path, const char *what, int error,
		  struct cay_error *err)
{
	const char *shown = unpack->options->shown;

	return cay_error_errno(err, error, "%s%s%s: %s", shown, ends_with(shown, "/") ? "" : "/",
			       path, what);
}

int unpack_open(const struct unpack *unpack, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.resolve = RESOLVE_NO_MAGICLINKS |
			(unpack->options->follow ? RESOLVE_IN_ROOT
						 : RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS),
	};

	for (int tries = 0; tries < OPEN_TRIES; tries++) {
		long fd = syscall(SYS_openat2, unpack->root, *path ? path : ".", &how, sizeof(how));

		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN && errno != EINTR)
			break;
	}
	return -errno;
}

/* The directory at the path, made with those above it where there is none. */
static int open_parent(const struct unpack *unpack, const char *path, struct cay_error *err)
{
	_cleanup_close_ int above = -1;
	_cleanup_free_ char *part = xstrdup(path);
	int fd = unpack_open(unpack, path, O_PATH | O_DIRECTORY);
	char *slash = part;

	if (fd >= 0)
		return fd;
	if (fd != -ENOENT)
		return unpack_failed(unpack, path,
				     fd == -ELOOP ? "a symbolic link stands in the way"
						  : "opening the directory",
				     fd, err);
	above = unpack_open(unpack, "", O_PATH | O_DIRECTORY);
	while (above >= 0 && slash) {
		char *name = slash == part ? part : slash + 1;

		slash = strchr(name, '/');
		if (slash)
			*slash = '\0';
		fd = unpack_open(unpack, part, O_PATH | O_DIRECTORY);
		if (fd == -ENOENT && mkdirat(above, name, PARENT_MODE) < 0 && errno != EEXIST)
			return unpack_failed(unpack, part, "making the directory", errno, err);
		if (fd == -ENOENT)
			fd = unpack_open(unpack, part, O_PATH | O_DIRECTORY);
		(void)close(above);
		above = fd;
		if (slash)
			*slash = '/';
	}
	return above < 0 ? unpack_failed(unpack, path, "opening the directory", above, err)
			 : TAKE_FD(above);
}

int unpack_find(struct unpack *unpack, const char *path, struct unpack_place *ret_place,
		struct cay_error *err)
{
	const char *slash = strrchr(path, '/');
	size_t length = slash ? (size_t)(slash - path) : 0;

	/* Entries come directory by directory, so the last one's is mostly this one's as well. */
	if (unpack->parent < 0 || strlen(unpack->parent_path) != length ||
	    memcmp(unpack->parent_path, path, length) != 0) {
		_cleanup_free_ char *parent = xstrndup(path, length);
		int fd = open_parent(unpack, parent, err);

		if (fd < 0)
			return fd;
		if (unpack->parent >= 0)
			(void)close(unpack->parent);
		unpack->parent = fd;
		memcpy(unpack->parent_path, parent, length + 1);
	}
	*ret_place = (struct unpack_place){
		.parent = unpack->parent,
		.name = slash ? slash + 1 : path,
		.path = path,
	};
	return 0;
}

/* The name below the root: renamed, clean, below `below`. "" is the place of all itself. */
static int make_path(const struct tar_unpack_options *options, struct str name,
		     char ret_path[TAR_PATH_MAX + 1], struct cay_error *err)
{
	size_t from = options->from ? strlen(options->from) : 0;
	_cleanup_buf_ struct buf renamed = { 0 };
	char clean[TAR_PATH_MAX + 1];
	int r;

	if (from == 0) {
		buf_append(&renamed, name.data, name.length);
	} else if (strcmp(options->from, "/") == 0) { /* all names begin with it */
		buf_printf(&renamed, "%s/", options->to);
		buf_append(&renamed, name.data, name.length);
	} else {
		char shown[PATH_SHOWN_MAX + 4];

		if (!str_starts(name, options->from) ||
		    (name.length > from && name.data[from] != '/'))
			return cay_error_set(err, CAY_CORRUPT, EBADMSG,
					     "the archive has \"%s\", which was not asked for",
					     path_shown(name, shown));
		buf_puts(&renamed, options->to);
		buf_append(&renamed, name.data + from, name.length - from);
	}
	r = path_clean((struct str){ renamed.data, renamed.length }, clean, err);
	if (r < 0)
		return r;
	r = snprintf(ret_path, TAR_PATH_MAX + 1, "%s%s%s", options->below,
		     *options->below && *clean ? "/" : "", clean);
	if (r > TAR_PATH_MAX)
		return cay_error_set(err, CAY_INVALID, ENAMETOOLONG,
				     "a name in the archive is too long below %s", options->shown);
	return *clean ? 1 : 0;
}

/* Clears the place for something new; *ret_directory where a directory stands and may stay. */
static int make_room(const struct unpack *unpack, const struct unpack_place *place,
		     const struct tar_entry *entry, bool *ret_directory, struct cay_error *err)
{
	const struct tar_unpack_options *options = unpack->options;
	bool wanted = entry->type == TAR_DIRECTORY, is;
	struct stat status, above;
	int r;

	*ret_directory = false;
	if (fstatat(place->parent, place->name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT
			? 0
			: unpack_failed(unpack, place->path, "looking at it", errno, err);
	is = S_ISDIR(status.st_mode);
	if (options->keep_kinds && is != wanted)
		return cay_error_set(err, CAY_INVALID, is ? EISDIR : ENOTDIR,
				     "cannot overwrite %s \"%s/%s\" with %s \"%s\"",
				     is ? "directory" : "non-directory", options->shown,
				     place->path, is ? "non-directory" : "directory",
				     options->shown);
	*ret_directory = is && wanted;
	if (*ret_directory)
		return 0;
	/* A mount point can't be removed; that would be found out when all that is mounted is gone.
	 */
	if (is && (fstat(place->parent, &above) < 0 || above.st_dev != status.st_dev))
		return unpack_failed(unpack, place->path, "removing what is mounted there", EBUSY,
				     err);
	r = remove_tree_at(place->parent, place->name);
	return r < 0 ? unpack_failed(unpack, place->path, "removing what is there", r, err) : 0;
}

static int link_to(struct unpack *unpack, const struct unpack_place *place,
		   const struct tar_entry *entry, struct cay_error *err)
{
	char target[TAR_PATH_MAX + 1];
	_cleanup_close_ int parent = -1;
	const char *name;
	char *slash;
	int r = make_path(unpack->options, entry->link, target, err);

	if (r < 0)
		return r;
	slash = strrchr(target, '/');
	name = slash ? slash + 1 : target;
	if (slash)
		*slash = '\0';
	parent = unpack_open(unpack, slash ? target : "", O_PATH | O_DIRECTORY);
	if (parent < 0)
		return unpack_failed(unpack, target, "opening a hard link's directory", parent,
				     err);
	/* Without AT_SYMLINK_FOLLOW a symbolic link is linked to, not followed. */
	if (linkat(parent, name, place->parent, place->name, 0) < 0)
		return unpack_failed(unpack, place->path, "making the hard link", errno, err);
	return 0;
}

static int unpack_entry(struct unpack *unpack, const struct tar_entry *entry,
			struct tar_reader *reader, struct cay_error *err)
{
	const struct tar_unpack_options *options = unpack->options;
	char path[TAR_PATH_MAX + 1], target[TAR_PATH_MAX + 1];
	struct unpack_place place;
	bool directory;
	int r = make_path(options, entry->path, path, err);

	if (r < 0)
		return r;
	if (r == 0) /* the place itself, which is there; its mode and owner are its own */
		return entry->type == TAR_DIRECTORY
			? 0
			: cay_error_set(err, CAY_INVALID, EISDIR,
					"the archive has something else than a directory for %s/%s",
					options->shown, options->below);
	if ((entry->type == TAR_CHARACTER || entry->type == TAR_BLOCK_DEVICE) &&
	    !options->devices) {
		if (options->skipped)
			options->skipped(options->user, entry);
		return 0;
	}
	if (entry->type == TAR_HARDLINK && make_path(options, entry->link, target, err) > 0 &&
	    strcmp(target, path) == 0)
		return 0;
	r = unpack_find(unpack, path, &place, err);
	if (r >= 0)
		r = make_room(unpack, &place, entry, &directory, err);
	if (r < 0)
		return r;
	switch (entry->type) {
	case TAR_FILE:
		return unpack_file(unpack, &place, entry, reader, err);
	case TAR_DIRECTORY:
		return unpack_directory(unpack, &place, entry, directory, err);
	case TAR_HARDLINK:
		return link_to(unpack, &place, entry, err);
	case TAR_SYMLINK:
	case TAR_CHARACTER:
	case TAR_BLOCK_DEVICE:
	case TAR_FIFO:
		break;
	}
	return unpack_special(unpack, &place, entry, err);
}

int tar_unpack(struct tar_reader *reader, int directory, const struct tar_unpack_options *options,
	       struct cay_error *err)
{
	struct unpack unpack = { .root = directory, .options = options, .parent = -1 };
	const struct tar_entry *entry;
	struct cay_error finish_error;
	int r, finished;

	while ((r = tar_reader_next(reader, &entry, err)) > 0) {
		r = unpack_entry(&unpack, entry, reader, err);
		if (r < 0)
			break;
	}
	finished = unpack_finish_directories(&unpack, &finish_error);
	if (r >= 0 && finished < 0) {
		r = finished;
		if (err)
			*err = finish_error;
	}
	if (unpack.parent >= 0)
		(void)close(unpack.parent);
	return MIN(r, 0);
}
