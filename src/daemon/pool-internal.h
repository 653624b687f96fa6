/* SPDX-License-Identifier: Apache-2.0 */
/* The pool's table, shared by those who ask it (pool.c) and the thread that fills it. */
#pragma once

#include "daemon/pool-member.h"
#include "daemon/pool.h"
#include "image/store.h"

#include <pthread.h>

enum { POOL_RETRY_MAX_MS = 15 * 60 * 1000 };

struct pool {
	struct daemon *daemon;
	char *directory;
	int wake_fd; /* an eventfd */
	pthread_t thread;
	bool is_threaded;

	/* The thread's own. */
	struct image_disk image;     /* of the warm-up program; no extents: not made yet */
	char key[TEMPLATE_KEY_SIZE]; /* of the machine that members have */
	int64_t lacking_since_ms, not_before_ms;
	int64_t limited_ms; /* when the limit was last found */
	unsigned int told_limit;
	unsigned int failures;
	char *fault; /* the last one */

	pthread_mutex_t lock;
	/* Under the lock. */
	struct member *ready, *warming;
	struct member *leaving; /* claimed ones, whose files are to go, and those that failed */
	unsigned int limit;
	uint64_t claims;
	bool is_stopping;
};

/* With the lock held. */
unsigned int pool_count(const struct member *list);

/*
 * The limit as far as it holds for members of this key: what was found out about another machine,
 * and long ago, says nothing. Returns in how many milliseconds it is to be looked at again; -1: no
 * need. The thread's own.
 */
int64_t pool_revise_limit(struct pool *pool, const char *key, int64_t now_ms);
