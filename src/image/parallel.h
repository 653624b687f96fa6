/* SPDX-License-Identifier: Apache-2.0 */
/* Work on several things at once: a few threads for the length of one call. */
#pragma once

#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>

struct parallel {
	/* Does the item with this number. May be called from any of the threads, each item once. */
	int (*work)(size_t item, void *user, struct cay_error *err);
	void *user;
	size_t count;
	unsigned int threads;
	atomic_bool failed; /* set at the first failure: items that are under way should give up */
	atomic_size_t next; /* private */
};

/* Starts the items in their order. The first failure is told, once all threads have ended. */
int parallel_run(struct parallel *parallel, struct cay_error *err);
