/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process in the guest. Calls under way hold a reference to it each, so that
 * it may be freed at any time.
 */
#include "sandbox/process.h"

#include "sandbox/call.h"
#include "sandbox/sandbox-internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"

#include "vminitd.pb-c.h"

#include <errno.h>

enum {
	CREATE_TIMEOUT_MS = 60 * 1000,
	FILL_TIMEOUT_MS = 30 * 60 * 1000, /* the same where volumes may have to be filled */
	START_TIMEOUT_MS = 60 * 1000,
	INPUT_CHUNK = 128 * 1024,
	/*
	 * Output that still comes after a process has ended is from others that hold its streams.
	 * An exec's may live on, so their output is waited for this long; after a container's
	 * first process nothing lives, so only silence this long ends the wait.
	 */
	EXEC_DRAIN_MS = 2 * 1000,
	INIT_DRAIN_MS = 10 * 1000,
};

struct sandbox_process {
	unsigned int references;
	bool freed;
	struct sandbox *sandbox;
	const struct sandbox_container *container;
	char *exec_id; /* NULL: the first process */
	struct buf oci_process;
	char *user_name;
	bool stdin_open;
	struct sandbox_process_events events;
	void *user;

	void (*created)(struct sandbox_process *process, const struct cay_error *err, void *user);
	void (*started)(struct sandbox_process *process, const struct cay_error *err, int pid,
			int64_t started_ns, void *user);
	struct rpc_call *stdio; /* NULL before it is opened and after its end */
	bool stdio_ready;       /* its first message came */
	bool stdio_over;
	bool paused;
	bool exited;   /* exit is known */
	bool reported; /* on_exit was called */
	struct sandbox_exit exit;
	uv_timer_t drain;
};

static void on_drain_closed(uv_handle_t *handle)
{
	struct sandbox_process *process = handle->data;

	free(process->exec_id);
	free(process->user_name);
	buf_done(&process->oci_process);
	free(process);
}

static void unref(struct sandbox_process *process)
{
	assert(process->references > 0);
	if (--process->references == 0)
		uv_close((uv_handle_t *)&process->drain, on_drain_closed);
}

static const char *process_id(const struct sandbox_process *process)
{
	return process->exec_id ? process->exec_id : "init";
}

/* The connection is over, or the guest says something that only that can mean. */
static bool is_lost(struct sandbox_process *process, const struct cay_error *err)
{
	struct cay_error why;

	if (err->code != CAY_UNAVAILABLE && err->code != CAY_CANCELLED)
		return false;
	why = *err;
	(void)cay_error_prefix(&why, "the guest");
	sandbox_fail(process->sandbox, &why);
	return true;
}

/* ---- the end ---- */

static void report_exit(struct sandbox_process *process)
{
	Cay__Vminitd__V1__DeleteProcessRequest request =
		CAY__VMINITD__V1__DELETE_PROCESS_REQUEST__INIT;
	struct rpc_conn *conn = sandbox_conn(process->sandbox);

	if (process->reported || process->freed)
		return;
	process->reported = true;
	(void)uv_timer_stop(&process->drain);
	if (process->exec_id && conn) {
		request.container_id = process->container->id;
		request.process_id = process->exec_id;
		sandbox_call(conn, "DeleteProcess", &request.base, START_TIMEOUT_MS, NULL, NULL);
	}
	process->events.on_exit(process, &process->exit, process->user);
}

static void on_drain_timer(uv_timer_t *timer)
{
	struct sandbox_process *process = timer->data;

	if (process->paused) { /* its readers are slow, which is not its fault */
		(void)uv_timer_again(timer);
		return;
	}
	if (process->stdio)
		rpc_call_cancel(process->stdio); /* on_stdio_end() reports */
	else
		report_exit(process);
}

static void on_waited(const ProtobufCMessage *response, const struct cay_error *err, void *user)
{
	const Cay__Vminitd__V1__WaitProcessResponse *wait = (const void *)response;
	struct sandbox_process *process = user;
	const uint64_t limit = process->exec_id ? EXEC_DRAIN_MS : INIT_DRAIN_MS;

	if (!process->freed && err && !is_lost(process, err))
		sandbox_fail(process->sandbox, err); /* a process it has started it must know */
	if (!process->freed && wait) {
		process->exited = true;
		process->exit = (struct sandbox_exit){
			.code = (int)MIN(wait->exit_code, 255U),
			.time_ns = wait->exited_ns,
			.oom_killed = wait->oom_killed,
		};
		if (process->stdio_over)
			report_exit(process);
		else
			(void)uv_timer_start(&process->drain, on_drain_timer, limit, limit);
	}
	unref(process);
}

/* ---- streams ---- */

static void on_stdio_message(struct rpc_call *call, const ProtobufCMessage *message,
			     const uint8_t *data, size_t size, void *user)
{
	const Cay__Vminitd__V1__StdioOutput *output = (const void *)message;
	struct sandbox_process *process = user;

	if (process->freed || !output)
		return;
	if (!process->stdio_ready) {
		process->stdio_ready = true;
		process->created(process, NULL, process->user);
	}
	if (process->freed || output->data.len == 0 || process->reported)
		return;
	if (process->exited && !process->exec_id)
		(void)uv_timer_again(&process->drain);
	process->events.on_output(process,
				  output->stream == CAY__VMINITD__V1__OUTPUT_STREAM__STDERR
					  ? SANDBOX_STDERR
					  : SANDBOX_STDOUT,
				  output->data.data, output->data.len, process->user);
}

static void on_stdio_writable(struct rpc_call *call, void *user)
{
	struct sandbox_process *process = user;

	if (!process->freed)
		process->events.on_writable(process, process->user);
}

static void on_stdio_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct sandbox_process *process = user;
	struct cay_error early = { 0 };

	process->stdio = NULL;
	process->stdio_over = true;
	if (!process->freed && process->exited) {
		report_exit(process);
	} else if (!process->freed && !process->stdio_ready) {
		if (status->code == CAY_OK) {
			(void)cay_error_set(&early, CAY_INTERNAL, EPROTO,
					    "the process's streams ended before they began");
			status = &early;
		}
		if (!is_lost(process, status))
			process->created(process, status, process->user);
	} else if (!process->freed && status->code != CAY_OK) {
		(void)is_lost(process, status); /* else the wait tells what became of it */
	}
	unref(process);
}

static void open_stdio(struct sandbox_process *process, struct rpc_conn *conn)
{
	static const struct rpc_call_events events = {
		.on_message = on_stdio_message,
		.on_writable = on_stdio_writable,
		.on_end = on_stdio_end,
	};
	Cay__Vminitd__V1__StdioInput input = CAY__VMINITD__V1__STDIO_INPUT__INIT;

	process->references++;
	process->stdio = rpc_call_new(conn, &cay__vminitd__v1__vminitd__descriptor, "Stdio", NULL,
				      0, &events, process);
	input.container_id = process->container->id;
	input.process_id = (char *)process_id(process);
	(void)rpc_call_send(process->stdio, &input.base);
	if (!process->stdin_open)
		rpc_call_half_close(process->stdio);
}

bool sandbox_process_write(struct sandbox_process *process, const void *data, size_t size)
{
	Cay__Vminitd__V1__StdioInput input = CAY__VMINITD__V1__STDIO_INPUT__INIT;
	bool room = true;

	for (size_t at = 0; process->stdio && process->stdin_open && at < size;
	     at += input.data.len) {
		input.data.data = (uint8_t *)data + at;
		input.data.len = MIN(size - at, (size_t)INPUT_CHUNK);
		room = rpc_call_send(process->stdio, &input.base);
	}
	return room;
}

void sandbox_process_close_stdin(struct sandbox_process *process)
{
	if (process->stdio && process->stdin_open)
		rpc_call_half_close(process->stdio);
	process->stdin_open = false;
}

void sandbox_process_pause(struct sandbox_process *process)
{
	if (process->stdio && !process->paused)
		rpc_call_pause(process->stdio);
	process->paused = true;
}

void sandbox_process_resume(struct sandbox_process *process)
{
	bool was_paused = process->paused;

	process->paused = false; /* resuming delivers at once */
	if (process->stdio && was_paused)
		rpc_call_resume(process->stdio);
}

/* ---- create ---- */

static void on_created(const ProtobufCMessage *response, const struct cay_error *err, void *user)
{
	struct sandbox_process *process = user;
	struct rpc_conn *conn = sandbox_conn(process->sandbox);

	if (process->freed || (err && is_lost(process, err)))
		; /* nobody to tell */
	else if (err)
		process->created(process, err, process->user);
	else if (conn && !process->exec_id && process->container->files_only)
		process->created(process, NULL, process->user); /* nothing has streams there */
	else if (conn)
		open_stdio(process, conn);
	unref(process);
}

/* The "process" object of the container's configuration. */
static char *container_process(const struct sandbox_container *container)
{
	_cleanup_json_ json_t *config = NULL;
	json_t *process;

	if (json_parse(container->oci_config, strlen(container->oci_config), "oci_config", &config,
		       NULL) < 0)
		abort(); /* sandbox_config_parse() has checked it */
	process = json_object_get(config, "process");
	return process ? json_print(process) : xstrdup("{}");
}

/* The parts of a request that have to live until it was packed. */
struct create_parts {
	Cay__Vminitd__V1__Mount *mounts, **mount_list;
	Cay__Vminitd__V1__File *files, **file_list;
	Cay__Vminitd__V1__Fill *fills, **fill_list;
	Cay__Vminitd__V1__ProcessSpec init;
	char *oci_process;
};

static void fill_mounts(const struct sandbox_container *container, struct create_parts *parts)
{
	parts->mounts = xcalloc(container->mount_count + 1, sizeof(*parts->mounts));
	parts->mount_list = xcalloc(container->mount_count + 1, sizeof(*parts->mount_list));
	for (size_t i = 0; i < container->mount_count; i++) {
		const struct sandbox_mount *from = &container->mounts[i];
		Cay__Vminitd__V1__Mount *to = &parts->mounts[i];

		cay__vminitd__v1__mount__init(to);
		to->type = from->type;
		to->source = from->source;
		to->target = from->target;
		to->options = from->options.items;
		to->n_options = from->options.count;
		parts->mount_list[i] = to;
	}
}

static void fill_files(const struct sandbox_container *container, struct create_parts *parts)
{
	parts->files = xcalloc(container->file_count + 1, sizeof(*parts->files));
	parts->file_list = xcalloc(container->file_count + 1, sizeof(*parts->file_list));
	for (size_t i = 0; i < container->file_count; i++) {
		const struct sandbox_file *from = &container->files[i];
		Cay__Vminitd__V1__File *to = &parts->files[i];

		cay__vminitd__v1__file__init(to);
		to->path = from->path;
		to->data = (ProtobufCBinaryData){ strlen(from->data), (uint8_t *)from->data };
		to->mode = from->mode;
		parts->file_list[i] = to;
	}
}

static void fill_fills(const struct sandbox_container *container, struct create_parts *parts)
{
	parts->fills = xcalloc(container->fill_count + 1, sizeof(*parts->fills));
	parts->fill_list = xcalloc(container->fill_count + 1, sizeof(*parts->fill_list));
	for (size_t i = 0; i < container->fill_count; i++) {
		cay__vminitd__v1__fill__init(&parts->fills[i]);
		parts->fills[i].path = container->fills[i].path;
		parts->fills[i].target = container->fills[i].target;
		parts->fill_list[i] = &parts->fills[i];
	}
}

static void create_container(struct sandbox_process *process, struct rpc_conn *conn)
{
	const struct sandbox_container *container = process->container;
	Cay__Vminitd__V1__CreateContainerRequest request =
		CAY__VMINITD__V1__CREATE_CONTAINER_REQUEST__INIT;
	struct create_parts parts = { .oci_process = container_process(container) };

	fill_mounts(container, &parts);
	fill_files(container, &parts);
	fill_fills(container, &parts);
	cay__vminitd__v1__process_spec__init(&parts.init);
	parts.init.oci_process =
		(ProtobufCBinaryData){ strlen(parts.oci_process), (uint8_t *)parts.oci_process };
	parts.init.user = container->user;
	parts.init.additional_groups = container->additional_groups.items;
	parts.init.n_additional_groups = container->additional_groups.count;
	parts.init.stdin = container->open_stdin;
	request.id = container->id;
	request.oci_config = (ProtobufCBinaryData){ strlen(container->oci_config),
						    (uint8_t *)container->oci_config };
	request.mounts = parts.mount_list;
	request.n_mounts = container->mount_count;
	request.files = parts.file_list;
	request.n_files = container->file_count;
	request.fills = parts.fill_list;
	request.n_fills = container->fill_count;
	request.files_only = container->files_only;
	request.init = &parts.init;
	request.use_init = container->use_init;
	sandbox_call(conn, "CreateContainer", &request.base,
		     container->fill_count > 0 ? FILL_TIMEOUT_MS : CREATE_TIMEOUT_MS, on_created,
		     process);
	free(parts.mounts);
	free(parts.mount_list);
	free(parts.files);
	free(parts.file_list);
	free(parts.fills);
	free(parts.fill_list);
	free(parts.oci_process);
}

static void create_exec(struct sandbox_process *process, struct rpc_conn *conn)
{
	Cay__Vminitd__V1__CreateProcessRequest request =
		CAY__VMINITD__V1__CREATE_PROCESS_REQUEST__INIT;
	Cay__Vminitd__V1__ProcessSpec spec = CAY__VMINITD__V1__PROCESS_SPEC__INIT;

	spec.oci_process = (ProtobufCBinaryData){ process->oci_process.length,
						  (uint8_t *)process->oci_process.data };
	spec.user = process->user_name;
	spec.stdin = process->stdin_open;
	request.container_id = process->container->id;
	request.process_id = process->exec_id;
	request.process = &spec;
	sandbox_call(conn, "CreateProcess", &request.base, CREATE_TIMEOUT_MS, on_created, process);
}

void sandbox_process_create(struct sandbox_process *process,
			    void (*done)(struct sandbox_process *process,
					 const struct cay_error *err, void *user))
{
	struct rpc_conn *conn = sandbox_conn(process->sandbox);

	if (!conn)
		return;
	process->created = done;
	process->references++;
	if (process->exec_id)
		create_exec(process, conn);
	else
		create_container(process, conn);
}

/* ---- start ---- */

static void await_exit(struct sandbox_process *process, struct rpc_conn *conn)
{
	Cay__Vminitd__V1__WaitProcessRequest request = CAY__VMINITD__V1__WAIT_PROCESS_REQUEST__INIT;

	request.container_id = process->container->id;
	request.process_id = (char *)process_id(process);
	process->references++;
	sandbox_call(conn, "WaitProcess", &request.base, 0, on_waited, process);
}

static void on_started(const ProtobufCMessage *response, const struct cay_error *err, void *user)
{
	const Cay__Vminitd__V1__StartProcessResponse *start = (const void *)response;
	struct sandbox_process *process = user;
	struct rpc_conn *conn = sandbox_conn(process->sandbox);

	if (process->freed || (err && is_lost(process, err))) {
		; /* nobody to tell */
	} else if (err) {
		process->started(process, err, 0, 0, process->user);
	} else {
		sandbox_begin_shedding(process->sandbox);
		process->started(process, NULL, start->pid, start->started_ns, process->user);
		if (conn && !process->freed)
			await_exit(process, conn);
	}
	unref(process);
}

void sandbox_process_start(struct sandbox_process *process,
			   void (*done)(struct sandbox_process *process,
					const struct cay_error *err, int pid, int64_t started_ns,
					void *user))
{
	Cay__Vminitd__V1__StartProcessRequest request =
		CAY__VMINITD__V1__START_PROCESS_REQUEST__INIT;
	struct rpc_conn *conn = sandbox_conn(process->sandbox);

	if (!conn)
		return;
	process->started = done;
	process->references++;
	request.container_id = process->container->id;
	request.process_id = (char *)process_id(process);
	sandbox_call(conn, "StartProcess", &request.base, START_TIMEOUT_MS, on_started, process);
}

/* ---- new and free ---- */

struct sandbox_process *sandbox_process_new(struct sandbox *sandbox,
					    const struct sandbox_process_spec *spec,
					    const struct sandbox_process_events *events, void *user)
{
	struct sandbox_process *process = xcalloc(1, sizeof(*process));

	process->references = 1;
	process->sandbox = sandbox;
	process->container = spec->container;
	process->exec_id = xstrdup(spec->exec_id);
	if (spec->oci_process_size > 0)
		buf_append(&process->oci_process, spec->oci_process, spec->oci_process_size);
	process->user_name = xstrdup(spec->user ? spec->user : "");
	process->stdin_open = spec->exec_id ? spec->stdin_open : spec->container->open_stdin;
	process->events = *events;
	process->user = user;
	(void)uv_timer_init(sandbox_loop(sandbox), &process->drain);
	process->drain.data = process;
	return process;
}

void sandbox_process_free(struct sandbox_process *process)
{
	if (!process)
		return;
	process->freed = true;
	(void)uv_timer_stop(&process->drain);
	if (process->stdio)
		rpc_call_cancel(process->stdio);
	unref(process);
}
