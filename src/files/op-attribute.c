/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes of files, and how names and descriptors become nodes.
 *
 * What the guest may keep: the name of a file for no time at all, so whoever
 * goes by a path asks, and gets the attributes with the answer; attributes,
 * and the names of directories, for what is left of a tick of its own clock
 * and one more (20 ms). Without that, each step of a path would be asked for
 * twice, as the kernel looks at permissions of what it has just looked up. In
 * a share that is "cached" all of it is valid for a second.
 *
 * The guest drops the data that it has of a file when size or modification
 * time have changed. The host's clock for those times ticks every 1 to 10 ms:
 * two writes within one tick that leave the size alone look like one. So data
 * read while the time was that fresh does not outlive the next open (node
 * "unsettled", op-open.c); only who keeps a file open over such a pair of
 * writes may go on seeing the first of them.
 */
#include "files/operation.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <time.h>

/* Longer than any tick; where times have whole seconds only, two of those (FAT has even ones). */
static const int64_t tick_ns = 50 * 1000 * 1000, coarse_tick_ns = INT64_C(2050) * 1000 * 1000;

enum { SECOND_NS = 1000000000, INODE_BITS = 48 };

static const unsigned int wanted = STATX_BASIC_STATS | STATX_MNT_ID;

struct fd_name fd_name(int fd)
{
	struct fd_name name;

	(void)snprintf(name.text, sizeof(name.text), "%d", fd);
	return name;
}

int stat_fd(int fd, struct statx *ret_stat)
{
	return statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, wanted, ret_stat) < 0 ? -errno
											: 0;
}

int stat_name(int directory, const char *name, struct statx *ret_stat)
{
	return statx(directory, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, wanted, ret_stat) < 0
		? -errno
		: 0;
}

void node_key_of(const struct statx *stat, struct node_key *ret_key)
{
	*ret_key = (struct node_key){
		.device = (uint64_t)stat->stx_dev_major << 32 | stat->stx_dev_minor,
		.inode = stat->stx_ino,
		.mount = stat->stx_mnt_id,
	};
}

/* A mount below the source is part of a share only if asked for; jail_enter() left no other. */
static bool is_foreign(const struct session *session, const struct node_key *key)
{
	return !session->walled && !session->share->recursive && key->mount != session->root.mount;
}

static int enter(struct call *call, const struct node_key *key, mode_t mode, int *fd,
		 struct node **ret_node)
{
	int r = call_take_place(call, PLACE_NODE);

	if (r < 0)
		return r;
	r = node_enter(&call->session->nodes, key, mode, fd, ret_node);
	if (r != 1)
		places_give(&call->connection->places, PLACE_NODE);
	return MIN(r, 0);
}

int call_enter_fd(struct call *call, int *fd, struct node **ret_node, struct statx *ret_stat)
{
	struct node_key key;
	int r = stat_fd(*fd, ret_stat);

	if (r < 0)
		return r;
	node_key_of(ret_stat, &key);
	if (is_foreign(call->session, &key))
		return -EXDEV;
	*ret_node = node_find(&call->session->nodes, &key);
	return *ret_node ? 0 : enter(call, &key, ret_stat->stx_mode, fd, ret_node);
}

int call_enter(struct call *call, int directory, const char *name, struct node **ret_node,
	       struct statx *ret_stat)
{
	_cleanup_close_ int fd = -1;
	struct node_key key;
	int r = stat_name(directory, name, ret_stat);

	if (r < 0)
		return r;
	node_key_of(ret_stat, &key);
	if (is_foreign(call->session, &key))
		return -EXDEV;
	*ret_node = node_find(&call->session->nodes, &key);
	if (*ret_node)
		return 0;
	/* It may be another file by now: what counts is what is open then. */
	fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : call_enter_fd(call, &fd, ret_node, ret_stat);
}

uint64_t session_inode(const struct session *session, uint64_t device, uint64_t inode)
{
	uint64_t mixed = device * UINT64_C(0x9e3779b97f4a7c15);

	return device == session->root.device ? inode : inode ^ (mixed >> INODE_BITS << INODE_BITS);
}

/* As the kernel's new_encode_dev(). */
static uint32_t encode_device(uint32_t major_number, uint32_t minor_number)
{
	return (minor_number & 0xff) | major_number << 8 | (minor_number & ~0xffU) << 12;
}

void session_fill_attr(const struct session *session, const struct statx *stat,
		       struct fuse_attr *ret_attr)
{
	struct node_key key;

	node_key_of(stat, &key);
	*ret_attr = (struct fuse_attr){
		.ino = session_inode(session, key.device, key.inode),
		.size = stat->stx_size,
		.blocks = stat->stx_blocks,
		.atime = (uint64_t)stat->stx_atime.tv_sec,
		.mtime = (uint64_t)stat->stx_mtime.tv_sec,
		.ctime = (uint64_t)stat->stx_ctime.tv_sec,
		.atimensec = stat->stx_atime.tv_nsec,
		.mtimensec = stat->stx_mtime.tv_nsec,
		.ctimensec = stat->stx_ctime.tv_nsec,
		.mode = stat->stx_mode,
		.nlink = stat->stx_nlink,
		.uid = stat->stx_uid,
		.gid = stat->stx_gid,
		.rdev = encode_device(stat->stx_rdev_major, stat->stx_rdev_minor),
		.blksize = stat->stx_blksize,
	};
}

static void note_freshness(struct node *node, const struct statx *stat)
{
	const struct statx_timestamp *changed = &stat->stx_mtime;
	struct timespec now;
	int64_t age_ns;

	if (node->type != S_IFREG)
		return;
	(void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (changed->tv_sec + 4 < now.tv_sec)
		return;
	age_ns = (now.tv_sec - changed->tv_sec) * SECOND_NS + now.tv_nsec - changed->tv_nsec;
	/* One from the future is never settled, as it doesn't say when. */
	if (age_ns < (changed->tv_nsec == 0 ? coarse_tick_ns : tick_ns))
		atomic_store_explicit(&node->unsettled, true, memory_order_relaxed);
}

void session_fill_entry(const struct session *session, struct node *node, const struct statx *stat,
			struct fuse_entry_out *ret_entry)
{
	const bool cached = session->share->cached;

	*ret_entry = (struct fuse_entry_out){
		.nodeid = session_public_id(session, node),
		.generation = node->generation,
		.entry_valid = cached ? 1 : 0,
		.attr_valid = cached ? 1 : 0,
		/* Anything above none is rounded up to a tick. */
		.entry_valid_nsec = !cached && node->type == S_IFDIR ? 1 : 0,
		.attr_valid_nsec = cached ? 0 : 1,
	};
	session_fill_attr(session, stat, &ret_entry->attr);
	note_freshness(node, stat);
}

int call_reply_entry(struct call *call, int directory, const char *name)
{
	struct session *session = call->session;
	struct node *node;
	struct statx stat;
	int r = call_enter(call, directory, name, &node, &stat);

	if (r < 0)
		return r;
	session_fill_entry(session, node, &stat, call_reply(call, sizeof(struct fuse_entry_out)));
	node_put(&session->nodes, node);
	return 0;
}

static int reply_attributes(struct call *call)
{
	struct fuse_attr_out *out;
	struct statx stat;
	int r = stat_fd(call->node->fd, &stat);

	if (r < 0)
		return r;
	out = call_reply(call, sizeof(*out));
	out->attr_valid = call->session->share->cached ? 1 : 0;
	out->attr_valid_nsec = call->session->share->cached ? 0 : 1;
	session_fill_attr(call->session, &stat, &out->attr);
	note_freshness(call->node, &stat);
	return 0;
}

int op_getattr(struct call *call)
{
	return reply_attributes(call);
}

static int change_mode(const struct call *call, const struct fuse_setattr_in *in)
{
	struct fd_name name = fd_name(call->node->fd);

	if (!(in->valid & FATTR_MODE))
		return 0;
	if (call->node->type == S_IFLNK)
		return -EOPNOTSUPP;
	return fchmodat(AT_FDCWD, name.text, in->mode & 07777, 0) < 0 ? -errno : 0;
}

static int change_owner(const struct call *call, const struct fuse_setattr_in *in)
{
	const uid_t uid = in->valid & FATTR_UID ? in->uid : (uid_t)-1;
	const gid_t gid = in->valid & FATTR_GID ? in->gid : (gid_t)-1;

	if (!(in->valid & (FATTR_UID | FATTR_GID)))
		return 0;
	/* The ids that stand for "leave it" are none that a file can have. */
	if (((in->valid & FATTR_UID) && in->uid == (uid_t)-1) ||
	    ((in->valid & FATTR_GID) && in->gid == (gid_t)-1))
		return -EINVAL;
	return fchownat(call->node->fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0
		? -errno
		: 0;
}

static int change_size(struct call *call, const struct fuse_setattr_in *in)
{
	struct fd_name name = fd_name(call->node->fd);
	struct handle *handle = NULL;
	int r;

	if (!(in->valid & FATTR_SIZE))
		return 0;
	if (call->node->type != S_IFREG)
		return call->node->type == S_IFDIR ? -EISDIR : -EINVAL;
	if (in->valid & FATTR_FH)
		handle = handle_get(&call->session->handles, in->fh, false);
	identity_kill_set_ids(call->identity, in->valid & FATTR_KILL_SUIDGID);
	if (handle)
		r = ftruncate(handle->fd, (off_t)in->size);
	else
		r = truncate(name.text, (off_t)in->size);
	r = r < 0 ? -errno : 0;
	identity_kill_set_ids(call->identity, false);
	handle_put(&call->session->handles, handle);
	return r;
}

static struct timespec new_time(bool set, bool now, uint64_t seconds, uint32_t nanoseconds)
{
	if (now)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	if (!set)
		return (struct timespec){ .tv_nsec = UTIME_OMIT };
	return (struct timespec){ .tv_sec = (time_t)seconds, .tv_nsec = nanoseconds };
}

static int change_times(const struct call *call, const struct fuse_setattr_in *in)
{
	struct fd_name name = fd_name(call->node->fd);
	const struct timespec times[2] = {
		new_time(in->valid & FATTR_ATIME, in->valid & FATTR_ATIME_NOW, in->atime,
			 in->atimensec),
		new_time(in->valid & FATTR_MTIME, in->valid & FATTR_MTIME_NOW, in->mtime,
			 in->mtimensec),
	};

	if (!(in->valid & (FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW)))
		return 0;
	/* The values that mean something else to utimensat(). */
	if (in->atimensec >= SECOND_NS || in->mtimensec >= SECOND_NS)
		return -EINVAL;
	return utimensat(AT_FDCWD, name.text, times, 0) < 0 ? -errno : 0;
}

int op_setattr(struct call *call)
{
	const struct fuse_setattr_in *in = call->message->in;
	int r = change_mode(call, in);

	if (r == 0)
		r = change_owner(call, in);
	if (r == 0)
		r = change_size(call, in);
	if (r == 0)
		r = change_times(call, in);
	return r < 0 ? r : reply_attributes(call);
}

int op_statfs(struct call *call)
{
	struct fuse_statfs_out *out;
	struct statfs host;

	if (fstatfs(call->node->fd, &host) < 0)
		return -errno;
	out = call_reply(call, sizeof(*out));
	out->st = (struct fuse_kstatfs){
		.blocks = host.f_blocks,
		.bfree = host.f_bfree,
		.bavail = host.f_bavail,
		.files = host.f_files,
		.ffree = host.f_ffree,
		.bsize = (uint32_t)host.f_bsize,
		.namelen = (uint32_t)MIN(host.f_namelen, MESSAGE_NAME_MAX),
		.frsize = (uint32_t)host.f_frsize,
	};
	return 0;
}
