/* SPDX-License-Identifier: Apache-2.0 */
/* Between lock.c, which knows owners, and lock-wait.c, which waits. */
#pragma once

#include "files/lock.h"

#include <fcntl.h>

struct lock_action {
	int fd;
	bool whole; /* by flock(), else by fcntl() */
	struct flock range;
};

/* 0 or -errno; -EAGAIN where another has it and `wait` is false; -EINTR by a signal. */
int lock_apply(const struct lock_action *action, bool wait);
/* Goes on in a thread of its own, which has action->fd then: -EINPROGRESS, or -errno. */
int lock_wait(struct lock_answers *answers, uint64_t unique, void *token,
	      const struct lock_action *action);
