/* SPDX-License-Identifier: Apache-2.0 */
/* A client's tar on its way into a container: body, decompression, call. */
#include "daemon/copy.h"

#include "base/alloc.h"
#include "daemon/daemon.h"
#include "daemon/shim.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

enum { CHUNK = 128 * 1024 };

struct input {
	struct rpc_call *call; /* NULL once it has ended */
	struct cay_error status;
	bool full; /* the call takes no more for now */
	bool ended;
	bool gone;
	int fd;
	char *chunk;
};

static void on_writable(struct rpc_call *call, void *user)
{
	struct input *input = user;

	input->full = false;
}

static void on_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct input *input = user;

	input->call = NULL;
	input->status = *status;
}

static void send_some(struct input *input)
{
	Cay__Vminitd__V1__CopyInInput message = CAY__VMINITD__V1__COPY_IN_INPUT__INIT;
	ssize_t n = recv(input->fd, input->chunk, CHUNK, MSG_DONTWAIT);

	if (n > 0) {
		message.data = (ProtobufCBinaryData){ (size_t)n, (uint8_t *)input->chunk };
		input->full = !rpc_call_send(input->call, &message.base);
	} else if (n == 0) {
		input->ended = true;
		rpc_call_half_close(input->call);
	} else if (errno != EAGAIN && errno != EINTR) {
		input->gone = true;
	}
}

/* One turn: waits for anything on any side and acts on it. */
static void turn(struct rpc_client *client, struct input *input, int gone_fd)
{
	uv_loop_t *loop = rpc_client_loop(client);
	struct pollfd fds[] = {
		{ .fd = uv_backend_fd(loop), .events = POLLIN },
		{ .fd = input->full || input->ended ? -1 : input->fd, .events = POLLIN },
		{ .fd = gone_fd, .events = POLLIN },
	};

	if (poll(fds, ARRAY_SIZE(fds), uv_backend_timeout(loop)) < 0)
		return;
	if (fds[1].revents)
		send_some(input);
	if (fds[2].revents)
		input->gone = true;
	(void)uv_run(loop, UV_RUN_NOWAIT);
}

static struct rpc_call *open_call(struct rpc_client *client, const struct files_use *use,
				  const struct copy_in *what, struct input *input)
{
	static const struct rpc_call_events events = {
		.on_writable = on_writable,
		.on_end = on_end,
	};
	Cay__Vminitd__V1__CopyInInput first = CAY__VMINITD__V1__COPY_IN_INPUT__INIT;
	struct rpc_call *call =
		rpc_call_new(rpc_client_conn(client), &cay__vminitd__v1__vminitd__descriptor,
			     "CopyIn", NULL, 0, &events, input);

	first.container_id = use->container->id;
	first.path = (char *)what->path;
	first.no_overwrite_dir_nondir = what->no_overwrite_dir_nondir;
	first.copy_uidgid = what->copy_uidgid;
	(void)rpc_call_send(call, &first.base);
	return call;
}

/* From a plain tar's socket to the guest. */
static int pump(struct files_use *use, const struct copy_in *what, int fd, int gone_fd,
		struct cay_error *err)
{
	_cleanup_rpc_client_ struct rpc_client *client = NULL;
	_cleanup_free_ char *chunk = xmalloc(CHUNK);
	struct input input = { .fd = fd, .chunk = chunk };
	int r = shim_connect(use->container, &client, err);

	if (r < 0)
		return r;
	input.call = open_call(client, use, what, &input);
	while (input.call && !input.gone)
		turn(client, &input, gone_fd);
	if (input.call)
		rpc_call_cancel(input.call);
	while (input.call)
		(void)uv_run(rpc_client_loop(client), UV_RUN_ONCE);
	if (input.gone)
		return cay_error_set(err, CAY_CANCELLED, ECANCELED, "the client has gone");
	if (input.status.code == CAY_OK)
		return 0;
	*err = input.status;
	if (err->code == CAY_CORRUPT)
		err->code = CAY_INVALID; /* what is broken is the client's */
	return -err->err;
}

int copy_in(struct files_use *use, const struct copy_in *what, int gone_fd, struct cay_error *err)
{
	struct image_store *images = use->container->daemon->images;
	struct image_unpacking *unpacking = NULL;
	struct cay_error why = { 0 };
	int fd = what->fd;
	int r = image_unpack_begin(images, what->fd, &unpacking, &fd, err);

	if (r < 0)
		return r;
	r = pump(use, what, fd, gone_fd, err);
	/* What is wrong with the compressed data is why its tar is cut off. */
	if (image_unpack_end(unpacking, r == 0 || err->code == CAY_INVALID, &why) < 0) {
		*err = why;
		r = -err->err;
	}
	return r < 0 ? r : files_use_sync(use, err);
}
