/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When nobody waits for a container to start: then is the time for what is
 * made ahead, templates and VMs of the pool.
 */
#pragma once

#include <stdint.h>

struct quiet;

/* The daemon's own start counts as one that has just ended: the first command follows it. */
struct quiet *quiet_new(void);
void quiet_free(struct quiet *quiet); /* NULL is allowed */

/* Around each start. */
void quiet_interrupt(struct quiet *quiet);
void quiet_resume(struct quiet *quiet);

/*
 * For work that has waited since then (by clock_monotonic_ms()): in how many milliseconds to ask
 * again; 0: it may begin. Where starts leave no pause, be it that they overlap, it may begin after
 * some seconds beside them: it is done at the lowest priority, and they go on to have a use for it.
 */
int64_t quiet_left_ms(struct quiet *quiet, int64_t waiting_since_ms);
