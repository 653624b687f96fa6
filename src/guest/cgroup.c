/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups, version 2: making, changing, reading and removing a container's. */
#include "guest/cgroup.h"

#include "base/alloc.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* A container with rights may nest groups of its own: bounds for walking them. */
enum {
	FILE_MAX = 64 * 1024,
	DEPTH_MAX = 32,
	GROUPS_MAX = 1024,
	PIDS_MAX = 32768,
};

/* Those that every container has; each of the others costs time and comes with its first setting.
 */
static const char *const controllers[] = { "memory", "pids" };

static int write_at(int fd, const char *file, const char *value)
{
	_cleanup_close_ int to = openat(fd, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	if (to < 0)
		return -errno;
	n = write(to, value, strlen(value));
	return n < 0 ? -errno : 0;
}

static int read_at(int fd, const char *file, struct buf *out)
{
	_cleanup_close_ int from = openat(fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	buf_clear(out);
	if (from < 0)
		return -errno;
	/* A file of the kernel's gives at most a page at a time. */
	while ((n = read(from, buf_reserve(out, 4096), 4096)) > 0) {
		out->length += (size_t)n;
		if (out->length >= FILE_MAX)
			break;
	}
	if (n < 0)
		return -errno;
	out->data[out->length] = '\0';
	return 0;
}

static int mount_tree(struct cay_error *err)
{
	struct statfs fs;

	if (statfs(CGROUP_MOUNT, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
		return 0;
	if (mount("cgroup2", CGROUP_MOUNT, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return cay_error_errno(err, errno, "mounting " CGROUP_MOUNT);
	return 0;
}

/* One controller for the groups in this one. It may be so already; a kernel may not have it. */
static int enable_at(int fd, const char *controller)
{
	char text[32];
	int r;

	(void)snprintf(text, sizeof(text), "+%s", controller);
	r = write_at(fd, "cgroup.subtree_control", text);
	return r == -EINVAL ? -ENOENT : r; /* as if its files were missing, which they are */
}

/* Opens the top of the tree, which is mounted when it is not yet. */
static int open_top(struct cay_error *err)
{
	int fd, r = mount_tree(err);

	if (r < 0)
		return r;
	fd = open(CGROUP_MOUNT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? cay_error_errno(err, errno, "opening " CGROUP_MOUNT) : fd;
}

int cgroup_enable(const struct cgroup *cgroup, const char *controller)
{
	_cleanup_close_ int fd = open(CGROUP_MOUNT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct str rest = str_from(cgroup->path);
	int r = 0;

	if (fd < 0)
		return -errno;
	(void)str_split(rest, '/', &rest); /* nothing stands before the first '/' */
	while (r >= 0 && rest.length > 0) {
		_cleanup_free_ char *name = str_dup(str_split(rest, '/', &rest));
		int next;

		r = enable_at(fd, controller);
		next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (next < 0)
			return -errno;
		(void)close(fd);
		fd = next;
	}
	return r;
}

int cgroup_create(const char *path, struct cgroup *ret_cgroup, struct cay_error *err)
{
	_cleanup_close_ int fd = open_top(err);
	struct str rest = str_from(path);
	int r;

	if (fd < 0)
		return fd;
	(void)str_split(rest, '/', &rest); /* nothing stands before the first '/' */
	while (rest.length > 0) {
		_cleanup_free_ char *name = str_dup(str_split(rest, '/', &rest));
		int next;

		for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
			r = enable_at(fd, controllers[i]);
			if (r < 0 && r != -ENOENT)
				return cay_error_errno(err, r, "enabling the cgroup controller %s",
						       controllers[i]);
		}
		if (mkdirat(fd, name, 0755) < 0 && (errno != EEXIST || rest.length == 0))
			return cay_error_errno(err, errno, "making the cgroup %s", path);
		next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (next < 0)
			return cay_error_errno(err, errno, "opening the cgroup %s", path);
		(void)close(fd);
		fd = next;
	}
	*ret_cgroup = (struct cgroup){ .fd = TAKE_FD(fd), .path = xstrdup(path), .filter_fd = -1 };
	return 0;
}

struct apply {
	const struct cgroup *cgroup;
	int result;
	struct cay_error *err;
};

static void apply_one(const char *file, const char *value, bool optional, void *user)
{
	struct apply *apply = user;
	int r;

	if (apply->result < 0)
		return;
	r = write_at(apply->cgroup->fd, file, value);
	if (r == -ENOENT) {
		char *controller = xstrndup(file, strcspn(file, "."));

		r = cgroup_enable(apply->cgroup, controller);
		free(controller);
		if (r >= 0)
			r = write_at(apply->cgroup->fd, file, value);
	}
	if (r < 0 && !(optional && r == -ENOENT))
		apply->result = cay_error_set(
			apply->err, r == -EINVAL || r == -ERANGE ? CAY_INVALID : CAY_INTERNAL, -r,
			"setting %s to \"%.100s\": %s", file, value, errno_text(r));
}

int cgroup_apply(const struct cgroup *cgroup, const struct oci_resources *resources,
		 struct cay_error *err)
{
	struct apply apply = { .cgroup = cgroup, .err = err };

	cgroup_settings(resources, apply_one, &apply);
	return apply.result;
}

/*
 * Calls `each` with the directories of the group and those below it, the deepest first; it takes no
 * descriptor over. *budget bounds their number.
 */
static int walk(int fd, unsigned int depth, unsigned int *budget,
		int (*each)(int fd, int parent, const char *name, void *user), int parent,
		const char *name, void *user)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	struct dirent *entry;
	DIR *directory;

	if (copy < 0)
		return -errno;
	directory = fdopendir(copy);
	if (!directory) {
		(void)close(copy);
		return -ENOMEM;
	}
	while (depth < DEPTH_MAX && r == 0 && (entry = readdir(directory))) {
		_cleanup_close_ int below = -1;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' || *budget == 0)
			continue;
		(*budget)--;
		below = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (below >= 0)
			r = walk(below, depth + 1, budget, each, fd, entry->d_name, user);
	}
	(void)closedir(directory);
	return r != 0 ? r : each(fd, parent, name, user);
}

static int remove_below(int fd, int parent, const char *name, void *user)
{
	(void)fd;
	(void)user;
	if (parent >= 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int cgroup_remove(const struct cgroup *cgroup)
{
	_cleanup_free_ char *path = xasprintf("%s%s", CGROUP_MOUNT, cgroup->path);
	unsigned int budget = GROUPS_MAX;
	int r = walk(cgroup->fd, 0, &budget, remove_below, -1, NULL, NULL);

	if (r < 0)
		return r;
	return rmdir(path) < 0 && errno != ENOENT ? -errno : 0;
}

int cgroup_open_of(const struct cgroup *cgroup, int proc_fd, pid_t pid)
{
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_free_ char *path = NULL;
	size_t length = strlen(cgroup->path);
	struct str line, rest;
	char file[32];
	int fd, r;

	(void)snprintf(file, sizeof(file), "%d/cgroup", pid);
	r = read_at(proc_fd, file, &text);
	if (r < 0)
		return r;
	/* "0::/path", and nothing else, as there is no version 1. */
	rest = str_from(buf_text(&text));
	line = str_split(rest, '\n', &rest);
	if (!str_starts(line, "0::") || line.length < 3 + length ||
	    memcmp(line.data + 3, cgroup->path, length) != 0)
		return -ENOENT;
	path = xasprintf(CGROUP_MOUNT "%.*s", (int)(line.length - 3), line.data + 3);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

void cgroup_done(struct cgroup *cgroup)
{
	if (cgroup->fd >= 0)
		(void)close(cgroup->fd);
	if (cgroup->filter_fd >= 0)
		(void)close(cgroup->filter_fd);
	free(cgroup->path);
	*cgroup = (struct cgroup){ .fd = -1, .filter_fd = -1 };
}

int cgroup_kill(const struct cgroup *cgroup)
{
	return write_at(cgroup->fd, "cgroup.kill", "1");
}

int cgroup_freeze(const struct cgroup *cgroup, bool frozen)
{
	return write_at(cgroup->fd, "cgroup.freeze", frozen ? "1" : "0");
}

int cgroup_read(const struct cgroup *cgroup, const char *file, struct buf *out)
{
	return read_at(cgroup->fd, file, out);
}

uint64_t cgroup_oom_kills(const struct cgroup *cgroup)
{
	_cleanup_buf_ struct buf text = { 0 };
	uint64_t kills = 0;

	if (read_at(cgroup->fd, "memory.events", &text) == 0)
		(void)cgroup_number(buf_text(&text), "oom_kill", &kills); /* 0 where absent */
	return kills;
}

struct pids {
	bool (*each)(pid_t pid, void *user);
	void *user;
	unsigned int left;
};

static int each_pid(int fd, int parent, const char *name, void *user)
{
	struct pids *pids = user;
	int from = openat(fd, "cgroup.procs", O_RDONLY | O_CLOEXEC | O_NOFOLLOW), r = 0;
	FILE *file = from >= 0 ? fdopen(from, "re") : NULL;
	char line[32];

	(void)parent;
	(void)name;
	if (!file) {
		if (from >= 0)
			(void)close(from);
		return 0; /* gone, or no memory for it */
	}
	while (r == 0 && pids->left > 0 && fgets(line, sizeof(line), file)) {
		uint64_t pid;

		if (!cgroup_single(line, &pid) || pid == 0 || pid > INT32_MAX)
			continue; /* 0: outside of our pid namespace, of which none is */
		pids->left--;
		if (!pids->each((pid_t)pid, pids->user))
			r = 1;
	}
	(void)fclose(file);
	return r;
}

int cgroup_each_pid(const struct cgroup *cgroup, bool (*each)(pid_t pid, void *user), void *user)
{
	struct pids pids = { .each = each, .user = user, .left = PIDS_MAX };
	unsigned int budget = GROUPS_MAX;
	int r = walk(cgroup->fd, 0, &budget, each_pid, -1, NULL, &pids);

	return r < 0 ? r : 0;
}
