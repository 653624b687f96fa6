/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes, through /proc/self/fd: a descriptor of the kind that
 * nodes have takes none of the calls for descriptors. The link there leads to
 * the file itself, which may be a symbolic link.
 */
#include "files/operation.h"

#include <errno.h>
#include <sys/xattr.h>

int op_setxattr(struct call *call)
{
	const struct fuse_setxattr_in *in = call->message->in;
	struct fd_name path = fd_name(call->node->fd);

	return setxattr(path.text, call->message->name, call->message->data, call->message->size,
			(int)in->flags) < 0
		? -errno
		: 0;
}

int op_removexattr(struct call *call)
{
	struct fd_name path = fd_name(call->node->fd);

	return removexattr(path.text, call->message->name) < 0 ? -errno : 0;
}

/* With no room given the answer is how much there should be. */
static int reply_value(struct call *call, uint32_t room, ssize_t n)
{
	struct fuse_getxattr_out *out;

	if (n < 0)
		return -errno;
	if (room > 0) {
		call->answer->size = (size_t)n;
		return 0;
	}
	out = call_reply(call, sizeof(*out));
	out->size = (uint32_t)n;
	return 0;
}

int op_getxattr(struct call *call)
{
	const struct fuse_getxattr_in *in = call->message->in;
	const uint32_t room = MIN(in->size, (uint32_t)MESSAGE_XATTR_MAX);
	struct fd_name path = fd_name(call->node->fd);

	return reply_value(call, room,
			   getxattr(path.text, call->message->name, call->answer->data, room));
}

int op_listxattr(struct call *call)
{
	const struct fuse_getxattr_in *in = call->message->in;
	const uint32_t room = MIN(in->size, (uint32_t)MESSAGE_XATTR_MAX);
	struct fd_name path = fd_name(call->node->fd);

	return reply_value(call, room, listxattr(path.text, (char *)call->answer->data, room));
}
