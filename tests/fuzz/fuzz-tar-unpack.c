/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Foreign archives unpacked on a real file system, beside a file that must stay
 * as it is. The first byte's bits choose among the options, and whether the
 * headers' checksums are to be made right first.
 */
#include "tar-common.h"

#include "base/alloc.h"
#include "base/file.h"
#include "tar/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIX = 1, FOLLOW = 2, KEEP = 4, BELOW = 8 };

struct rest {
	const uint8_t *data;
	size_t size;
};

static ssize_t take(void *user, void *data, size_t size, struct cay_error *err)
{
	struct rest *rest = user;

	(void)err;
	size = MIN(size, rest->size);
	memcpy(data, rest->data, size);
	rest->data += size;
	rest->size -= size;
	return (ssize_t)size;
}

static void require(bool right)
{
	if (!right)
		abort();
}

/* What an archive must not reach: beside the directory, with a name that it can know. */
static void check_beside(int top)
{
	struct stat status;
	char text[8] = "";
	int fd = openat(top, "secret", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	require(fd >= 0 && fstat(fd, &status) == 0);
	require(status.st_nlink == 1 && (status.st_mode & 07777) == 0600 && status.st_size == 4 &&
		status.st_mtim.tv_sec == 1);
	require(read(fd, text, sizeof(text)) == 4 && memcmp(text, "kept", 4) == 0);
	(void)close(fd);
	require(fstatat(top, ".", &status, 0) == 0 && status.st_nlink == 3);
}

static void make_beside(const char *path, int top)
{
	const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	int fd = openat(top, "secret", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	require(fd >= 0 && write_full(fd, "kept", 4) == 0 && futimens(fd, times) == 0);
	(void)close(fd);
	require(mkdirat(top, "in", 0755) == 0 && path != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct rlimit limit = { .rlim_cur = 64 << 20, .rlim_max = 64 << 20 };
	char path[] = "/tmp/cay-fuzz-XXXXXX";
	_cleanup_free_ uint8_t *copy = NULL;
	_cleanup_close_ int top = -1, in = -1;
	struct tar_unpack_options options = { .shown = "in" };
	struct tar_reader *reader;
	struct cay_error err;
	struct rest rest;

	if (size < 1)
		return 0;
	(void)setrlimit(RLIMIT_FSIZE, &limit); /* holes may be as large as they like */
	(void)signal(SIGXFSZ, SIG_IGN);
	copy = xmemdup(data + 1, size - 1);
	if (data[0] & FIX)
		fix_checksums(copy, size - 1);
	require(mkdtemp(path) != NULL);
	top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_beside(path, top);
	in = openat(top, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	options.follow = data[0] & FOLLOW;
	options.keep_kinds = data[0] & KEEP;
	options.below = "";
	if (data[0] & BELOW) {
		options.below = "deep";
		require(mkdirat(in, "deep", 0755) == 0);
	}
	rest = (struct rest){ copy, size - 1 };
	reader = tar_reader_new(take, &rest);
	(void)tar_unpack(reader, in, &options, &err);
	tar_reader_free(reader);
	check_beside(top);
	require(remove_tree(path, &err) == 0 || errno == EACCES);
	return 0;
}
