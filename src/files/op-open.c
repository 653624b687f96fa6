/* SPDX-License-Identifier: Apache-2.0 */
/* Files and directories opened, synced and closed. */
#include "files/operation.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/statfs.h>

/* Their files say nothing true of size and time, and are made when they are read. */
static const unsigned int live_file_systems[] = {
	PROC_SUPER_MAGIC, SYSFS_MAGIC,      CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC,
	TRACEFS_MAGIC,    SECURITYFS_MAGIC, BINFMTFS_MAGIC,     EFIVARFS_MAGIC,
};

int open_flags(uint32_t guest_flags)
{
	/*
	 * Appending is decided for each write (op-data.c), as the guest's kernel writes a mapping
	 * back through any open file. Direct I/O is the guest's matter: it has passed its cache.
	 */
	return (int)(guest_flags & (O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC | O_NOATIME));
}

int node_open(const struct node *node, int flags)
{
	const bool directory = flags & O_DIRECTORY;
	struct fd_name name = fd_name(node->fd);
	int fd;

	/* Opening anything else acts on the host: a FIFO waits, a device does what it does. */
	if (node->type != S_IFREG && node->type != S_IFDIR)
		return -ENXIO;
	if (directory != (node->type == S_IFDIR))
		return directory ? -ENOTDIR : -EISDIR;
	fd = open(name.text, flags | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

static bool is_live(int fd)
{
	struct statfs host;

	if (fstatfs(fd, &host) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(live_file_systems); i++)
		if ((unsigned int)host.f_type == live_file_systems[i])
			return true;
	return false;
}

int call_open_handle(struct call *call, bool directory, int *fd, uint64_t *ret_id)
{
	int r = handle_open(&call->session->handles, directory, fd, ret_id);

	if (r == 0)
		call->reserved &= ~(1U << PLACE_HANDLE);
	return r;
}

static int open_node(struct call *call, bool directory, int flags, uint32_t reply_flags)
{
	struct fuse_open_out *out = call_reply(call, sizeof(*out));
	_cleanup_close_ int fd = node_open(call->node, flags);

	if (fd < 0)
		return fd;
	/* Each read is asked for, then, and ends where the host's does. */
	out->open_flags = !directory && is_live(fd) ? FOPEN_DIRECT_IO : reply_flags;
	return call_open_handle(call, directory, &fd, &out->fh);
}

int op_open(struct call *call)
{
	const struct fuse_open_in *in = call->message->in;
	const int flags = open_flags(in->flags);
	bool unsettled;

	if (call->session->share->read_only &&
	    ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
		return -EROFS;
	identity_kill_set_ids(call->identity, in->open_flags & FUSE_OPEN_KILL_SUIDGID);
	/* What the guest has of the file stays, unless it may be older than it looks. */
	unsettled = atomic_exchange(&call->node->unsettled, false);
	return open_node(call, false, flags, unsettled ? 0 : FOPEN_KEEP_CACHE);
}

int op_opendir(struct call *call)
{
	const bool cached = call->session->share->cached;

	return open_node(call, true, O_RDONLY | O_DIRECTORY,
			 cached ? FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR : 0);
}

int op_release(struct call *call)
{
	const struct fuse_release_in *in = call->message->in;
	struct node *node;

	/* The open file may have had record locks itself (F_OFD_SETLK). */
	if (in->lock_owner != 0 &&
	    session_node(call->session, call->message->header->nodeid, &node) == 0) {
		lock_release_owner(&call->session->locks, node, in->lock_owner);
		node_put(&call->session->nodes, node);
	}
	handle_close(&call->session->handles, in->fh);
	return 0;
}

int op_releasedir(struct call *call)
{
	const struct fuse_release_in *in = call->message->in;

	handle_close(&call->session->handles, in->fh);
	return 0;
}

/* A process closed one of its descriptors of the file: its record locks there are gone. */
int op_flush(struct call *call)
{
	const struct fuse_flush_in *in = call->message->in;

	lock_release_owner(&call->session->locks, call->node, in->lock_owner);
	return 0;
}

static int sync_handle(struct call *call, bool directory)
{
	const struct fuse_fsync_in *in = call->message->in;
	struct handle *handle = handle_get(&call->session->handles, in->fh, directory);
	int r;

	if (!handle)
		return -EBADF;
	r = in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(handle->fd) : fsync(handle->fd);
	r = r < 0 ? -errno : 0;
	handle_put(&call->session->handles, handle);
	return r;
}

int op_fsync(struct call *call)
{
	return sync_handle(call, false);
}

int op_fsyncdir(struct call *call)
{
	return sync_handle(call, true);
}

int op_syncfs(struct call *call)
{
	_cleanup_close_ int fd =
		node_open(call->node, O_RDONLY | (call->node->type == S_IFDIR ? O_DIRECTORY : 0));

	if (fd < 0)
		return fd;
	return syncfs(fd) < 0 ? -errno : 0;
}
