/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Record locks of a guest's processes, as locks on the host, so that they hold
 * between containers and against the host's programs. Each owner has an open
 * file description of its own for each file it locks (F_OFD_SETLK, fcntl(2)).
 * Locks of whole files (flock) are on the descriptor of the guest's open file.
 *
 * Those that must wait do it in threads of their own, which answer later.
 */
#pragma once

#include "files/handle.h"
#include "files/node.h"
#include "files/places.h"

#include <linux/fuse.h>

enum {
	LOCK_OWNERS_MAX = 4096, /* descriptors kept for owners, a share */
	LOCK_WAITS_MAX = 128,   /* threads that wait, a sandbox */
};

struct lock_owner;
struct lock_wait;

/* Interrupts that came before the request they are for was looked at. */
enum { LOCK_INTERRUPTS_MAX = 64 };

/* What waits, and where the answers go. One for all shares of a sandbox. */
struct lock_answers {
	/* Called from other threads with what lock_request had, once for each that waits. */
	void (*answer)(void *token, int error);

	pthread_mutex_t lock;
	pthread_cond_t ended; /* a wait did */
	struct lock_wait *waits;
	size_t count;
	uint64_t early[LOCK_INTERRUPTS_MAX]; /* a ring of numbers of requests */
	size_t early_next;
};

/* Sets the signal up that interrupts a wait: SIGUSR1, for the whole process. */
void lock_answers_init(struct lock_answers *answers, void (*answer)(void *token, int error));
/* Interrupts what waits; returns when all of it has been answered. */
void lock_answers_end(struct lock_answers *answers);
/* The same, for good. */
void lock_answers_done(struct lock_answers *answers);

struct lock_table {
	pthread_mutex_t lock;
	struct lock_owner *owners;
	size_t count;
	struct lock_answers *answers;
	struct places *places;
	bool read_only;
};

void lock_table_init(struct lock_table *table, struct lock_answers *answers, struct places *places,
		     bool read_only);
/* The share's waits must have ended. */
void lock_table_done(struct lock_table *table);

/* What is in the way of this lock, in place of it; F_UNLCK: nothing. */
int lock_test(struct lock_table *table, const struct node *node, uint64_t owner,
	      struct fuse_file_lock *lock);

/* One request to lock or unlock. */
struct lock_request {
	const struct node *node;
	uint64_t owner;
	struct fuse_file_lock lock;
	const struct handle *whole; /* flock() on this; NULL: a range, for the owner */
	bool wait;
	uint64_t unique; /* what a wait is interrupted by */
	void *token;     /* and what it is answered with */
};

/*
 * 0 or -errno, -EAGAIN where another has it. For one that waits -EINPROGRESS may be the result: the
 * answer comes later.
 */
int lock_set(struct lock_table *table, const struct lock_request *request);
void lock_interrupt(struct lock_answers *answers, uint64_t unique);
/* All ranges that an owner has locked in this file. */
void lock_release_owner(struct lock_table *table, const struct node *node, uint64_t owner);
void lock_release_all(struct lock_table *table);
