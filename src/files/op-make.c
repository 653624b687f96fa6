/* SPDX-License-Identifier: Apache-2.0 */
/* New files, directories, links and special files, owned by the guest's caller. */
#include "files/operation.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* Becomes the message's caller, until the call ends or identity_restore(). */
static int assume(struct call *call, uint32_t mask)
{
	const struct fuse_in_header *header = call->message->header;

	return identity_assume(call->identity, header->uid, header->gid, mask);
}

static int made(struct call *call, int result)
{
	if (result < 0)
		return -errno;
	identity_restore(call->identity);
	return call_reply_entry(call, call->node->fd, call->message->name);
}

int op_symlink(struct call *call)
{
	int r = assume(call, 0);

	if (r < 0)
		return r;
	return made(call,
		    symlinkat(call->message->second_name, call->node->fd, call->message->name));
}

int op_mknod(struct call *call)
{
	const struct fuse_mknod_in *in = call->message->in;
	int r;

	/* A device would be the host's, for whoever opens it there. */
	if (!S_ISREG(in->mode) && !S_ISFIFO(in->mode) && !S_ISSOCK(in->mode))
		return S_ISCHR(in->mode) || S_ISBLK(in->mode) ? -EPERM : -EINVAL;
	r = assume(call, in->umask);
	if (r < 0)
		return r;
	return made(call,
		    mknodat(call->node->fd, call->message->name, in->mode & (S_IFMT | 07777), 0));
}

int op_mkdir(struct call *call)
{
	const struct fuse_mkdir_in *in = call->message->in;
	int r = assume(call, in->umask);

	if (r < 0)
		return r;
	return made(call, mkdirat(call->node->fd, call->message->name, in->mode & 07777));
}

/* The reply to what is open: its entry, then its handle. Takes *fd over on success. */
static int reply_opened(struct call *call, int *fd, struct node *node, const struct statx *stat)
{
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} *out = call_reply(call, sizeof(*out));

	session_fill_entry(call->session, node, stat, &out->entry);
	return call_open_handle(call, false, fd, &out->open.fh);
}

/* Gives the guest an open file of ours, whatever its name is by now. */
static int hand_over(struct call *call, int *fd)
{
	_cleanup_close_ int path_fd = -1;
	struct fd_name name = fd_name(*fd);
	struct node *node;
	struct statx stat;
	int r;

	path_fd = open(name.text, O_PATH | O_CLOEXEC);
	r = path_fd < 0 ? -errno : call_enter_fd(call, &path_fd, &node, &stat);
	if (r < 0)
		return r;
	r = reply_opened(call, fd, node, &stat);
	if (r < 0)
		node_forget(&call->session->nodes, node->id, 1);
	node_put(&call->session->nodes, node);
	return r;
}

/* Somebody made it since the guest looked: opened as what it is, if it is a file. */
static int open_existing(struct call *call, int flags)
{
	_cleanup_close_ int fd = -1;
	struct node *node;
	struct statx stat;
	int r = call_enter(call, call->node->fd, call->message->name, &node, &stat);

	if (r < 0)
		return r;
	fd = node_open(node, flags);
	r = fd < 0 ? fd : hand_over(call, &fd);
	node_forget(&call->session->nodes, node->id, 1);
	node_put(&call->session->nodes, node);
	return r;
}

int op_create(struct call *call)
{
	const struct fuse_create_in *in = call->message->in;
	const int flags = open_flags(in->flags);
	_cleanup_close_ int fd = -1;
	int r = assume(call, in->umask);

	if (r < 0)
		return r;
	fd = openat(call->node->fd, call->message->name,
		    flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, in->mode & 07777);
	r = fd < 0 ? -errno : 0;
	identity_restore(call->identity);
	if (r == -EEXIST && !(in->flags & O_EXCL)) {
		identity_kill_set_ids(call->identity, in->open_flags & FUSE_OPEN_KILL_SUIDGID);
		return open_existing(call, flags);
	}
	return r < 0 ? r : hand_over(call, &fd);
}

int op_tmpfile(struct call *call)
{
	const struct fuse_create_in *in = call->message->in;
	_cleanup_close_ int fd = -1;
	int r = assume(call, in->umask);

	if (r < 0)
		return r;
	/* O_EXCL forbids to give it a name later. */
	fd = openat(call->node->fd, ".",
		    (open_flags(in->flags) & ~O_TRUNC) | (int)(in->flags & O_EXCL) | O_TMPFILE |
			    O_CLOEXEC,
		    in->mode & 07777);
	r = fd < 0 ? -errno : 0;
	identity_restore(call->identity);
	return r < 0 ? r : hand_over(call, &fd);
}
