/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root of the guest's mount: a directory that nobody can change, with one
 * entry for each share, its number. Only the guest's vminitd ever looks there.
 */
#include "files/operation.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Shares come and go with the sandbox. */
enum { VALID_SECONDS = 24 * 60 * 60 };

static void fill_root(const struct connection *connection, struct fuse_attr *ret_attr)
{
	*ret_attr = (struct fuse_attr){
		.ino = FUSE_ROOT_ID,
		.mode = S_IFDIR | 0500,
		.nlink = 2 + (uint32_t)connection->count,
		.blksize = 4096,
	};
}

static int root_getattr(struct call *call)
{
	struct fuse_attr_out *out = call_reply(call, sizeof(*out));

	out->attr_valid = VALID_SECONDS;
	fill_root(call->connection, &out->attr);
	return 0;
}

/* The number as we write it, and not otherwise: each share has one name. */
static struct session *find_share(struct connection *connection, const char *name)
{
	for (size_t i = 0; i < connection->count; i++) {
		char number[24];

		(void)snprintf(number, sizeof(number), "%zu", i);
		if (strcmp(name, number) == 0)
			return &connection->sessions[i];
	}
	return NULL;
}

static int root_lookup(struct call *call)
{
	struct session *session = find_share(call->connection, call->message->name);
	struct fuse_entry_out *out = call_reply(call, sizeof(*out));
	struct statx stat;
	struct node *root;
	int r;

	if (!session)
		return -ENOENT;
	root = node_get(&session->nodes, FUSE_ROOT_ID);
	r = stat_fd(root->fd, &stat);
	if (r == 0) {
		session_fill_entry(session, root, &stat, out);
		out->entry_valid = VALID_SECONDS;
		/* A file system of its own there, as a mount would be. */
		if (S_ISDIR(stat.stx_mode))
			out->attr.flags |= FUSE_ATTR_SUBMOUNT;
	}
	node_put(&session->nodes, root);
	return r;
}

static int root_readdir(struct call *call, bool plus)
{
	const struct fuse_read_in *in = call->message->in;
	const size_t room = MIN(in->size, (uint32_t)ANSWER_MAX);
	/* Which stays empty: the entry is asked for when it is used. */
	const size_t before = plus ? sizeof(struct fuse_entry_out) : 0;

	for (uint64_t i = in->offset; i < call->connection->count; i++) {
		uint8_t *at = call->answer->data + call->answer->size;
		struct fuse_dirent *entry = (struct fuse_dirent *)(at + before);
		char name[24];
		size_t length = (size_t)snprintf(name, sizeof(name), "%zu", (size_t)i);
		size_t size = FUSE_DIRENT_ALIGN(before + FUSE_NAME_OFFSET + length);

		if (call->answer->size + size > room)
			break;
		memset(at, 0, size);
		entry->ino = FUSE_ROOT_ID + 1 + i;
		entry->off = i + 1;
		entry->namelen = (uint32_t)length;
		memcpy(entry->name, name, length);
		call->answer->size += size;
	}
	return 0;
}

/* Never -ENOSYS: the guest would not ask for that operation of any share again. */
int op_root(struct call *call)
{
	switch (call->message->header->opcode) {
	case FUSE_GETATTR:
		return root_getattr(call);
	case FUSE_LOOKUP:
		return root_lookup(call);
	case FUSE_OPENDIR:
		(void)call_reply(call, sizeof(struct fuse_open_out));
		return 0;
	case FUSE_READDIR:
		return root_readdir(call, false);
	case FUSE_READDIRPLUS:
		return root_readdir(call, true);
	case FUSE_STATFS:
		(void)call_reply(call, sizeof(struct fuse_statfs_out));
		return 0;
	case FUSE_RELEASEDIR:
	case FUSE_FSYNCDIR:
	case FUSE_SYNCFS:
	case FUSE_FLUSH:
		return 0;
	case FUSE_GETXATTR:
		return -ENODATA;
	default:
		return -EPERM;
	}
}
