/* SPDX-License-Identifier: Apache-2.0 */
/* The child that looks at a container's files. */
#include "guest/copy-child.h"

#include "guest/capability.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/strv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define BIT(capability) (UINT64_C(1) << (capability))
/* Reading and making files of any owner. */
static const uint64_t file_capabilities = BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) |
	BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_FOWNER) | BIT(CAP_FSETID) | BIT(CAP_MKNOD) |
	BIT(CAP_SETFCAP);

/* A file that grows its memory (a directory of millions) dies before the container's processes. */
#define OOM_SCORE "500"

static int change_root(const struct copy_place *place, struct cay_error *err)
{
	if (place->namespace_fd >= 0) {
		/* This changes the root, too: to that of the namespace. */
		if (setns(place->namespace_fd, CLONE_NEWNS) < 0)
			return cay_error_set(err, errno == ESRCH ? CAY_CONFLICT : CAY_INTERNAL,
					     errno, "joining the container: %s", errno_text(errno));
		return 0;
	}
	if (place->root && chroot(place->root) < 0)
		return cay_error_errno(err, errno, "changing the root to %s", place->root);
	return 0;
}

/* Each level of a deep tree takes a descriptor. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* without it, fewer levels can be copied */
}

static void prefer_for_killing(int proc_fd)
{
	_cleanup_close_ int fd = openat(proc_fd, "oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!write(fd, OOM_SCORE, strlen(OOM_SCORE)); /* a wish */
}

int copy_child_enter(struct copy_child *child, const struct copy_place *place,
		     struct cay_error *err)
{
	const uint64_t keep = file_capabilities | (place->trusted ? BIT(CAP_SYS_ADMIN) : 0);
	int self = openat(child->proc_fd, "self", O_PATH | O_DIRECTORY | O_CLOEXEC), r;

	if (self < 0)
		return cay_error_errno(err, errno, "opening /proc/self");
	child->proc_fd = self;
	prefer_for_killing(self);
	raise_limit();
	r = change_root(place, err);
	if (r < 0)
		return r;
	child->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (child->root_fd < 0 || fchdir(self) < 0)
		return cay_error_errno(err, errno, "opening the root");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return cay_error_errno(err, errno, "giving up privileges");
	return capability_apply(keep, keep, 0, 0, err);
}

const char *copy_link(int fd, char link[COPY_LINK_SIZE])
{
	(void)snprintf(link, COPY_LINK_SIZE, "fd/%d", fd);
	return link;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_names(struct strv *names)
{
	if (names->count > 1)
		qsort(names->items, names->count, sizeof(*names->items), compare_names);
}

int copy_list(int fd, struct strv *names)
{
	int opened = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	DIR *directory;
	int r;

	if (opened < 0)
		return -errno;
	directory = fdopendir(opened);
	if (!directory) {
		r = -errno;
		(void)close(opened);
		return r;
	}
	while ((errno = 0, entry = readdir(directory)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			strv_add(names, entry->d_name);
	r = -errno;
	(void)closedir(directory);
	sort_names(names);
	return r;
}

int copy_output_flush(struct copy_output *output, struct cay_error *err)
{
	int r = write_full(output->fd, output->data, output->length);

	output->length = 0;
	return r < 0 ? cay_error_errno(err, r, "writing") : 0;
}

int copy_output_put(void *user, const void *data, size_t size, struct cay_error *err)
{
	struct copy_output *output = user;
	const char *at = data;

	while (size > 0) {
		const size_t piece = MIN(size, sizeof(output->data) - output->length);

		memcpy(output->data + output->length, at, piece);
		output->length += piece;
		at += piece;
		size -= piece;
		if (output->length == sizeof(output->data)) {
			int r = copy_output_flush(output, err);

			if (r < 0)
				return r;
		}
	}
	return 0;
}
