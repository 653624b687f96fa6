/* SPDX-License-Identifier: Apache-2.0 */
/* Mounting shares, and their end. */
#include "guest/share.h"

#include "guest/guest.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define DEVICE_TAG       "cay"
#define SHARES_DIRECTORY GUEST_RUN "/shares"
#define DRIVER_DIRECTORY "/sys/bus/virtio/drivers/virtiofs"
#define READ_AHEAD_KB    "1024"

/* The kernel would read ahead by 128 KiB; an answer of the host's may have a MiB. */
static void read_far_ahead(void)
{
	_cleanup_close_ int fd = -1;
	struct statx st;
	char path[64];
	int r;

	/* The number is known without asking the host. */
	if (statx(AT_FDCWD, SHARES_DIRECTORY, AT_STATX_DONT_SYNC, 0, &st) < 0)
		return;
	(void)snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", st.stx_dev_major,
		       st.stx_dev_minor);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	r = fd < 0 ? -errno : write_full(fd, READ_AHEAD_KB, strlen(READ_AHEAD_KB));
	if (r < 0)
		log_warning("shares are read by small pieces: %s", errno_text(r));
}

int shares_open(struct guest *guest, struct cay_error *err)
{
	int r;

	if (guest->shares_mounted)
		return 0;
	r = make_dirs(SHARES_DIRECTORY, 0700, err);
	if (r < 0)
		return r;
	/*
	 * Modes are the guest's kernel's to judge, for every user, set-id programs as on any of its
	 * disks; ids are the host's own. Devices of the host's numbers would be others of the
	 * guest's. Each share below is a file system of its own with the same flags.
	 */
	if (mount(DEVICE_TAG, SHARES_DIRECTORY, "virtiofs", MS_NODEV, NULL) < 0)
		return cay_error_errno(err, errno, "mounting the host's shares");
	guest->shares_mounted = true;
	read_far_ahead();
	return 0;
}

static bool is_file(const struct strv *options)
{
	return strv_contains(options, "file");
}

static int make_target(const char *target, bool file, struct cay_error *err)
{
	_cleanup_free_ char *parent = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	if (!file)
		return make_dirs(target, 0755, err);
	parent = xstrndup(target, (size_t)(path_last(target) - target));
	r = make_dirs(parent, 0755, err);
	if (r < 0)
		return r;
	fd = open(target, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? cay_error_errno(err, errno, "making %s", target) : 0;
}

int share_mount(const char *source, const char *target, const struct strv *options,
		struct cay_error *err)
{
	const bool file = is_file(options);
	char path[sizeof(SHARES_DIRECTORY) + 8];
	uint64_t number;
	int r;

	if (target[0] != '/')
		return cay_error_set(err, CAY_INVALID, EINVAL, "the target \"%s\" is not absolute",
				     target);
	if (parse_u64(source, SHARES_MAX - 1, &number) < 0 || options->count > (file ? 1U : 0U))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "mounting on %s: no share \"%s\" with such options", target,
				     source);
	r = make_target(target, file, err);
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), SHARES_DIRECTORY "/%u", (unsigned int)number);
	if (mount(path, target, NULL, MS_BIND, NULL) < 0)
		return cay_error_errno(err, errno, "mounting share %s on %s", source, target);
	return 0;
}

/*
 * A virtiofs whose device is taken away ends what it has not answered: there is no other way to end
 * its connection.
 */
int shares_end(struct cay_error *err)
{
	_cleanup_close_ int unbind = open(DRIVER_DIRECTORY "/unbind", O_WRONLY | O_CLOEXEC);
	DIR *directory = opendir(DRIVER_DIRECTORY);
	const struct dirent *entry;
	int r = 0;

	if (unbind < 0 || !directory)
		r = cay_error_errno(err, errno, "opening " DRIVER_DIRECTORY);
	while (r == 0 && (entry = readdir(directory)))
		/* The devices among its entries are called virtio0, virtio1, … */
		if (starts_with(entry->d_name, "virtio") &&
		    write(unbind, entry->d_name, strlen(entry->d_name)) < 0)
			r = cay_error_errno(err, errno, "removing the shares' device");
	if (directory)
		(void)closedir(directory);
	return r;
}
