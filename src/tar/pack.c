/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over a tree and what it writes of each file. */
#include "tar/pack.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/strv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

enum {
	READ_SIZE = 64 * 1024,
	DEPTH_MAX = 1000, /* each level takes a descriptor and some of the stack */
	MODE_BITS = 07777,
};

/* The first name of a file that has several, by device and inode. */
struct first {
	dev_t device;
	ino_t inode;
	char *path;
};

struct pack {
	struct tar_writer *writer;
	const struct tar_pack_options *options;
	size_t as_length;
	dev_t device; /* of the tree's root */
	void *firsts; /* of struct first, for tsearch(3) */
	unsigned int depth;
};

/* -errno, or 0 and more; so do those that it stands on. */
static int pack_one(struct pack *pack, int directory, const char *name, const char *path,
		    struct cay_error *err);

/* By the path that the reader of the message knows, not the archive's. */
static int failed(const struct pack *pack, const char *path, const char *what, int error,
		  struct cay_error *err)
{
	return cay_error_errno(err, error, "%s%s: %s", pack->options->shown, path + pack->as_length,
			       what);
}

static void entry_done(struct tar_entry *entry)
{
	buf_done(&entry->xattrs);
}

/* "a/b" for "b" in "a"; the caller frees. */
static char *child_path(const char *path, const char *name)
{
	return xasprintf("%s%s%s", path, *path && !ends_with(path, "/") ? "/" : "", name);
}

static int compare_firsts(const void *a, const void *b)
{
	const struct first *one = a, *other = b;

	if (one->device != other->device)
		return one->device < other->device ? -1 : 1;
	if (one->inode != other->inode)
		return one->inode < other->inode ? -1 : 1;
	return 0;
}

static void free_first(void *first)
{
	free(((struct first *)first)->path);
	free(first);
}

/* The name by which the file is in the archive already, or NULL: it is now by this one. */
static const char *find_first(struct pack *pack, const struct stat *status, const char *path)
{
	struct first *first = xcalloc(1, sizeof(*first));
	struct first **node;

	first->device = status->st_dev;
	first->inode = status->st_ino;
	node = tsearch(first, &pack->firsts, compare_firsts);
	if (!node)
		abort(); /* no memory, which xcalloc() ends on as well */
	if (*node != first) {
		free(first);
		return (*node)->path;
	}
	first->path = xstrdup(path);
	return NULL;
}

/* ---- attributes ---- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_names(struct strv *names)
{
	if (names->count > 1)
		qsort(names->items, names->count, sizeof(*names->items), compare_names);
}

/* An overlay's own attributes mean nothing elsewhere, and a name with '=' has no form in a tar. */
static bool wanted_attribute(const struct pack *pack, const char *name)
{
	if (!pack->options->xattrs)
		return strcmp(name, "security.capability") == 0;
	return !starts_with(name, "trusted.overlay.") && !strchr(name, '=');
}

/* A file system without attributes has none; what can't be read is not this process's to copy. */
static int read_attributes(const struct pack *pack, int fd, const char *path,
			   struct tar_entry *entry, struct cay_error *err)
{
	_cleanup_free_ char *list = NULL, *value = NULL;
	_cleanup_strv_ struct strv names = { 0 };
	ssize_t size = flistxattr(fd, NULL, 0);

	if (size == 0 || (size < 0 && (errno == ENOTSUP || errno == EPERM || errno == EACCES)))
		return 0;
	list = xmalloc(TAR_XATTRS_MAX);
	value = xmalloc(TAR_XATTRS_MAX);
	size = flistxattr(fd, list, TAR_XATTRS_MAX);
	if (size < 0)
		return failed(pack, path, "reading its attributes", errno, err);
	for (const char *name = list; name < list + size; name += strlen(name) + 1)
		if (wanted_attribute(pack, name))
			strv_add(&names, name);
	sort_names(&names);
	for (size_t i = 0; i < names.count; i++) {
		ssize_t length = fgetxattr(fd, names.items[i], value, TAR_XATTRS_MAX);

		if (length >= 0)
			tar_xattr_add(&entry->xattrs, str_from(names.items[i]),
				      (struct str){ value, (size_t)length });
	}
	return 0;
}

/* ---- entries ---- */

/* Where the data at or after `at` begins and ends; who knows no holes has none. */
static void find_data(int fd, uint64_t at, uint64_t size, uint64_t *ret_start, uint64_t *ret_end)
{
	off_t start = lseek(fd, (off_t)at, SEEK_DATA), end;

	*ret_start = *ret_end = size;
	if (start < 0 && errno == ENXIO)
		return; /* nothing but a hole */
	*ret_start = start < 0 ? at : MIN(MAX((uint64_t)start, at), size);
	end = start < 0 ? -1 : lseek(fd, start, SEEK_HOLE);
	if (end > (off_t)*ret_start)
		*ret_end = MIN((uint64_t)end, size);
}

static int write_contents(struct pack *pack, int fd, uint64_t size, const char *path,
			  struct cay_error *err)
{
	_cleanup_free_ char *data = xmalloc(READ_SIZE);
	uint64_t at = 0, end = 0;
	int r = 0;

	while (r >= 0 && at < size) {
		ssize_t n;

		if (at == end) {
			const uint64_t before = at;

			find_data(fd, before, size, &at, &end);
			r = tar_writer_put_zeros(pack->writer, at - before, err);
			continue;
		}
		n = pread_full(fd, data, (size_t)MIN(end - at, (uint64_t)READ_SIZE), (off_t)at);
		if (n < 0)
			return failed(pack, path, "reading it", (int)n, err);
		if (n == 0)
			return tar_writer_put_zeros(pack->writer, size - at, err);
		r = tar_writer_put(pack->writer, data, (size_t)n, err);
		at += (uint64_t)n;
	}
	return r;
}

/* Writes the entry's head: 1, or 0 where it is to be left out. */
static int add(struct pack *pack, int directory, const char *name, struct tar_entry *entry,
	       struct cay_error *err)
{
	const struct tar_pack_options *options = pack->options;
	int r = options->edit ? options->edit(options->user, directory, name, entry, err) : 1;

	if (r <= 0 || entry->path.length == 0)
		return r;
	r = tar_writer_add(pack->writer, entry, err);
	return r < 0 ? r : 1;
}

static int list_names(const struct pack *pack, int fd, const char *path, struct strv *names,
		      struct cay_error *err)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
	const struct dirent *item;
	int error;

	if (!list) {
		error = errno;
		if (copy >= 0)
			(void)close(copy);
		return failed(pack, path, "listing it", error, err);
	}
	errno = 0;
	while ((item = readdir(list))) {
		if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
			strv_add(names, item->d_name);
		errno = 0;
	}
	error = errno;
	(void)closedir(list);
	if (error != 0)
		return failed(pack, path, "listing it", error, err);
	sort_names(names);
	return 0;
}

static int pack_children(struct pack *pack, int fd, const char *path, struct cay_error *err)
{
	_cleanup_strv_ struct strv names = { 0 };
	int r = list_names(pack, fd, path, &names, err);

	if (r >= 0 && pack->depth == DEPTH_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, ELOOP,
				     "a directory is more than %d levels deep", DEPTH_MAX);
	pack->depth++;
	for (size_t i = 0; i < names.count && r >= 0; i++) {
		_cleanup_free_ char *child = child_path(path, names.items[i]);

		r = pack_one(pack, fd, names.items[i], child, err);
	}
	pack->depth--;
	return r;
}

static void fill_entry(const struct stat *status, const char *path, struct tar_entry *entry)
{
	entry->path = str_from(path);
	entry->mode = status->st_mode & MODE_BITS;
	entry->uid = status->st_uid;
	entry->gid = status->st_gid;
	entry->mtime = status->st_mtim.tv_sec;
	entry->mtime_ns = (uint32_t)status->st_mtim.tv_nsec;
}

/* A regular file or a directory: what is opened must be what was looked at, or it has changed. */
static int pack_open(struct pack *pack, int directory, const char *name, const char *path,
		     struct tar_entry *entry, struct cay_error *err)
{
	bool is_directory = entry->type == TAR_DIRECTORY;
	_cleanup_close_ int fd = openat(directory, name,
					O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC |
						(is_directory ? O_DIRECTORY : 0));
	struct stat status;
	int r;

	if (fd < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENOTDIR
			? 0
			: failed(pack, path, "opening it", errno, err);
	if (fstat(fd, &status) < 0)
		return failed(pack, path, "looking at it", errno, err);
	if (is_directory ? !S_ISDIR(status.st_mode) : !S_ISREG(status.st_mode))
		return 0;
	fill_entry(&status, path, entry);
	entry->size = is_directory ? 0 : (uint64_t)status.st_size;
	r = read_attributes(pack, fd, path, entry, err);
	if (r >= 0)
		r = add(pack, directory, name, entry, err);
	if (r <= 0)
		return r;
	if (!is_directory)
		return write_contents(pack, fd, entry->size, path, err);
	if (pack->options->one_file_system && status.st_dev != pack->device)
		return 0;
	return pack_children(pack, fd, path, err);
}

static int pack_symlink(struct pack *pack, int directory, const char *name, const char *path,
			struct tar_entry *entry, struct cay_error *err)
{
	_cleanup_free_ char *target = xmalloc(TAR_PATH_MAX + 1);
	ssize_t length = readlinkat(directory, name, target, TAR_PATH_MAX + 1);
	int r;

	if (length < 0)
		return errno == ENOENT || errno == EINVAL
			? 0
			: failed(pack, path, "reading the link", errno, err);
	entry->link = (struct str){ target, (size_t)length };
	r = add(pack, directory, name, entry, err);
	entry->link = (struct str){ 0 };
	return r;
}

static void skipped(const struct pack *pack, const char *path)
{
	_cleanup_free_ char *shown =
		xasprintf("%s%s", pack->options->shown, path + pack->as_length);

	if (pack->options->skipped)
		pack->options->skipped(pack->options->user, shown);
}

/*
 * Whether further names are hard links. Those of a symbolic link are links of their own: docker's
 * client, which unpacks them, sets modes by such a name on what it leads to.
 */
static bool may_have_names(const struct stat *status)
{
	return status->st_nlink > 1 && !S_ISDIR(status->st_mode) && !S_ISLNK(status->st_mode) &&
		!S_ISSOCK(status->st_mode);
}

static int pack_one(struct pack *pack, int directory, const char *name, const char *path,
		    struct cay_error *err)
{
	_cleanup_(entry_done) struct tar_entry entry = { 0 };
	const char *first = NULL;
	struct stat status;

	if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : failed(pack, path, "looking at it", errno, err);
	fill_entry(&status, path, &entry);
	if (may_have_names(&status))
		first = find_first(pack, &status, path);
	if (first) {
		entry.type = TAR_HARDLINK;
		entry.link = str_from(first);
		return add(pack, directory, name, &entry, err);
	}
	switch (status.st_mode & S_IFMT) {
	case S_IFREG:
		entry.type = TAR_FILE;
		return pack_open(pack, directory, name, path, &entry, err);
	case S_IFDIR:
		entry.type = TAR_DIRECTORY;
		return pack_open(pack, directory, name, path, &entry, err);
	case S_IFLNK:
		entry.type = TAR_SYMLINK;
		return pack_symlink(pack, directory, name, path, &entry, err);
	case S_IFIFO:
		entry.type = TAR_FIFO;
		break;
	case S_IFCHR:
	case S_IFBLK:
		entry.type = S_ISCHR(status.st_mode) ? TAR_CHARACTER : TAR_BLOCK_DEVICE;
		entry.device_major = major(status.st_rdev);
		entry.device_minor = minor(status.st_rdev);
		break;
	default: /* a socket, which no archive can hold */
		skipped(pack, path);
		return 0;
	}
	return add(pack, directory, name, &entry, err);
}

int tar_pack(struct tar_writer *writer, int directory, const char *name, const char *as,
	     const struct tar_pack_options *options, struct cay_error *err)
{
	struct pack pack = { .writer = writer, .options = options, .as_length = strlen(as) };
	struct stat status;
	int r;

	if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(&pack, as, "looking at it", errno, err);
	pack.device = status.st_dev;
	r = pack_one(&pack, directory, name, as, err);
	tdestroy(pack.firsts, free_first);
	return MIN(r, 0);
}
