/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's cgroup, version 2 or 1. */
#include "vmm/cgroup.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/strv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

static const char unified[] = "/sys/fs/cgroup";
/* Not cpu: nothing is limited there, and a group weighs no more than one process beside it. */
static const char *const v1_hierarchies[] = { "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids" };

enum { CONTROLLERS_MAX = 4096, REMOVE_TRIES = 20, REMOVE_PAUSE_NS = 5 * 1000 * 1000 };

static bool is_filesystem(const char *path, long magic)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == magic;
}

/* The hierarchies to use; empty where the host has none. True for version 2. */
static bool find_hierarchies(struct strv *list)
{
	_cleanup_buf_ struct buf controllers = { 0 };

	if (is_filesystem(unified, CGROUP2_SUPER_MAGIC) &&
	    file_read("/sys/fs/cgroup/cgroup.controllers", CONTROLLERS_MAX, &controllers, NULL) ==
		    0 &&
	    strstr(buf_text(&controllers), "memory")) {
		strv_add(list, unified);
		return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(v1_hierarchies); i++)
		if (is_filesystem(v1_hierarchies[i], CGROUP_SUPER_MAGIC))
			strv_add(list, v1_hierarchies[i]);
	return false;
}

/* cgroup files are written in place, by one write each. */
static int write_file(const char *directory, const char *name, const char *text)
{
	_cleanup_free_ char *path = path_join(directory, name);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write_full(fd, text, strlen(text));
}

/* A limit whose file the controller does not have is not set; one that is refused is an error. */
static int set_limit(const char *directory, const char *name, uint64_t value, struct cay_error *err)
{
	_cleanup_free_ char *text = xasprintf("%llu", (unsigned long long)value);
	int r = write_file(directory, name, text);

	return r < 0 && r != -ENOENT
		? cay_error_errno(err, r, "setting %s of the cgroup %s", name, directory)
		: 0;
}

static int make_directory(const char *path, struct cay_error *err)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return cay_error_errno(err, errno, "creating the cgroup %s", path);
	return 0;
}

static int create_in(const char *hierarchy, bool v2, const char *id,
		     const struct cgroup_limits *limits, struct cay_error *err)
{
	_cleanup_free_ char *parent = path_join(hierarchy, "cay");
	_cleanup_free_ char *path = path_join(parent, id);
	int r = make_directory(parent, err);

	if (r < 0)
		return r;
	if (v2) {
		/* Already on in most hosts; where this is refused, setting a limit will tell. */
		(void)write_file(hierarchy, "cgroup.subtree_control", "+memory +pids");
		(void)write_file(parent, "cgroup.subtree_control", "+memory +pids");
	}
	r = make_directory(path, err);
	if (r == 0)
		r = set_limit(path, v2 ? "memory.max" : "memory.limit_in_bytes",
			      limits->memory_bytes, err);
	if (r == 0)
		r = set_limit(path, "pids.max", limits->pids, err);
	return r;
}

int cgroup_create(const char *id, const struct cgroup_limits *limits, struct cay_error *err)
{
	_cleanup_strv_ struct strv list = { 0 };
	bool v2 = find_hierarchies(&list);

	if (list.count == 0)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "the host has no cgroup controllers for memory and pids");
	for (size_t i = 0; i < list.count; i++) {
		int r = create_in(list.items[i], v2, id, limits, err);

		if (r < 0)
			return r;
	}
	return 0;
}

int cgroup_attach(const char *id, pid_t pid, struct cay_error *err)
{
	_cleanup_strv_ struct strv list = { 0 };
	_cleanup_free_ char *text = xasprintf("%d", (int)pid);

	(void)find_hierarchies(&list);
	for (size_t i = 0; i < list.count; i++) {
		_cleanup_free_ char *path = xasprintf("%s/cay/%s", list.items[i], id);
		int r = write_file(path, "cgroup.procs", text);

		if (r < 0)
			return cay_error_errno(err, r, "moving process %d into the cgroup %s",
					       (int)pid, path);
	}
	return 0;
}

static int remove_directory(const char *path)
{
	const struct timespec pause = { .tv_nsec = REMOVE_PAUSE_NS };

	for (unsigned int i = 0; i < REMOVE_TRIES; i++) {
		if (rmdir(path) == 0 || errno == ENOENT)
			return 0;
		if (errno != EBUSY)
			break;
		(void)nanosleep(&pause, NULL); /* a killed process takes a moment to leave */
	}
	return -errno;
}

/* A group of the new name that is there is empty, the rest of an earlier run; rename() keeps it. */
static bool rename_all(const struct strv *list, const char *from, const char *to)
{
	for (size_t i = 0; i < list->count; i++) {
		_cleanup_free_ char *old = xasprintf("%s/cay/%s", list->items[i], from);
		_cleanup_free_ char *new = xasprintf("%s/cay/%s", list->items[i], to);

		(void)rmdir(new);
		if (rename(old, new) < 0 && !(errno == ENOENT && file_exists(new)))
			return false;
	}
	return true;
}

int cgroup_rename(const char *from, const char *to, const struct cgroup_limits *limits, pid_t pid,
		  struct cay_error *err)
{
	_cleanup_strv_ struct strv list = { 0 };
	const bool v2 = find_hierarchies(&list);
	const bool renamed = !v2 && list.count > 0 && rename_all(&list, from, to);
	int r = cgroup_create(to, limits, err);

	if (r < 0 || renamed)
		return r;
	/*
	 * Version 2 leaves what QEMU has taken so far charged to the group it was taken in, and
	 * with that one's removal to the parent: the new group's limit is for what is taken from
	 * now on.
	 */
	r = cgroup_attach(to, pid, err);
	return r < 0 ? r : cgroup_remove(from, err);
}

int cgroup_remove(const char *id, struct cay_error *err)
{
	_cleanup_strv_ struct strv list = { 0 };
	int result = 0;

	(void)find_hierarchies(&list);
	for (size_t i = 0; i < list.count; i++) {
		_cleanup_free_ char *path = xasprintf("%s/cay/%s", list.items[i], id);
		int r = remove_directory(path);

		if (r < 0 && result == 0)
			result = cay_error_errno(err, r, "removing the cgroup %s", path);
	}
	return result;
}
