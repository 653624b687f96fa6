/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The standard streams of a process and the Stdio call. The end of an output
 * is the end of its pipe, or EIO from a terminal's master: the kernel gives
 * everything that was written before either, so nothing is lost however fast
 * the process ends. The call ends when all outputs have.
 */
#include "guest/streams.h"

#include "guest/container.h"
#include "guest/guest.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "rpc/watch.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <vminitd.pb-c.h>

enum { CHUNK = 64 * 1024 }; /* a pipe's capacity */

struct streams {
	struct watch *input;  /* a pipe; NULL when closed or with a terminal */
	struct watch *output; /* a pipe or the terminal; NULL at its end */
	struct watch *error;  /* a pipe; NULL at its end or with a terminal */
	bool terminal;
	struct rpc_call *call; /* or NULL */
	bool held_up;          /* the call's queue is full */
	bool paused;           /* the call's input waits for `pending` to be written */
	bool input_ended;      /* the caller has sent its last */
	struct buf pending;    /* input that the process has not taken yet */
};

static struct watch *input_of(const struct streams *streams)
{
	return streams->terminal ? streams->output : streams->input;
}

/* Waits for what can be acted upon now. */
static void update(struct streams *streams)
{
	int read = streams->call && !streams->held_up ? UV_READABLE : 0;
	int write = streams->pending.length > 0 ? UV_WRITABLE : 0;

	if (streams->output)
		watch_set(streams->output, read | (streams->terminal ? write : 0));
	if (streams->error)
		watch_set(streams->error, read);
	if (streams->input)
		watch_set(streams->input, write);
}

static void finish_if_ended(struct streams *streams)
{
	if (streams->call && !streams->output && !streams->error) {
		/* on_end is still to come and clears streams->call. */
		rpc_call_finish(streams->call, NULL);
	}
}

static void close_input(struct streams *streams)
{
	buf_done(&streams->pending);
	if (!streams->terminal)
		watch_close(TAKE_PTR(streams->input));
}

/* Writes as much pending input as the process takes. */
static void write_pending(struct streams *streams)
{
	struct watch *to = input_of(streams);

	while (to && streams->pending.length > 0) {
		ssize_t n = write(watch_fd(to), streams->pending.data, streams->pending.length);

		if (n >= 0) {
			buf_consume(&streams->pending, (size_t)n);
		} else if (errno == EAGAIN) {
			break;
		} else if (errno != EINTR) {
			close_input(streams); /* no one reads it any more */
			to = NULL;
		}
	}
	if (!to)
		buf_done(&streams->pending);
	if (streams->pending.length > 0)
		return;
	buf_done(&streams->pending); /* idle streams hold no memory */
	if (streams->paused && streams->call) {
		streams->paused = false;
		rpc_call_resume(streams->call);
	}
	/* On a terminal the end of input means nothing: what it stands for is typed as ^D. */
	if (streams->input_ended && streams->input && streams->pending.length == 0)
		close_input(streams);
}

/*
 * Reads what there is, up to `size` bytes. A terminal gives a page at most at a time, of which as
 * many are taken as fit. *ret_ended tells that nothing more will come.
 */
static size_t read_chunk(int fd, bool terminal, uint8_t *data, size_t size, bool *ret_ended)
{
	size_t length = 0;
	ssize_t n;

	do {
		n = read(fd, data + length, size - length);
		if (n > 0)
			length += (size_t)n;
	} while (terminal && n > 0 && length < size);
	*ret_ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
	return length;
}

/* Reads and sends; true while the stream goes on. */
static bool read_output(struct streams *streams, struct watch *watch,
			Cay__Vminitd__V1__OutputStream stream)
{
	Cay__Vminitd__V1__StdioOutput output = CAY__VMINITD__V1__STDIO_OUTPUT__INIT;
	uint8_t data[CHUNK];
	bool ended = false;

	output.stream = stream;
	output.data.data = data;
	output.data.len =
		read_chunk(watch_fd(watch), streams->terminal, data, sizeof(data), &ended);
	if (output.data.len > 0 && !rpc_call_send(streams->call, &output.base))
		streams->held_up = true;
	return !ended;
}

static void on_output(struct watch *watch, int events, void *user)
{
	struct streams *streams = user;
	bool is_error = watch == streams->error;

	if (events & UV_WRITABLE)
		write_pending(streams);
	if ((events & UV_READABLE) && streams->call && !streams->held_up &&
	    !read_output(streams, watch,
			 is_error ? CAY__VMINITD__V1__OUTPUT_STREAM__STDERR
				  : CAY__VMINITD__V1__OUTPUT_STREAM__STDOUT)) {
		if (is_error)
			streams->error = NULL;
		else
			streams->output = NULL;
		watch_close(watch);
		write_pending(streams); /* a terminal that ended takes no input */
		finish_if_ended(streams);
	}
	update(streams);
}

static void on_input(struct watch *watch, int events, void *user)
{
	struct streams *streams = user;

	(void)watch;
	(void)events;
	write_pending(streams);
	update(streams);
}

static struct watch *new_watch(uv_loop_t *loop, int fd,
			       void (*ready)(struct watch *watch, int events, void *user),
			       struct streams *streams)
{
	struct watch *watch = NULL;

	if (fd >= 0)
		(void)watch_new(loop, fd, ready, streams,
				&watch); /* pipes and ttys can be polled */
	return watch;
}

struct streams *streams_new(uv_loop_t *loop, int input, int output, int error, bool terminal)
{
	struct streams *streams = xcalloc(1, sizeof(*streams));

	streams->terminal = terminal;
	streams->input = new_watch(loop, input, on_input, streams);
	streams->output = new_watch(loop, output, on_output, streams);
	streams->error = new_watch(loop, error, on_output, streams);
	return streams;
}

void streams_free(struct streams *streams)
{
	static const struct rpc_call_events no_events = { 0 };

	if (!streams)
		return;
	watch_close(streams->input);
	watch_close(streams->output);
	watch_close(streams->error);
	buf_done(&streams->pending);
	if (streams->call) {
		rpc_call_set_events(streams->call, &no_events, NULL);
		rpc_call_finish(streams->call, NULL);
	}
	free(streams);
}

int streams_resize(struct streams *streams, unsigned int columns, unsigned int rows)
{
	struct winsize size = { .ws_col = (unsigned short)MIN(columns, UINT16_MAX),
				.ws_row = (unsigned short)MIN(rows, UINT16_MAX) };

	if (!streams->terminal)
		return -ENOTTY;
	if (!streams->output)
		return -EBADF;
	return ioctl(watch_fd(streams->output), TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

/* ---- the call ---- */

static void take_input(struct streams *streams, const ProtobufCBinaryData *data)
{
	if (data->len == 0 || !input_of(streams))
		return; /* no one reads it */
	buf_append(&streams->pending, data->data, data->len);
	write_pending(streams);
	if (streams->pending.length > 0 && !streams->paused) {
		streams->paused = true;
		rpc_call_pause(streams->call);
	}
	update(streams);
}

static void on_message(struct rpc_call *call, const ProtobufCMessage *message, const uint8_t *data,
		       size_t size, void *user)
{
	(void)call;
	(void)data;
	(void)size;
	take_input(user, &((const Cay__Vminitd__V1__StdioInput *)message)->data);
}

static void on_half_close(struct rpc_call *call, void *user)
{
	struct streams *streams = user;

	(void)call;
	streams->input_ended = true;
	write_pending(streams);
	update(streams);
}

static void on_writable(struct rpc_call *call, void *user)
{
	struct streams *streams = user;

	(void)call;
	streams->held_up = false;
	update(streams);
}

static void on_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct streams *streams = user;

	(void)call;
	(void)status;
	streams->call = NULL;
	streams->held_up = false;
	streams->paused = false;
	update(streams);
}

static void attach(struct streams *streams, struct rpc_call *call,
		   const Cay__Vminitd__V1__StdioInput *first)
{
	static const struct rpc_call_events events = { .on_message = on_message,
						       .on_half_close = on_half_close,
						       .on_writable = on_writable,
						       .on_end = on_end };
	Cay__Vminitd__V1__StdioOutput ready = CAY__VMINITD__V1__STDIO_OUTPUT__INIT;

	streams->call = call;
	streams->held_up = false;
	rpc_call_set_events(call, &events, streams);
	(void)rpc_call_send(call, &ready.base);
	take_input(streams, &first->data);
	finish_if_ended(streams);
	update(streams);
}

/* The first message names the process. */
static void on_first_message(struct rpc_call *call, const ProtobufCMessage *message,
			     const uint8_t *data, size_t size, void *user)
{
	const Cay__Vminitd__V1__StdioInput *first = (const Cay__Vminitd__V1__StdioInput *)message;
	struct cay_error err = { 0 };
	struct proc *process;
	struct streams *streams;

	(void)data;
	(void)size;
	process = container_find_process(user, first->container_id, first->process_id, &err);
	streams = process ? proc_streams(process) : NULL;
	if (process && !streams)
		(void)cay_error_set(&err, CAY_CONFLICT, EAGAIN,
				    "process %s is not yet or no longer there", first->process_id);
	else if (streams && streams->call)
		(void)cay_error_set(&err, CAY_CONFLICT, EBUSY,
				    "the streams of process %s are open already",
				    first->process_id);
	if (!streams || err.code != CAY_OK) {
		rpc_call_finish(call, &err);
		return;
	}
	attach(streams, call, first);
}

static void on_early_half_close(struct rpc_call *call, void *user)
{
	struct cay_error err = { 0 };

	(void)user;
	(void)cay_error_set(&err, CAY_INVALID, EINVAL, "the first message must name a process");
	rpc_call_finish(call, &err);
}

void streams_serve(struct guest *guest, struct rpc_call *call)
{
	static const struct rpc_call_events events = { .on_message = on_first_message,
						       .on_half_close = on_early_half_close };

	rpc_call_set_events(call, &events, guest);
}
