/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be done to a container, each as one blocking function that a
 * handler calls: it returns when the thing is done, has failed, or its time is
 * up. Two that cross each other on one container are safe in any order.
 */
#pragma once

#include "daemon/container.h"

#include <jansson.h>

/*
 * Makes a container from docker's create body. `name` may be NULL; `platform` is "os/arch" or NULL.
 * On success it is in the table and the database; on failure nothing is left. *ret_container is a
 * reference of the caller's own.
 */
int container_create(struct daemon *daemon, const char *name, const char *platform,
		     const json_t *body, struct container **ret_container, struct strv *warnings,
		     struct cay_error *err);

/*
 * Starts it and returns when its process was executed, CAY_NOT_MODIFIED where it runs already. A
 * process that can't be executed is CAY_NO_COMMAND or CAY_NOT_EXEC.
 */
int container_start(struct container *container, struct cay_error *err);

/*
 * Sends `signal` (0: the container's own), waits for `timeout` seconds (INT64_MIN: its own;
 * negative otherwise: for ever), then kills. CAY_NOT_MODIFIED where it does not run.
 */
int container_stop(struct container *container, int signal, int64_t timeout, struct cay_error *err);
int container_kill(struct container *container, int signal, struct cay_error *err);
int container_restart(struct container *container, int signal, int64_t timeout,
		      struct cay_error *err);
int container_pause(struct container *container, struct cay_error *err);
int container_resume(struct container *container, struct cay_error *err);
int container_rename(struct container *container, const char *name, struct cay_error *err);
/*
 * A running one is CAY_CONFLICT unless `force`, which kills it first: one that goes with its end
 * goes by this removal then. With `volumes` its anonymous volumes go with it. CAY_CONFLICT also
 * where somebody else's removal is under way.
 */
int container_remove(struct container *container, bool force, bool volumes, struct cay_error *err);

/*
 * Waits for the end of the run during which container->exits was `exits`, at most so long; false
 * when that still goes on.
 */
bool container_wait_down(struct container *container, unsigned int exits, int64_t timeout_ms);
/* Fails with docker's words unless it is up. */
int container_require_up(struct container *container, struct cay_error *err);

/*
 * Writes status and run to the database; a failure is logged, since the shim's state file tells the
 * same to the next daemon.
 */
void container_save(struct container *container);

/* Tells the event log. `extra` (taken over, or NULL) is added to the usual attributes. */
void container_emit(const struct container *container, const char *action, json_t *extra);
