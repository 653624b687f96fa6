/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a thread of ours is towards the host's file system: files that a guest
 * makes belong to the guest's caller from the first moment, with the caller's
 * umask. One for each thread that serves, made by that thread. Where we are
 * an ordinary user, only the umask is ours to change.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct identity {
	bool privileged; /* we have the capabilities of identity_capabilities() */
	uid_t uid;       /* what the thread is now */
	gid_t gid;
	mode_t mask;
	bool killing; /* writes take set-id bits away */
};

/* The capabilities that serving files needs, as a mask: all that the process may keep. */
unsigned int identity_capabilities(void);

/* Gives the thread a umask and a working directory of its own. */
int identity_init(struct identity *identity, bool privileged);
/*
 * Becomes the caller. -EINVAL for the ids that stand for none. The guest's kernel has checked what
 * the caller may do, with groups that we don't know, so the host's permissions are passed by.
 */
int identity_assume(struct identity *identity, uid_t uid, gid_t gid, mode_t mask);
/* Whether writing and truncating clear set-id bits, as for one without CAP_FSETID. */
void identity_kill_set_ids(struct identity *identity, bool on);
/* Root again, with everything. */
void identity_restore(struct identity *identity);
