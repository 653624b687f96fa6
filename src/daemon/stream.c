/* SPDX-License-Identifier: Apache-2.0 */
/* Copying between a client's connection and a shim's Attach call. */
#include "daemon/stream.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "shim.pb-c.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

enum {
	INPUT_CHUNK = 32 * 1024,
	OUTPUT_HIGH = 256 * 1024, /* queued for the client: the call is paused */
	OUTPUT_LOW = 64 * 1024,
	DRAIN_MS = 10000, /* for a client's last bytes */
};

struct stream {
	const struct stream_options *options;
	struct rpc_call *call; /* NULL once it has ended */
	struct cay_error status;
	bool ready, paused;
	struct buf out;
	bool input_open, input_full;
	struct buf held; /* the beginning of the detach keys */
	bool gone, detached;
};

/* ---- frames and keys ---- */

void frame_append(struct buf *out, enum frame_stream stream, const void *data, size_t size)
{
	const unsigned char head[8] = {
		(unsigned char)stream,
		0,
		0,
		0,
		(unsigned char)(size >> 24),
		(unsigned char)(size >> 16),
		(unsigned char)(size >> 8),
		(unsigned char)size,
	};

	buf_append(out, head, sizeof(head));
	buf_append(out, data, size);
}

static int parse_key(struct str key, unsigned char *ret_byte)
{
	char c;

	if (key.length == 1) {
		*ret_byte = (unsigned char)key.data[0];
		return 0;
	}
	if (key.length != 6 || !str_starts(key, "ctrl-"))
		return -EINVAL;
	c = key.data[5];
	if (c >= 'a' && c <= 'z')
		*ret_byte = (unsigned char)(c - 'a' + 1);
	else if (c == '@')
		*ret_byte = 0;
	else if (c >= '[' && c <= '_')
		*ret_byte = (unsigned char)(c - '[' + 27);
	else
		return -EINVAL;
	return 0;
}

int detach_keys_parse(const char *text, struct detach_keys *ret_keys, struct cay_error *err)
{
	struct str rest = str_from(text && text[0] != '\0' ? text : "ctrl-p,ctrl-q");
	struct detach_keys keys = { 0 };

	while (rest.length > 0) {
		struct str key = str_split(rest, ',', &rest);

		if (keys.count == DETACH_KEYS_MAX || parse_key(key, &keys.bytes[keys.count]) < 0)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "invalid detach keys: \"%.100s\"", text);
		keys.count++;
	}
	*ret_keys = keys;
	return 0;
}

/* ---- from the client to the process ---- */

static void send_input(struct stream *stream, const void *data, size_t size)
{
	Cay__Shim__V1__AttachInput input = CAY__SHIM__V1__ATTACH_INPUT__INIT;

	if (!stream->call || size == 0)
		return;
	input.data = (ProtobufCBinaryData){ size, (uint8_t *)data };
	stream->input_full = !rpc_call_send(stream->call, &input.base);
}

/* Holds back what may be the keys, sends the rest, and stops at the whole of them. */
static void filter_input(struct stream *stream, const char *data, size_t size)
{
	const struct detach_keys *keys = &stream->options->keys;
	struct buf plain = { 0 };

	for (size_t i = 0; i < size && !stream->detached; i++) {
		if ((unsigned char)data[i] != keys->bytes[stream->held.length]) {
			buf_append(&plain, stream->held.data, stream->held.length);
			buf_clear(&stream->held);
			if ((unsigned char)data[i] != keys->bytes[0]) {
				buf_putc(&plain, data[i]);
				continue;
			}
		}
		buf_putc(&stream->held, data[i]);
		stream->detached = stream->held.length == keys->count;
	}
	send_input(stream, plain.data, plain.length);
	buf_done(&plain);
}

static void take_input(struct stream *stream, const char *data, size_t size)
{
	if (stream->options->raw && stream->options->keys.count > 0)
		filter_input(stream, data, size);
	else
		send_input(stream, data, size);
}

static void end_input(struct stream *stream)
{
	stream->input_open = false;
	if (stream->held.length > 0)
		send_input(stream, stream->held.data, stream->held.length);
	/* A terminal's input has no end: its next client goes on. */
	if (stream->call && !stream->options->raw)
		rpc_call_half_close(stream->call);
}

static void read_input(struct stream *stream)
{
	_cleanup_free_ char *chunk = xmalloc(INPUT_CHUNK);
	ssize_t n = recv(stream->options->socket, chunk, INPUT_CHUNK, MSG_DONTWAIT);

	if (n > 0)
		take_input(stream, chunk, (size_t)n);
	else if (n == 0)
		end_input(stream);
	else if (errno != EAGAIN && errno != EINTR)
		stream->gone = true;
}

/* ---- from the process to the client ---- */

static void on_output(struct rpc_call *call, const ProtobufCMessage *message, const uint8_t *data,
		      size_t size, void *user)
{
	const Cay__Shim__V1__AttachOutput *output = (const Cay__Shim__V1__AttachOutput *)message;
	struct stream *stream = user;

	if (!stream->ready) {
		stream->ready = true;
		if (stream->options->on_ready)
			stream->options->on_ready(stream->options->user);
	}
	if (output->data.len == 0)
		return;
	if (stream->options->raw)
		buf_append(&stream->out, output->data.data, output->data.len);
	else
		frame_append(&stream->out,
			     output->stream == CAY__SHIM__V1__OUTPUT_STREAM__STDERR ? FRAME_STDERR
										    : FRAME_STDOUT,
			     output->data.data, output->data.len);
	if (stream->out.length > OUTPUT_HIGH && !stream->paused) {
		stream->paused = true;
		rpc_call_pause(call);
	}
}

static void on_writable(struct rpc_call *call, void *user)
{
	struct stream *stream = user;

	stream->input_full = false;
}

static void on_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct stream *stream = user;

	stream->call = NULL;
	stream->status = *status;
}

static void write_output(struct stream *stream)
{
	ssize_t n = send(stream->options->socket, stream->out.data, stream->out.length,
			 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0)
		buf_consume(&stream->out, (size_t)n);
	else if (errno != EAGAIN && errno != EINTR)
		stream->gone = true;
	if (stream->paused && stream->call && stream->out.length < OUTPUT_LOW) {
		stream->paused = false;
		rpc_call_resume(stream->call);
	}
}

/* ---- both ---- */

static struct rpc_call *open_call(struct rpc_client *client, struct stream *stream)
{
	static const struct rpc_call_events events = {
		.on_message = on_output,
		.on_writable = on_writable,
		.on_end = on_end,
	};
	Cay__Shim__V1__AttachInput first = CAY__SHIM__V1__ATTACH_INPUT__INIT;
	struct rpc_call *call =
		rpc_call_new(rpc_client_conn(client), &cay__shim__v1__shim__descriptor, "Attach",
			     NULL, 0, &events, stream);

	first.container_id = (char *)stream->options->container_id;
	first.exec_id = (char *)stream->options->exec_id;
	first.stdin = stream->options->in;
	first.stdout = stream->options->out;
	first.stderr = stream->options->err;
	(void)rpc_call_send(call, &first.base);
	return call;
}

static bool is_stopped(const struct stream *stream)
{
	return stream->gone || stream->detached ||
		(stream->options->stop && *stream->options->stop);
}

/* One turn: waits for anything on any side and acts on it. */
static void turn(struct rpc_client *client, struct stream *stream, int timeout_ms)
{
	uv_loop_t *loop = rpc_client_loop(client);
	struct pollfd fds[] = {
		{ .fd = uv_backend_fd(loop), .events = POLLIN },
		{ .fd = stream->options->socket },
		{ .fd = stream->options->gone_fd, .events = POLLIN },
	};
	int loop_timeout = uv_backend_timeout(loop);

	if (loop_timeout >= 0 && (timeout_ms < 0 || loop_timeout < timeout_ms))
		timeout_ms = loop_timeout;
	if (stream->input_open && !stream->input_full && stream->ready && stream->call)
		fds[1].events |= POLLIN;
	if (stream->out.length > 0)
		fds[1].events |= POLLOUT;
	if (poll(fds, ARRAY_SIZE(fds), timeout_ms) < 0)
		return;
	if (fds[1].revents & POLLOUT)
		write_output(stream);
	if (fds[1].revents & POLLIN)
		read_input(stream);
	/* What a client sent before it left is still its word: its input is read to the end. */
	if (fds[2].revents || (fds[1].revents & (POLLERR | POLLHUP)))
		stream->gone = !(fds[1].revents & POLLIN) || stream->gone;
	(void)uv_run(loop, UV_RUN_NOWAIT);
}

/* The call has ended; the client gets what is left for it, unless it takes too long. */
static void drain(struct rpc_client *client, struct stream *stream)
{
	int64_t deadline = clock_monotonic_ms() + DRAIN_MS, left;

	while (stream->out.length > 0 && !stream->gone) {
		left = deadline - clock_monotonic_ms();
		if (left <= 0)
			stream->gone = true;
		else
			turn(client, stream, (int)left);
	}
}

int stream_run(struct rpc_client *client, const struct stream_options *options,
	       enum stream_end *ret_end, struct cay_error *err)
{
	struct stream stream = { .options = options, .input_open = options->in };

	if (!rpc_client_conn(client))
		return cay_error_set(err, CAY_UNAVAILABLE, ENOTCONN, "the shim has gone");
	stream.call = open_call(client, &stream);
	if (options->in && options->extra && options->extra->length > 0)
		take_input(&stream, options->extra->data, options->extra->length);
	while (stream.call && !is_stopped(&stream))
		turn(client, &stream, -1);
	if (stream.call)
		rpc_call_cancel(stream.call);
	while (stream.call)
		(void)uv_run(rpc_client_loop(client), UV_RUN_ONCE);
	if (!stream.detached)
		drain(client, &stream);
	buf_done(&stream.out);
	buf_done(&stream.held);
	*ret_end = stream.detached ? STREAM_DETACHED : stream.gone ? STREAM_GONE : STREAM_ENDED;
	if (!is_stopped(&stream) && stream.status.code != CAY_OK) {
		*err = stream.status;
		return -err->err;
	}
	return 0;
}
