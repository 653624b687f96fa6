/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the target can't hold is left out with a line in the kernel's log:
 * device nodes on a share, extended attributes and owners where the host has no
 * place for them or cay no right to.
 */
#include "guest/copy-tree.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

enum {
	DEPTH_MAX = 256, /* two descriptors each */
	CHUNK = 256 * 1024,
	XATTR_NAMES_MAX = 64 * 1024, /* the kernel's limits (linux/limits.h) */
	XATTR_VALUE_MAX = 64 * 1024,
	NOTE_MAX = 256,
};

/* A file with several names, by the first of them that was copied. */
struct linked {
	dev_t device;
	ino_t inode;
	char *path; /* below the target's root */
};

struct copy {
	int root; /* the target's */
	struct buf path;
	unsigned int depth;
	struct linked *links;
	size_t link_count;
	char *chunk;
};

static int copy_directory(struct copy *copy, int source, int target, struct cay_error *err);

void copy_note(const char *format, ...)
{
	_cleanup_close_ int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	char text[NOTE_MAX] = "vminitd: ";
	const size_t start = strlen(text);
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text + start, sizeof(text) - start, format, arguments);
	va_end(arguments);
	if (fd >= 0)
		(void)!write(fd, text, strlen(text)); /* a record that is lost costs nothing */
}

/* Whether that is no more than the target can't hold. */
static bool is_refused(int error)
{
	return error == EPERM || error == EOPNOTSUPP || error == ENODATA;
}

/* ---- attributes ---- */

static int copy_xattr(int source, int target, const char *name, char *value)
{
	ssize_t n = fgetxattr(source, name, value, XATTR_VALUE_MAX);

	if (n < 0)
		return is_refused(errno) ? 0 : -errno;
	if (fsetxattr(target, name, value, (size_t)n, 0) == 0)
		return 0;
	if (!is_refused(errno))
		return -errno;
	copy_note("filling a volume: it does not take the attribute %.60s", name);
	return 0;
}

static int copy_xattrs(int source, int target)
{
	_cleanup_free_ char *names = NULL, *value = NULL;
	ssize_t size = flistxattr(source, NULL, 0);
	int r = 0;

	if (size <= 0)
		return size == 0 || is_refused(errno) ? 0 : -errno;
	names = xmalloc(XATTR_NAMES_MAX);
	value = xmalloc(XATTR_VALUE_MAX);
	size = flistxattr(source, names, XATTR_NAMES_MAX);
	if (size < 0)
		return -errno;
	for (ssize_t at = 0; r == 0 && at < size; at += (ssize_t)strlen(names + at) + 1)
		r = copy_xattr(source, target, names + at, value);
	return r;
}

static int own(int directory, const char *name, int flags, const struct stat *st)
{
	if (fchownat(directory, name, st->st_uid, st->st_gid, flags) == 0)
		return 0;
	if (errno != EPERM)
		return -errno;
	copy_note("filling a volume: it does not take the owner %u:%u", st->st_uid, st->st_gid);
	return 0;
}

int copy_attributes(int source, int target, struct cay_error *err)
{
	struct stat st;
	int r;

	if (fstat(source, &st) < 0)
		return cay_error_errno(err, errno, "looking at the source");
	const struct timespec times[2] = { st.st_atim, st.st_mtim };

	/* In this order: a change of owner clears the set-id bits and capabilities. */
	r = own(target, "", AT_EMPTY_PATH, &st);
	if (r == 0 && fchmod(target, st.st_mode & 07777) < 0)
		r = -errno;
	if (r == 0)
		r = copy_xattrs(source, target);
	if (r == 0 && futimens(target, times) < 0)
		r = -errno;
	return r < 0 ? cay_error_errno(err, r, "copying owner, mode and attributes") : 0;
}

/* ---- one entry ---- */

static int copy_range(struct copy *copy, int source, int target, off_t from, off_t to)
{
	while (from < to) {
		ssize_t n =
			pread_full(source, copy->chunk, (size_t)MIN((off_t)CHUNK, to - from), from);
		int r;

		if (n <= 0)
			return (int)n;
		r = pwrite_full(target, copy->chunk, (size_t)n, from);
		if (r < 0)
			return r;
		from += n;
	}
	return 0;
}

/* Holes stay holes. */
static int copy_data(struct copy *copy, int source, int target, off_t size)
{
	off_t from = 0;

	if (ftruncate(target, size) < 0)
		return -errno;
	while (from < size) {
		off_t start = lseek(source, from, SEEK_DATA), end;
		int r;

		if (start < 0 && errno == ENXIO)
			return 0; /* a hole up to the end */
		if (start < 0)
			return -errno;
		end = lseek(source, start, SEEK_HOLE);
		if (end < 0)
			return -errno;
		r = copy_range(copy, source, target, start, end);
		if (r < 0)
			return r;
		from = end;
	}
	return 0;
}

static int copy_file(struct copy *copy, int source_dir, int target_dir, const char *name,
		     struct cay_error *err)
{
	_cleanup_close_ int source = openat(source_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_close_ int target = -1;
	struct stat st;
	int r;

	if (source < 0 || fstat(source, &st) < 0)
		return cay_error_errno(err, errno, "opening it");
	target = openat(target_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			0600);
	if (target < 0)
		return cay_error_errno(err, errno, "making its copy");
	r = copy_data(copy, source, target, st.st_size);
	if (r < 0)
		return cay_error_errno(err, r, "copying its data");
	return copy_attributes(source, target, err);
}

static int copy_subdirectory(struct copy *copy, int source_dir, int target_dir, const char *name,
			     struct cay_error *err)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	_cleanup_close_ int source = openat(source_dir, name, flags);
	_cleanup_close_ int target = -1;
	int r;

	if (source < 0)
		return cay_error_errno(err, errno, "opening it");
	if (mkdirat(target_dir, name, 0700) < 0)
		return cay_error_errno(err, errno, "making its copy");
	target = openat(target_dir, name, flags);
	if (target < 0)
		return cay_error_errno(err, errno, "opening its copy");
	if (++copy->depth > DEPTH_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, ELOOP, "it is more than %d levels deep",
				     DEPTH_MAX);
	r = copy_directory(copy, source, target, err);
	copy->depth--;
	return r < 0 ? r : copy_attributes(source, target, err);
}

static int copy_symlink(int source_dir, int target_dir, const char *name, const struct stat *st,
			struct cay_error *err)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	char text[PATH_MAX];
	ssize_t n = readlinkat(source_dir, name, text, sizeof(text) - 1);
	int r;

	if (n < 0)
		return cay_error_errno(err, errno, "reading it");
	text[n] = '\0';
	if (symlinkat(text, target_dir, name) < 0)
		return cay_error_errno(err, errno, "making its copy");
	r = own(target_dir, name, AT_SYMLINK_NOFOLLOW, st);
	if (r == 0 && utimensat(target_dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	return r < 0 ? cay_error_errno(err, r, "copying its owner and times") : 0;
}

/* A fifo, a socket's name, a device. */
static int copy_special(int target_dir, const char *name, const struct stat *st,
			struct cay_error *err)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	int r;

	if (mknodat(target_dir, name, st->st_mode & (S_IFMT | 07777), st->st_rdev) < 0) {
		if (!is_refused(errno))
			return cay_error_errno(err, errno, "making its copy");
		copy_note("filling a volume: it does not take the special file %.60s", name);
		return 0;
	}
	r = own(target_dir, name, AT_SYMLINK_NOFOLLOW, st);
	if (r == 0 &&
	    (fchmodat(target_dir, name, st->st_mode & 07777, 0) < 0 ||
	     utimensat(target_dir, name, times, AT_SYMLINK_NOFOLLOW) < 0))
		r = -errno;
	return r < 0 ? cay_error_errno(err, r, "copying its owner and mode") : 0;
}

/* True when the entry is another name of a file that was copied, and now has it there too. */
static bool link_again(struct copy *copy, int target_dir, const char *name, const struct stat *st)
{
	if (S_ISDIR(st->st_mode) || st->st_nlink < 2)
		return false;
	for (size_t i = 0; i < copy->link_count; i++)
		if (copy->links[i].device == st->st_dev && copy->links[i].inode == st->st_ino)
			return linkat(copy->root, copy->links[i].path, target_dir, name, 0) == 0;
	copy->links = xreallocarray(copy->links, copy->link_count + 1, sizeof(*copy->links));
	copy->links[copy->link_count++] =
		(struct linked){ st->st_dev, st->st_ino, xstrdup(buf_text(&copy->path)) };
	return false;
}

static int copy_entry(struct copy *copy, int source_dir, int target_dir, const char *name,
		      struct cay_error *err)
{
	struct stat st;

	if (fstatat(source_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return cay_error_errno(err, errno, "looking at it");
	if (link_again(copy, target_dir, name, &st))
		return 0;
	switch (st.st_mode & S_IFMT) {
	case S_IFDIR:
		return copy_subdirectory(copy, source_dir, target_dir, name, err);
	case S_IFREG:
		return copy_file(copy, source_dir, target_dir, name, err);
	case S_IFLNK:
		return copy_symlink(source_dir, target_dir, name, &st, err);
	default:
		return copy_special(target_dir, name, &st, err);
	}
}

/* ---- the tree ---- */

static DIR *open_directory(int fd)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = copy >= 0 ? fdopendir(copy) : NULL;

	if (!directory)
		cay_close_p(&copy);
	return directory;
}

static int copy_directory(struct copy *copy, int source, int target, struct cay_error *err)
{
	const size_t here = copy->path.length;
	DIR *directory = open_directory(source);
	struct dirent *entry;
	int r = 0;

	if (!directory)
		return cay_error_errno(err, errno, "reading %s", buf_text(&copy->path));
	while (r == 0 && (errno = 0, entry = readdir(directory))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		buf_printf(&copy->path, "%s%s", here > 0 ? "/" : "", entry->d_name);
		r = copy_entry(copy, source, target, entry->d_name, err);
		if (r < 0 && !strstr(err->message, "copying /"))
			(void)cay_error_prefix(err, "copying /%s", buf_text(&copy->path));
		copy->path.length = here;
	}
	if (r == 0 && errno != 0)
		r = cay_error_errno(err, errno, "reading /%s", buf_text(&copy->path));
	(void)closedir(directory);
	return r;
}

int copy_tree(int source, int target, struct cay_error *err)
{
	struct copy copy = { .root = target, .chunk = xmalloc(CHUNK) };
	int r = copy_directory(&copy, source, target, err);

	for (size_t i = 0; i < copy.link_count; i++)
		free(copy.links[i].path);
	free(copy.links);
	free(copy.chunk);
	buf_done(&copy.path);
	return r;
}
