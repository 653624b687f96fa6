/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection: its descriptor, its handles on the loop, and the order in
 * which work is done. conn_work() is the one place where output is written,
 * ends are reported and memory is released. It runs after input was read, and
 * from a check handle in the loop's turn in which something was queued, so that
 * all that one turn has queued leaves in one write: on a virtio port each
 * write is an exit of the VM.
 */
#include "rpc/rpc-internal.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum {
	IN_MIN = 4 * 1024, /* grows up to IN_MAX while reads fill it */
	IN_MAX = 64 * 1024,
	OUT_KEEP = 16 * 1024, /* an output buffer larger than this is freed when empty */
	TURN_MAX =
		1024 * 1024, /* bytes read or written before others on the loop have their turn */
};

static void conn_work(struct rpc_conn *conn);

/* ---- handles ---- */

static void on_check(uv_check_t *check)
{
	conn_work(check->data);
}

/* An idle handle that runs is what keeps the loop from waiting in poll. */
static void on_idle(uv_idle_t *idle)
{
	(void)idle;
}

/* The uv_*_start() functions fail only without a callback. */
void conn_schedule(struct rpc_conn *conn)
{
	if (conn->scheduled || conn->torn_down)
		return;
	conn->scheduled = true;
	(void)uv_check_start(&conn->check, on_check);
	(void)uv_idle_start(&conn->idle, on_idle);
}

static void conn_unschedule(struct rpc_conn *conn)
{
	if (!conn->scheduled)
		return;
	conn->scheduled = false;
	(void)uv_check_stop(&conn->check);
	(void)uv_idle_stop(&conn->idle);
}

void conn_end(struct rpc_conn *conn, enum cay_code code, int err, const char *format, ...)
{
	va_list args;

	if (conn->over)
		return;
	conn->over = true;
	va_start(args, format);
	(void)cay_error_setv(&conn->why, code, err, format, args);
	va_end(args);
	conn_schedule(conn);
}

/* ---- deadlines ---- */

static void on_timer(uv_timer_t *timer)
{
	struct rpc_conn *conn = timer->data;
	int64_t now = clock_monotonic_ms();

	conn->deadline = 0;
	for (struct rpc_call *call = conn->first; call; call = call->next)
		if (call->deadline && call->deadline <= now)
			call_expire(call);
	conn_arm_timer(conn);
	conn_schedule(conn);
}

void conn_arm_timer(struct rpc_conn *conn)
{
	int64_t earliest = 0, now;

	for (struct rpc_call *call = conn->first; call; call = call->next)
		if (call->deadline && !call->ended && (!earliest || call->deadline < earliest))
			earliest = call->deadline;
	if (earliest == conn->deadline)
		return;
	conn->deadline = earliest;
	if (!earliest) {
		(void)uv_timer_stop(&conn->timer);
		return;
	}
	uv_update_time(conn->loop);
	now = clock_monotonic_ms();
	(void)uv_timer_start(&conn->timer, on_timer,
			     earliest > now ? (uint64_t)(earliest - now) : 0, 0);
}

/* ---- reading and writing ---- */

static ssize_t read_some(struct rpc_conn *conn)
{
	ssize_t n;

	do
		n = read(conn->fd, conn->in, conn->in_size);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* What was read before us comes before all that is read by us. */
static void feed_initial(struct rpc_conn *conn)
{
	_cleanup_buf_ struct buf initial = conn->initial;

	conn->initial = (struct buf){ 0 };
	if (initial.length && !conn->over)
		http2_receive(conn, (const uint8_t *)initial.data, initial.length);
}

static void conn_read(struct rpc_conn *conn)
{
	size_t total = 0;

	feed_initial(conn);
	while (!conn->over && total < TURN_MAX) {
		ssize_t n = read_some(conn);

		if (n == -EAGAIN)
			return;
		if (n == 0) {
			conn_end(conn, CAY_UNAVAILABLE, ECONNRESET,
				 "the other side has closed the connection");
			return;
		}
		if (n < 0) {
			conn_end(conn, CAY_UNAVAILABLE, (int)-n, "reading from the connection: %s",
				 errno_text((int)-n));
			return;
		}
		total += (size_t)n;
		http2_receive(conn, conn->in, (size_t)n);
		if ((size_t)n == conn->in_size && conn->in_size < IN_MAX) {
			conn->in_size *= 2;
			conn->in = xrealloc(conn->in, conn->in_size);
		} else if (n < IN_MIN) {
			return; /* most likely all there was; else poll says so at once */
		}
	}
}

static ssize_t write_some(struct rpc_conn *conn, const void *data, size_t size)
{
	ssize_t n;

	do {
		if (conn->is_socket)
			n = send(conn->fd, data, size, MSG_NOSIGNAL);
		else
			n = write(conn->fd, data, size);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static void conn_watch(struct rpc_conn *conn)
{
	int events = UV_READABLE;

	if (conn->out_at < conn->out.length && !conn->write_failed)
		events |= UV_WRITABLE;
	if (events == conn->watching || conn->over)
		return;
	conn->watching = events;
	(void)uv_poll_start(&conn->poll, events, conn->poll.poll_cb);
}

static void out_reset(struct rpc_conn *conn)
{
	conn->out_at = 0;
	if (conn->out.capacity > OUT_KEEP)
		buf_done(&conn->out);
	else
		buf_clear(&conn->out);
}

static void conn_flush(struct rpc_conn *conn)
{
	size_t total = 0;

	while (!conn->write_failed) {
		ssize_t n;

		if (conn->out_at == conn->out.length) {
			conn->out_at = 0;
			buf_clear(&conn->out);
			http2_fill(conn);
			if (conn->out.length == 0)
				break;
		}
		if (total >= TURN_MAX) {
			conn_schedule(conn);
			break;
		}
		n = write_some(conn, conn->out.data + conn->out_at,
			       conn->out.length - conn->out_at);
		if (n == -EAGAIN)
			break;
		if (n < 0) {
			conn->write_failed = true;
			break;
		}
		conn->out_at += (size_t)n;
		conn->written += (size_t)n;
		total += (size_t)n;
	}
	if (conn->out_at == conn->out.length)
		out_reset(conn);
}

/* ---- the order of work ---- */

/* Calls the user of a call that has ended; true when the call was freed. */
static bool settle_ended(struct rpc_call *call)
{
	struct rpc_conn *conn = call->conn;

	if (conn->over && conn->written < call->ends_at) {
		/* The server's last words have not all left. */
		call->ends_at = 0;
		call->status = conn->why;
		call->status.code = CAY_CANCELLED;
	}
	if (!call->told && (conn->over || conn->written >= call->ends_at)) {
		call->told = true;
		/* The server may not know yet that nobody listens. */
		if (!conn->options.server && call->stream_id)
			http2_reset(call, call->remote_done ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
		if (call->events.on_end)
			call->events.on_end(call, &call->status, call->user);
		call->events = (struct rpc_call_events){ 0 };
	}
	if (!call->told || call->stream_id)
		return false;
	call_free(call);
	return true;
}

/* Tells what there is to tell. */
static void settle(struct rpc_conn *conn)
{
	struct rpc_call *next;

	for (struct rpc_call *call = conn->first; call; call = next) {
		next = call->next;
		if (call->ended) {
			(void)settle_ended(call);
			continue;
		}
		if (call->was_high && call->queued <= RPC_QUEUE_HIGH / 2) {
			call->was_high = false;
			if (call->events.on_writable && !call->send_done)
				call->events.on_writable(call, call->user);
		}
	}
}

static void say_goodbye(struct rpc_conn *conn)
{
	if (conn->said_goodbye)
		return;
	conn->said_goodbye = true;
	http2_goaway(conn);
	conn_flush(conn);
}

static void end_calls(struct rpc_conn *conn)
{
	struct rpc_call *next;

	for (struct rpc_call *call = conn->first; call; call = next) {
		next = call->next;
		call_abandon(call, &conn->why);
	}
	settle(conn);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct rpc_conn *conn = handle->data;

	if (--conn->handles > 0)
		return;
	/* Calls started since the handles began to close. */
	while (conn->first)
		end_calls(conn);
	if (conn->options.on_close)
		conn->options.on_close(conn, &conn->why, conn->options.user);
	nghttp2_session_del(conn->session);
	buf_done(&conn->initial);
	buf_done(&conn->out);
	free(conn->in);
	free(conn);
}

static void tear_down(struct rpc_conn *conn)
{
	conn_unschedule(conn);
	conn->torn_down = true;
	(void)uv_poll_stop(&conn->poll);
	uv_close((uv_handle_t *)&conn->poll, on_handle_closed);
	uv_close((uv_handle_t *)&conn->timer, on_handle_closed);
	uv_close((uv_handle_t *)&conn->check, on_handle_closed);
	uv_close((uv_handle_t *)&conn->idle, on_handle_closed);
	(void)close(TAKE_FD(conn->fd)); /* nothing was promised about bytes still on their way */
}

static void work_when_over(struct rpc_conn *conn)
{
	say_goodbye(conn);
	end_calls(conn);
	if (conn->first)
		conn_schedule(conn);
	else
		tear_down(conn);
}

static void conn_work(struct rpc_conn *conn)
{
	conn_unschedule(conn);
	feed_initial(conn);
	for (struct rpc_call *call = conn->first; call; call = call->next)
		if (!conn->over)
			call_deliver_held(call);
	if (!conn->over)
		conn_flush(conn);
	if (conn->write_failed && !conn->over) {
		conn_read(conn); /* what it had to say before it left */
		conn_end(conn, CAY_UNAVAILABLE, EPIPE, "the other side has closed the connection");
	}
	if (!conn->over && conn->out.length == 0 && http2_is_finished(conn))
		conn_end(conn, conn->fault[0] ? CAY_CORRUPT : CAY_UNAVAILABLE, EPROTO, "%s",
			 conn->fault[0] ? conn->fault : "the other side has ended the connection");
	if (conn->over) {
		work_when_over(conn);
		return;
	}
	settle(conn);
	conn_arm_timer(conn);
	conn_watch(conn);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct rpc_conn *conn = poll->data;

	if (status < 0) {
		/* POLLERR: libuv has stopped the handle. What arrived before can still be read. */
		conn->watching = 0;
		conn_read(conn);
		conn_end(conn, CAY_UNAVAILABLE, EIO, "the connection has failed");
	} else if (events & UV_READABLE) {
		conn_read(conn);
	}
	conn_work(conn);
}

/* ---- life ---- */

static int init_handles(struct rpc_conn *conn)
{
	int r = uv_poll_init(conn->loop, &conn->poll, conn->fd);

	if (r < 0)
		return r;
	(void)uv_timer_init(conn->loop, &conn->timer); /* these three never fail */
	(void)uv_check_init(conn->loop, &conn->check);
	(void)uv_idle_init(conn->loop, &conn->idle);
	conn->poll.data = conn->timer.data = conn->check.data = conn->idle.data = conn;
	conn->handles = 4;
	return 0;
}

int rpc_conn_new(uv_loop_t *loop, int fd, const struct rpc_conn_options *options,
		 const void *initial, size_t initial_size, struct rpc_conn **ret_conn,
		 struct cay_error *err)
{
	_cleanup_close_ int taken = fd;
	_cleanup_free_ struct rpc_conn *conn = xcalloc(1, sizeof(*conn));
	struct stat st;
	int r;

	conn->loop = loop;
	conn->options = *options;
	conn->fd = fd;
	conn->is_socket = fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
	conn->goaway = NGHTTP2_NO_ERROR;
	r = http2_new(conn, err);
	if (r < 0)
		return r;
	r = init_handles(conn);
	if (r < 0) {
		nghttp2_session_del(conn->session);
		return cay_error_errno(err, r, "watching a connection");
	}
	conn->in_size = IN_MIN;
	conn->in = xmalloc(conn->in_size);
	buf_append(&conn->initial, initial, initial_size);
	conn->watching = UV_READABLE;
	(void)uv_poll_start(&conn->poll, UV_READABLE, on_poll);
	conn_schedule(conn); /* our settings go out, the initial bytes come in */
	(void)TAKE_FD(taken);
	*ret_conn = TAKE_PTR(conn);
	return 0;
}

void rpc_conn_close(struct rpc_conn *conn)
{
	conn->closed_by_us = true;
	conn_end(conn, CAY_CANCELLED, ECANCELED, "the connection was closed");
}

void *rpc_conn_user(const struct rpc_conn *conn)
{
	return conn->options.user;
}
