/* SPDX-License-Identifier: Apache-2.0 */
/* Opens a disk's files and describes how they follow each other. */
#include "vmm/disk.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* io_uring works for QEMU only where an ordinary user may use it. */
static bool try_io_uring(void)
{
	_cleanup_buf_ struct buf disabled = { 0 };
	struct io_uring_params params = { 0 };
	int fd;

	if (file_read("/proc/sys/kernel/io_uring_disabled", 64, &disabled, NULL) == 0 &&
	    !starts_with(buf_text(&disabled), "0"))
		return false;
	fd = (int)syscall(SYS_io_uring_setup, 2, &params);
	if (fd < 0)
		return false;
	(void)close(fd);
	return true;
}

/* The same for all disks, of which a process opens one after the other. */
static bool io_uring_works(void)
{
	static enum { UNKNOWN, WORKS, FAILS } known;

	if (known == UNKNOWN)
		known = try_io_uring() ? WORKS : FAILS;
	return known == WORKS;
}

static int open_extent(const struct vm_extent *extent, bool read_only, bool alone, int *ret_fd,
		       struct cay_error *err)
{
	_cleanup_close_ int fd =
		open(extent->path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return cay_error_errno(err, errno, "opening the disk %s", extent->path);
	if (!S_ISREG(st.st_mode))
		return cay_error_set(err, CAY_INVALID, EINVAL, "the disk %s is not a file",
				     extent->path);
	if ((uint64_t)st.st_size < extent->size || (alone && (uint64_t)st.st_size != extent->size))
		return cay_error_set(
			err, CAY_CORRUPT, EIO, "the disk %s has %lld bytes where %llu are expected",
			extent->path, (long long)st.st_size, (unsigned long long)extent->size);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* A VMDK descriptor in memory, opened for reading only: QEMU takes no other for such a disk. */
static int describe(const uint64_t *sizes, size_t count, unsigned int first_set, int *ret_fd,
		    struct cay_error *err)
{
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *path = NULL;

	cmdline_vmdk(sizes, count, first_set, &text);
	fd = memfd_with("cay-disk", text.data, text.length);
	if (fd < 0)
		return cay_error_errno(err, fd, "describing a disk");
	path = xasprintf("/proc/self/fd/%d", fd);
	*ret_fd = open(path, O_RDONLY | O_CLOEXEC);
	return *ret_fd < 0 ? cay_error_errno(err, errno, "describing a disk") : 0;
}

static int open_files(const struct vm_disk *disk, unsigned int first_set, struct disk_files *files,
		      struct cay_error *err)
{
	_cleanup_free_ uint64_t *sizes = xcalloc(disk->extent_count + 1, sizeof(*sizes));

	for (size_t i = 0; i < disk->extent_count; i++) {
		int r = open_extent(&disk->extents[i], disk->read_only, !files->vmdk,
				    &files->fds[files->count], err);

		if (r < 0)
			return r;
		files->count++;
		sizes[i] = disk->extents[i].size;
	}
	if (files->vmdk) {
		int r = describe(sizes, disk->extent_count, first_set, &files->fds[files->count],
				 err);

		if (r < 0)
			return r;
		files->count++;
	}
	return 0;
}

int disk_open(const struct vm_disk *disk, unsigned int first_set, struct disk_files *ret_files,
	      struct cay_error *err)
{
	struct disk_files files = {
		.read_only = disk->read_only,
		.io_uring = io_uring_works(),
		/* The one kind of disk whose end QEMU takes from us instead of the file. */
		.vmdk = disk->extent_count > 1 ||
			(disk->read_only && disk->extent_count == 1 &&
			 disk->extents[0].size != VMM_DISK_SIZE),
	};
	int r;

	if (files.vmdk && !disk->read_only)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "a disk of several extents is not read-only");
	if (disk->extent_count > VMM_EXTENTS_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "a disk has more than %d extents",
				     VMM_EXTENTS_MAX);
	r = open_files(disk, first_set, &files, err);
	if (r < 0)
		disk_files_done(&files);
	else
		*ret_files = files;
	return r;
}

void disk_files_done(struct disk_files *files)
{
	for (size_t i = 0; i < files->count; i++)
		cay_close_p(&files->fds[i]);
	files->count = 0;
}
