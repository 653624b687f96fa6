/* SPDX-License-Identifier: Apache-2.0 */
/* Files and descriptors: whole reads and writes, atomic replacement, trees made and removed. */
#include "base/file.h"

#include "base/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* What is deeper is moved up first: it keeps remove_tree()'s recursion off the stack's end. */
enum { REMOVE_DEPTH_MAX = 128 };

void cay_close_p(const int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd); /* nothing can be done about a failing close here */
	errno = saved;
}

ssize_t read_full(int fd, void *data, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, (char *)data + done, size - done);

		if (n == 0)
			break;
		if (n > 0)
			done += (size_t)n;
		else if (errno != EINTR)
			return -errno;
	}
	return (ssize_t)done;
}

int write_full(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t n = write(fd, at, size);

		if (n >= 0) {
			at += n;
			size -= (size_t)n;
		} else if (errno == EAGAIN) {
			struct pollfd wait = { .fd = fd, .events = POLLOUT };

			(void)poll(&wait, 1, -1); /* write() tells what is wrong, if anything */
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

ssize_t pread_full(int fd, void *data, size_t size, off_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, (char *)data + done, size - done, offset + (off_t)done);

		if (n == 0)
			break;
		if (n > 0)
			done += (size_t)n;
		else if (errno != EINTR)
			return -errno;
	}
	return (ssize_t)done;
}

int pwrite_full(int fd, const void *data, size_t size, off_t offset)
{
	const char *at = data;

	while (size > 0) {
		ssize_t n = pwrite(fd, at, size, offset);

		if (n >= 0) {
			at += n;
			offset += n;
			size -= (size_t)n;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

void fd_write_behind(int fd, uint64_t size, uint64_t *begun)
{
	const uint64_t step = 1 * MIB;

	if (size < *begun + step)
		return;
	/* Only a hint: what is wrong with the disk is told by fsync(). */
	(void)sync_file_range(fd, (off_t)*begun, (off_t)(size - *begun), SYNC_FILE_RANGE_WRITE);
	*begun = size;
}

int open_canonical(const char *path)
{
	struct open_how how = {
		/* A directory that is asked for as one is mounted now, where autofs has waited. */
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how)); /* Linux 5.6 */

	if (fd < 0 && errno == ENOTDIR) {
		how.flags = O_PATH | O_CLOEXEC;
		fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
	}
	return fd < 0 ? -errno : (int)fd;
}

char *open_path_of(int fd)
{
	_cleanup_free_ char *link = xasprintf("/proc/self/fd/%d", fd);
	char path[PATH_MAX];
	ssize_t n = readlink(link, path, sizeof(path));

	if (n == (ssize_t)sizeof(path))
		errno = ENAMETOOLONG;
	return n < 0 || n == (ssize_t)sizeof(path) ? NULL : xstrndup(path, (size_t)n);
}

void fd_wake(int eventfd)
{
	const uint64_t one = 1;

	(void)!write(eventfd, &one, sizeof(one)); /* fails only where the counter is full */
}

int fd_set_nonblocking(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

int fd_set_cloexec(int fd, bool on)
{
	return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

int memfd_with(const char *name, const void *data, size_t size)
{
	_cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return -errno;
	r = pwrite_full(fd, data, size, 0);
	if (r < 0)
		return r;
	return TAKE_FD(fd);
}

int fd_read(int fd, const char *name, size_t limit, struct buf *out, struct cay_error *err)
{
	const size_t start = out->length;

	/* Most files are small, and a large buffer is a mapping of its own. */
	for (size_t chunk = 4 * KIB;; chunk = MIN(2 * chunk, 64 * KIB)) {
		size_t room = limit - (out->length - start) + 1;
		ssize_t n;

		room = MIN(room, chunk);
		n = read_full(fd, buf_reserve(out, room), room);
		if (n < 0)
			return cay_error_errno(err, (int)n, "reading %s", name);
		out->length += (size_t)n;
		out->data[out->length] = '\0';
		if (out->length - start > limit)
			return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
					     "reading %s: it is larger than %zu bytes", name,
					     limit);
		if ((size_t)n < room)
			return 0;
	}
}

int file_read(const char *path, size_t limit, struct buf *out, struct cay_error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return cay_error_errno(err, errno, "opening %s", path);
	return fd_read(fd, path, limit, out, err);
}

int file_sync_parent(const char *path, struct cay_error *err)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *parent =
		slash ? xstrndup(path, MAX((size_t)(slash - path), 1)) : xstrdup(".");
	_cleanup_close_ int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return cay_error_errno(err, errno, "syncing the directory %s", parent);
	return 0;
}

static int replace_file(const char *path, const void *data, size_t size, mode_t mode, bool durable,
			struct cay_error *err)
{
	_cleanup_free_ char *temporary = xasprintf("%s.XXXXXX", path);
	_cleanup_close_ int fd = mkostemp(temporary, O_CLOEXEC);
	int r = 0;

	if (fd < 0)
		return cay_error_errno(err, errno, "creating a file beside %s", path);
	if (fchmod(fd, mode) < 0)
		r = -errno;
	if (r == 0)
		r = write_full(fd, data, size);
	if (r == 0 && durable && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlink(temporary); /* the first failure is the one to tell */
		return cay_error_errno(err, r, "writing %s", path);
	}
	return durable ? file_sync_parent(path, err) : 0;
}

int file_write_atomic(const char *path, const void *data, size_t size, mode_t mode,
		      struct cay_error *err)
{
	return replace_file(path, data, size, mode, true, err);
}

int file_write_volatile(const char *path, const void *data, size_t size, mode_t mode,
			struct cay_error *err)
{
	return replace_file(path, data, size, mode, false, err);
}

static int make_one_dir(const char *path, mode_t mode, struct cay_error *err)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	return cay_error_errno(err, errno == EEXIST ? ENOTDIR : errno, "creating the directory %s",
			       path);
}

int make_dirs(const char *path, mode_t mode, struct cay_error *err)
{
	_cleanup_free_ char *copy = xstrdup(path);

	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		int r;

		*slash = '\0';
		r = make_one_dir(copy, mode, err);
		if (r < 0)
			return r;
		*slash = '/';
	}
	return make_one_dir(copy, mode, err);
}

/* Goes down from the directory, which it closes; the descriptor of the last one, or -errno. */
static int make_below(int directory, const char *path, mode_t mode)
{
	struct str rest = str_from(path);

	while (directory >= 0 && rest.length > 0) {
		struct str part = str_split(rest, '/', &rest);
		_cleanup_free_ char *name = xstrndup(part.data, part.length);
		int next;

		if (part.length == 0)
			continue;
		if (mkdirat(directory, name, mode) < 0 && errno != EEXIST)
			next = -errno;
		else
			next = openat(directory, name,
				      O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next == -1)
			next = -errno;
		(void)close(directory);
		directory = next;
	}
	return directory;
}

int make_dirs_canonical(const char *path, mode_t mode, struct cay_error *err)
{
	_cleanup_free_ char *there = xstrdup(path);
	int fd = open_canonical(there);

	while (fd == -ENOENT && strcmp(there, "/") != 0) {
		size_t end = (size_t)(path_last(there) - there);

		/* Without the slash, unless that is all. */
		there[end > 1 ? end - 1 : end] = '\0';
		fd = open_canonical(there);
	}
	if (fd >= 0)
		fd = make_below(fd, path + strlen(there), mode);
	if (fd < 0)
		return cay_error_errno(err, fd, "creating the directory %s", path);
	(void)close(fd);
	return 0;
}

struct removal {
	int top; /* the directory that is removed */
	dev_t device;
	unsigned int lifted;
};

static int remove_at(struct removal *removal, int parent, const char *name, unsigned int depth);

/* Empties the directory; takes the descriptor over. */
static int empty_directory(struct removal *removal, int fd, unsigned int depth)
{
	DIR *directory = fdopendir(fd);
	int result = 0;

	if (!directory) {
		(void)close(fd);
		return -errno;
	}
	for (;;) {
		struct dirent *entry;
		int r;

		errno = 0;
		entry = readdir(directory);
		if (!entry) {
			if (errno != 0)
				result = -errno;
			break;
		}
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		r = remove_at(removal, dirfd(directory), entry->d_name, depth + 1);
		if (r < 0)
			result = r;
	}
	(void)closedir(directory);
	return result;
}

/* Moves a directory to the top of the tree. Whatever has the new name is to be removed anyway. */
static int lift(struct removal *removal, int parent, const char *name)
{
	for (;;) {
		char above[32];

		(void)snprintf(above, sizeof(above), ".lifted-%u", removal->lifted++);
		if (renameat(parent, name, removal->top, above) == 0)
			return 0;
		if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
			return -errno;
	}
}

static int remove_at(struct removal *removal, int parent, const char *name, unsigned int depth)
{
	struct stat st;
	int fd, r;

	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (depth > REMOVE_DEPTH_MAX)
		return lift(removal, parent, name);
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || (depth > 0 && st.st_dev != removal->device)) {
		(void)close(fd);
		return -EXDEV;
	}
	if (depth == 0) {
		removal->top = fd;
		removal->device = st.st_dev;
	}
	r = empty_directory(removal, fd, depth);
	if (r < 0)
		return r;
	return unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int remove_tree_at(int directory, const char *name)
{
	struct removal removal = { 0 };
	unsigned int before;
	int r;

	/* What was lifted may not have been met again by the same round. */
	do {
		before = removal.lifted;
		r = remove_at(&removal, directory, name, 0);
	} while (r < 0 && removal.lifted > before);
	return r;
}

int remove_tree(const char *path, struct cay_error *err)
{
	int r = remove_tree_at(AT_FDCWD, path);

	return r < 0 ? cay_error_errno(err, r, "removing %s", path) : 0;
}

bool file_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

char *path_join(const char *directory, const char *name)
{
	return xasprintf("%s/%s", directory, name);
}

const char *path_last(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}
