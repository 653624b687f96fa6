/* SPDX-License-Identifier: Apache-2.0 */
/* Names in directories: looked up, taken away, moved, added. */
#include "files/operation.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/syscall.h>

int op_lookup(struct call *call)
{
	int r = call_reply_entry(call, call->node->fd, call->message->name);

	/* That a name is not there may be believed for a second as well. */
	if (r == -ENOENT && call->session->share->cached) {
		struct fuse_entry_out *out = call_reply(call, sizeof(*out));

		out->entry_valid = 1;
		return 0;
	}
	return r;
}

int op_readlink(struct call *call)
{
	char *out = call_reply(call, MESSAGE_TARGET_MAX + 1);
	ssize_t n = readlinkat(call->node->fd, "", out, MESSAGE_TARGET_MAX + 1);

	if (n < 0)
		return errno == ENOENT ? -EINVAL : -errno; /* ENOENT: it is no symbolic link */
	call->answer->size = (size_t)n;
	return 0;
}

int op_unlink(struct call *call)
{
	return unlinkat(call->node->fd, call->message->name, 0) < 0 ? -errno : 0;
}

int op_rmdir(struct call *call)
{
	return unlinkat(call->node->fd, call->message->name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

static int rename_to(struct call *call, uint64_t directory, unsigned int flags)
{
	struct node_table *nodes = &call->session->nodes;
	struct node *target;
	int r;

	/* A whiteout is a device node. */
	if (flags & ~(unsigned int)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	r = session_node(call->session, directory, &target);
	if (r < 0)
		return r;
	r = renameat2(call->node->fd, call->message->name, target->fd, call->message->second_name,
		      flags);
	r = r < 0 ? -errno : 0;
	node_put(nodes, target);
	return r;
}

int op_rename(struct call *call)
{
	const struct fuse_rename_in *in = call->message->in;

	return rename_to(call, in->newdir, 0);
}

int op_rename2(struct call *call)
{
	const struct fuse_rename2_in *in = call->message->in;

	return rename_to(call, in->newdir, in->flags);
}

int op_link(struct call *call)
{
	const struct fuse_link_in *in = call->message->in;
	struct node_table *nodes = &call->session->nodes;
	struct fd_name name;
	struct node *file;
	int r = session_node(call->session, in->oldnodeid, &file);

	if (r < 0)
		return r;
	name = fd_name(file->fd);
	/* The link that is followed is /proc/self/fd's, up to the file itself and not beyond it. */
	r = linkat(AT_FDCWD, name.text, call->node->fd, call->message->name, AT_SYMLINK_FOLLOW);
	r = r < 0 ? -errno : call_reply_entry(call, call->node->fd, call->message->name);
	node_put(nodes, file);
	return r;
}
