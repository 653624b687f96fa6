/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /containers/{id}/attach. Clients attach before they start a container,
 * so an attachment to one that does not run waits for its next start, which in
 * turn waits until the attachment has its place.
 */
#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "daemon/api/containers.h"
#include "daemon/lifecycle.h"
#include "daemon/log-reader.h"
#include "daemon/shim.h"
#include "daemon/stream.h"

#include <errno.h>
#include <poll.h>

struct attachment {
	struct container *container;
	struct container_attach place;
	bool confirmed;
};

static void on_ready(void *user)
{
	struct attachment *attachment = user;

	container_attach_confirm(attachment->container, &attachment->place);
}

enum turn { TURN_WAIT, TURN_GO, TURN_OVER };

/* `starts` is from when the attachment was made: a later start that is over was missed. */
static enum turn look(struct container *container, unsigned int starts)
{
	enum turn turn = TURN_WAIT;

	(void)pthread_mutex_lock(&container->lock);
	if (container->shim_ready)
		turn = TURN_GO;
	else if (container->status >= CONTAINER_REMOVING ||
		 (container->starts != starts && container->status != CONTAINER_STARTING))
		turn = TURN_OVER;
	(void)pthread_mutex_unlock(&container->lock);
	return turn;
}

/* True once the container's shim can be asked. */
static bool wait_turn(struct container *container, unsigned int starts, int gone_fd)
{
	struct container_watch watch;
	struct pollfd fds[2];
	struct cay_error err = { 0 };
	enum turn turn;

	if (container_watch_add(container, &watch, &err) < 0) {
		log_warning("%s", err.message);
		return false;
	}
	fds[0] = (struct pollfd){ .fd = watch.fd, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = gone_fd, .events = POLLIN };
	while ((turn = look(container, starts)) == TURN_WAIT) {
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			continue;
		if (fds[1].revents)
			break;
		container_watch_clear(&watch);
	}
	container_watch_remove(container, &watch);
	return turn == TURN_GO;
}

/* What was printed before, for clients that ask for it. */
static void send_log(const struct container *container, const struct stream_options *options)
{
	const struct log_selection selection = { .out = options->out,
						 .err = options->err,
						 .tail = -1 };
	_cleanup_(log_reader_close_p) struct log_reader *reader = NULL;
	_cleanup_free_ char *path = container_log_path(container);
	struct cay_error err = { 0 };
	struct log_entry entry;

	if (!container->request->log_kept || log_reader_open(path, &selection, &reader, &err) < 0)
		return;
	while (log_reader_next(reader, &entry, &err) > 0) {
		_cleanup_buf_ struct buf piece = { 0 };

		if (options->raw)
			buf_append(&piece, entry.text, entry.length);
		else
			frame_append(&piece, entry.is_err ? FRAME_STDERR : FRAME_STDOUT, entry.text,
				     entry.length);
		if (write_full(options->socket, piece.data, piece.length) < 0)
			return;
	}
}

static void copy(struct attachment *attachment, const struct stream_options *options)
{
	struct container *container = attachment->container;
	_cleanup_rpc_client_ struct rpc_client *client = NULL;
	enum stream_end end = STREAM_ENDED;
	struct cay_error err = { 0 };

	if (shim_connect(container, &client, &err) < 0 ||
	    stream_run(client, options, &end, &err) < 0)
		log_debug("container %.12s: attached client: %s", container->id, err.message);
	if (end == STREAM_DETACHED)
		container_emit(container, "detach", NULL);
}

static int read_arguments(struct container *container, const struct http_request *request,
			  struct stream_options *options, struct cay_error *err)
{
	*options = (struct stream_options){
		.container_id = container->id,
		.exec_id = "",
		.in = http_query_bool(request, "stdin", false) && container->request->open_stdin,
		.out = http_query_bool(request, "stdout", false),
		.err = http_query_bool(request, "stderr", false),
		.raw = container->request->tty,
		.on_ready = on_ready,
	};
	if (container->status == CONTAINER_PAUSED)
		return cay_error_set(err, CAY_CONFLICT, EBUSY,
				     "container %s is paused, unpause the container before attach",
				     container->id);
	return detach_keys_parse(http_query(request, "detachKeys"), &options->keys, err);
}

/* With its place in the container's list. */
static int serve(struct attachment *attachment, struct http_request *request,
		 struct stream_options *options, unsigned int starts, struct cay_error *err)
{
	_cleanup_buf_ struct buf extra = { 0 };
	int r = http_hijack(request, api_stream_type(request, options->raw), &options->socket,
			    &extra, err);

	if (r < 0)
		return r;
	options->extra = &extra;
	options->gone_fd = http_request_gone_fd(request);
	options->user = attachment;
	container_emit(attachment->container, "attach", NULL);
	if (http_query_bool(request, "logs", false))
		send_log(attachment->container, options);
	if (http_query_bool(request, "stream", false) &&
	    wait_turn(attachment->container, starts, options->gone_fd))
		copy(attachment, options);
	options->extra = NULL;
	return 0;
}

int api_containers_attach(struct daemon *daemon, struct http_request *request,
			  struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	struct attachment attachment = { 0 };
	struct stream_options options;
	struct container_view view;
	int r = api_find_container(daemon, request, &container, err);

	if (r == 0)
		r = read_arguments(container, request, &options, err);
	if (r < 0)
		return r;
	attachment.container = container;
	/* Before the reply: the client may start the container as soon as it has that. */
	container_view(container, &view);
	container_view_done(&view);
	if (http_query_bool(request, "stream", false))
		container_attach_add(container, &attachment.place);
	r = serve(&attachment, request, &options, view.starts, err);
	container_attach_remove(container, &attachment.place);
	return r;
}
