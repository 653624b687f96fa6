/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The poll loop of an attached process.
 *
 * Output is read only while both sinks have room, so a slow reader slows the
 * container and not this process's memory. Standard input is read only when
 * what was read before has gone out. The loop goes on after the process's end
 * until the stream has ended and every byte is written.
 *
 * Small calls made on the way (signals, sizes) are kept as pending answers:
 * a daemon that is slow to answer one keeps nothing else waiting.
 */
#include "cli/session-internal.h"

#include "base/alloc.h"
#include "base/file.h"
#include "cli/signals.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

enum {
	CHUNK = 64 * 1024,
	RESIZE_RETRY_MS = 60,
};

enum {
	WATCH_SIGNAL,
	WATCH_STREAM,
	WATCH_STDIN,
	WATCH_OUT,
	WATCH_ERR,
	WATCH_START,
	WATCH_WAIT,
	WATCH_CALLS
};

static void session_done(struct session *session)
{
	if (session->raw)
		terminal_restore();
	if (session->stream >= 0)
		(void)close(session->stream);
	if (session->signals >= 0)
		(void)close(session->signals);
	sink_close(&session->out);
	sink_close(&session->err);
	buf_done(&session->input);
	call_free(session->start);
	call_free(session->wait);
	pending_done(&session->pending);
}

/* ---- streams ---- */

/* What the stream brought, to the sinks. */
static int distribute(struct session *session, const char *data, size_t size, struct cay_error *err)
{
	struct str input = { data, size };

	if (session->spec->tty) {
		sink_add(&session->out, data, size);
		return 0;
	}
	while (input.length > 0) {
		enum stream_channel channel;
		struct str piece;
		int r = stream_decode(&session->decoder, &input, &channel, &piece, err);

		if (r < 0)
			return r;
		sink_add(channel >= STREAM_STDERR ? &session->err : &session->out, piece.data,
			 piece.length);
	}
	return 0;
}

static int read_stream(struct session *session, struct cay_error *err)
{
	char data[CHUNK];
	ssize_t n = read(session->stream, data, sizeof(data));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n > 0) {
		int r = session_set_started(session, err);

		return r < 0 ? r : distribute(session, data, (size_t)n, err);
	}
	/* A reset is an end too: what became of the process is the wait's to say. */
	(void)close(session->stream);
	session->stream = -1;
	session->stdin_open = session->stream_open = false;
	buf_clear(&session->input);
	return 0;
}

/* Input that can go nowhere any more is no error: the process may close its end when it likes. */
static void write_stream(struct session *session)
{
	ssize_t n = send(session->stream, session->input.data, session->input.length, MSG_NOSIGNAL);

	if (n >= 0) {
		buf_consume(&session->input, (size_t)n);
	} else if (errno != EAGAIN && errno != EINTR) {
		session->stdin_open = session->stream_open = false;
		buf_clear(&session->input);
	}
}

static void read_stdin(struct session *session)
{
	char data[CHUNK];
	ssize_t n = read(STDIN_FILENO, data, sizeof(data));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		session->stdin_open = false;
	} else if (!session->raw) {
		buf_append(&session->input, data, (size_t)n);
	} else if (detach_keys_filter(&session->keys, data, (size_t)n, &session->input)) {
		session_end(session, SESSION_DETACHED);
	}
}

/* The end of input is told by closing our half of the connection. */
static void close_input(struct session *session)
{
	if (session->stream < 0 || !session->stream_open || session->stdin_open ||
	    session->input.length > 0)
		return;
	session->stream_open = false;
	(void)shutdown(session->stream, SHUT_WR); /* fails only when the other side has gone */
}

/* ---- the daemon's answers ---- */

static int read_start(struct session *session, struct cay_error *err)
{
	int r = call_pump(session->start, err);

	if (r > 0) {
		call_free(session->start);
		session->start = NULL;
		return session_set_started(session, err);
	}
	if (r < 0 && err->code == CAY_NOT_MODIFIED) { /* it ran already */
		call_free(session->start);
		session->start = NULL;
		return session_set_started(session, err);
	}
	return r;
}

static int read_wait(struct session *session, struct cay_error *err)
{
	_cleanup_json_ json_t *answer = NULL;
	json_t *problem = NULL;
	int r = call_pump(session->wait, err);

	if (r > 0)
		r = call_json(session->wait, &answer, err);
	if (r < 0)
		return cay_error_prefix(err,
					"waiting for the container's end (it may run on; "
					"\"cay ps\" tells)");
	if (!answer)
		return 0;
	r = json_read_int(answer, "StatusCode", INT64_MIN, INT64_MAX, &session->result->status,
			  err);
	if (r >= 0)
		r = json_read_object(answer, "Error", &problem, err);
	if (r >= 0 && problem)
		r = json_read_string(problem, "Message", &session->result->wait_error, err);
	call_free(session->wait);
	session->wait = NULL;
	return r;
}

/* What became of a small call; only a resize is of further interest. */
static void call_ended(void *context, const struct call *call, int result)
{
	struct session *session = context;

	if (call != session->resize)
		return;
	session->resize = NULL;
	if (result > 0)
		session->resize_tries = 0;
}

/* ---- the loop ---- */

static void watch(struct pollfd *entry, int fd, short events)
{
	*entry = (struct pollfd){ .fd = events ? fd : -1, .events = events };
}

static void watch_call(struct pollfd *entry, const struct call *call)
{
	watch(entry, call ? call_fd(call) : -1, POLLIN);
}

static void fill_polls(const struct session *session, struct pollfd *polls)
{
	bool room = session->out.pending.length < SINK_PENDING_MAX &&
		session->err.pending.length < SINK_PENDING_MAX;
	short stream_events = 0;

	if (room)
		stream_events |= POLLIN;
	if (session->input.length > 0)
		stream_events |= POLLOUT;
	watch(&polls[WATCH_SIGNAL], session->signals, POLLIN);
	watch(&polls[WATCH_STREAM], session->stream, stream_events);
	watch(&polls[WATCH_STDIN], STDIN_FILENO,
	      session->stdin_open && session->input.length == 0 ? POLLIN : 0);
	watch(&polls[WATCH_OUT], session->out.fd, sink_wants_write(&session->out) ? POLLOUT : 0);
	watch(&polls[WATCH_ERR], session->err.fd, sink_wants_write(&session->err) ? POLLOUT : 0);
	watch_call(&polls[WATCH_START], session->start);
	watch_call(&polls[WATCH_WAIT], session->wait);
	pending_watch(&session->pending, polls + WATCH_CALLS);
}

static int serve_streams(struct session *session, const struct pollfd *polls, struct cay_error *err)
{
	if (polls[WATCH_OUT].revents)
		sink_write(&session->out);
	if (polls[WATCH_ERR].revents)
		sink_write(&session->err);
	if (session->out.broken) {
		session_end(session, SESSION_BROKEN);
		return session->out.error == EPIPE
			? 0
			: cay_error_errno(err, session->out.error, "writing the output");
	}
	if (polls[WATCH_STDIN].revents)
		read_stdin(session);
	if (polls[WATCH_STREAM].revents & POLLOUT)
		write_stream(session);
	close_input(session);
	if (polls[WATCH_STREAM].revents & (POLLIN | POLLHUP | POLLERR))
		return read_stream(session, err);
	return 0;
}

static int serve(struct session *session, const struct pollfd *polls, struct cay_error *err)
{
	int r = 0;

	if (polls[WATCH_SIGNAL].revents)
		session_read_signal(session);
	pending_serve(&session->pending, polls + WATCH_CALLS, call_ended, session);
	if (session->resize_due)
		session_resize(session);
	if (polls[WATCH_START].revents)
		r = read_start(session, err);
	if (r >= 0 && polls[WATCH_WAIT].revents)
		r = read_wait(session, err);
	if (r >= 0)
		r = serve_streams(session, polls, err);
	return r;
}

static bool is_over(const struct session *session)
{
	return session->over ||
		(session->stream < 0 && !session->wait && !session->start &&
		 !sink_wants_write(&session->out) && !sink_wants_write(&session->err));
}

static int loop(struct session *session, struct cay_error *err)
{
	struct pollfd polls[WATCH_CALLS + PENDING_MAX];
	int r = 0;

	while (r >= 0 && !is_over(session)) {
		bool retry = session->resize_tries > 0 && !session->resize &&
			session->result->started && session->spec->tty;
		int n;

		if (session->wait && call_is_complete(session->wait)) {
			r = read_wait(session, err);
			continue;
		}
		fill_polls(session, polls);
		n = poll(polls, ARRAY_SIZE(polls), retry ? RESIZE_RETRY_MS : -1);
		if (n < 0 && errno != EINTR)
			return cay_error_errno(err, errno, "waiting for the container");
		if (n == 0) {
			session->resize_tries--;
			session_resize(session);
		} else if (n > 0) {
			r = serve(session, polls, err);
		}
	}
	return r;
}

static int session_open(struct session *session, struct cay_error *err)
{
	const struct session_spec *spec = session->spec;
	_cleanup_buf_ struct buf extra = { 0 };
	int r;

	sink_open(&session->out, STDOUT_FILENO);
	sink_open(&session->err, STDERR_FILENO);
	session->signals = signals_catch(spec->pass_signals, spec->tty, err);
	if (session->signals < 0)
		return session->signals;
	if (spec->stream) {
		session->stream = call_hijack(spec->stream, &extra, err);
		if (session->stream < 0)
			return session->stream;
		(void)fd_set_nonblocking(session->stream, true); /* a socket: can't fail */
		session->stream_open = true;
		session->stdin_open = spec->with_stdin;
	}
	r = detach_keys_parse(spec->detach_keys, &session->keys, err);
	if (r >= 0 && spec->tty && spec->with_stdin && isatty(STDIN_FILENO)) {
		r = terminal_raw(STDIN_FILENO, true, err);
		session->raw = r >= 0;
	}
	if (r < 0)
		return r;
	if (spec->start) {
		const struct call_spec start = { .method = "POST",
						 .target = spec->start,
						 .body_fd = -1 };

		r = call_open(spec->client, &start, &session->start, err);
	} else {
		r = session_set_started(session, err);
	}
	if (r >= 0 && extra.length > 0)
		r = distribute(session, extra.data, extra.length, err);
	return r;
}

int session_run(const struct session_spec *spec, struct session_result *ret_result,
		struct cay_error *err)
{
	_cleanup_(session_done) struct session session = {
		.spec = spec, .result = ret_result, .signals = -1, .stream = -1, .wait = spec->wait
	};
	int r;

	*ret_result = (struct session_result){ .status = -1 };
	r = session_open(&session, err);
	call_free(spec->stream);
	if (r >= 0)
		r = loop(&session, err);
	if (session.raw)
		terminal_restore();
	session.raw = false;
	signals_release();
	return r;
}
