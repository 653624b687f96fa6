/* SPDX-License-Identifier: Apache-2.0 */
/* The Engine API's exec: a further process in a running container. */
#include "daemon/exec.h"

#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/api/api.h"
#include "daemon/api/containers.h"
#include "daemon/lifecycle.h"
#include "daemon/shim.h"
#include "daemon/spec.h"
#include "daemon/stream.h"

#include <errno.h>
#include <sys/socket.h>

enum {
	WAIT_MS = 2000, /* from a process's last output to its end */
	ARGUMENTS_MAX = 8192,
	EXIT_NOT_STARTED = 126,
};

/* ---- create ---- */

static int read_strings(struct exec *exec, const json_t *body, struct cay_error *err)
{
	int r = json_read_strv(body, "Cmd", ARGUMENTS_MAX, &exec->arguments, err);

	if (r == 0)
		r = json_read_strv(body, "Env", ARGUMENTS_MAX, &exec->env, err);
	if (r == 0)
		r = json_read_string(body, "User", &exec->user, err);
	if (r == 0)
		r = json_read_string(body, "WorkingDir", &exec->working_directory, err);
	if (r == 0)
		r = json_read_string(body, "DetachKeys", &exec->detach_keys, err);
	return r;
}

static int read_flags(struct exec *exec, const json_t *body, struct cay_error *err)
{
	const struct {
		const char *key;
		bool *target;
	} flags[] = {
		{ "AttachStdin", &exec->stdin_wanted },   { "AttachStdout", &exec->stdout_wanted },
		{ "AttachStderr", &exec->stderr_wanted }, { "Tty", &exec->tty },
		{ "Privileged", &exec->privileged },
	};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		int r = json_read_bool(body, flags[i].key, flags[i].target, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Docker's ConsoleSize is [height, width]. */
static int read_console_size(struct exec *exec, const json_t *body, struct cay_error *err)
{
	json_t *size = NULL;
	int r = json_read_array(body, "ConsoleSize", &size, err);

	if (r < 0 || !size)
		return r;
	for (size_t i = 0; i < 2; i++) {
		json_int_t number = json_integer_value(json_array_get(size, i));

		if (json_array_size(size) != 2 || number < 0 || number > UINT16_MAX)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "\"ConsoleSize\" is not a height and a width");
		*(i == 0 ? &exec->rows : &exec->columns) = (unsigned int)number;
	}
	return 0;
}

static int read_exec(struct exec *exec, const json_t *body, struct cay_error *err)
{
	struct detach_keys ignored;
	int r = read_strings(exec, body, err);

	if (r == 0)
		r = read_flags(exec, body, err);
	if (r == 0)
		r = read_console_size(exec, body, err);
	if (r == 0)
		r = detach_keys_parse(exec->detach_keys, &ignored, err);
	if (r < 0)
		return r;
	if (exec->arguments.count == 0)
		return cay_error_set(err, CAY_INVALID, EINVAL, "No exec command specified");
	if (exec->working_directory && exec->working_directory[0] != '\0' &&
	    exec->working_directory[0] != '/')
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "the working directory '%.200s' is invalid, it needs to be an "
				     "absolute path",
				     exec->working_directory);
	for (size_t i = 0; i < exec->env.count; i++)
		if (strcspn(exec->env.items[i], "=") == 0)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "invalid environment variable: %.200s",
					     exec->env.items[i]);
	return 0;
}

/* "exec_create: sh -c …", as docker names its events. */
static void emit(const struct exec *exec, const char *action)
{
	_cleanup_buf_ struct buf text = { 0 };

	buf_printf(&text, "%s: ", action);
	for (size_t i = 0; i < exec->arguments.count && text.length < 1024; i++)
		buf_printf(&text, "%s%.1024s", i > 0 ? " " : "", exec->arguments.items[i]);
	container_emit(exec->container, text.data, json_pack("{s:s}", "execID", exec->id));
}

int api_exec_create(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	_cleanup_exec_ struct exec *exec = NULL;
	_cleanup_view_ struct container_view view = { 0 };
	json_t *body = NULL;
	int r = api_find_container(daemon, request, &container, err);

	if (r == 0)
		r = http_body_json(request, &body, err);
	if (r < 0)
		return r;
	exec = exec_new(container);
	r = read_exec(exec, body, err);
	if (r == 0)
		r = container_require_up(container, err);
	if (r < 0)
		return r;
	container_view(container, &view);
	if (view.status == CONTAINER_PAUSED)
		return cay_error_set(err, CAY_CONFLICT, EBUSY,
				     "Container %s is paused, unpause the container before exec",
				     container->id);
	exec->run = view.starts;
	r = execs_add(daemon->execs, exec, err);
	if (r < 0)
		return r;
	emit(exec, "exec_create");
	return http_reply_json(request, 201, json_pack("{s:s}", "Id", exec->id));
}

/* ---- start ---- */

struct exec_session {
	struct daemon *daemon;
	struct exec *exec;
	struct rpc_client *client;
	bool answered, failed; /* StartExec */
	struct cay_error error;
};

/* The process is made in the guest and waits. */
static int create_process(struct exec_session *session, struct cay_error *err)
{
	struct exec *exec = session->exec, view;
	const struct container *container = exec->container;
	Cay__Shim__V1__CreateExecRequest request = CAY__SHIM__V1__CREATE_EXEC_REQUEST__INIT;
	_cleanup_free_ char *process = NULL;

	execs_view(session->daemon->execs, exec, &view);
	const struct spec_exec spec = {
		.arguments = &exec->arguments,
		.env = &exec->env,
		.working_directory = exec->working_directory,
		.tty = exec->tty,
		.privileged = exec->privileged,
		.columns = view.columns,
		.rows = view.rows,
	};

	process = spec_make_exec(container->request, container->id, &spec);
	request.container_id = (char *)container->id;
	request.exec_id = exec->id;
	request.oci_process = (ProtobufCBinaryData){ strlen(process), (uint8_t *)process };
	request.user = exec->user && exec->user[0] != '\0' ? exec->user : container->request->user;
	request.stdin = exec->stdin_wanted;
	return rpc_client_call(session->client, &cay__shim__v1__shim__descriptor, "CreateExec",
			       &request.base, SHIM_CALL_MS, NULL, err);
}

static void on_started(struct rpc_call *call, const ProtobufCMessage *message, const uint8_t *data,
		       size_t size, void *user)
{
	const Cay__Shim__V1__StartExecResponse *response =
		(const Cay__Shim__V1__StartExecResponse *)message;
	struct exec_session *session = user;

	execs_set_running(session->daemon->execs, session->exec, response->guest_pid);
}

static void on_start_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct exec_session *session = user;

	session->answered = true;
	session->failed = status->code != CAY_OK;
	session->error = *status;
}

/* Called once the client's place at the streams is sure, so that it misses nothing. */
static void start_process(void *user)
{
	static const struct rpc_call_events events = { .on_message = on_started,
						       .on_end = on_start_end };
	struct exec_session *session = user;
	Cay__Shim__V1__StartExecRequest request = CAY__SHIM__V1__START_EXEC_REQUEST__INIT;

	request.container_id = session->exec->container->id;
	request.exec_id = session->exec->id;
	(void)rpc_call_new(rpc_client_conn(session->client), &cay__shim__v1__shim__descriptor,
			   "StartExec", &request.base, SHIM_CALL_MS, &events, session);
}

/* For a client that does not attach: the same, and the answer. */
static int start_detached(struct exec_session *session, struct cay_error *err)
{
	start_process(session);
	while (!session->answered)
		(void)uv_run(rpc_client_loop(session->client), UV_RUN_ONCE);
	if (!session->failed)
		return 0;
	*err = session->error;
	return -err->err;
}

/* The exit code is known before the client sees the end of the stream and asks for it. */
static void learn_exit_code(struct exec_session *session)
{
	Cay__Shim__V1__WaitRequest request = CAY__SHIM__V1__WAIT_REQUEST__INIT;
	_cleanup_(message_free_p) ProtobufCMessage *message = NULL;
	struct cay_error err = { 0 };

	request.container_id = session->exec->container->id;
	request.exec_id = session->exec->id;
	if (rpc_client_call(session->client, &cay__shim__v1__shim__descriptor, "Wait",
			    &request.base, WAIT_MS, &message, &err) == 0)
		exec_record_exit(session->exec,
				 (int)(((Cay__Shim__V1__WaitResponse *)message)->exit_code & 0xff));
	else
		log_debug("exec %.12s: %s", session->exec->id, err.message);
}

/* Its exit code says so too: 127 for a command that is not there, 126 for one that can't run. */
static void record_failure(struct exec_session *session, const struct cay_error *err)
{
	int code = err->code == CAY_NO_COMMAND || err->code == CAY_NOT_EXEC
		? cay_code_exit_status(err->code)
		: EXIT_NOT_STARTED;

	exec_record_exit(session->exec, code);
}

/* The connection is a stream already, so docker tells the error on it. */
static void tell_failure(const struct exec *exec, int socket, const struct cay_error *err)
{
	_cleanup_buf_ struct buf out = { 0 }, line = { 0 };

	buf_printf(&line, "OCI runtime exec failed: %s\r\n", err->message);
	if (exec->tty)
		buf_append(&out, line.data, line.length);
	else
		frame_append(&out, FRAME_STDERR, line.data, line.length);
	(void)send(socket, out.data, out.length, MSG_NOSIGNAL | MSG_DONTWAIT); /* best effort */
}

static int run_attached(struct exec_session *session, struct http_request *request,
			struct cay_error *err)
{
	struct exec *exec = session->exec;
	_cleanup_buf_ struct buf extra = { 0 };
	enum stream_end end = STREAM_ENDED;
	struct stream_options options = {
		.container_id = exec->container->id,
		.exec_id = exec->id,
		.in = exec->stdin_wanted,
		.out = exec->stdout_wanted,
		.err = exec->stderr_wanted,
		.raw = exec->tty,
		.extra = &extra,
		.on_ready = start_process,
		.stop = &session->failed,
		.user = session,
	};
	struct cay_error fault = { 0 };
	int r = detach_keys_parse(exec->detach_keys, &options.keys, err);

	if (r == 0)
		r = http_hijack(request, api_stream_type(request, exec->tty), &options.socket,
				&extra, err);
	if (r < 0)
		return r;
	options.gone_fd = http_request_gone_fd(request);
	r = create_process(session, &fault);
	if (r == 0)
		r = stream_run(session->client, &options, &end, &fault);
	if (session->failed) {
		fault = session->error;
		r = -fault.err;
	}
	if (end == STREAM_DETACHED)
		emit(exec, "exec_detach");
	else if (r < 0) {
		record_failure(session, &fault);
		tell_failure(exec, options.socket, &fault);
	} else if (end == STREAM_ENDED) {
		learn_exit_code(session);
	}
	return 0;
}

static int check_current(const struct exec *exec, struct cay_error *err)
{
	_cleanup_view_ struct container_view view = { 0 };
	int r = container_require_up(exec->container, err);

	if (r < 0)
		return r;
	container_view(exec->container, &view);
	if (view.starts != exec->run)
		return cay_error_set(err, CAY_CONFLICT, ESTALE,
				     "container %.12s was restarted since exec %.12s was made",
				     exec->container->id, exec->id);
	if (view.status == CONTAINER_PAUSED)
		return cay_error_set(err, CAY_CONFLICT, EBUSY,
				     "Container %s is paused, unpause the container before exec",
				     exec->container->id);
	return 0;
}

static int start(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_exec_ struct exec *exec = NULL;
	_cleanup_rpc_client_ struct rpc_client *client = NULL;
	struct exec_session session = { .daemon = daemon };
	bool detach = false;
	json_t *body = NULL;
	int r = execs_find(daemon->execs, http_param(request, 0), &exec, err);

	if (r == 0)
		r = http_body_json(request, &body, err);
	if (r == 0 && body)
		r = json_read_bool(body, "Detach", &detach, err);
	if (r == 0)
		r = check_current(exec, err);
	if (r == 0)
		r = execs_begin(daemon->execs, exec, err);
	if (r < 0)
		return r;
	emit(exec, "exec_start");
	session.exec = exec;
	r = shim_connect(exec->container, &client, err);
	session.client = client;
	if (r == 0 && !detach)
		return run_attached(&session, request, err);
	if (r == 0)
		r = create_process(&session, err);
	if (r == 0)
		r = start_detached(&session, err);
	if (r < 0) {
		record_failure(&session, err);
		return r;
	}
	return http_reply_empty(request, 200);
}

/* ---- resize and inspect ---- */

static int resize(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_exec_ struct exec *exec = NULL;
	struct exec view;
	unsigned int columns, rows;
	int r = api_read_size(request, &columns, &rows, err);

	if (r == 0)
		r = execs_find(daemon->execs, http_param(request, 0), &exec, err);
	if (r == 0)
		r = container_require_up(exec->container, err);
	if (r < 0)
		return r;
	execs_view(daemon->execs, exec, &view);
	if (!view.running && !view.exited)
		execs_set_size(daemon->execs, exec, columns, rows);
	else if (view.running)
		r = shim_resize(exec->container, exec->id, columns, rows, err);
	return r < 0 ? r : http_reply_empty(request, 200);
}

static int inspect(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_exec_ struct exec *exec = NULL;
	struct exec view;
	json_t *object, *process, *rest;
	int r = execs_find(daemon->execs, http_param(request, 0), &exec, err);

	if (r < 0)
		return r;
	execs_view(daemon->execs, exec, &view);
	rest = json_array();
	for (size_t i = 1; i < exec->arguments.count; i++)
		(void)json_array_append_new(rest, json_string(exec->arguments.items[i]));
	process = json_object();
	json_set_bool(process, "tty", exec->tty);
	json_set_string(process, "entrypoint", exec->arguments.items[0]);
	json_set(process, "arguments", rest);
	json_set_bool(process, "privileged", exec->privileged);
	if (exec->user)
		json_set_string(process, "user", exec->user);
	object = json_object();
	json_set_string(object, "ID", exec->id);
	json_set_bool(object, "Running", view.running);
	json_set(object, "ExitCode", view.exited ? json_integer(view.exit_code) : json_null());
	json_set(object, "ProcessConfig", process);
	json_set_bool(object, "OpenStdin", exec->stdin_wanted);
	json_set_bool(object, "OpenStderr", exec->stderr_wanted);
	json_set_bool(object, "OpenStdout", exec->stdout_wanted);
	json_set_bool(object, "CanRemove", view.exited);
	json_set_string(object, "ContainerID", exec->container->id);
	json_set_string(object, "DetachKeys", exec->detach_keys ? exec->detach_keys : "");
	json_set_int(object, "Pid", view.guest_pid);
	return http_reply_json(request, 200, object);
}

const struct http_route api_exec_routes[] = {
	{ "POST", "/exec/*/start", start },
	{ "POST", "/exec/*/resize", resize },
	{ "GET", "/exec/*/json", inspect },
	{ 0 },
};
