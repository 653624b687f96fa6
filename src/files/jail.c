/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds the wall of jail.h. Descriptors of what the shares name are taken as
 * detached mounts, which are given their flags and then put into an empty
 * root; so nothing of the host's tree is ever below it.
 *
 * The one thing beside the shares is /proc/self/fd, through which a
 * descriptor of the kind that nodes have is opened for use. It is a mount of
 * that directory alone: ".." ends there, and its links lead only to what is
 * open here anyway.
 */
#include "files/jail.h"

#include "base/file.h"
#include "files/filter.h"
#include "files/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { CAPABILITY_MAX = 63, FIRST_FREE_FD = 5 };

/* Tables of nodes and handles, directories' listings, the workers' buffers: far above their sum. */
#define MEMORY_MAX (512 * MIB)
/* As the kernel's fs.nr_open has it if nobody changed it. */
#define DESCRIPTORS_MAX (UINT64_C(1) << 20)

/* Where the new root is put together; the proc file system has been opened by then. */
static const char root_path[] = "/proc";

/*
 * Whoever named the path has resolved its links. One that is there now was put there since, maybe
 * by a container that has a directory above it, and would lead where nobody said.
 */
static int open_source(const struct share *share, struct cay_error *err)
{
	int fd = open_canonical(share->path);

	if (fd == -ELOOP)
		return cay_error_set(err, CAY_FORBIDDEN, ELOOP,
				     "share %s: there is a symbolic link in its path", share->path);
	return fd < 0 ? cay_error_errno(err, fd, "share %s", share->path) : fd;
}

static int take_share(const struct share *share, int *ret_fd, struct cay_error *err)
{
	_cleanup_close_ int source = open_source(share, err), fd = -1;
	struct mount_attr attributes = {
		.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			(share->read_only ? MOUNT_ATTR_RDONLY : 0),
		/* All mounts here are slaves of the host's already. */
		.propagation = share->slave ? 0 : MS_PRIVATE,
	};

	if (source < 0)
		return source;
	fd = open_tree(source, "",
		       AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
			       (share->recursive ? (unsigned int)AT_RECURSIVE : 0));
	if (fd < 0)
		return cay_error_errno(err, errno, "share %s", share->path);
	if (mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof(attributes)) <
	    0)
		return cay_error_errno(err, errno, "share %s: setting the flags of its mount",
				       share->path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* In the new root: puts a share at its number's place. */
static int place_share(int tree, const char *name)
{
	struct stat st;

	if (fstat(tree, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode) ? mkdir(name, 0700) < 0 : mknod(name, S_IFREG | 0600, 0) < 0)
		return -errno;
	return move_mount(tree, "", AT_FDCWD, name, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

static int place_shares(struct share_list *list, const int *trees, struct cay_error *err)
{
	for (size_t i = 0; i < list->count; i++) {
		struct share *share = &list->shares[i];
		char name[24];
		int r;

		(void)snprintf(name, sizeof(name), "%zu", i);
		r = place_share(trees[i], name);
		if (r < 0)
			return cay_error_errno(err, r, "share %s", share->path);
		share->root_fd = open(name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (share->root_fd < 0)
			return cay_error_errno(err, errno, "share %s", share->path);
	}
	return 0;
}

/* The new root with the shares in it, then the step into it. */
static int change_root(struct share_list *list, const int *trees, struct cay_error *err)
{
	int r;

	if (mount("cay", root_path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "size=64k,nr_inodes=1k,mode=700") < 0 ||
	    chdir(root_path) < 0)
		return cay_error_errno(err, errno, "mounting a root");
	r = place_shares(list, trees, err);
	if (r < 0)
		return r;
	if (mount(NULL, ".", NULL,
		  MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 ||
	    syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
		return cay_error_errno(err, errno, "changing the root");
	return 0;
}

static int take_shares(struct share_list *list, int *trees, struct cay_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < list->count; i++)
		r = take_share(&list->shares[i], &trees[i], err);
	return r;
}

static int build_wall(struct share_list *list, struct cay_error *err)
{
	_cleanup_close_ int proc = -1;
	int trees[SHARES_MAX], r;

	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) < 0)
		return cay_error_errno(err, errno, "making namespaces");
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return cay_error_errno(err, errno, "making mounts slaves");
	proc = open_tree(AT_FDCWD, "/proc/self/fd", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (proc < 0)
		return cay_error_errno(err, errno, "opening /proc/self/fd");
	for (size_t i = 0; i < list->count; i++)
		trees[i] = -1;
	r = take_shares(list, trees, err);
	if (r == 0)
		r = change_root(list, trees, err);
	for (size_t i = 0; i < list->count; i++)
		cay_close_p(&trees[i]);
	if (r == 0 && fchdir(proc) < 0)
		r = cay_error_errno(err, errno, "entering /proc/self/fd");
	return r;
}

static int open_roots(struct share_list *list, struct cay_error *err)
{
	for (size_t i = 0; i < list->count; i++) {
		struct share *share = &list->shares[i];

		share->root_fd = open_source(share, err);
		if (share->root_fd < 0)
			return share->root_fd;
	}
	return chdir("/proc/self/fd") < 0 ? cay_error_errno(err, errno, "entering /proc/self/fd")
					  : 0;
}

static int set_limit(__rlimit_resource_t resource, rlim_t value)
{
	const struct rlimit wanted = { value, value };
	struct rlimit limit;

	if (setrlimit(resource, &wanted) == 0)
		return 0;
	/* Without the right to raise it, as much as there is. */
	if (getrlimit(resource, &limit) < 0)
		return -errno;
	limit.rlim_cur = limit.rlim_max = MIN(limit.rlim_max, value);
	return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

static int limit_resources(struct cay_error *err)
{
	int r = set_limit(RLIMIT_NOFILE, DESCRIPTORS_MAX);

	if (r == 0)
		r = set_limit(RLIMIT_CORE, 0);
	/* The guest's own limits are its kernel's business. */
	if (r == 0)
		r = set_limit(RLIMIT_FSIZE, RLIM_INFINITY);
#ifndef CAY_SANITIZED
	if (r == 0)
		r = set_limit(RLIMIT_DATA, MEMORY_MAX);
#endif
	return r < 0 ? cay_error_errno(err, r, "limiting resources") : 0;
}

static int drop_capabilities(struct cay_error *err)
{
	const unsigned int keep = identity_capabilities();
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct data[2] = { { .effective = keep, .permitted = keep } };

	for (unsigned int i = 0; i <= CAPABILITY_MAX; i++)
		if (!(i < 32 && (keep & (1U << i))) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0 &&
		    errno != EINVAL)
			return cay_error_errno(err, errno, "dropping capabilities");
	if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 ||
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    syscall(SYS_capset, &header, data) < 0)
		return cay_error_errno(err, errno, "dropping capabilities");
	return 0;
}

int jail_enter(struct share_list *list, bool *ret_walled, struct cay_error *err)
{
	const bool walled = geteuid() == 0;
	int r;

	if (close_range(FIRST_FREE_FD, ~0U, 0) < 0)
		return cay_error_errno(err, errno, "closing descriptors");
	r = walled ? build_wall(list, err) : open_roots(list, err);
	if (r == 0)
		r = limit_resources(err);
	if (r == 0 && walled)
		r = drop_capabilities(err);
	if (r < 0)
		return r;
	/* After the change of capabilities, which clears it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return cay_error_errno(err, errno, "giving up privileges");
	r = filter_enter(err);
	if (r == 0)
		*ret_walled = walled;
	return r;
}
