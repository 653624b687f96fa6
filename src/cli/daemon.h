/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon as a process on this machine: starting, finding and stopping it. */
#pragma once

#include "cli/client.h"

#include <sys/types.h>

struct daemon_place {
	const char *root;           /* NULL: the default */
	const char *run;            /* NULL: the directory of the socket */
	const char *socket;         /* path */
	const char *const *options; /* further ones for cayd, ending with NULL; NULL: none */
};

/*
 * Starts cayd (from beside cay's own program, its libexec folder, or PATH) in the background and
 * waits until it answers; one that answers already is left as it is. Of several starters at once,
 * one starts it and the others wait.
 */
int daemon_start(const struct daemon_place *place, struct cay_error *err);
/* The default daemon, for struct client's start_daemon. */
int daemon_start_default(struct client *client, struct cay_error *err);

/*
 * The process that listens on the client's socket, as a pidfd that the caller closes. It must be
 * cayd: CAY_CONFLICT when another program listens there. CAY_UNAVAILABLE when none does.
 */
int daemon_find(const struct client *client, pid_t *ret_pid, struct cay_error *err);
/* Asks it to end with SIGTERM and waits at most `timeout_ms`. */
int daemon_stop(int pidfd, int timeout_ms, struct cay_error *err);
