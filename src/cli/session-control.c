/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a session tells the process beside its input: signals and the window's
 * size, each a small call whose answer the poll loop reads later.
 */
#include "cli/session-internal.h"

#include "cli/signals.h"

#include <signal.h>
#include <sys/signalfd.h>

enum {
	RESIZE_TRIES = 8, /* a process that is about to start refuses them for a moment */
};

void session_end(struct session *session, enum session_end end)
{
	session->result->end = end;
	session->over = true;
}

static struct call *post(struct session *session, const struct target *target)
{
	const struct call_spec spec = { .method = "POST", .target = target, .body_fd = -1 };
	struct call *call = NULL;

	if (call_open(session->spec->client, &spec, &call, NULL) < 0)
		return NULL; /* a daemon that has gone shows on the stream and the wait */
	if (pending_add(&session->pending, call) == session->resize)
		session->resize = NULL;
	return call;
}

static void set_resize_target(const struct session *session, const struct terminal_size *size,
			      struct target *target)
{
	target_set(target, session->spec->resize_path, session->spec->resize_id, NULL);
	target_add_int(target, "h", size->rows);
	target_add_int(target, "w", size->columns);
}

/* One at a time: of two on their way together, the older might arrive last. */
void session_resize(struct session *session)
{
	_cleanup_target_ struct target target = { 0 };
	struct terminal_size size;

	session->resize_due = session->resize != NULL;
	if (session->resize_due || !session->spec->tty || !session->result->started ||
	    !terminal_get_size(STDOUT_FILENO, &size))
		return;
	set_resize_target(session, &size, &target);
	session->resize = post(session, &target);
}

/* A program repaints itself when its window changes, so it is told another size first. */
static void resize_to_redraw(struct session *session)
{
	_cleanup_target_ struct target target = { 0 };
	struct terminal_size size;

	if (!session->spec->redraw || !session->spec->tty ||
	    !terminal_get_size(STDOUT_FILENO, &size))
		return;
	size.rows++;
	set_resize_target(session, &size, &target);
	/* A failure shows again, and is tried again, with the real size. */
	(void)client_call(session->spec->client, "POST", &target, NULL, NULL, NULL);
}

static void pass_signal(struct session *session, int number)
{
	_cleanup_target_ struct target target = { 0 };

	target_set(&target, "/containers/%s/kill", session->spec->container, NULL);
	target_add_int(&target, "signal", number);
	(void)post(session, &target);
}

int session_set_started(struct session *session, struct cay_error *err)
{
	if (session->result->started)
		return 0;
	session->result->started = true;
	if (session->raw) {
		int r = terminal_raw(STDIN_FILENO, false, err);

		if (r < 0)
			return r;
	}
	resize_to_redraw(session);
	session->resize_tries = RESIZE_TRIES;
	session_resize(session);
	return 0;
}

/* Stops as the user asked, with the terminal in its own mode meanwhile. */
static void stop_self(struct session *session)
{
	if (session->raw)
		terminal_restore();
	(void)raise(SIGSTOP);
	if (session->raw)
		(void)terminal_raw(STDIN_FILENO, !session->result->started, NULL);
	session_resize(session);
}

void session_read_signal(struct session *session)
{
	struct signalfd_siginfo info;
	int number;

	if (read(session->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	number = (int)info.ssi_signo;
	if (number == SIGWINCH) {
		session_resize(session);
	} else if (number == SIGTSTP) {
		stop_self(session);
	} else if (session->spec->pass_signals && session->result->started) {
		pass_signal(session, number);
	} else if (signal_ends_client(number)) {
		session->result->signal = number;
		session_end(session, SESSION_SIGNALLED);
	}
}
