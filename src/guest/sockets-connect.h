/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting to a socket in a container's root. */
#pragma once

#include "base/error.h"

#include <stdint.h>

struct container;

/*
 * Connects to what `path` is in the container's root as its processes see it, links resolved inside
 * that root. A child does it, as both finding the socket and connecting may block. `done` comes
 * from the loop with the descriptor as its value, or with why there is none; not where this
 * returns -errno.
 */
int sockets_connect(const struct container *container, const char *path,
		    void (*done)(int result, uint64_t value, const struct cay_error *err,
				 void *user),
		    void *user, struct cay_error *err);
