/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel. A virtio-serial port knows no connections: while the host's end
 * is closed, reads give 0 and poll() a hang-up that lasts, on which a loop
 * would spin. The kernel sends SIGIO when the host's end is opened or closed,
 * and for each arrival of bytes too (drivers/char/virtio_console.c), so the
 * signal is asked for while the host is absent and only then: its absence
 * costs nothing, its presence no signals.
 *
 * The port stays open throughout; each session's connection gets a duplicate
 * of its descriptor.
 */
#include "guest/channel.h"

#include "guest/guest.h"
#include "guest/machine.h"
#include "guest/port.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "rpc/rpc.h"
#include "rpc/session.h"
#include "rpc/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>

#define PORT_NAME "cay.channel"

enum {
	PORT_WAIT_MS = 10000,
	OPENING_MAX = 64 * 1024, /* bytes kept before a session has begun */
};

struct channel {
	struct guest *guest;
	int fd;
	struct watch *opening; /* while no session is open and the host is there */
	struct buf received;   /* what has arrived before the session began */
	struct rpc_conn *conn; /* the session, or NULL */
	bool frozen;           /* the next session may be a copy's of this machine */
	bool thawed;           /* it has begun: its line waits for an answer */
	char line[SESSION_LINE_LENGTH];
};

static void listen_again(struct channel *channel);

static void on_conn_close(struct rpc_conn *conn, const struct cay_error *why, void *user)
{
	struct channel *channel = user;

	log_debug("session ended: %s", why ? why->message : "closed");
	if (channel->conn != conn)
		return; /* it failed before it was announced; begin_session() listens again */
	channel->conn = NULL;
	listen_again(channel);
}

static void begin_session(struct channel *channel)
{
	struct rpc_conn_options options = {
		.server = true,
		.services = channel->guest->service,
		.service_count = 1,
		.on_close = on_conn_close,
		.user = channel,
	};
	struct cay_error err = { 0 };
	int fd = fcntl(channel->fd, F_DUPFD_CLOEXEC, 3);

	watch_close(TAKE_PTR(channel->opening));
	if (fd < 0) {
		log_error("opening a session: %s", errno_text(errno));
		buf_done(&channel->received);
		return;
	}
	if (rpc_conn_new(&channel->guest->loop, fd, &options, channel->received.data,
			 channel->received.length, &channel->conn, &err) < 0) {
		log_error("opening a session: %s", err.message);
		channel->conn = NULL;
	}
	buf_done(&channel->received);
	if (!channel->conn)
		listen_again(channel);
}

static void answer(struct channel *channel)
{
	int r = write_full(channel->fd, channel->line, sizeof(channel->line));

	if (r < 0)
		log_warning("answering a session's opening: %s", errno_text(r));
}

/* Answers session lines until an HTTP/2 connection begins, or the machine must change first. */
static void judge(struct channel *channel)
{
	while (!channel->thawed) {
		switch (session_opening(&channel->received, channel->line)) {
		case SESSION_MORE:
			if (channel->received.length > OPENING_MAX)
				buf_clear(&channel->received);
			return;
		case SESSION_LINE:
			if (memcmp(channel->line, SESSION_FREEZE, sizeof(channel->line)) == 0) {
				ahead_prepare(channel->guest);
				machine_shrink();
				channel->frozen = true;
			} else if (channel->frozen) {
				channel->thawed = true;
				uv_stop(&channel->guest->loop);
				return;
			}
			answer(channel);
			break;
		case SESSION_PREFACE:
			begin_session(channel);
			return;
		}
	}
}

bool channel_is_thawed(const struct channel *channel, uint64_t *ret_number)
{
	if (channel->thawed)
		*ret_number = session_number(channel->line);
	return channel->thawed;
}

void channel_go_on(struct channel *channel)
{
	channel->frozen = channel->thawed = false;
	answer(channel);
	judge(channel);
}

static void on_opening(struct watch *watch, int events, void *user)
{
	struct channel *channel = user;
	ssize_t n = read(channel->fd, buf_reserve(&channel->received, 4096), 4096);

	(void)watch;
	(void)events;
	if (n > 0) {
		channel->received.length += (size_t)n;
		judge(channel);
		return;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* The host's end is closed: what it began is void. */
	buf_clear(&channel->received);
	watch_close(TAKE_PTR(channel->opening));
	listen_again(channel);
}

/* Whether to be told by SIGIO when the host's end is opened. */
static void set_signal(struct channel *channel, bool on)
{
	(void)fcntl(channel->fd, F_SETFL, O_RDWR | O_NONBLOCK | (on ? O_ASYNC : 0));
}

/* Waits for the next session, or for the host where it is not there. */
static void listen_again(struct channel *channel)
{
	struct pollfd now = { .fd = channel->fd };
	int fd;

	if (channel->conn || channel->opening)
		return;
	set_signal(channel, true); /* before the look, or an opening in between would be missed */
	if (poll(&now, 1, 0) > 0 && (now.revents & POLLHUP))
		return;
	set_signal(channel, false);
	fd = fcntl(channel->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0 ||
	    watch_new(&channel->guest->loop, fd, on_opening, channel, &channel->opening) < 0) {
		log_error("watching the channel: %s", errno_text(errno));
		return;
	}
	watch_set(channel->opening, UV_READABLE);
}

void channel_signalled(struct channel *channel)
{
	listen_again(channel);
}

int channel_open(struct guest *guest, struct channel **ret_channel, struct cay_error *err)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int64_t end = clock_monotonic_ms() + PORT_WAIT_MS;
	struct channel *channel;
	int fd;

	while ((fd = port_open(PORT_NAME, O_RDWR | O_NONBLOCK)) == -ENOENT &&
	       clock_monotonic_ms() < end)
		(void)nanosleep(&pause, NULL); /* a short sleep is tried again all the same */
	if (fd < 0)
		return cay_error_errno(err, fd, "opening the port named " PORT_NAME);
	channel = xcalloc(1, sizeof(*channel));
	channel->guest = guest;
	channel->fd = fd;
	if (fcntl(fd, F_SETOWN, getpid()) < 0)
		return cay_error_errno(err, errno, "asking for the channel's signals");
	listen_again(channel);
	*ret_channel = channel;
	return 0;
}
