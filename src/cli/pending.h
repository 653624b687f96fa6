/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small calls that were sent and whose answers nobody waits for: a poll loop
 * watches them beside its own descriptors.
 */
#pragma once

#include "cli/client.h"

#include <poll.h>

enum {
	PENDING_MAX = 8, /* beyond it the oldest is given up */
};

struct pending {
	struct call *calls[PENDING_MAX];
};

void pending_done(struct pending *pending);
/* Takes the call over. Returns the one that was given up for it, freed, for comparing only; or
 * NULL.
 */
const struct call *pending_add(struct pending *pending, struct call *call);
/* Fills PENDING_MAX entries. */
void pending_watch(const struct pending *pending, struct pollfd *polls);
/*
 * Reads those that poll() found readable. `ended` is called with call_pump()'s result for each that
 * is over, which is freed after it; it must add none.
 */
void pending_serve(struct pending *pending, const struct pollfd *polls,
		   void (*ended)(void *context, const struct call *call, int result),
		   void *context);
