/* SPDX-License-Identifier: Apache-2.0 */
/* Making one template: a shim boots a VM and freezes it, and what came of it gets its name. */
#pragma once

#include "daemon/daemon.h"
#include "sandbox/config.h"

#include <pthread.h>

/* The process that is at work, for those who want it ended. */
struct template_maker {
	pthread_mutex_t *lock; /* guards the rest */
	pid_t pid;             /* 0: none */
	bool is_cancelled;
};

/* With the lock held: ends it; template_make() then fails with CAY_CANCELLED. */
void template_maker_cancel(struct template_maker *maker);

/*
 * Makes a template of the machine in `like` at `directory`/`key`, where there is none. With
 * `background` at the lowest priority. Blocks for as long as that takes; call without the lock.
 */
int template_make(struct daemon *daemon, struct template_maker *maker, const char *directory,
		  const char *key, const struct sandbox_config *like, bool background,
		  struct cay_error *err);

/* Ends makers that an earlier daemon left, and removes what they have made so far. */
void template_maker_clear(const char *directory);
