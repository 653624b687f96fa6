/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that follow what happens: the state of now first, then every change. */
#include "shim/shim.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>

struct watcher {
	struct shim *shim;
	struct watcher *next;
	struct rpc_call *call;
	bool ending;
};

static void on_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct watcher *watcher = user;
	struct watcher **link = &watcher->shim->watchers;

	while (*link != watcher)
		link = &(*link)->next;
	*link = watcher->next;
	watcher->shim->open_calls--;
	free(watcher);
}

/* A client that lets events pile up is dropped: it can begin again with the state of then. */
static void send_event(struct watcher *watcher, const Cay__Shim__V1__Event *event)
{
	struct cay_error err = { 0 };

	if (watcher->ending || rpc_call_send(watcher->call, &event->base))
		return;
	watcher->ending = true;
	(void)cay_error_set(&err, CAY_TIMEOUT, ETIMEDOUT, "the client does not read its events");
	rpc_call_finish(watcher->call, &err);
}

/* Sends to one watcher, or to all where it is NULL. */
static void send_to(struct shim *shim, struct watcher *only, const Cay__Shim__V1__Event *event)
{
	if (only) {
		send_event(only, event);
		return;
	}
	for (struct watcher *watcher = shim->watchers; watcher; watcher = watcher->next)
		send_event(watcher, event);
}

static void tell_started(const struct shim_process *process, struct watcher *only)
{
	Cay__Shim__V1__Event event = CAY__SHIM__V1__EVENT__INIT;
	Cay__Shim__V1__StartedEvent started = CAY__SHIM__V1__STARTED_EVENT__INIT;

	started.guest_pid = process->guest_pid;
	event.time_ns = process->started_ns;
	event.container_id = process->container->id;
	event.exec_id = process->exec_id ? process->exec_id : (char *)"";
	event.what_case = CAY__SHIM__V1__EVENT__WHAT_STARTED;
	event.started = &started;
	send_to(process->shim, only, &event);
}

static void tell_exited(const struct shim_process *process, struct watcher *only)
{
	Cay__Shim__V1__Event event = CAY__SHIM__V1__EVENT__INIT;
	Cay__Shim__V1__ExitedEvent exited = CAY__SHIM__V1__EXITED_EVENT__INIT;

	exited.exit_code = (uint32_t)process->exit_code;
	exited.oom_killed = process->oom_killed;
	event.time_ns = process->finished_ns;
	event.container_id = process->container->id;
	event.exec_id = process->exec_id ? process->exec_id : (char *)"";
	event.what_case = CAY__SHIM__V1__EVENT__WHAT_EXITED;
	event.exited = &exited;
	send_to(process->shim, only, &event);
}

static void tell_lease(struct shim *shim, const struct sandbox_lease *lease, struct watcher *only)
{
	Cay__Shim__V1__Event event = CAY__SHIM__V1__EVENT__INIT;
	Cay__Shim__V1__AddressEvent address = CAY__SHIM__V1__ADDRESS_EVENT__INIT;
	const uint8_t *mac = lease->interface->mac;
	char text[sizeof("00:00:00:00:00:00")];

	(void)snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		       mac[3], mac[4], mac[5]);
	address.mac = text;
	address.address = (char *)lease->address;
	address.gateway = (char *)lease->gateway;
	event.time_ns = clock_now_ns();
	event.what_case = CAY__SHIM__V1__EVENT__WHAT_ADDRESS;
	event.address = &address;
	send_to(shim, only, &event);
}

void watch_lease(struct shim *shim, const struct sandbox_lease *lease)
{
	tell_lease(shim, lease, NULL);
}

void watch_started(const struct shim_process *process)
{
	tell_started(process, NULL);
}

void watch_exited(const struct shim_process *process)
{
	tell_exited(process, NULL);
}

void watch_oom(struct shim *shim, const char *container_id, int64_t time_ns, uint64_t kills)
{
	Cay__Shim__V1__Event event = CAY__SHIM__V1__EVENT__INIT;
	Cay__Shim__V1__OomEvent oom = CAY__SHIM__V1__OOM_EVENT__INIT;

	oom.kills = kills;
	event.time_ns = time_ns;
	event.container_id = (char *)container_id;
	event.what_case = CAY__SHIM__V1__EVENT__WHAT_OOM;
	event.oom = &oom;
	send_to(shim, NULL, &event);
}

void watch_begin(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	static const struct rpc_call_events events = { .on_end = on_end };
	struct shim *shim = user;
	struct watcher *watcher = xcalloc(1, sizeof(*watcher));

	watcher->shim = shim;
	watcher->call = call;
	watcher->next = shim->watchers;
	shim->watchers = watcher;
	shim->open_calls++;
	rpc_call_set_events(call, &events, watcher);
	for (size_t i = 0; i < VMM_NICS_MAX; i++)
		if (*shim->leases[i].address)
			tell_lease(shim, &shim->leases[i], watcher);
	for (const struct shim_process *process = shim->processes; process;
	     process = process->next) {
		if (process->status == PROCESS_RUNNING)
			tell_started(process, watcher);
		else if (process->status == PROCESS_EXITED)
			tell_exited(process, watcher);
	}
	if (shim->gone)
		watch_end(shim);
}

void watch_end(struct shim *shim)
{
	for (struct watcher *watcher = shim->watchers; watcher; watcher = watcher->next) {
		if (!watcher->ending)
			rpc_call_finish(watcher->call, NULL);
		watcher->ending = true;
	}
}
