/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that is a private mapping of a template's file. QEMU opens such a file
 * for reading and writing although it only ever writes to its own copies of
 * pages. And when a guest gives pages back, QEMU first punches a hole into the
 * file and only then drops its copies: a file that may be written would lose
 * pages that all other clones still read, and with one that may not, no memory
 * would come back. So here
 *  - opening "/cay-private/N" gives a copy of descriptor N, which is open for
 *    reading only;
 *  - punching holes into any such descriptor does nothing, successfully. QEMU
 *    then drops its copies (MADV_DONTNEED), after which the guest sees the
 *    template's contents: a guest's kernel takes nothing about the contents of
 *    pages that it has reported free for granted.
 * The calls it replaces are those of the system, made raw.
 */
#include "vmm/preload/library.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

/* On this architecture "open" and "open64" are the same; "__open64_2" is for fortified programs. */
int preload_open64(const char *path, int flags, ...) NAMED("open64");
int preload_open(const char *path, int flags, ...) NAMED("open") __attribute__((alias("open64")));
int preload_open_2(const char *path, int flags) NAMED("__open64_2");
int preload_fallocate64(int fd, int mode, off_t offset, off_t length) NAMED("fallocate64");
int preload_fallocate(int fd, int mode, off_t offset, off_t length) NAMED("fallocate")
	__attribute__((alias("fallocate64")));

/* The number behind the prefix; -1 where the path is another. */
static int private_number(const char *path)
{
	static const char prefix[] = "/cay-private/";
	size_t i = 0;
	int number = 0;

	for (; prefix[i] != '\0'; i++)
		if (path[i] != prefix[i])
			return -1;
	if (path[i] == '\0')
		return -1;
	for (; path[i] != '\0'; i++) {
		if (path[i] < '0' || path[i] > '9' || number > 99999)
			return -1;
		number = number * 10 + (path[i] - '0');
	}
	return number;
}

static int open_path(const char *path, int flags, mode_t mode)
{
	int number = private_number(path);

	if (number >= 0)
		return fcntl(number, (flags & O_CLOEXEC) ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int preload_open64(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode = 0;

	if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) {
		va_start(arguments, flags);
		mode = va_arg(arguments, mode_t);
		va_end(arguments);
	}
	return open_path(path, flags, mode);
}

int preload_open_2(const char *path, int flags)
{
	return open_path(path, flags, 0);
}

/*
 * QEMU has no other files that are open for reading only and punches: it does so into disks that
 * the guest may write.
 */
int preload_fallocate64(int fd, int mode, off_t offset, off_t length)
{
	int flags;

	if (mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) {
		flags = fcntl(fd, F_GETFL);
		if (flags >= 0 && (flags & O_ACCMODE) == O_RDONLY)
			return 0;
	}
	return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}
