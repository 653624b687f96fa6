/* SPDX-License-Identifier: Apache-2.0 */
/* The table of templates, shared by those who ask it (templates.c) and the thread behind it. */
#pragma once

#include "base/json.h"
#include "daemon/launch-warm.h"
#include "daemon/template-maker.h"
#include "daemon/templates.h"

#include <pthread.h>

/* What a removal leaves when it is cut short. */
#define TEMPLATE_OLD_PREFIX ".old-"

enum { TEMPLATES_MAX = 16 /* that are kept, and that may be wanted */ };

/* One that is there and can be cloned. */
struct template_entry {
	char key[TEMPLATE_KEY_SIZE];
	char *directory;
	json_t *shape;
	int64_t created_ns, used_ns;
	uint64_t bytes, starts;
	int64_t trusted_ms; /* since when it is there or was found whole, by clock_monotonic_ms() */
	bool has_failed;    /* the last clone did, and it was found whole */
	/* A clone has failed, and it is not known yet why: it is not used meanwhile. NULL: none. */
	char *doubt;
	struct sandbox_config *doubt_like; /* the machine of which another would be made */
};

/* One that is wanted. It stays while making it fails, to be tried again later. */
struct template_wish {
	struct template_wish *next;
	char key[TEMPLATE_KEY_SIZE];
	struct sandbox_config *like;
	json_t *shape;
	bool is_urgent; /* a person waits for it */
	bool is_making;
	int64_t since_ms, not_before_ms; /* by clock_monotonic_ms() */
	unsigned int failures;
	char *fault; /* of the last one; NULL: none */
};

struct templates {
	struct daemon *daemon;
	char *directory;
	int wake_fd; /* an eventfd: something below has changed */
	pthread_t thread;
	bool is_threaded;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Under the lock. */
	struct template_entry **items; /* oldest first */
	size_t count;
	struct template_wish *wishes; /* in the order in which they came */
	struct template_maker maker;
	bool is_stopping;
};

/* Removes a template that was taken out of the table, and frees it. Without the lock. */
int templates_discard(struct template_entry *entry, struct cay_error *err);
void template_entry_free(struct template_entry *entry);

/* With the lock held. */
struct template_entry *templates_entry(const struct templates *templates, const char *key);
void templates_add(struct templates *templates, struct template_entry *entry);
/* NULL where there is none. */
struct template_entry *templates_take_out(struct templates *templates, const char *key);
void templates_drop_wish(struct templates *templates, struct template_wish *gone);
/* Has one made, unless it is wished for already. Takes the shape over. */
struct template_wish *templates_want(struct templates *templates, const char *key,
				     const struct sandbox_config *like, json_t *shape);
/* The thread has something to look at. */
void templates_wake(struct templates *templates);

/*
 * Removes what no machine that is started now could be cloned from, and what is damaged. Reads all
 * templates whole; without the lock.
 */
void templates_check(struct templates *templates);

/*
 * A clone of this template that was begun at that time has failed. Which may be the template's
 * fault, or that of a host that is too busy or out of memory: the thread finds out. With the lock
 * held.
 */
void templates_doubt(struct templates *templates, struct template_entry *entry,
		     const struct sandbox_config *config, int64_t since_ms, const char *fault);

/*
 * Looks at all that are in doubt: those that are damaged, and those that are not but have failed
 * twice in a row, are removed and made again. Blocks; without the lock.
 */
void templates_judge(struct templates *templates);
