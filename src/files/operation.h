/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations of FUSE, one function each, and what they share. Each gets a
 * checked message, acts on the host's files, puts its reply into the answer
 * and returns 0 or -errno. Every path that is resolved is one component below
 * a descriptor, and never followed through a symbolic link.
 */
#pragma once

#include "files/connection.h"

struct call {
	struct connection *connection;
	struct session *session; /* of the message's node; NULL for the connection's own */
	struct identity *identity;
	const struct message *message;
	const struct pieces *written; /* what a WRITE brings, message->size bytes in the guest */
	struct node *node; /* of the message's header; NULL where the operation needs none */
	struct answer *answer;
	unsigned int reserved; /* places that the operation may use up, a bit for each kind */
};

typedef int operation_fn(struct call *call);

/* op-attribute.c */
operation_fn op_getattr, op_setattr, op_statfs;
/* op-name.c */
operation_fn op_lookup, op_readlink, op_unlink, op_rmdir, op_rename, op_rename2, op_link;
/* op-make.c */
operation_fn op_symlink, op_mknod, op_mkdir, op_create, op_tmpfile;
/* op-open.c */
operation_fn op_open, op_opendir, op_release, op_releasedir, op_flush, op_fsync, op_fsyncdir,
	op_syncfs;
/* op-data.c */
operation_fn op_read, op_write, op_lseek, op_fallocate, op_copy_file_range;
/* op-directory.c */
operation_fn op_readdir, op_readdirplus;
/* op-xattr.c */
operation_fn op_setxattr, op_getxattr, op_listxattr, op_removexattr;
/* op-lock.c */
operation_fn op_getlk, op_setlk, op_setlkw;
/* op-connection.c: those of the mount, not of one share's */
operation_fn op_init, op_destroy, op_forget, op_batch_forget, op_interrupt;
/* op-root.c: all that the mount's root can do */
operation_fn op_root;

/* Room for a reply of `size` bytes (at most ANSWER_MAX), zeroed. */
void *call_reply(struct call *call, size_t size);

/* One that was reserved, or else another: 0 or -ENFILE. */
int call_take_place(struct call *call, enum place_kind kind);
/* A handle for *fd, which is taken over, in the place reserved for it. */
int call_open_handle(struct call *call, bool directory, int *fd, uint64_t *ret_id);

/* The name of a descriptor below the working directory, /proc/self/fd. */
struct fd_name {
	char text[12];
};
struct fd_name fd_name(int fd);
/* Opens what a node stands for: only regular files and directories; -ENXIO, -EISDIR or -ENOTDIR. */
int node_open(const struct node *node, int flags);
/* What `open` of the guest may ask of the host's. */
int open_flags(uint32_t guest_flags);

/* The host's answer about a descriptor, or about a name below it. */
int stat_fd(int fd, struct statx *ret_stat);
int stat_name(int directory, const char *name, struct statx *ret_stat);
void node_key_of(const struct statx *stat, struct node_key *ret_key);

/* Looks a name up: its node with one lookup and one use more, and its attributes. */
int call_enter(struct call *call, int directory, const char *name, struct node **ret_node,
	       struct statx *ret_stat);
/* The same for an O_PATH descriptor, which is taken over where a node is made of it. */
int call_enter_fd(struct call *call, int *fd, struct node **ret_node, struct statx *ret_stat);
void session_fill_attr(const struct session *session, const struct statx *stat,
		       struct fuse_attr *ret_attr);
/* Also remembers whether what the guest reads of the file now can be trusted later. */
void session_fill_entry(const struct session *session, struct node *node, const struct statx *stat,
			struct fuse_entry_out *ret_entry);
/* The number of a file as the guest sees it: those of another file system are set apart. */
uint64_t session_inode(const struct session *session, uint64_t device, uint64_t inode);
/* The entry of a name just made or found, as the reply. */
int call_reply_entry(struct call *call, int directory, const char *name);
