/* SPDX-License-Identifier: Apache-2.0 */
/* A descriptor the loop watches. */
#include "rpc/watch.h"

#include "base/alloc.h"

struct watch {
	uv_poll_t poll;
	int fd;
	int events;
	void (*ready)(struct watch *watch, int events, void *user);
	void *user;
};

static void on_closed(uv_handle_t *handle)
{
	free(container_of(handle, struct watch, poll));
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct watch *watch = container_of(poll, struct watch, poll);

	if (status < 0) {
		/* libuv stopped the handle for EPOLLERR: the user's own I/O finds out why. */
		int asked = watch->events;

		watch->events = 0;
		watch->ready(watch, asked, watch->user);
		return;
	}
	watch->ready(watch, events, watch->user);
}

int watch_new(uv_loop_t *loop, int fd, void (*ready)(struct watch *watch, int events, void *user),
	      void *user, struct watch **ret_watch)
{
	struct watch *watch = xcalloc(1, sizeof(*watch));
	int r = uv_poll_init(loop, &watch->poll, fd);

	if (r < 0) {
		free(watch);
		(void)close(fd);
		return r;
	}
	watch->fd = fd;
	watch->ready = ready;
	watch->user = user;
	*ret_watch = watch;
	return 0;
}

void watch_set(struct watch *watch, int events)
{
	if (events == watch->events)
		return;
	watch->events = events;
	if (events)
		(void)uv_poll_start(&watch->poll, events, on_poll); /* fails only when closing */
	else
		(void)uv_poll_stop(&watch->poll); /* always 0 */
}

int watch_fd(const struct watch *watch)
{
	return watch->fd;
}

void watch_close(struct watch *watch)
{
	if (!watch)
		return;
	(void)uv_poll_stop(&watch->poll); /* always 0 */
	(void)close(watch->fd);
	uv_close((uv_handle_t *)&watch->poll, on_closed);
}
