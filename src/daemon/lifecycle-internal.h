/* SPDX-License-Identifier: Apache-2.0 */
/* What the operations on a container share. */
#pragma once

#include "daemon/lifecycle.h"

/* With the lock held: waits until no start is under way; false when that takes too long. */
bool lifecycle_wait_started(struct container *container);
/* With the lock held: waits until what the last run left is cleared away. */
int lifecycle_wait_idle(struct container *container, struct cay_error *err);
/* The same, and until there is no VM for its files any more, which `kill_files` kills. */
int lifecycle_wait_free(struct container *container, bool kill_files, struct cay_error *err);
/*
 * For its supervisor, which is rid of it with that: removes it with its anonymous volumes although
 * its VM is still there. Nothing that others can get, an address or a name, may be left to that VM.
 * CAY_CONFLICT where it has not ended, or somebody is at its files or removes it.
 */
int container_remove_ended(struct container *container, struct cay_error *err);
/*
 * Without the lock: from SIGKILL by way of the VM's to the shim's own death, for the run during
 * which `exits` was read. True once it has ended.
 */
bool lifecycle_force_end(struct container *container, unsigned int exits);
