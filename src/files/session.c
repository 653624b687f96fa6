/* SPDX-License-Identifier: Apache-2.0 */
/* A session's beginning and end, and what leads from a message to its operation. */
#include "files/operation.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum {
	OP_NODE = 1,   /* acts on the node of the header */
	OP_WRITES = 2, /* refused on a read-only share */
	/* These need a place before they begin: */
	OP_MAKES = 4, /* a node */
	OP_OPENS = 8, /* a handle */
};

static const struct operation {
	operation_fn *run;
	unsigned int flags;
} operations[] = {
	[FUSE_LOOKUP] = { op_lookup, OP_NODE },
	[FUSE_GETATTR] = { op_getattr, OP_NODE },
	[FUSE_SETATTR] = { op_setattr, OP_NODE | OP_WRITES },
	[FUSE_READLINK] = { op_readlink, OP_NODE },
	[FUSE_SYMLINK] = { op_symlink, OP_NODE | OP_WRITES | OP_MAKES },
	[FUSE_MKNOD] = { op_mknod, OP_NODE | OP_WRITES | OP_MAKES },
	[FUSE_MKDIR] = { op_mkdir, OP_NODE | OP_WRITES | OP_MAKES },
	[FUSE_UNLINK] = { op_unlink, OP_NODE | OP_WRITES },
	[FUSE_RMDIR] = { op_rmdir, OP_NODE | OP_WRITES },
	[FUSE_RENAME] = { op_rename, OP_NODE | OP_WRITES },
	[FUSE_LINK] = { op_link, OP_NODE | OP_WRITES | OP_MAKES },
	[FUSE_OPEN] = { op_open, OP_NODE | OP_OPENS },
	[FUSE_READ] = { op_read, 0 },
	[FUSE_WRITE] = { op_write, OP_WRITES },
	[FUSE_STATFS] = { op_statfs, OP_NODE },
	[FUSE_RELEASE] = { op_release, 0 },
	[FUSE_FSYNC] = { op_fsync, 0 },
	[FUSE_SETXATTR] = { op_setxattr, OP_NODE | OP_WRITES },
	[FUSE_GETXATTR] = { op_getxattr, OP_NODE },
	[FUSE_LISTXATTR] = { op_listxattr, OP_NODE },
	[FUSE_REMOVEXATTR] = { op_removexattr, OP_NODE | OP_WRITES },
	[FUSE_FLUSH] = { op_flush, OP_NODE },
	[FUSE_OPENDIR] = { op_opendir, OP_NODE | OP_OPENS },
	[FUSE_READDIR] = { op_readdir, OP_NODE },
	[FUSE_RELEASEDIR] = { op_releasedir, 0 },
	[FUSE_FSYNCDIR] = { op_fsyncdir, 0 },
	[FUSE_GETLK] = { op_getlk, OP_NODE },
	[FUSE_SETLK] = { op_setlk, OP_NODE },
	[FUSE_SETLKW] = { op_setlkw, OP_NODE },
	[FUSE_CREATE] = { op_create, OP_NODE | OP_WRITES | OP_MAKES | OP_OPENS },
	[FUSE_FALLOCATE] = { op_fallocate, OP_WRITES },
	[FUSE_READDIRPLUS] = { op_readdirplus, OP_NODE },
	[FUSE_RENAME2] = { op_rename2, OP_NODE | OP_WRITES },
	[FUSE_LSEEK] = { op_lseek, 0 },
	[FUSE_COPY_FILE_RANGE] = { op_copy_file_range, OP_WRITES },
	[FUSE_SYNCFS] = { op_syncfs, OP_NODE },
	[FUSE_TMPFILE] = { op_tmpfile, OP_NODE | OP_WRITES | OP_MAKES | OP_OPENS },
};

int session_init(struct session *session, const struct share *share, unsigned int number,
		 bool walled, struct places *places, struct lock_answers *later,
		 struct cay_error *err)
{
	_cleanup_close_ int fd = -1;
	struct node *root;
	struct statx stat;
	int r;

	*session = (struct session){ .share = share, .number = number, .walled = walled };
	fd = fcntl(share->root_fd, F_DUPFD_CLOEXEC, 0);
	r = fd < 0 ? -errno : stat_fd(fd, &stat);
	if (r < 0)
		return cay_error_errno(err, r, "share %s", share->path);
	node_key_of(&stat, &session->root);
	node_table_init(&session->nodes, places);
	handle_table_init(&session->handles, places);
	lock_table_init(&session->locks, later, places, share->read_only);
	r = places_take(places, PLACE_NODE);
	if (r == 0) {
		r = node_enter(&session->nodes, &session->root, stat.stx_mode, &fd, &root);
		if (r < 0)
			places_give(places, PLACE_NODE);
	}
	if (r < 0) {
		session_done(session);
		return cay_error_errno(err, r, "share %s", share->path);
	}
	assert(root->id == FUSE_ROOT_ID);
	node_put(&session->nodes, root); /* its one lookup is never given back */
	return 0;
}

void session_done(struct session *session)
{
	lock_table_done(&session->locks);
	handle_table_done(&session->handles);
	node_table_done(&session->nodes);
}

void session_forget_all(struct session *session)
{
	handle_close_all(&session->handles);
	lock_release_all(&session->locks);
	node_forget_all(&session->nodes);
}

int64_t session_share_of(uint64_t id)
{
	return (int64_t)(id >> SESSION_NODE_BITS) - 1;
}

uint64_t session_local_id(uint64_t id)
{
	return id & ((UINT64_C(1) << SESSION_NODE_BITS) - 1);
}

uint64_t session_public_id(const struct session *session, const struct node *node)
{
	return (uint64_t)(session->number + 1) << SESSION_NODE_BITS | node->id;
}

int session_node(struct session *session, uint64_t id, struct node **ret_node)
{
	struct node *node;

	if (session_share_of(id) != session->number)
		return -EXDEV;
	node = node_get(&session->nodes, session_local_id(id));
	if (!node)
		return -ESTALE;
	*ret_node = node;
	return 0;
}

/* A directory that is gone, and that the guest may have found by a name that is another's by now.
 */
static bool is_removed(const struct node *node)
{
	struct statx stat;

	return node && node->id != FUSE_ROOT_ID && node->type == S_IFDIR &&
		stat_fd(node->fd, &stat) == 0 && stat.stx_nlink == 0;
}

int call_take_place(struct call *call, enum place_kind kind)
{
	const unsigned int bit = 1U << kind;
	const bool reserved = call->reserved & bit;

	call->reserved &= ~bit;
	return reserved ? 0 : places_take(&call->connection->places, kind);
}

static int reserve(struct call *call, enum place_kind kind)
{
	int r = places_take(&call->connection->places, kind);

	if (r == 0)
		call->reserved |= 1U << kind;
	return r;
}

static int run(struct call *call, const struct operation *operation)
{
	int r = operation->flags & OP_MAKES ? reserve(call, PLACE_NODE) : 0;

	if (r == 0 && (operation->flags & OP_OPENS))
		r = reserve(call, PLACE_HANDLE);
	if (r == 0)
		r = operation->run(call);
	for (enum place_kind kind = PLACE_NODE; kind <= PLACE_HANDLE; kind++)
		if (call->reserved & 1U << kind)
			places_give(&call->connection->places, kind);
	/* It is not the guest's program that has too many. */
	return r == -EMFILE ? -ENFILE : r;
}

int session_run(struct session *session, struct call *call)
{
	const struct fuse_in_header *header = call->message->header;
	const struct operation *operation = &operations[header->opcode];
	int r;

	call->session = session;
	/* Every operation that message_parse() knows is here or the connection's. */
	if ((operation->flags & OP_WRITES) && session->share->read_only)
		return -EROFS;
	if (operation->flags & OP_NODE) {
		r = session_node(session, header->nodeid, &call->node);
		if (r < 0)
			return r;
	}
	r = run(call, operation);
	identity_restore(call->identity);
	/* The kernel goes the whole path again then, and asks for each name. */
	if (r == -ENOENT && is_removed(call->node))
		r = -ESTALE;
	node_put(&session->nodes, call->node);
	return r;
}
