/* SPDX-License-Identifier: Apache-2.0 */
/* Attached processes from the command's side: opening the streams, and what an end means. */
#pragma once

#include "cli/client.h"
#include "cli/request.h"

#include <stdbool.h>

struct attachment {
	struct client *client;
	const char *id;
	struct request_streams streams;
	bool tty;
	bool start;   /* the container is to be started once the streams stand */
	bool created; /* for this run: goes if it can't be started, and its name is free again */
	bool auto_remove; /* it goes when it ends: the wait is for that */
	bool pass_signals;
	const char *detach_keys;
};

/*
 * Joins the container's streams, starts it where asked to, and stays until its end or the user's
 * leave. Returns the exit status for cay, or -errno; a command that could not be started is
 * CAY_NOT_EXEC or CAY_NO_COMMAND.
 */
int attachment_run(const struct attachment *attachment, struct cay_error *err);

/*
 * Removes a container that never ran, or that nobody can reach any more; failures are not told. The
 * daemon's answer is awaited at most that long: it goes on without us.
 */
enum { REMOVE_WAIT_MS = 10000, REMOVE_HURRY_MS = 500 };
void remove_quietly(struct client *client, const char *id, int wait_ms);

/*
 * Gives the error of a start docker's two kinds of failing commands by the daemon's words, which is
 * how docker's own clients tell them.
 */
void classify_start_error(struct cay_error *err);
/* A terminal is asked for on a standard input that is none. */
int check_terminal(bool tty, bool with_stdin, struct cay_error *err);
