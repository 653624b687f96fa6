/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients at the standard streams of a process. Output goes to every one that
 * wants it; where one's queue is full the process's output stops for all, until
 * that client reads again or has used up the time a slow reader gets. Without a
 * client, output goes to the log alone and nothing waits.
 *
 * Input that comes before the process can take it waits in the client's own
 * connection, by flow control.
 */
#include "shim/shim.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"

#include <errno.h>

enum { STALL_CHECK_MS = 500 };

struct attachment {
	struct shim *shim;
	struct shim_process *process; /* NULL before the first message and after the end */
	struct attachment *next;
	struct rpc_call *call;
	bool wants[2]; /* by enum sandbox_stream */
	bool wants_stdin;
	bool closing;          /* its input has ended, perhaps with some held */
	bool ended;            /* rpc_call_finish() was called */
	bool paused;           /* its input */
	struct buf held;       /* input that waits; one message's at most */
	int64_t full_since_ms; /* 0: it keeps up */
	int64_t slow_ms;       /* time it was full in all, before this one */
};

/* ---- input ---- */

static void close_stdin(struct attachment *attachment)
{
	struct shim_process *process = attachment->process;

	attachment->wants_stdin = false;
	attachment->closing = false;
	/* An exec's input is its one client's; a container's stays open unless it was asked. */
	if (!process->stdin_open || !(process->exec_id || process->container->stdin_once))
		return;
	process->stdin_open = false;
	if (process->guest)
		sandbox_process_close_stdin(process->guest);
}

static void pause_input(struct attachment *attachment, bool pause)
{
	if (attachment->paused == pause)
		return;
	attachment->paused = pause;
	if (pause)
		rpc_call_pause(attachment->call);
	else
		rpc_call_resume(attachment->call);
}

static bool takes_input(const struct shim_process *process)
{
	return process->guest && process->status >= PROCESS_CREATED;
}

static void take_input(struct attachment *attachment, const void *data, size_t size)
{
	struct shim_process *process = attachment->process;

	if (!attachment->wants_stdin || !process->stdin_open || size == 0)
		return;
	if (!takes_input(process)) {
		buf_append(&attachment->held, data, size);
		pause_input(attachment, true);
	} else if (!sandbox_process_write(process->guest, data, size)) {
		pause_input(attachment, true);
	}
}

void attach_input_ready(struct shim_process *process)
{
	for (struct attachment *attachment = process->attachments; attachment;
	     attachment = attachment->next) {
		bool room = true;

		if (attachment->ended)
			continue;
		if (attachment->held.length > 0 && process->stdin_open)
			room = sandbox_process_write(process->guest, attachment->held.data,
						     attachment->held.length);
		buf_done(&attachment->held);
		attachment->held = (struct buf){ 0 };
		if (attachment->closing)
			close_stdin(attachment);
		if (room)
			pause_input(attachment, false);
	}
	if (!process->stdin_open && process->guest)
		sandbox_process_close_stdin(process->guest);
}

/* ---- output ---- */

static void on_stall_timer(uv_timer_t *timer);

/* From now on the client is waited for, for a time. */
static void set_full(struct attachment *attachment)
{
	struct shim *shim = attachment->shim;

	attachment->full_since_ms = clock_monotonic_ms();
	if (!uv_is_active((uv_handle_t *)&shim->stall))
		(void)uv_timer_start(&shim->stall, on_stall_timer, STALL_CHECK_MS, STALL_CHECK_MS);
}

void attach_output(struct shim_process *process, enum sandbox_stream stream, const void *data,
		   size_t size)
{
	Cay__Shim__V1__AttachOutput output = CAY__SHIM__V1__ATTACH_OUTPUT__INIT;

	output.stream = stream == SANDBOX_STDERR ? CAY__SHIM__V1__OUTPUT_STREAM__STDERR
						 : CAY__SHIM__V1__OUTPUT_STREAM__STDOUT;
	output.data = (ProtobufCBinaryData){ size, (uint8_t *)data };
	for (struct attachment *attachment = process->attachments; attachment;
	     attachment = attachment->next)
		if (attachment->wants[stream] && !attachment->ended &&
		    !rpc_call_send(attachment->call, &output.base) &&
		    attachment->full_since_ms == 0)
			set_full(attachment);
}

bool attach_any_full(const struct shim_process *process)
{
	for (const struct attachment *attachment = process->attachments; attachment;
	     attachment = attachment->next)
		if (attachment->full_since_ms != 0)
			return true;
	return false;
}

size_t attach_queued(const struct shim_process *process)
{
	size_t sum = 0;

	for (const struct attachment *attachment = process->attachments; attachment;
	     attachment = attachment->next)
		sum += rpc_call_queued(attachment->call);
	return sum;
}

static void end(struct attachment *attachment, const struct cay_error *err)
{
	if (attachment->ended)
		return;
	attachment->ended = true;
	rpc_call_finish(attachment->call, err);
}

void attach_end(struct shim_process *process, const struct cay_error *err)
{
	for (struct attachment *attachment = process->attachments; attachment;
	     attachment = attachment->next) {
		end(attachment, err);
		/* Input that is still under way has nowhere to go, but its end must be heard. */
		pause_input(attachment, false);
	}
}

static bool is_too_slow(const struct attachment *attachment)
{
	const int64_t full_ms = clock_monotonic_ms() - attachment->full_since_ms;

	return full_ms > SHIM_ATTACH_STALL_MS ||
		attachment->slow_ms + full_ms > SHIM_ATTACH_SLOW_MS;
}

bool attach_check_stalls(struct shim_process *process)
{
	for (struct attachment *attachment = process->attachments; attachment;
	     attachment = attachment->next)
		if (attachment->full_since_ms != 0 && is_too_slow(attachment)) {
			/* Not finished but cut: what is queued would wait for a reader for ever. */
			attachment->ended = true;
			attachment->full_since_ms = 0;
			rpc_call_cancel(attachment->call);
		}
	shim_process_update_flow(process);
	return attach_any_full(process);
}

/* ---- the call ---- */

static void on_writable(struct rpc_call *call, void *user)
{
	struct attachment *attachment = user;

	if (attachment->full_since_ms == 0)
		return;
	attachment->slow_ms += clock_monotonic_ms() - attachment->full_since_ms;
	attachment->full_since_ms = 0;
	if (attachment->process)
		shim_process_update_flow(attachment->process);
}

static void bind_process(struct attachment *attachment, const Cay__Shim__V1__AttachInput *input)
{
	Cay__Shim__V1__AttachOutput ready = CAY__SHIM__V1__ATTACH_OUTPUT__INIT;
	struct cay_error err = { 0 };
	struct shim_process *process =
		shim_process_find(attachment->shim, input->container_id, input->exec_id, &err);

	if (process && process->status == PROCESS_EXITED) {
		(void)cay_error_set(&err, CAY_CONFLICT, ESRCH, "%s is not running",
				    *input->exec_id ? input->exec_id : input->container_id);
		process = NULL;
	}
	if (!process) {
		end(attachment, &err);
		return;
	}
	attachment->process = process;
	attachment->wants[SANDBOX_STDOUT] = input->stdout;
	attachment->wants[SANDBOX_STDERR] = input->stderr;
	attachment->wants_stdin = input->stdin;
	attachment->next = process->attachments;
	process->attachments = attachment;
	(void)rpc_call_send(attachment->call, &ready.base);
}

static void on_message(struct rpc_call *call, const ProtobufCMessage *message, const uint8_t *data,
		       size_t size, void *user)
{
	const Cay__Shim__V1__AttachInput *input = (const void *)message;
	struct attachment *attachment = user;

	if (attachment->ended || !input)
		return;
	if (!attachment->process)
		bind_process(attachment, input);
	if (attachment->process)
		take_input(attachment, input->data.data, input->data.len);
}

static void on_half_close(struct rpc_call *call, void *user)
{
	struct attachment *attachment = user;
	struct cay_error err = { 0 };

	if (attachment->ended)
		return;
	if (!attachment->process) {
		(void)cay_error_set(&err, CAY_INVALID, EINVAL, "no process was named");
		end(attachment, &err);
	} else if (attachment->held.length > 0) {
		attachment->closing = true;
	} else if (attachment->wants_stdin) {
		close_stdin(attachment);
	}
}

static void unlink_attachment(struct attachment *attachment)
{
	struct shim_process *process = attachment->process;
	struct attachment **link = &process->attachments;

	while (*link != attachment)
		link = &(*link)->next;
	*link = attachment->next;
	if (process->status != PROCESS_EXITED && attachment->wants_stdin)
		close_stdin(attachment);
	attachment->process = NULL;
	shim_process_update_flow(process);
}

static void on_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct attachment *attachment = user;

	if (attachment->process)
		unlink_attachment(attachment);
	attachment->shim->open_calls--;
	buf_done(&attachment->held);
	free(attachment);
}

static void on_stall_timer(uv_timer_t *timer)
{
	struct shim *shim = timer->data;
	bool any = false;

	for (struct shim_process *process = shim->processes; process; process = process->next)
		any |= attach_check_stalls(process);
	if (!any)
		(void)uv_timer_stop(timer);
}

void attach_begin(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	static const struct rpc_call_events events = {
		.on_message = on_message,
		.on_half_close = on_half_close,
		.on_writable = on_writable,
		.on_end = on_end,
	};
	struct shim *shim = user;
	struct attachment *attachment = xcalloc(1, sizeof(*attachment));

	attachment->shim = shim;
	attachment->call = call;
	shim->open_calls++;
	rpc_call_set_events(call, &events, attachment);
}
