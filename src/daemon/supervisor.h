/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that stands behind a container while it runs: it starts the shim,
 * follows its events and records the end. There is one from the moment the
 * status is CONTAINER_STARTING until nothing of the run is left; while there
 * is, container->supervised is true and the container can be neither started
 * nor removed.
 */
#pragma once

#include "daemon/container.h"
#include "rpc/sync.h"

/*
 * Begins the thread for a container whose status was just set to CONTAINER_STARTING, with
 * supervised and start_pending. On failure nothing has changed.
 */
int supervisor_start(struct container *container, struct cay_error *err);

/*
 * The same for one that was found running, with supervised set: `client` is taken over, also on
 * failure.
 */
int supervisor_follow(struct container *container, struct rpc_client *client, pid_t shim_pid,
		      struct cay_error *err);

/*
 * Records the end of a container that is up, from the state file that its shim left, or as lost.
 */
void supervisor_record_end(struct container *container);

/* Waits until no supervisor runs, at most timeout_ms; daemon->stop_fd asks them to end. */
bool supervisors_wait(struct daemon *daemon, int timeout_ms);
