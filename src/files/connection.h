/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One mount of virtiofs, the guest's only one: a root whose entries are the
 * shares' numbers, each of which the guest's kernel takes for a file system of
 * its own. A message goes to the session of the share that its node belongs to.
 */
#pragma once

#include "files/guest-memory.h"
#include "files/identity.h"
#include "files/message.h"
#include "files/session.h"

enum {
	/* A reply without what a READ reads. */
	ANSWER_MAX = 128 << 10,
};

struct connection {
	struct session *sessions;
	size_t count;
	bool any_cached, all_cached;
	struct places places; /* of all shares */
	struct lock_answers answers;
};

/*
 * As session_init(), for all shares of the list. `later` answers locks that had to wait, with the
 * token that was in struct answer, from other threads.
 */
int connection_init(struct connection *connection, const struct share_list *list, bool walled,
		    void (*later)(void *token, int error), struct cay_error *err);
void connection_done(struct connection *connection);
/* Whoever waits for a lock is told that it was interrupted; returns when all have been. */
void connection_interrupt_all(struct connection *connection);

/* One message, as message_parse() wants it, and what a WRITE brings. */
struct request {
	const void *bytes;
	size_t held, size;
	struct pieces written;
};

/* A reply that is made: its header, then `size` bytes. */
struct answer {
	/* the caller's */
	uint8_t *data;      /* room for ANSWER_MAX bytes */
	struct pieces room; /* where in the guest those behind the header are wanted */
	void *token;        /* for what is answered later */

	size_t size;
	bool placed; /* they are there already, not in `data` */
	bool silent; /* there is no reply */
	bool later;  /* it comes with `token` */
	int error;   /* 0 or a negative errno; no data goes with it */
};

/*
 * Acts on one message. -EPROTO: it is none, and the queue that it came from can't be trusted; 0
 * else, with the answer filled in.
 */
int connection_handle(struct connection *connection, struct identity *identity,
		      const struct request *request, struct answer *answer);
