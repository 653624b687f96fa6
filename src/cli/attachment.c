/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the attach call to the exit status, for run, start and attach. The
 * order is docker's: attach and wait first, start last, so that no output and
 * no exit can be missed.
 */
#include "cli/attachment.h"

#include "cli/session.h"
#include "cli/text.h"

#include <errno.h>
#include <signal.h>

void classify_start_error(struct cay_error *err)
{
	static const struct {
		const char *words;
		enum cay_code code;
	} kinds[] = { { "executable file not found", CAY_NO_COMMAND },
		      { "no such file or directory", CAY_NO_COMMAND },
		      { "permission denied", CAY_NOT_EXEC },
		      { "is a directory", CAY_NOT_EXEC },
		      { "exec format error", CAY_NOT_EXEC } };

	if (err->err != EREMOTEIO)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcasestr(err->message, kinds[i].words)) {
			err->code = kinds[i].code;
			return;
		}
	}
}

int check_terminal(bool tty, bool with_stdin, struct cay_error *err)
{
	if (tty && with_stdin && !isatty(STDIN_FILENO))
		return cay_error_set(err, CAY_INVALID, ENOTTY,
				     "standard input is not a terminal, as -it needs; use -i alone "
				     "to pass it on");
	return 0;
}

static int open_stream(const struct attachment *attachment, struct call **ret_call,
		       struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };
	const struct call_spec spec = {
		.method = "POST", .target = &target, .body_fd = -1, .hijack = true
	};

	target_set(&target, "/containers/%s/attach", attachment->id, NULL);
	target_add(&target, "stream", "1");
	if (attachment->streams.in)
		target_add(&target, "stdin", "1");
	if (attachment->streams.out)
		target_add(&target, "stdout", "1");
	if (attachment->streams.err)
		target_add(&target, "stderr", "1");
	if (attachment->detach_keys)
		target_add(&target, "detachKeys", attachment->detach_keys);
	return call_open(attachment->client, &spec, ret_call, err);
}

static int open_wait(const struct attachment *attachment, struct call **ret_call,
		     struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };
	const struct call_spec spec = { .method = "POST", .target = &target, .body_fd = -1 };

	target_set(&target, "/containers/%s/wait", attachment->id, NULL);
	target_add(&target, "condition", attachment->auto_remove ? "removed" : "next-exit");
	return call_open(attachment->client, &spec, ret_call, err);
}

void remove_quietly(struct client *client, const char *id, int wait_ms)
{
	_cleanup_target_ struct target target = { 0 };
	_cleanup_(call_free_p) struct call *call = NULL;
	const struct call_spec spec = { .method = "DELETE", .target = &target, .body_fd = -1 };

	target_set(&target, "/containers/%s", id, NULL);
	target_add(&target, "force", "1");
	target_add(&target, "v", "1");
	if (call_open(client, &spec, &call, NULL) == 0)
		(void)call_finish(call, wait_ms, NULL);
}

/* The user gave up, and is not kept waiting: what runs is not left behind, and what was to go goes.
 */
static void abandon(const struct attachment *attachment)
{
	_cleanup_target_ struct target target = { 0 };
	_cleanup_(call_free_p) struct call *call = NULL;
	const struct call_spec spec = { .method = "POST", .target = &target, .body_fd = -1 };

	if (attachment->auto_remove || attachment->created) {
		remove_quietly(attachment->client, attachment->id, REMOVE_HURRY_MS);
		return;
	}
	target_set(&target, "/containers/%s/kill", attachment->id, NULL);
	if (call_open(attachment->client, &spec, &call, NULL) == 0)
		(void)call_finish(call, REMOVE_HURRY_MS, NULL);
}

static int exit_status(const struct attachment *attachment, const struct session_result *result,
		       struct cay_error *err)
{
	switch (result->end) {
	case SESSION_DETACHED:
		return 0;
	case SESSION_SIGNALLED:
		if (!result->started)
			abandon(attachment);
		return 128 + result->signal;
	case SESSION_BROKEN:
		/* As in any pipeline, the process does not outlive the reader of its output. */
		if (attachment->auto_remove && attachment->pass_signals)
			remove_quietly(attachment->client, attachment->id, REMOVE_HURRY_MS);
		return 128 + SIGPIPE;
	case SESSION_ENDED:
		break;
	}
	if (result->wait_error && *result->wait_error)
		return cay_error_set(err, CAY_INTERNAL, EREMOTEIO, "%s", result->wait_error);
	if (result->status < 0 || result->status > 255)
		return cay_error_set(err, CAY_INTERNAL, EBADMSG,
				     "the daemon does not tell the exit code");
	return (int)result->status;
}

int attachment_run(const struct attachment *attachment, struct cay_error *err)
{
	_cleanup_(call_free_p) struct call *stream = NULL, *wait = NULL;
	_cleanup_target_ struct target start = { 0 };
	const struct request_streams *streams = &attachment->streams;
	struct session_result result = { 0 };
	int r = 0;

	if (streams->in || streams->out || streams->err)
		r = open_stream(attachment, &stream, err);
	if (r >= 0)
		r = open_wait(attachment, &wait, err);
	if (r >= 0 && stream)
		r = call_wait_head(stream, err);
	if (r >= 0)
		r = call_wait_head(wait, err);
	if (r < 0) {
		if (attachment->created)
			remove_quietly(attachment->client, attachment->id, REMOVE_WAIT_MS);
		return r;
	}
	target_set(&start, "/containers/%s/start", attachment->id, NULL);
	const struct session_spec spec = {
		.client = attachment->client,
		.stream = TAKE_PTR(stream),
		.start = attachment->start ? &start : NULL,
		.wait = TAKE_PTR(wait),
		.container = attachment->id,
		.resize_path = "/containers/%s/resize",
		.resize_id = attachment->id,
		.tty = attachment->tty,
		.with_stdin = streams->in,
		.pass_signals = attachment->pass_signals && !attachment->tty,
		.redraw = !attachment->start,
		.detach_keys = attachment->detach_keys,
	};
	r = session_run(&spec, &result, err);
	if (r < 0 && !result.started) {
		classify_start_error(err);
		if (attachment->auto_remove || attachment->created)
			remove_quietly(attachment->client, attachment->id, REMOVE_WAIT_MS);
	}
	if (r >= 0)
		r = exit_status(attachment, &result, err);
	free(result.wait_error);
	return r;
}
