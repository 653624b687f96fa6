/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume is filled in two steps, so that one which a crash has left half
 * filled never counts as filled:
 *
 *   1. everything is copied into ".cay-filling" in the volume and synced;
 *   2. that is renamed to ".cay-filled", its entries are moved to the volume's
 *      root, and it is removed.
 *
 * Who finds ".cay-filling" and nothing else begins anew; who finds
 * ".cay-filled" goes on with step 2. A lock on ".cay-fill.lock", which ends
 * with its guest, keeps two guests that start with one volume apart; it is
 * removed with the lock held, so that who then gets it looks again.
 */
#include "guest/fill.h"

#include "guest/copy-tree.h"
#include "guest/mounts.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define LOCK    ".cay-fill.lock"
#define FILLING ".cay-filling"
#define FILLED  ".cay-filled"

enum { LOCK_WAIT_MS = 20 * 60 * 1000, LOCK_PAUSE_MS = 50 };

/* What a volume's root holds. */
struct look {
	bool lock, filling, filled, others;
};

static DIR *open_entries(int directory, const char *name)
{
	int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;

	if (!entries)
		cay_close_p(&fd);
	return entries;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int look_at(int volume, struct look *ret_look, struct cay_error *err)
{
	DIR *entries = open_entries(volume, ".");
	struct look look = { 0 };
	struct dirent *entry;

	if (!entries)
		return cay_error_errno(err, errno, "reading it");
	while ((errno = 0, entry = readdir(entries))) {
		const char *name = entry->d_name;

		if (strcmp(name, LOCK) == 0)
			look.lock = true;
		else if (strcmp(name, FILLING) == 0)
			look.filling = true;
		else if (strcmp(name, FILLED) == 0)
			look.filled = true;
		else if (!is_dots(name) && strcmp(name, "lost+found") != 0)
			look.others = true;
	}
	if (errno != 0) {
		int r = cay_error_errno(err, errno, "reading it");

		(void)closedir(entries);
		return r;
	}
	(void)closedir(entries);
	*ret_look = look;
	return 0;
}

static bool is_empty(int directory)
{
	DIR *entries = open_entries(directory, ".");
	struct dirent *entry;
	bool empty = true;

	while (entries && empty && (entry = readdir(entries)))
		empty = is_dots(entry->d_name);
	if (entries)
		(void)closedir(entries);
	return empty;
}

/* Step 2; what is moved already is simply not there any more. */
static int move_out(int volume, struct cay_error *err)
{
	DIR *entries = open_entries(volume, FILLED);
	struct dirent *entry;
	int r = 0;

	if (!entries)
		return cay_error_errno(err, errno, "opening " FILLED);
	while (r == 0 && (entry = readdir(entries)))
		if (!is_dots(entry->d_name) &&
		    renameat(dirfd(entries), entry->d_name, volume, entry->d_name) < 0)
			r = cay_error_errno(err, errno, "moving %s", entry->d_name);
	(void)closedir(entries);
	return r;
}

/* Step 1. */
static int copy_in(int source, int volume, const char *target, struct cay_error *err)
{
	_cleanup_free_ char *path = path_join(target, FILLING);
	_cleanup_close_ int filling = -1;
	int r = remove_tree(path, err);

	if (r < 0)
		return r;
	if (mkdirat(volume, FILLING, 0700) < 0)
		return cay_error_errno(err, errno, "making " FILLING);
	filling = openat(volume, FILLING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (filling < 0)
		return cay_error_errno(err, errno, "opening " FILLING);
	r = copy_tree(source, filling, err);
	if (r == 0 && syncfs(volume) < 0)
		r = cay_error_errno(err, errno, "writing it to the disk");
	if (r == 0 && renameat(volume, FILLING, volume, FILLED) < 0)
		r = cay_error_errno(err, errno, "renaming " FILLING);
	if (r < 0)
		(void)remove_tree(path, NULL); /* the first failure is told */
	return r;
}

/* Under the lock. */
static int fill_locked(int source, int volume, const char *target, struct cay_error *err)
{
	struct look look;
	int r = look_at(volume, &look, err);

	if (r < 0 || (look.others && !look.filled))
		return r;
	if (!look.filled)
		r = copy_in(source, volume, target, err);
	/* A directory that is moved over is read again until it has nothing left. */
	while (r == 0) {
		r = move_out(volume, err);
		if (r == 0)
			r = copy_attributes(source, volume, err);
		if (r == 0 && unlinkat(volume, FILLED, AT_REMOVEDIR) == 0)
			break;
		if (r == 0 && errno != ENOTEMPTY)
			r = cay_error_errno(err, errno, "removing " FILLED);
	}
	return r;
}

/* The lock, or -ESTALE where who held it has removed its file. */
static int take_lock(int volume)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_MS * 1000000L };
	const int64_t end = clock_monotonic_ms() + LOCK_WAIT_MS;
	_cleanup_close_ int fd =
		openat(volume, LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct stat ours, there;

	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EOPNOTSUPP || errno == ENOSYS || errno == ENOLCK)
			break; /* a file system of the host's without locks, which nobody shares */
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (clock_monotonic_ms() > end)
			return -ETIMEDOUT;
		(void)nanosleep(&pause, NULL); /* a short sleep is tried again all the same */
	}
	if (fstat(fd, &ours) < 0 || fstatat(volume, LOCK, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
	    ours.st_ino != there.st_ino)
		return -ESTALE;
	return TAKE_FD(fd);
}

static int fill(int source, int volume, const char *target, struct cay_error *err)
{
	for (;;) {
		_cleanup_close_ int lock = -1;
		struct look look;
		int r = look_at(volume, &look, err);

		if (r < 0 || (look.others && !look.filled && !look.lock))
			return r;
		if (!look.others && !look.lock && !look.filling && !look.filled && is_empty(source))
			return copy_attributes(source, volume, err);
		lock = take_lock(volume);
		if (lock == -ESTALE)
			continue;
		if (lock < 0)
			return cay_error_errno(err, lock, "locking it");
		r = fill_locked(source, volume, target, err);
		(void)unlinkat(volume, LOCK, 0); /* one that stays is taken again */
		return r;
	}
}

int fill_volume(int root_fd, const char *path, const char *target, struct cay_error *err)
{
	_cleanup_close_ int found = path_in_root(root_fd, path, MOUNT_MAKE_NOTHING);
	_cleanup_close_ int source = -1, volume = -1;
	struct stat st;
	int r;

	if (found == -ENOENT || found == -ENOTDIR)
		return 0;
	if (found < 0 || fstat(found, &st) < 0)
		return cay_error_errno(err, found < 0 ? found : errno, "filling the volume on %s",
				       path);
	if (!S_ISDIR(st.st_mode))
		return cay_error_set(err, CAY_INVALID, ENOTDIR,
				     "filling the volume on %s: the image has no directory there",
				     path);
	source = openat(found, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	volume = open(target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (source < 0 || volume < 0)
		return cay_error_errno(err, errno, "filling the volume on %s", path);
	r = fill(source, volume, target, err);
	if (r == -EROFS) {
		copy_note("the volume on %.100s is read-only and stays empty", path);
		cay_error_clear(err);
		return 0;
	}
	return r < 0 ? cay_error_prefix(err, "filling the volume on %s", path) : 0;
}
