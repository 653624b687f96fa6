/* SPDX-License-Identifier: Apache-2.0 */
/* One entry of an archive made: contents, owner, mode, attributes and times. */
#include "base/alloc.h"
#include "base/file.h"
#include "tar/unpack-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

enum {
	DIRECTORIES_MAX = 64 * 1024, /* whose modes are put off; then those so far are set */
	MODE_BITS = 07777,
};

static struct timespec entry_time(const struct tar_entry *entry)
{
	return (struct timespec){ .tv_sec = (time_t)entry->mtime,
				  .tv_nsec = (long)entry->mtime_ns };
}

/*
 * Ids beyond what the kernel knows, and its own word for "leave it", are nobody's. `fd` is -1 where
 * there is none.
 */
static int own(const struct unpack *unpack, const struct unpack_place *place,
	       const struct tar_entry *entry, int fd, struct cay_error *err)
{
	const struct tar_unpack_options *options = unpack->options;
	uid_t uid = options->one_owner ? options->uid : (uid_t)entry->uid;
	gid_t gid = options->one_owner ? options->gid : (gid_t)entry->gid;
	int r;

	if (!options->owner)
		return 0;
	if (entry->uid >= UINT32_MAX || entry->gid >= UINT32_MAX)
		return cay_error_set(err, CAY_INVALID, EOVERFLOW,
				     "the archive has \"%s\" with an owner's number that no Linux "
				     "has",
				     place->path);
	r = fd >= 0 ? fchown(fd, uid, gid)
		    : fchownat(place->parent, place->name, uid, gid, AT_SYMLINK_NOFOLLOW);
	if (r < 0)
		return unpack_failed(unpack, place->path, "setting its owner", errno, err);
	return 0;
}

/* Attributes that the file system does not know, or this user may not set, are left out. */
static int set_attributes(const struct unpack *unpack, const struct unpack_place *place,
			  const struct tar_entry *entry, int fd, struct cay_error *err)
{
	struct str name, value;
	size_t at = 0;

	while (tar_xattr_next(&entry->xattrs, &at, &name, &value)) {
		_cleanup_free_ char *key = str_dup(name);

		if (!unpack->options->owner && !starts_with(key, "user."))
			continue;
		if (fsetxattr(fd, key, value.data, value.length, 0) < 0 && errno != ENOTSUP &&
		    errno != EPERM)
			return unpack_failed(unpack, place->path, "setting an attribute", errno,
					     err);
	}
	return 0;
}

static int write_contents(const struct unpack *unpack, const struct unpack_place *place,
			  const struct tar_entry *entry, struct tar_reader *reader, int fd,
			  struct cay_error *err)
{
	struct str piece;
	uint64_t offset;
	int r;

	while ((r = tar_reader_read(reader, &offset, &piece, err)) > 0) {
		r = pwrite_full(fd, piece.data, piece.length, (off_t)offset);
		if (r < 0)
			return unpack_failed(unpack, place->path, "writing it", r, err);
	}
	/* What the archive has as a hole at the end. */
	if (r >= 0 && entry->sparse && ftruncate(fd, (off_t)entry->size) < 0)
		return unpack_failed(unpack, place->path, "setting its size", errno, err);
	return r;
}

int unpack_file(struct unpack *unpack, const struct unpack_place *place,
		const struct tar_entry *entry, struct tar_reader *reader, struct cay_error *err)
{
	_cleanup_close_ int fd = openat(place->parent, place->name,
					O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct timespec times[2] = { entry_time(entry), entry_time(entry) };
	int r;

	if (fd < 0)
		return unpack_failed(unpack, place->path, "making the file", errno, err);
	r = write_contents(unpack, place, entry, reader, fd, err);
	if (r >= 0)
		r = own(unpack, place, entry, fd, err);
	if (r >= 0)
		r = set_attributes(unpack, place, entry, fd, err);
	if (r >= 0 &&
	    fchmod(fd, entry->mode & MODE_BITS) < 0) /* after the owner, which clears bits */
		r = unpack_failed(unpack, place->path, "setting its mode", errno, err);
	if (r >= 0 && futimens(fd, times) < 0)
		r = unpack_failed(unpack, place->path, "setting its time", errno, err);
	if (r < 0)
		(void)unlinkat(place->parent, place->name, 0);
	return r;
}

int unpack_directory(struct unpack *unpack, const struct unpack_place *place,
		     const struct tar_entry *entry, bool exists, struct cay_error *err)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (!exists && mkdirat(place->parent, place->name, 0700) < 0)
		return unpack_failed(unpack, place->path, "making the directory", errno, err);
	r = own(unpack, place, entry, -1, err);
	if (r >= 0 && entry->xattrs.length > 0) {
		fd = openat(place->parent, place->name,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = fd < 0 ? unpack_failed(unpack, place->path, "opening it", errno, err)
			   : set_attributes(unpack, place, entry, fd, err);
	}
	if (r < 0)
		return r;
	if (unpack->directory_count == DIRECTORIES_MAX) {
		r = unpack_finish_directories(unpack, err);
		if (r < 0)
			return r;
	}
	unpack->directories = xreallocarray(unpack->directories, unpack->directory_count + 1,
					    sizeof(*unpack->directories));
	unpack->directories[unpack->directory_count++] = (struct unpack_directory){
		.path = xstrdup(place->path),
		.mode = entry->mode & MODE_BITS,
		.time = entry_time(entry),
	};
	return 0;
}

static int finish_directory(const struct unpack *unpack, const struct unpack_directory *directory,
			    struct cay_error *err)
{
	struct timespec times[2] = { directory->time, directory->time };
	_cleanup_close_ int fd = unpack_open(unpack, directory->path, O_RDONLY | O_DIRECTORY);

	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
		return 0; /* a later entry, or another process, took its place */
	if (fd < 0)
		return unpack_failed(unpack, directory->path, "opening the directory", fd, err);
	if (fchmod(fd, directory->mode) < 0)
		return unpack_failed(unpack, directory->path, "setting its mode", errno, err);
	if (futimens(fd, times) < 0)
		return unpack_failed(unpack, directory->path, "setting its time", errno, err);
	return 0;
}

int unpack_finish_directories(struct unpack *unpack, struct cay_error *err)
{
	int r = 0;

	/* Backwards: what is inside of others first. */
	for (size_t i = unpack->directory_count; i-- > 0;) {
		if (r >= 0)
			r = finish_directory(unpack, &unpack->directories[i], err);
		free(unpack->directories[i].path);
	}
	free(unpack->directories);
	unpack->directories = NULL;
	unpack->directory_count = 0;
	return r;
}

static int make_node(const struct unpack_place *place, const struct tar_entry *entry)
{
	mode_t kind = entry->type == TAR_FIFO  ? S_IFIFO
		: entry->type == TAR_CHARACTER ? S_IFCHR
					       : S_IFBLK;
	dev_t device =
		makedev((unsigned int)entry->device_major, (unsigned int)entry->device_minor);
	mode_t before = umask(0);
	int r = mknodat(place->parent, place->name, kind | (entry->mode & MODE_BITS),
			entry->type == TAR_FIFO ? 0 : device);

	r = r < 0 ? -errno : 0;
	(void)umask(before);
	return r;
}

int unpack_special(struct unpack *unpack, const struct unpack_place *place,
		   const struct tar_entry *entry, struct cay_error *err)
{
	struct timespec times[2] = { entry_time(entry), entry_time(entry) };
	int r;

	if (entry->type == TAR_SYMLINK) {
		_cleanup_free_ char *target = str_dup(entry->link);

		r = symlinkat(target, place->parent, place->name) < 0 ? -errno : 0;
	} else {
		r = make_node(place, entry);
	}
	if (r < 0)
		return unpack_failed(unpack, place->path,
				     entry->type == TAR_SYMLINK ? "making the symbolic link"
								: "making the node",
				     r, err);
	r = own(unpack, place, entry, -1, err);
	if (r >= 0 && utimensat(place->parent, place->name, times, AT_SYMLINK_NOFOLLOW) < 0)
		r = unpack_failed(unpack, place->path, "setting its time", errno, err);
	return r;
}
