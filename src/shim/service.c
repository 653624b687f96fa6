/* SPDX-License-Identifier: Apache-2.0 */
/* The methods of proto/shim.proto, except Attach (attach.c) and Events (watch.c). */
#include "shim/shim.h"

#include "sandbox/call.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"

#include "vminitd.pb-c.h"

#include <errno.h>
#include <signal.h>

enum {
	SIGNAL_MAX = 64,
	EXEC_ID_MAX = 128,
	GUEST_CALL_TIMEOUT_MS = 30 * 1000,
	SIGKILL_TIMEOUT_MS = 10 * 1000
};

/* ---- State ---- */

static void describe_container(struct shim *shim, const struct shim_process *process,
			       Cay__Shim__V1__ContainerState *state)
{
	static const Cay__Shim__V1__Status statuses[] = {
		[PROCESS_NEW] = CAY__SHIM__V1__STATUS__CREATED,
		[PROCESS_CREATING] = CAY__SHIM__V1__STATUS__CREATED,
		[PROCESS_CREATED] = CAY__SHIM__V1__STATUS__CREATED,
		[PROCESS_STARTING] = CAY__SHIM__V1__STATUS__CREATED,
		[PROCESS_RUNNING] = CAY__SHIM__V1__STATUS__RUNNING,
		[PROCESS_EXITED] = CAY__SHIM__V1__STATUS__EXITED,
	};

	cay__shim__v1__container_state__init(state);
	state->id = process->container->id;
	state->status = statuses[process->status];
	state->guest_pid = process->guest_pid;
	state->started_ns = process->started_ns;
	state->finished_ns = process->finished_ns;
	state->exit_code = (uint32_t)process->exit_code;
	state->oom_killed = process->oom_killed;
	state->running_execs = xcalloc(SHIM_EXECS_MAX, sizeof(*state->running_execs));
	for (struct shim_process *exec = shim->processes; exec; exec = exec->next)
		if (exec->container == process->container && exec->exec_id &&
		    exec->status == PROCESS_RUNNING)
			state->running_execs[state->n_running_execs++] = exec->exec_id;
}

static void fill_times(const struct shim_times *from, Cay__Shim__V1__StartTimes *to)
{
	to->shim_ready_us = from->shim_ready;
	to->vm_spawned_us = from->vm_spawned;
	to->guest_ready_us = from->guest_ready;
	to->created_us = from->created;
	to->started_us = from->started;
	to->exited_us = from->exited;
	to->vm_gone_us = from->vm_gone;
}

static void state_begin(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	struct shim *shim = user;
	const size_t count = shim->pool ? 0 : shim->config->container_count;
	Cay__Shim__V1__StateResponse response = CAY__SHIM__V1__STATE_RESPONSE__INIT;
	Cay__Shim__V1__StartTimes times = CAY__SHIM__V1__START_TIMES__INIT;
	_cleanup_free_ Cay__Shim__V1__ContainerState *states = xcalloc(count + 1, sizeof(*states));
	_cleanup_free_ Cay__Shim__V1__ContainerState **list = xcalloc(count + 1, sizeof(*list));

	fill_times(&shim->times, &times);
	for (size_t i = 0; i < count; i++) {
		struct cay_error err;

		list[i] = &states[i];
		describe_container(
			shim, shim_process_find(shim, shim->config->containers[i].id, NULL, &err),
			&states[i]);
	}
	response.sandbox_id = shim->config->id;
	response.shim_pid = getpid();
	response.vm_pid = shim->sandbox && !shim->gone ? sandbox_vm_pid(shim->sandbox) : 0;
	response.acceleration = shim->config->acceleration;
	response.guest_kernel = (char *)(shim->sandbox ? sandbox_kernel(shim->sandbox) : "");
	response.times = &times;
	response.start = (char *)shim->start;
	if (shim->sandbox)
		response.template_error = (char *)sandbox_template_error(shim->sandbox);
	response.containers = list;
	response.n_containers = count;
	rpc_call_reply(call, &response.base);
	for (size_t i = 0; i < count; i++)
		free(states[i].running_execs);
}

/* ---- Start ---- */

static void fail(struct rpc_call *call, enum cay_code code, int error, const char *name,
		 const char *what)
{
	struct cay_error err = { 0 };

	(void)cay_error_set(&err, code, error, "%s %s", name, what);
	rpc_call_finish(call, &err);
}

static void start_begin(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Cay__Shim__V1__StartRequest *request = (const void *)message;
	struct shim *shim = user;
	struct cay_error err = { 0 };
	struct shim_process *process = shim_process_find(shim, request->container_id, NULL, &err);

	shim->start_asked = true;
	if (!process) {
		rpc_call_finish(call, &err);
		return;
	}
	if (shim->gone && process->started_ns == 0) {
		reply_fail(reply_new(call, &shim->open_calls), &shim->lost);
		return;
	}
	if (process->status != PROCESS_NEW || process->pending) {
		fail(call, CAY_CONFLICT, EALREADY, request->container_id,
		     process->status == PROCESS_EXITED ? "has ended" : "is started already");
		return;
	}
	process->pending = reply_new(call, &shim->open_calls);
	if (sandbox_conn(shim->sandbox))
		shim_process_run(process); /* else once the guest is ready, or gone */
}

/* ---- execs ---- */

static unsigned int count_execs(const struct shim *shim)
{
	unsigned int count = 0;

	for (const struct shim_process *process = shim->processes; process; process = process->next)
		count += process->exec_id != NULL;
	return count;
}

static int check_exec(struct shim *shim, const Cay__Shim__V1__CreateExecRequest *request,
		      const struct shim_process *container, struct cay_error *err)
{
	_cleanup_json_ json_t *process = NULL;
	struct cay_error absent;

	if (container->status != PROCESS_RUNNING || !sandbox_conn(shim->sandbox))
		return cay_error_set(err, CAY_CONFLICT, ESRCH, "container %s is not running",
				     request->container_id);
	if (*request->exec_id == '\0' || strlen(request->exec_id) > EXEC_ID_MAX)
		return cay_error_set(err, CAY_INVALID, EINVAL, "the exec's id is empty or long");
	if (shim_process_find(shim, request->container_id, request->exec_id, &absent))
		return cay_error_set(err, CAY_EXISTS, EEXIST, "exec %s exists", request->exec_id);
	if (count_execs(shim) >= SHIM_EXECS_MAX)
		return cay_error_set(err, CAY_NO_SPACE, EAGAIN, "more than %d execs at once",
				     SHIM_EXECS_MAX);
	return json_parse((const char *)request->oci_process.data, request->oci_process.len,
			  "oci_process", &process, err);
}

static void create_exec_begin(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Cay__Shim__V1__CreateExecRequest *request = (const void *)message;
	struct shim *shim = user;
	struct cay_error err = { 0 };
	struct shim_process *container = shim_process_find(shim, request->container_id, NULL, &err);
	struct shim_process *exec;

	if (!container || check_exec(shim, request, container, &err) < 0) {
		rpc_call_finish(call, &err);
		return;
	}
	exec = shim_process_new(shim, container->container, request->exec_id);
	exec->pending = reply_new(call, &shim->open_calls);
	shim_process_create_exec(exec, request);
}

static void start_exec_begin(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Cay__Shim__V1__StartExecRequest *request = (const void *)message;
	struct shim *shim = user;
	struct cay_error err = { 0 };
	struct shim_process *exec;

	if (*request->exec_id == '\0') {
		fail(call, CAY_INVALID, EINVAL, "exec", "has no id");
		return;
	}
	exec = shim_process_find(shim, request->container_id, request->exec_id, &err);
	if (!exec) {
		rpc_call_finish(call, &err);
		return;
	}
	if (exec->status != PROCESS_CREATED) {
		fail(call, CAY_CONFLICT, EALREADY, request->exec_id,
		     exec->status == PROCESS_EXITED           ? "has ended"
			     : exec->status > PROCESS_CREATED ? "is started already"
							      : "is not created yet");
		return;
	}
	if (!sandbox_conn(shim->sandbox)) {
		fail(call, CAY_CONFLICT, ESRCH, request->container_id, "is not running");
		return;
	}
	exec->pending = reply_new(call, &shim->open_calls);
	shim_process_start_exec(exec);
}

/* ---- Wait ---- */

static void wait_begin(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Cay__Shim__V1__WaitRequest *request = (const void *)message;
	Cay__Shim__V1__WaitResponse response = CAY__SHIM__V1__WAIT_RESPONSE__INIT;
	struct shim *shim = user;
	struct cay_error err = { 0 };
	struct shim_process *process =
		shim_process_find(shim, request->container_id, request->exec_id, &err);
	struct reply *reply;

	if (!process) {
		rpc_call_finish(call, &err);
		return;
	}
	reply = reply_new(call, &shim->open_calls);
	if (process->status != PROCESS_EXITED) {
		reply_wait(reply, &process->waiters);
		return;
	}
	response.exit_code = (uint32_t)process->exit_code;
	response.exited_ns = process->finished_ns;
	response.oom_killed = process->oom_killed;
	reply_send(reply, &response.base);
}

/* ---- Kill and Resize: passed on to the guest ---- */

/* The running process a request names, or NULL with the call answered. */
static struct shim_process *find_running(struct shim *shim, struct rpc_call *call,
					 const char *container_id, const char *exec_id)
{
	struct cay_error err = { 0 };
	struct shim_process *process = shim_process_find(shim, container_id, exec_id, &err);

	if (!process)
		rpc_call_finish(call, &err);
	else if (process->status != PROCESS_RUNNING || !sandbox_conn(shim->sandbox))
		fail(call, CAY_CONFLICT, ESRCH, *exec_id ? exec_id : container_id,
		     "is not running");
	else
		return process;
	return NULL;
}

/* A Kill under way in the guest. */
struct kill_call {
	struct shim *shim;
	struct reply *reply;
	bool sigkill;
};

static void on_killed(const ProtobufCMessage *response, const struct cay_error *err, void *user)
{
	const Cay__Shim__V1__KillResponse answer = CAY__SHIM__V1__KILL_RESPONSE__INIT;
	_cleanup_free_ struct kill_call *kill = user;
	struct cay_error why = { 0 };

	if (!err) {
		reply_send(kill->reply, &answer.base);
	} else if (kill->sigkill && err->code == CAY_TIMEOUT) {
		/* Who asks for that gets it, even from a guest that has stopped to answer. */
		(void)cay_error_set(&why, CAY_UNAVAILABLE, ETIMEDOUT,
				    "the VM ended: the guest does not answer");
		sandbox_fail(kill->shim->sandbox, &why);
		reply_send(kill->reply, &answer.base);
	} else {
		reply_fail(kill->reply, err);
	}
}

static void kill_begin(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Cay__Shim__V1__KillRequest *request = (const void *)message;
	Cay__Vminitd__V1__SignalProcessRequest signal =
		CAY__VMINITD__V1__SIGNAL_PROCESS_REQUEST__INIT;
	struct kill_call *kill;
	struct shim *shim = user;

	if (request->signal == 0 || request->signal > SIGNAL_MAX) {
		fail(call, CAY_INVALID, EINVAL, "the signal", "is not between 1 and 64");
		return;
	}
	if (!find_running(shim, call, request->container_id, request->exec_id))
		return;
	signal.container_id = request->container_id;
	signal.process_id = *request->exec_id ? request->exec_id : (char *)"init";
	signal.signal = request->signal;
	signal.all = request->all;
	kill = xmalloc(sizeof(*kill));
	*kill = (struct kill_call){ shim, reply_new(call, &shim->open_calls),
				    request->signal == SIGKILL };
	sandbox_call(sandbox_conn(shim->sandbox), "SignalProcess", &signal.base,
		     kill->sigkill ? SIGKILL_TIMEOUT_MS : GUEST_CALL_TIMEOUT_MS, on_killed, kill);
}

static void on_resized(const ProtobufCMessage *response, const struct cay_error *err, void *user)
{
	const Cay__Shim__V1__ResizeResponse answer = CAY__SHIM__V1__RESIZE_RESPONSE__INIT;

	if (err)
		reply_fail(user, err);
	else
		reply_send(user, &answer.base);
}

/* A terminal exists, and has a size, from the moment its process is created. */
static void resize_begin(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Cay__Shim__V1__ResizeRequest *request = (const void *)message;
	Cay__Vminitd__V1__ResizeTerminalRequest resize =
		CAY__VMINITD__V1__RESIZE_TERMINAL_REQUEST__INIT;
	struct shim *shim = user;
	struct cay_error err = { 0 };
	struct shim_process *process =
		shim_process_find(shim, request->container_id, request->exec_id, &err);

	if (!process) {
		rpc_call_finish(call, &err);
		return;
	}
	if (process->status < PROCESS_CREATED || process->status == PROCESS_EXITED ||
	    !sandbox_conn(shim->sandbox)) {
		fail(call, CAY_CONFLICT, ESRCH,
		     *request->exec_id ? request->exec_id : request->container_id,
		     "is not running");
		return;
	}
	resize.container_id = request->container_id;
	resize.process_id = *request->exec_id ? request->exec_id : (char *)"init";
	resize.columns = request->columns;
	resize.rows = request->rows;
	sandbox_call(sandbox_conn(shim->sandbox), "ResizeTerminal", &resize.base,
		     GUEST_CALL_TIMEOUT_MS, on_resized, reply_new(call, &shim->open_calls));
}

/* ---- LeadPorts ---- */

static void lead_ports_begin(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Cay__Shim__V1__LeadPortsRequest *request = (const void *)message;
	const Cay__Shim__V1__LeadPortsResponse response = CAY__SHIM__V1__LEAD_PORTS_RESPONSE__INIT;
	struct shim *shim = user;
	struct cay_error err = { 0 };

	if (!shim->ports)
		fail(call, CAY_CONFLICT, ESRCH, shim->config->id, "has no ports now");
	else if (ports_lead(shim->ports, request->ipv4, request->ipv6, &err) < 0)
		rpc_call_finish(call, &err);
	else
		reply_send(reply_new(call, &shim->open_calls), &response.base);
}

/* ---- Shutdown ---- */

static void shutdown_begin(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	const Cay__Shim__V1__ShutdownResponse response = CAY__SHIM__V1__SHUTDOWN_RESPONSE__INIT;
	struct shim *shim = user;
	struct reply *reply = reply_new(call, &shim->open_calls);

	if (shim->gone) {
		reply_send(reply, &response.base);
		return;
	}
	reply_wait(reply, &shim->shutdowns);
	sandbox_end(shim->sandbox, shim_serves_files(shim));
}

const struct rpc_method service_methods[] = {
	{ "State", false, state_begin },
	{ "Start", false, start_begin },
	{ "CreateExec", false, create_exec_begin },
	{ "StartExec", false, start_exec_begin },
	{ "Wait", false, wait_begin },
	{ "Kill", false, kill_begin },
	{ "Resize", false, resize_begin },
	{ "LeadPorts", false, lead_ports_begin },
	{ "Attach", true, attach_begin },
	{ "Events", false, watch_begin },
	{ "Shutdown", false, shutdown_begin },
	{ "WaitWarm", false, pool_wait_begin },
	{ "Claim", false, pool_claim_begin },
};
const size_t service_method_count = ARRAY_SIZE(service_methods);
