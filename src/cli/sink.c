/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs that never make the poll loop wait. */
#include "cli/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum {
	PIPE_PAGE = 4096, /* what a pipe that polls writable takes at once, pipe(7) */
};

void sink_open(struct sink *sink, int fd)
{
	char path[64];
	struct stat info;
	int again = -1;

	*sink = (struct sink){ .fd = fd };
	if (fstat(fd, &info) < 0)
		return; /* main() saw to it that it is open */
	sink->socket = S_ISSOCK(info.st_mode);
	if (!S_ISFIFO(info.st_mode) && !isatty(fd))
		return;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (again >= 0) {
		sink->fd = again;
		sink->owned = true;
	} else {
		sink->blocking = true; /* a pipe without a reader, or another user's terminal */
	}
}

void sink_close(struct sink *sink)
{
	if (sink->owned)
		(void)close(sink->fd);
	buf_done(&sink->pending);
	*sink = (struct sink){ .fd = -1 };
}

void sink_add(struct sink *sink, const void *data, size_t size)
{
	if (!sink->broken)
		buf_append(&sink->pending, data, size);
}

bool sink_wants_write(const struct sink *sink)
{
	return sink->pending.length > 0 && !sink->broken;
}

void sink_write(struct sink *sink)
{
	size_t size = sink->pending.length;
	ssize_t n;

	if (sink->blocking)
		size = MIN(size, PIPE_PAGE);
	if (sink->socket)
		n = send(sink->fd, sink->pending.data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		n = write(sink->fd, sink->pending.data, size);
	if (n >= 0) {
		buf_consume(&sink->pending, (size_t)n);
	} else if (errno != EINTR && errno != EAGAIN) {
		sink->broken = true;
		sink->error = errno;
		buf_clear(&sink->pending);
	}
}
