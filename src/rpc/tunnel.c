/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket joined with a call. What comes by the call waits in `pending` until
 * the socket takes it, and the call is paused meanwhile; what the socket gives
 * is read only while the call's queue has room. So a tunnel holds one message,
 * the call's window and the call's queue at most.
 *
 * A unix socket tells a peer that sends no more (the end of file alone) from
 * one that is gone (a hang-up): the second ends both directions at once, so
 * that the other side's writes fail as they would on a socket of its own.
 */
#include "rpc/tunnel.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "rpc/watch.h"

#include "vminitd.pb-c.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

enum { STALL_MS = 5000 };

struct rpc_tunnel {
	struct rpc_call *call; /* NULL once it is over */
	bool server;
	struct watch *watch;     /* NULL once the socket is closed */
	struct buf pending;      /* from the call, not taken by the socket yet */
	bool paused;             /* the call, for `pending` */
	bool held_up;            /* the call's queue is full */
	bool read_ended;         /* the socket gives no more, and the other side was told */
	bool write_ended;        /* the call gives no more */
	bool shut;               /* and the socket's peer was told */
	bool spoken;             /* something has crossed, either way */
	bool closing;            /* nor does the call take any: to be closed after `pending` */
	bool broken;             /* the socket's peer takes no more */
	bool hang_up_ignored;    /* what looked like one was something else */
	uv_timer_t stall;        /* while something is not taken */
	size_t queued_then;      /* when the timer was last looked at */
	struct cay_error status; /* of the call, once it is over */
	void (*ended)(struct rpc_tunnel *tunnel, const struct cay_error *status, void *user);
	void *user;
};

static void send_data(struct rpc_tunnel *tunnel, const void *data, size_t size,
		      Cay__Vminitd__V1__SocketEnd end)
{
	Cay__Vminitd__V1__SocketData message = CAY__VMINITD__V1__SOCKET_DATA__INIT;

	message.data = (ProtobufCBinaryData){ size, (uint8_t *)data };
	message.end = end;
	if (tunnel->call && !rpc_call_send(tunnel->call, &message.base))
		tunnel->held_up = true;
}

/* ---- the end ---- */

static void close_socket(struct rpc_tunnel *tunnel)
{
	buf_done(&tunnel->pending);
	watch_close(TAKE_PTR(tunnel->watch));
	if (!tunnel->call)
		return;
	if (tunnel->server)
		rpc_call_finish(tunnel->call, NULL); /* on_end() follows */
	if (tunnel->paused) /* what comes is dropped, but its end must be heard */
		rpc_call_resume(tunnel->call);
}

/* The socket's peer is gone, and with it whatever was on its way there. */
static void hang_up(struct rpc_tunnel *tunnel)
{
	/* A client that has left without a word need not be connected any more. */
	if (!tunnel->server && !tunnel->spoken && tunnel->call)
		rpc_call_cancel(tunnel->call);
	send_data(tunnel, NULL, 0, CAY__VMINITD__V1__SOCKET_END__SOCKET_END_BOTH);
	tunnel->read_ended = true;
	close_socket(tunnel);
}

/* Waits for what can be acted upon now. */
static void update(struct rpc_tunnel *tunnel)
{
	int events = 0;

	if (tunnel->call && !tunnel->held_up && !tunnel->read_ended && !tunnel->closing)
		events |= UV_READABLE;
	if (tunnel->pending.length > 0)
		events |= UV_WRITABLE;
	/* A hang-up is told whatever is asked for, but something must be. */
	if (tunnel->read_ended && !tunnel->hang_up_ignored)
		events |= UV_PRIORITIZED;
	watch_set(tunnel->watch, events);
}

static void on_stall_closed(uv_handle_t *handle)
{
	free(handle->data);
}

/* Does what has become possible; the tunnel may be gone after this. */
static void settle(struct rpc_tunnel *tunnel)
{
	if (tunnel->watch && tunnel->pending.length == 0) {
		if (tunnel->closing || !tunnel->call ||
		    (tunnel->read_ended && tunnel->write_ended)) {
			close_socket(tunnel);
		} else if (tunnel->write_ended && !tunnel->shut) {
			tunnel->shut = true;
			/* Fails where the peer is gone, which reading finds out. */
			(void)shutdown(watch_fd(tunnel->watch), SHUT_WR);
		}
	}
	if (tunnel->watch) {
		update(tunnel);
	} else if (!tunnel->call) {
		tunnel->ended(tunnel, &tunnel->status, tunnel->user);
		uv_close((uv_handle_t *)&tunnel->stall, on_stall_closed);
	}
}

/* ---- the socket ---- */

static bool is_hung_up(const struct rpc_tunnel *tunnel)
{
	struct pollfd now = { .fd = watch_fd(tunnel->watch) };

	return poll(&now, 1, 0) > 0 && (now.revents & POLLHUP);
}

static void read_socket(struct rpc_tunnel *tunnel)
{
	uint8_t data[RPC_TUNNEL_DATA_MAX];
	ssize_t n = read(watch_fd(tunnel->watch), data, sizeof(data));

	if (n > 0) {
		tunnel->spoken = true;
		send_data(tunnel, data, (size_t)n, CAY__VMINITD__V1__SOCKET_END__SOCKET_END_NONE);
	} else if (n == 0 && !is_hung_up(tunnel)) {
		tunnel->read_ended = true;
		send_data(tunnel, NULL, 0, CAY__VMINITD__V1__SOCKET_END__SOCKET_END_WRITE);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		hang_up(tunnel);
	}
}

/*
 * Where a socket's peer is gone, somebody on the other side still writes to it, and what it had
 * said before is not read there, nothing can tell him in order: the connection is cut.
 */
static bool is_stalled(struct rpc_tunnel *tunnel)
{
	const size_t queued = tunnel->call ? rpc_call_queued(tunnel->call) : 0;
	const bool progress = queued != tunnel->queued_then;

	tunnel->queued_then = queued;
	return !tunnel->watch || (tunnel->broken && tunnel->held_up && !progress) ||
		(tunnel->paused && tunnel->call && rpc_call_is_broken_off(tunnel->call));
}

static void on_stall(uv_timer_t *timer)
{
	struct rpc_tunnel *tunnel = timer->data;

	if (is_stalled(tunnel))
		rpc_tunnel_break(tunnel);
	else if (!tunnel->broken && !tunnel->paused)
		(void)uv_timer_stop(timer);
}

static void expect_stall(struct rpc_tunnel *tunnel)
{
	if (uv_is_active((uv_handle_t *)&tunnel->stall))
		return;
	tunnel->queued_then = tunnel->call ? rpc_call_queued(tunnel->call) : 0;
	(void)uv_timer_start(&tunnel->stall, on_stall, STALL_MS, STALL_MS);
}

static void write_socket(struct rpc_tunnel *tunnel)
{
	while (tunnel->pending.length > 0) {
		ssize_t n = send(watch_fd(tunnel->watch), tunnel->pending.data,
				 tunnel->pending.length, MSG_NOSIGNAL);

		if (n >= 0) {
			buf_consume(&tunnel->pending, (size_t)n);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != EINTR) {
			tunnel->broken = true; /* what it has said before can still be read */
			expect_stall(tunnel);
			break;
		}
	}
	buf_done(&tunnel->pending); /* idle tunnels hold no memory */
	if (tunnel->paused && tunnel->call) {
		tunnel->paused = false;
		rpc_call_resume(tunnel->call);
	}
}

static void on_ready(struct watch *watch, int events, void *user)
{
	struct rpc_tunnel *tunnel = user;

	if (tunnel->pending.length > 0)
		write_socket(tunnel);
	if (tunnel->read_ended) {
		if (is_hung_up(tunnel))
			hang_up(tunnel);
		else if (events & UV_PRIORITIZED)
			tunnel->hang_up_ignored = true;
	} else if ((events & UV_READABLE) && !tunnel->held_up && tunnel->call) {
		read_socket(tunnel);
	}
	settle(tunnel);
}

/* ---- the call ---- */

static void on_message(struct rpc_call *call, const ProtobufCMessage *message, const uint8_t *data,
		       size_t size, void *user)
{
	const Cay__Vminitd__V1__SocketData *input = (const void *)message;
	struct rpc_tunnel *tunnel = user;

	tunnel->spoken = true;
	if (!tunnel->watch) {
		if (input->data.len > 0)
			expect_stall(tunnel);
		return;
	}
	if (input->data.len > RPC_TUNNEL_DATA_MAX) {
		rpc_tunnel_break(tunnel);
		return;
	}
	if (input->data.len > 0 && !tunnel->write_ended && !tunnel->broken) {
		buf_append(&tunnel->pending, input->data.data, input->data.len);
		write_socket(tunnel);
		if (tunnel->pending.length > 0 && !tunnel->paused) {
			tunnel->paused = true;
			rpc_call_pause(call);
			expect_stall(tunnel);
		}
	}
	tunnel->write_ended |= input->end != CAY__VMINITD__V1__SOCKET_END__SOCKET_END_NONE;
	if (input->end == CAY__VMINITD__V1__SOCKET_END__SOCKET_END_BOTH && !tunnel->closing) {
		tunnel->closing = true;
		/* Its peer may still read `pending`, but what it writes fails from now on. */
		(void)shutdown(watch_fd(tunnel->watch), SHUT_RD);
	}
	settle(tunnel);
}

static void on_half_close(struct rpc_call *call, void *user)
{
	struct rpc_tunnel *tunnel = user;

	tunnel->write_ended = true;
	settle(tunnel);
}

static void on_writable(struct rpc_call *call, void *user)
{
	struct rpc_tunnel *tunnel = user;

	tunnel->held_up = false;
	settle(tunnel);
}

static void on_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct rpc_tunnel *tunnel = user;

	tunnel->call = NULL;
	tunnel->status = *status;
	tunnel->paused = false;
	if (status->code != CAY_OK)
		buf_done(&tunnel->pending); /* broken off, not ended */
	settle(tunnel);
}

/* ---- what users call ---- */

int rpc_tunnel_new(uv_loop_t *loop, int fd, struct rpc_call *call, bool server, bool input_ended,
		   void (*ended)(struct rpc_tunnel *tunnel, const struct cay_error *status,
				 void *user),
		   void *user, struct rpc_tunnel **ret_tunnel)
{
	static const struct rpc_call_events events = { .on_message = on_message,
						       .on_half_close = on_half_close,
						       .on_writable = on_writable,
						       .on_end = on_end };
	_cleanup_free_ struct rpc_tunnel *tunnel = xcalloc(1, sizeof(*tunnel));
	int r = watch_new(loop, fd, on_ready, tunnel, &tunnel->watch);

	if (r < 0)
		return r;
	(void)uv_timer_init(loop, &tunnel->stall); /* always 0 */
	tunnel->stall.data = tunnel;
	tunnel->call = call;
	tunnel->server = server;
	tunnel->ended = ended;
	tunnel->user = user;
	tunnel->write_ended = input_ended;
	rpc_call_set_events(call, &events, tunnel);
	if (server)
		send_data(tunnel, NULL, 0, CAY__VMINITD__V1__SOCKET_END__SOCKET_END_NONE);
	settle(tunnel);
	*ret_tunnel = TAKE_PTR(tunnel);
	return 0;
}

void rpc_tunnel_break(struct rpc_tunnel *tunnel)
{
	buf_done(&tunnel->pending);
	if (tunnel->call)
		rpc_call_cancel(tunnel->call);
	tunnel->closing = true;
	settle(tunnel);
}

void rpc_tunnel_refuse(struct rpc_call *call)
{
	Cay__Vminitd__V1__SocketData message = CAY__VMINITD__V1__SOCKET_DATA__INIT;

	message.end = CAY__VMINITD__V1__SOCKET_END__SOCKET_END_BOTH;
	(void)rpc_call_send(call, &message.base);
}
