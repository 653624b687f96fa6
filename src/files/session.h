/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One share as the guest's FUSE sees it: its nodes, its open files, its locks;
 * and the calls that act on them. Answering a message may block on the host's
 * disk; any number of threads may do it for one session at once.
 *
 * The number of a node is the share's in its upper bits and, below, the one
 * that it has in the session's table.
 */
#pragma once

#include "base/error.h"
#include "files/handle.h"
#include "files/lock.h"
#include "files/node.h"
#include "files/share.h"

struct call;

enum { SESSION_NODE_BITS = 48 };

struct session {
	const struct share *share;
	unsigned int number; /* of the share */
	bool walled;         /* no foreign mount can be below the root */
	struct node_key root;
	struct node_table nodes;
	struct handle_table handles;
	struct lock_table locks;
};

/*
 * `share` has its root open and outlives the session. The process's working directory must be
 * /proc/self/fd (jail_enter()). Waiting locks are answered later through `later`.
 */
int session_init(struct session *session, const struct share *share, unsigned int number,
		 bool walled, struct places *places, struct lock_answers *later,
		 struct cay_error *err);
void session_done(struct session *session);
/* What the guest has of it is given back; the root stays. */
void session_forget_all(struct session *session);

/* The share of a node's number, or -1 for the connection's own. */
int64_t session_share_of(uint64_t id);
/* The number in the session's table, and back. */
uint64_t session_local_id(uint64_t id);
uint64_t session_public_id(const struct session *session, const struct node *node);
/* A node that a message names, with a use of the caller's: 0, -ESTALE; -EXDEV: another share's. */
int session_node(struct session *session, uint64_t id, struct node **ret_node);

/* Acts on a message about one of the share's nodes: 0 or -errno. */
int session_run(struct session *session, struct call *call);
