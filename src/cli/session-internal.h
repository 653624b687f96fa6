/* SPDX-License-Identifier: Apache-2.0 */
/* A session's state, shared by its poll loop and by what controls the process beside its streams.
 */
#pragma once

#include "cli/session.h"

#include "cli/pending.h"
#include "cli/sink.h"
#include "cli/stream.h"

struct session {
	const struct session_spec *spec;
	struct session_result *result;
	int signals; /* signalfd */
	int stream;  /* -1: ended */
	struct stream_decoder decoder;
	struct sink out, err;
	struct buf input; /* typed, on its way to the process */
	struct detach_keys keys;
	bool stdin_open;  /* more may be read */
	bool stream_open; /* the process still takes input */
	bool raw;
	struct call *start, *wait;
	struct pending pending;
	const struct call *resize; /* one of those, whose failure is tried again */
	bool resize_due;           /* the size changed while that call was under way */
	unsigned int resize_tries;
	bool over;
};

/* The loop is to end, for this reason. */
void session_end(struct session *session, enum session_end end);
/* The process runs: from here on Ctrl-C is its own, and so is the terminal's size. */
int session_set_started(struct session *session, struct cay_error *err);
/* Tells the process the terminal's size, at once or when the call about the last one has ended. */
void session_resize(struct session *session);
/* One signal off the signalfd: served here, passed on, or the session's end. */
void session_read_signal(struct session *session);
