/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The empty ext4 of every writable layer, and its sparse copies.
 *
 * It is made for a guest that has little processor time: nothing is left for
 * the kernel to initialize later but the inode tables, which the mount option
 * noinit_itable leaves alone; the journal is small; nothing is reserved for
 * root; there is no room for growing, which never happens.
 */
#include "image/scratch.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

enum { JOURNAL_MB = 16, OUTPUT_MAX = 4096 };

static char *template_path(const char *root)
{
	return path_join(root, "images/scratch.ext4");
}

static int run_mke2fs(const char *path, struct cay_error *err)
{
	_cleanup_strv_ struct strv argv = { 0 };
	_cleanup_buf_ struct buf output = { 0 };
	int r;

	strv_add(&argv, "mke2fs");
	strv_add(&argv, "-q");
	strv_add(&argv, "-F");
	strv_add(&argv, "-t");
	strv_add(&argv, "ext4");
	strv_add(&argv, "-b");
	strv_add(&argv, "4096");
	strv_add(&argv, "-I");
	strv_add(&argv, "256");
	strv_add(&argv, "-m");
	strv_add(&argv, "0");
	strv_add(&argv, "-J");
	strv_addf(&argv, "size=%d", JOURNAL_MB);
	strv_add(&argv, "-O");
	strv_add(&argv, "^resize_inode,^metadata_csum,uninit_bg,flex_bg,sparse_super2,extent");
	strv_add(&argv, "-E");
	strv_add(&argv, "nodiscard,lazy_itable_init=1,lazy_journal_init=1,num_backup_sb=0");
	strv_add(&argv, path);
	strv_addf(&argv, "%" PRIu64 "k", SCRATCH_SIZE / KIB);
	r = process_run(&argv, OUTPUT_MAX, &output, err);
	if (r > 0)
		return cay_error_set(err, CAY_INTERNAL, EIO, "mke2fs failed (exit code %d): %s", r,
				     buf_text(&output));
	return r;
}

int scratch_prepare(const char *root, struct cay_error *err)
{
	_cleanup_free_ char *path = template_path(root);
	_cleanup_free_ char *temporary = xasprintf("%s.tmp", path);
	_cleanup_free_ char *folder = path_join(root, "images");
	_cleanup_close_ int fd = -1;
	int r;

	if (file_exists(path))
		return 0;
	r = make_dirs(folder, 0700, err);
	if (r < 0)
		return r;
	fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return cay_error_errno(err, errno, "creating %s", temporary);
	r = run_mke2fs(temporary, err);
	if (r == 0 && (fsync(fd) < 0 || rename(temporary, path) < 0))
		r = cay_error_errno(err, errno, "creating %s", path);
	if (r < 0) {
		(void)unlink(temporary);
		return r;
	}
	return file_sync_parent(path, err);
}

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

int scratch_create(const char *root, const char *path, uid_t owner, struct cay_error *err)
{
	_cleanup_free_ char *template = template_path(root);
	_cleanup_close_ int from = open(template, O_RDONLY | O_CLOEXEC), to = -1;
	struct stat st;
	int r = 0;

	if (from < 0 || fstat(from, &st) < 0)
		return cay_error_errno(err, errno, "opening %s", template);
	to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return cay_error_errno(err, errno, "creating %s", path);
	r = copy_data(from, to);
	if (r == 0 && (ftruncate(to, st.st_size) < 0 || fchown(to, owner, owner) < 0))
		r = -errno;
	if (r < 0) {
		(void)unlink(path);
		return cay_error_errno(err, r, "creating %s", path);
	}
	return 0;
}
