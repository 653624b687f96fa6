/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A descriptor the loop watches: uv_poll_t with the descriptor's ownership and
 * a life that ends when its user says so, not when libuv has called back.
 */
#pragma once

#include "base/macros.h"

#include <uv.h>

struct watch;

/*
 * Watches `fd`, which is taken over and made non-blocking, for nothing yet. `ready` is called from
 * the loop with the events (UV_READABLE, UV_WRITABLE, UV_PRIORITIZED) of which at least one was
 * asked for; an error or hang-up shows as every event asked for, and the next read or write tells.
 * -errno when the descriptor can't be polled; it is closed then.
 */
int watch_new(uv_loop_t *loop, int fd, void (*ready)(struct watch *watch, int events, void *user),
	      void *user, struct watch **ret_watch);
/* Which events to wait for; 0 for none. */
void watch_set(struct watch *watch, int events);
int watch_fd(const struct watch *watch);
/* Stops and closes the descriptor. No call of `ready` follows. NULL is allowed. */
void watch_close(struct watch *watch);
