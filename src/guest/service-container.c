/* SPDX-License-Identifier: Apache-2.0 */
/* Methods about containers and their processes. */
#include "guest/service.h"

#include "guest/container.h"
#include "guest/held.h"
#include "guest/sockets.h"
#include "guest/stats.h"
#include "guest/streams.h"
#include "guest/task.h"

#include "base/alloc.h"

#include <errno.h>
#include <signal.h>

/* The container a request names; without one the call is answered, and the result NULL. */
static struct container *find(struct guest *guest, struct rpc_call *call, const char *id)
{
	struct cay_error err = { 0 };
	struct container *container = container_find(guest, id, &err);

	if (!container)
		rpc_call_finish(call, &err);
	return container;
}

static struct proc *find_process(struct guest *guest, struct rpc_call *call,
				 const char *container_id_text, const char *process_id_text)
{
	struct cay_error err = { 0 };
	struct proc *process =
		container_find_process(guest, container_id_text, process_id_text, &err);

	if (!process)
		rpc_call_finish(call, &err);
	return process;
}

void service_create_container(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	container_create(user, call, (const Cay__Vminitd__V1__CreateContainerRequest *)request);
}

void service_delete_container(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	const Cay__Vminitd__V1__DeleteContainerRequest *asked = (const void *)request;
	struct container *container = find(user, call, asked->id);

	if (container)
		container_delete(container, asked->strict, call);
}

void service_pause_container(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	struct container *container =
		find(user, call, ((const Cay__Vminitd__V1__PauseContainerRequest *)request)->id);

	if (container)
		container_pause(container, true, call);
}

void service_resume_container(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	struct container *container =
		find(user, call, ((const Cay__Vminitd__V1__ResumeContainerRequest *)request)->id);

	if (container)
		container_pause(container, false, call);
}

/* ---- update ---- */

struct update {
	const struct cgroup *cgroup;
	const struct oci_resources *resources;
};

/* Task: lowering a limit makes the writer reclaim memory. */
static int run_update(const void *input, uint64_t *ret_value, struct cay_error *err)
{
	const struct update *update = input;

	(void)ret_value;
	return cgroup_apply(update->cgroup, update->resources, err);
}

static void on_updated(int result, uint64_t value, const struct cay_error *err, void *user)
{
	Cay__Vminitd__V1__UpdateContainerResponse response =
		CAY__VMINITD__V1__UPDATE_CONTAINER_RESPONSE__INIT;

	(void)value;
	if (result < 0)
		held_fail(user, err);
	else
		held_reply(user, &response.base);
}

void service_update_container(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	const Cay__Vminitd__V1__UpdateContainerRequest *update_request =
		(const Cay__Vminitd__V1__UpdateContainerRequest *)request;
	struct container *container = find(user, call, update_request->id);
	_cleanup_oci_resources_ struct oci_resources resources = { 0 };
	struct cay_error err = { 0 };
	struct update update;
	struct held *held;

	if (!container)
		return;
	if (oci_resources_parse(update_request->oci_resources.data,
				update_request->oci_resources.len, &resources, &err) >= 0 &&
	    resources.device_rule_count > 0)
		(void)cay_error_set(&err, CAY_UNSUPPORTED, ENOTSUP,
				    "rules about devices can't be changed");
	if (err.code != CAY_OK) {
		rpc_call_finish(call, &err);
		return;
	}
	update = (struct update){ container_cgroup(container), &resources };
	held = held_new(call, NULL, NULL);
	if (task_start(user, run_update, &update, on_updated, held, &err) < 0)
		held_fail(held, &err);
}

void service_container_stats(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	struct container *container =
		find(user, call, ((const Cay__Vminitd__V1__ContainerStatsRequest *)request)->id);

	if (container)
		stats_reply(container, call);
}

void service_list_processes(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	struct container *container =
		find(user, call, ((const Cay__Vminitd__V1__ListProcessesRequest *)request)->id);

	if (container)
		process_list_reply(container, call);
}

/* ---- processes ---- */

void service_create_process(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	container_create_process(user, call,
				 (const Cay__Vminitd__V1__CreateProcessRequest *)request);
}

void service_start_process(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	const Cay__Vminitd__V1__StartProcessRequest *start =
		(const Cay__Vminitd__V1__StartProcessRequest *)request;
	struct proc *process = find_process(user, call, start->container_id, start->process_id);

	if (process)
		proc_start(process, call);
}

void service_wait_process(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	const Cay__Vminitd__V1__WaitProcessRequest *wait =
		(const Cay__Vminitd__V1__WaitProcessRequest *)request;
	struct proc *process = find_process(user, call, wait->container_id, wait->process_id);

	if (process)
		proc_wait(process, call);
}

void service_signal_process(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	const Cay__Vminitd__V1__SignalProcessRequest *signal_request =
		(const Cay__Vminitd__V1__SignalProcessRequest *)request;
	Cay__Vminitd__V1__SignalProcessResponse response =
		CAY__VMINITD__V1__SIGNAL_PROCESS_RESPONSE__INIT;
	struct proc *process = NULL;
	struct container *container;
	struct cay_error err = { 0 };
	int r, number = (int)signal_request->signal;

	container = find(user, call, signal_request->container_id);
	if (!container)
		return;
	if (!signal_request->all) {
		process = find_process(user, call, signal_request->container_id,
				       signal_request->process_id);
		if (!process)
			return;
	}
	if (signal_request->signal >= _NSIG)
		r = cay_error_set(&err, CAY_INVALID, EINVAL, "there is no signal %u",
				  signal_request->signal);
	else if (process)
		r = proc_signal(process, number, &err);
	else
		r = container_signal_all(container, number, &err);
	service_answer(call, r, &err, &response.base);
}

void service_resize_terminal(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	const Cay__Vminitd__V1__ResizeTerminalRequest *resize =
		(const Cay__Vminitd__V1__ResizeTerminalRequest *)request;
	Cay__Vminitd__V1__ResizeTerminalResponse response =
		CAY__VMINITD__V1__RESIZE_TERMINAL_RESPONSE__INIT;
	struct proc *process = find_process(user, call, resize->container_id, resize->process_id);
	struct cay_error err = { 0 };
	int r = -EBADF;

	if (!process)
		return;
	if (proc_streams(process))
		r = streams_resize(proc_streams(process), resize->columns, resize->rows);
	if (r < 0)
		(void)cay_error_set(&err, CAY_CONFLICT, -r, "process %s %s", proc_id(process),
				    r == -ENOTTY ? "has no terminal" : "is not running");
	service_answer(call, r, &err, &response.base);
}

void service_delete_process(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	const Cay__Vminitd__V1__DeleteProcessRequest *deletion =
		(const Cay__Vminitd__V1__DeleteProcessRequest *)request;
	Cay__Vminitd__V1__DeleteProcessResponse response =
		CAY__VMINITD__V1__DELETE_PROCESS_RESPONSE__INIT;
	struct proc *process =
		find_process(user, call, deletion->container_id, deletion->process_id);
	struct cay_error err = { 0 };

	if (!process)
		return;
	service_answer(call, container_delete_process(proc_container(process), process, &err), &err,
		       &response.base);
}

void service_stdio(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	(void)request; /* it comes as the first message */
	streams_serve(user, call);
}

void service_listen_socket(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	sockets_listen(user, call, (const Cay__Vminitd__V1__ListenSocketRequest *)request);
}

void service_relay_socket(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	(void)request; /* it comes as the first message */
	sockets_relay(user, call);
}

void service_events(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	struct guest *guest = user;

	(void)request;
	events_subscribe(&guest->events, call);
}
