/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One share as the guest's FUSE sees it: its nodes, its open files, its locks;
 * and the calls that act on them. Answering a message may block on the host's
 * disk; any number of threads may do it for one session at once.
 */
#pragma once

#include "base/error.h"
#include "files/handle.h"
#include "files/identity.h"
#include "files/lock.h"
#include "files/message.h"
#include "files/node.h"
#include "files/share.h"

/* What all shares of a sandbox have in common. */
struct session_totals {
	atomic_size_t nodes, handles;
	size_t nodes_max; /* NODES_MAX, or what the limit of descriptors allows */
};

struct session {
	const struct share *share;
	unsigned int number; /* of the share */
	bool walled;         /* no foreign mount can be below the root */
	struct node_key root;
	struct node_table nodes;
	struct handle_table handles;
	struct lock_table locks;
};

/* Takes the number of descriptors that the process may have from its limit. */
void session_totals_init(struct session_totals *totals);

/*
 * `share` has its root open and outlives the session. The process's working directory must be
 * /proc/self/fd (jail_enter()). Waiting locks are answered later through `later`.
 */
int session_init(struct session *session, const struct share *share, unsigned int number,
		 bool walled, struct session_totals *totals, struct lock_answers *later,
		 struct cay_error *err);
void session_done(struct session *session);

/* A reply that is made: its header, then `size` bytes. */
struct answer {
	uint8_t *data; /* room for MESSAGE_DATA_MAX bytes; the caller's */
	size_t size;
	bool silent; /* there is no reply, or it comes later */
	int error;   /* 0 or a negative errno; no data goes with it */
};

/*
 * Acts on one message. -EPROTO: it is none, and the stream that it came from can't be trusted; 0
 * else, with *ret_answer filled in. *ret_unique says what is answered.
 */
int session_handle(struct session *session, struct identity *identity, const void *bytes,
		   size_t size, uint64_t *ret_unique, struct answer *answer);
