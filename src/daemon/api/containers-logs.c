/* SPDX-License-Identifier: Apache-2.0 */
/* GET /containers/{id}/logs: what was printed, and, with follow, what is printed until the end. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "daemon/api/containers.h"
#include "daemon/log-reader.h"
#include "daemon/stream.h"

#include <errno.h>
#include <poll.h>
#include <sys/inotify.h>

enum { BATCH = 32 * 1024, LOOK_AGAIN_MS = 100 };

struct log_stream {
	struct http_request *request;
	struct log_reader *reader;
	bool raw, timestamps;
	struct buf batch;
};

static int read_arguments(const struct http_request *request, struct log_selection *selection,
			  struct cay_error *err)
{
	const char *since = http_query(request, "since"), *until = http_query(request, "until");
	const char *tail = http_query(request, "tail");
	uint64_t lines;

	*selection = (struct log_selection){
		.out = http_query_bool(request, "stdout", false),
		.err = http_query_bool(request, "stderr", false),
		.tail = -1,
	};
	if (!selection->out && !selection->err)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "Bad parameters: you must choose at least one stream");
	if (since && since[0] != '\0' && log_parse_time(since, &selection->since_ns) < 0)
		return cay_error_set(err, CAY_INVALID, EINVAL, "invalid value for since: %.64s",
				     since);
	if (until && until[0] != '\0' && log_parse_time(until, &selection->until_ns) < 0)
		return cay_error_set(err, CAY_INVALID, EINVAL, "invalid value for until: %.64s",
				     until);
	/* docker takes everything that is no number for "all" */
	if (tail && parse_u64(tail, INT32_MAX, &lines) == 0)
		selection->tail = (int64_t)lines;
	return 0;
}

static void put_entry(struct log_stream *stream, const struct log_entry *entry)
{
	_cleanup_buf_ struct buf line = { 0 };
	char time[CLOCK_TEXT_MAX];
	struct buf *out = stream->raw ? &stream->batch : &line;

	if (stream->timestamps) {
		clock_format_utc(entry->time_ns, time);
		buf_puts(out, time);
		buf_putc(out, ' ');
	}
	buf_append(out, entry->text, entry->length);
	if (!stream->raw)
		frame_append(&stream->batch, entry->is_err ? FRAME_STDERR : FRAME_STDOUT, line.data,
			     line.length);
}

static int flush(struct log_stream *stream)
{
	int r = http_stream_write(stream->request, stream->batch.data, stream->batch.length);

	buf_clear(&stream->batch);
	return r;
}

/* Sends all there is now. Negative where the client is gone or the log can't be read. */
static int send_available(struct log_stream *stream, struct cay_error *err)
{
	struct log_entry entry;
	int r;

	while ((r = log_reader_next(stream->reader, &entry, err)) > 0) {
		put_entry(stream, &entry);
		if (stream->batch.length >= BATCH) {
			r = flush(stream);
			if (r < 0)
				return r;
		}
	}
	return r < 0 ? r : flush(stream);
}

static bool is_up(struct container *container)
{
	bool up;

	(void)pthread_mutex_lock(&container->lock);
	up = container_is_up(container->status) || container->status == CONTAINER_STARTING;
	(void)pthread_mutex_unlock(&container->lock);
	return up;
}

/* The status is read before the log: what comes to the log after that comes with another turn. */
static int follow(struct log_stream *stream, struct container *container,
		  struct container_watch *watch, int inotify, struct cay_error *err)
{
	struct pollfd fds[] = {
		{ .fd = inotify, .events = POLLIN },
		{ .fd = watch->fd, .events = POLLIN },
		{ .fd = http_request_gone_fd(stream->request), .events = POLLIN },
	};
	char events[4096];

	for (;;) {
		bool up = is_up(container);
		int r = send_available(stream, err);

		if (r < 0 || !up)
			return r;
		if (poll(fds, ARRAY_SIZE(fds), inotify < 0 ? LOOK_AGAIN_MS : -1) < 0)
			continue;
		if (fds[2].revents)
			return 0;
		if (fds[0].revents)
			(void)!read(inotify, events, sizeof(events)); /* it only wakes us */
		container_watch_clear(watch);
	}
}

static int send_and_follow(struct log_stream *stream, struct container *container,
			   struct cay_error *err)
{
	_cleanup_close_ int inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct container_watch watch;
	int r;

	/* The directory, so that a log that is made or renamed is seen as well. */
	if (inotify < 0 ||
	    inotify_add_watch(inotify, container->directory, IN_MODIFY | IN_CREATE | IN_MOVED_TO) <
		    0)
		return cay_error_errno(err, errno, "following the log of container %.12s",
				       container->id);
	r = container_watch_add(container, &watch, err);
	if (r < 0)
		return r;
	r = follow(stream, container, &watch, inotify, err);
	container_watch_remove(container, &watch);
	return r;
}

int api_containers_logs(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	_cleanup_(log_reader_close_p) struct log_reader *reader = NULL;
	_cleanup_free_ char *path = NULL;
	struct log_selection selection;
	struct log_stream stream = { .request = request };
	int r = api_find_container(daemon, request, &container, err);

	if (r == 0)
		r = read_arguments(request, &selection, err);
	if (r < 0)
		return r;
	if (!container->request->log_kept)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "configured logging driver does not support reading");
	path = container_log_path(container);
	r = log_reader_open(path, &selection, &reader, err);
	if (r < 0)
		return r;
	stream.reader = reader;
	stream.raw = container->request->tty;
	stream.timestamps = http_query_bool(request, "timestamps", false);
	r = http_stream_begin(request, 200, api_stream_type(request, stream.raw));
	if (r == 0)
		r = http_query_bool(request, "follow", false)
			? send_and_follow(&stream, container, err)
			: send_available(&stream, err);
	buf_done(&stream.batch);
	(void)r; /* the reply has begun: a client that left knows, another sees the end */
	return 0;
}
