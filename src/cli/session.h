/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session: this terminal, or these pipes, joined to a process in a container
 * until the process or the user ends it. Input, output, signals, the window's
 * size and the daemon's pending answers are served by one poll loop, none of
 * which can hold up another.
 */
#pragma once

#include "cli/client.h"
#include "cli/terminal.h"

#include <stdbool.h>

struct session_spec {
	struct client *client;
	struct call *stream; /* after call_wait_head() of a hijack; NULL: no stream */
	/*
	 * POST /containers/{id}/start as a spec to be called once the session is ready; NULL: the
	 * process runs.
	 */
	const struct target *start;
	struct call *wait; /* an answered head of POST …/wait; NULL: the stream's end is all */
	const char *container;   /* gets the signals; NULL: none are passed on */
	const char *resize_path; /* "/containers/%s/resize" or "/exec/%s/resize" */
	const char *resize_id;
	bool tty;
	bool with_stdin;
	bool pass_signals; /* to the container; never with a tty */
	bool redraw;       /* a resize that makes a program on the tty paint itself again */
	const char *detach_keys;
};

enum session_end {
	SESSION_ENDED,     /* the stream and, where asked for, the wait are over */
	SESSION_DETACHED,  /* by the keys */
	SESSION_SIGNALLED, /* a signal to cay that was not to be passed on */
	SESSION_BROKEN,    /* nobody reads our standard output */
};

struct session_result {
	enum session_end end;
	int signal;       /* of SESSION_SIGNALLED */
	bool started;     /* the start was answered, or there was none */
	int64_t status;   /* the process's, from the wait; -1: not known */
	char *wait_error; /* what the daemon adds to the status; freed by the caller */
};

/*
 * Takes the stream and the wait over. Returns 0 with *ret_result, or -errno: the start failed (its
 * error), or the daemon was lost.
 */
int session_run(const struct session_spec *spec, struct session_result *ret_result,
		struct cay_error *err);
