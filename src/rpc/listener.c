/* SPDX-License-Identifier: Apache-2.0 */
/* Connections accepted on a unix socket. */
#include "rpc/rpc-internal.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/unix.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum {
	ACCEPTS_A_TURN = 64,
	SHORTAGE_MS = 100, /* until the next attempt when descriptors or memory have run out */
};

struct rpc_listener {
	uv_loop_t *loop;
	struct rpc_conn_options options;
	char *path;
	struct stat made; /* the socket file as we made it */
	int fd;
	uv_poll_t poll;
	uv_timer_t timer;
	int handles;
};

static void on_connection(uv_poll_t *poll, int status, int events);

static void on_timer(uv_timer_t *timer)
{
	struct rpc_listener *listener = timer->data;

	(void)uv_poll_start(&listener->poll, UV_READABLE, on_connection); /* never fails here */
}

/* The waiting client stays in the queue, which keeps the descriptor readable: look away for a time.
 */
static void wait_for_room(struct rpc_listener *listener, int reason)
{
	log_warning("accepting on %s: %s", listener->path, errno_text(reason));
	(void)uv_poll_stop(&listener->poll);
	(void)uv_timer_start(&listener->timer, on_timer, SHORTAGE_MS, 0);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct rpc_listener *listener = poll->data;

	for (unsigned int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct cay_error err = { 0 };
		struct rpc_conn *conn;
		/* cppcheck-suppress nullPointer; whose end it is does not matter */
		int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0) {
			if (errno != EAGAIN)
				wait_for_room(listener, errno);
			return;
		}
		if (rpc_conn_new(listener->loop, fd, &listener->options, NULL, 0, &conn, &err) < 0)
			log_warning("accepting on %s: %s", listener->path, err.message);
	}
}

int rpc_listener_new(uv_loop_t *loop, const char *path, const struct rpc_conn_options *options,
		     struct rpc_listener **ret_listener, struct cay_error *err)
{
	_cleanup_close_ int fd = unix_listen(path, 0600, err);
	_cleanup_free_ struct rpc_listener *listener = NULL;
	int r;

	if (fd < 0)
		return fd;
	listener = xcalloc(1, sizeof(*listener));
	listener->loop = loop;
	listener->options = *options;
	if (stat(path, &listener->made) < 0)
		return cay_error_errno(err, errno, "looking at %s", path);
	r = uv_poll_init(loop, &listener->poll, fd);
	if (r < 0)
		return cay_error_errno(err, r, "watching %s", path);
	(void)uv_timer_init(loop, &listener->timer); /* never fails */
	listener->poll.data = listener->timer.data = listener;
	listener->handles = 2;
	listener->fd = TAKE_FD(fd);
	listener->path = xstrdup(path);
	(void)uv_poll_start(&listener->poll, UV_READABLE, on_connection);
	*ret_listener = TAKE_PTR(listener);
	return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct rpc_listener *listener = handle->data;

	if (--listener->handles > 0)
		return;
	free(listener->path);
	free(listener);
}

void rpc_listener_close(struct rpc_listener *listener)
{
	struct stat st;

	if (!listener)
		return;
	/* Another server may have put its own socket there since. */
	if (lstat(listener->path, &st) == 0 && st.st_dev == listener->made.st_dev &&
	    st.st_ino == listener->made.st_ino)
		(void)unlink(
			listener->path); /* one that can't be removed is replaced by the next */
	(void)uv_poll_stop(&listener->poll);
	uv_close((uv_handle_t *)&listener->poll, on_handle_closed);
	uv_close((uv_handle_t *)&listener->timer, on_handle_closed);
	(void)close(listener->fd);
}
