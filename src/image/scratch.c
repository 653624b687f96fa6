/* SPDX-License-Identifier: Apache-2.0 */
/* The empty ext4 of every writable layer, one for each size, and its sparse copies. */
#include "image/scratch.h"

#include "base/alloc.h"
#include "base/file.h"
#include "image/ext4.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

DEFINE_CLEANUP(DIR *, closedir);

static char *empty_path(const char *root, uint64_t size)
{
	return size == 0 || size == SCRATCH_SIZE_DEFAULT
		? path_join(root, "images/scratch.ext4")
		: xasprintf("%s/images/scratch-%" PRIu64 ".ext4", root, size);
}

/* ---- the empty ones ---- */

/* Written beside its name, synced, renamed: two who make the same at once do no harm. */
static int make_empty(const char *path, uint64_t size, struct cay_error *err)
{
	_cleanup_free_ char *temporary = xasprintf("%s.XXXXXX", path);
	_cleanup_close_ int fd = mkostemp(temporary, O_CLOEXEC);
	int r;

	if (fd < 0)
		return cay_error_errno(err, errno, "creating %s", temporary);
	r = ext4_make(temporary, EXT4_LAYER, size ? size : SCRATCH_SIZE_DEFAULT, err);
	if (r == 0 && (fsync(fd) < 0 || rename(temporary, path) < 0))
		r = cay_error_errno(err, errno, "creating %s", path);
	if (r < 0) {
		(void)unlink(temporary);
		return r;
	}
	return file_sync_parent(path, err);
}

/* What one pass over the folder of the empty ones finds. */
struct census {
	size_t count; /* of sizes beside the default */
	char *oldest; /* the name of the one not used for the longest time */
	struct timespec used;
};

static bool is_older(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

/* `half_made`: they are removed. */
static int take_census(const char *root, bool half_made, struct census *census,
		       struct cay_error *err)
{
	_cleanup_free_ char *folder = path_join(root, "images");
	_cleanup_(closedir_p) DIR *directory = opendir(folder);
	const struct dirent *entry;

	if (!directory)
		return cay_error_errno(err, errno, "opening %s", folder);
	while ((entry = readdir(directory))) {
		struct stat st;

		if (!starts_with(entry->d_name, "scratch"))
			continue;
		if (!ends_with(entry->d_name, ".ext4")) {
			if (half_made)
				(void)unlinkat(dirfd(directory), entry->d_name, 0); /* later then */
			continue;
		}
		if (!starts_with(entry->d_name, "scratch-") ||
		    fstatat(dirfd(directory), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		census->count++;
		if (census->oldest && !is_older(&st.st_mtim, &census->used))
			continue;
		free(census->oldest);
		census->oldest = xasprintf("%s/%s", folder, entry->d_name);
		census->used = st.st_mtim;
	}
	return 0;
}

/* Makes room for one size more. Who copies the one that goes has it open. */
static int drop_oldest(const char *root, struct cay_error *err)
{
	struct census census = { 0 };
	int r = take_census(root, false, &census, err);

	if (r == 0 && census.count >= SCRATCH_SIZES_MAX)
		(void)unlink(census.oldest); /* another may have done so */
	free(census.oldest);
	return r;
}

int scratch_prepare(const char *root, struct cay_error *err)
{
	_cleanup_free_ char *path = empty_path(root, 0);
	_cleanup_free_ char *folder = path_join(root, "images");
	struct census census = { 0 };
	int r = make_dirs(folder, 0700, err);

	if (r == 0)
		r = take_census(root, true, &census, err);
	free(census.oldest);
	if (r < 0 || file_exists(path))
		return r;
	return make_empty(path, 0, err);
}

/* One that another's creation drops between its making and its opening is made once more. */
static int open_empty(const char *root, uint64_t size, int *ret_fd, struct cay_error *err)
{
	_cleanup_free_ char *path = empty_path(root, size);

	for (int tries = 0; tries < 3; tries++) {
		int r, fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd >= 0) {
			*ret_fd = fd;
			return 0;
		}
		if (errno != ENOENT)
			break;
		r = drop_oldest(root, err);
		if (r == 0)
			r = make_empty(path, size, err);
		if (r < 0)
			return r;
	}
	return cay_error_errno(err, errno, "opening %s", path);
}

/* ---- copies ---- */

/* One stretch of data, in the kernel where it can. */
static int copy_range(int from, int to, off_t start, off_t end)
{
	while (start < end) {
		off_t in = start, out = start;
		ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - start), 0);

		if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP)) {
			char chunk[64 * 1024];

			n = pread(from, chunk, MIN(sizeof(chunk), (size_t)(end - start)), start);
			if (n > 0 && pwrite_full(to, chunk, (size_t)n, start) < 0)
				n = -1;
		}
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO; /* the template shrank */
		start += n;
	}
	return 0;
}

static int copy_data(int from, int to)
{
	off_t end = 0;

	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	for (;;) {
		off_t start = lseek(from, end, SEEK_DATA);
		int r;

		if (start < 0)
			return errno == ENXIO ? 0 : -errno;
		end = lseek(from, start, SEEK_HOLE);
		if (end < 0)
			return -errno;
		r = copy_range(from, to, start, end);
		if (r < 0)
			return r;
	}
}

int scratch_create(const char *root, const char *path, uint64_t size, uid_t owner,
		   struct cay_error *err)
{
	_cleanup_close_ int from = -1, to = -1;
	int r = open_empty(root, size, &from, err);

	if (r < 0)
		return r;
	if (size != 0)
		(void)futimens(from, NULL); /* used now; one that looks older only goes earlier */
	to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return cay_error_errno(err, errno, "creating %s", path);
	r = copy_data(from, to);
	if (r == 0 && (ftruncate(to, (off_t)EXT4_DISK_SIZE) < 0 || fchown(to, owner, owner) < 0))
		r = -errno;
	if (r < 0) {
		(void)unlink(path);
		return cay_error_errno(err, r, "creating %s", path);
	}
	return 0;
}

uint64_t scratch_used(const char *root, const char *path, uint64_t size)
{
	_cleanup_free_ char *empty = empty_path(root, size);
	struct stat st, empty_st = { 0 };

	if (stat(path, &st) < 0)
		return 0;
	if (stat(empty, &empty_st) < 0)
		empty_st.st_blocks = 0; /* dropped meanwhile: some 100 KiB too many are told */
	return (uint64_t)MAX(st.st_blocks - empty_st.st_blocks, 0) * 512;
}
