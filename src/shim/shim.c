/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of the shim. The socket is there first, then the VM is booted while
 * the daemon still talks to its clients; when the last container has ended,
 * the VM is put away and the shim leaves once its clients have what is theirs.
 */
#include "shim/shim.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

void shim_mark(const struct shim *shim, int64_t *time_us)
{
	if (*time_us == 0)
		*time_us = MAX(clock_monotonic_us() - shim->begun_us, 1);
}

int64_t shim_sane_time(const struct shim *shim, int64_t ns)
{
	const int64_t now = clock_now_ns();

	return ns < shim->begun_ns || ns > now ? now : ns;
}

void shim_no_guest(const struct shim *shim, struct cay_error *err)
{
	if (shim->lost.code != CAY_OK)
		*err = shim->lost;
	else
		(void)cay_error_set(err, CAY_UNAVAILABLE, ENOTCONN, "the VM is not up");
}

bool shim_serves_files(const struct shim *shim)
{
	for (size_t i = 0; i < shim->config->container_count; i++)
		if (!shim->config->containers[i].files_only)
			return false;
	return true;
}

/* ---- leaving ---- */

static void close_for_good(struct shim *shim)
{
	rpc_listener_close(shim->listener);
	shim->listener = NULL;
	uv_stop(shim->loop);
}

static size_t queued_bytes(const struct shim *shim)
{
	size_t sum = 0;

	for (const struct shim_process *process = shim->processes; process; process = process->next)
		sum += attach_queued(process);
	return sum;
}

/* A client that fetches its last bytes is waited for; one that does nothing is not. */
static void on_linger(uv_timer_t *timer)
{
	struct shim *shim = timer->data;
	const size_t queued = queued_bytes(shim);

	if (queued > 0 && queued < shim->linger_queued)
		shim->linger_queued = queued;
	else
		close_for_good(shim);
}

/* Looked at after every round of the loop, when calls may have ended. */
static void on_check(uv_check_t *check)
{
	struct shim *shim = check->data;

	/* A VM that failed at once is waited out, for the daemon to ask and hear of it. */
	if (shim->gone && shim->open_calls == 0 && shim->start_asked)
		close_for_good(shim);
}

static void log_times(const struct shim *shim)
{
	const struct shim_times *times = &shim->times;

	log_debug("times in us: ready %lld, VM spawned %lld, guest ready %lld, created %lld,"
		  " started %lld, exited %lld, VM gone %lld",
		  (long long)times->shim_ready, (long long)times->vm_spawned,
		  (long long)times->guest_ready, (long long)times->created,
		  (long long)times->started, (long long)times->exited, (long long)times->vm_gone);
}

static void set_gone(struct shim *shim, const struct cay_error *why)
{
	const Cay__Shim__V1__ShutdownResponse response = CAY__SHIM__V1__SHUTDOWN_RESPONSE__INIT;

	shim->lost = *why;
	if (why->code == CAY_OK)
		(void)cay_error_set(&shim->lost, CAY_UNAVAILABLE, ENOTCONN, "the VM has ended");
	ports_close(TAKE_PTR(shim->ports));
	sockets_close(TAKE_PTR(shim->sockets));
	if (shim->pool)
		pool_lost(shim->pool, &shim->lost);
	for (struct shim_process *process = shim->processes; process; process = process->next)
		shim_process_lost(process, &shim->lost);
	watch_end(shim);
	reply_list_send(&shim->shutdowns, &response.base);
	shim->gone = true;
	shim->linger_queued = SIZE_MAX;
	(void)uv_timer_start(&shim->linger, on_linger, SHIM_LINGER_MS, SHIM_LINGER_MS);
}

/* ---- the sandbox ---- */

static void on_ready(struct sandbox *sandbox, void *user)
{
	struct shim *shim = user;

	struct cay_error err = { 0 };

	shim_mark(shim, &shim->times.guest_ready);
	shim->start = sandbox_is_clone(sandbox) ? "template" : "cold";
	if (shim->pool) {
		pool_warm_up(shim->pool);
		return;
	}
	if (shim->ports && ports_start(shim->ports, shim->loop, &err) < 0) {
		sandbox_fail(sandbox, &err);
		return;
	}
	if (shim->sockets)
		sockets_start(shim->sockets, sandbox);
	for (struct shim_process *process = shim->processes; process; process = process->next)
		if (!process->exec_id && process->pending)
			shim_process_run(process);
}

static void on_gone(struct sandbox *sandbox, const struct cay_error *why, void *user)
{
	struct shim *shim = user;

	shim_mark(shim, &shim->times.vm_gone);
	log_times(shim);
	if (why->code != CAY_OK)
		log_error("%s", why->message);
	set_gone(shim, why);
}

static void on_oom(struct sandbox *sandbox, const char *container_id, int64_t time_ns,
		   uint64_t kills, void *user)
{
	struct shim *shim = user;
	struct cay_error err;
	struct shim_process *process = shim_process_find(shim, container_id, NULL, &err);

	if (!process)
		return; /* the guest names a container that was never given to it */
	watch_oom(shim, process->container->id, shim_sane_time(shim, time_ns), kills);
}

static void on_lease(struct sandbox *sandbox, const struct sandbox_lease *lease, void *user)
{
	struct shim *shim = user;

	shim->leases[lease->interface - shim->config->interfaces] = *lease;
	watch_lease(shim, lease);
}

/* What the containers have said through sockets is with its readers. */
static void on_drained(void *user)
{
	struct shim *shim = user;

	if (shim->sandbox && !shim->gone)
		sandbox_end(shim->sandbox, !shim->config->disposable);
}

void shim_container_ended(struct shim *shim)
{
	for (const struct shim_process *process = shim->processes; process; process = process->next)
		if (!process->exec_id && process->status != PROCESS_EXITED)
			return;
	ports_close(TAKE_PTR(shim->ports)); /* another container may have them at once */
	sockets_drain(shim->sockets, on_drained, shim);
}

int shim_bind(struct shim *shim, const struct sandbox_config *config, struct cay_error *err)
{
	int r = ports_bind(config, &shim->ports, err);

	for (size_t i = 0; r == 0 && i < config->interface_count; i++)
		if (config->interfaces[i].kind == SANDBOX_PASST)
			ports_close(TAKE_PTR(shim->ports));
	return r < 0 ? r : sockets_bind(config, shim->loop, &shim->sockets, err);
}

static void boot(struct shim *shim)
{
	static const struct sandbox_events events = {
		.on_ready = on_ready,
		.on_gone = on_gone,
		.on_oom = on_oom,
		.on_lease = on_lease,
	};
	struct cay_error err = { 0 };

	if (shim_bind(shim, shim->config, &err) < 0 ||
	    sandbox_boot(shim->loop, shim->config, &events, shim, &shim->sandbox, &err) < 0) {
		log_error("%s", err.message);
		set_gone(shim, &err);
		return;
	}
	shim_mark(shim, &shim->times.vm_spawned);
	for (struct shim_process *process = shim->processes; process; process = process->next)
		shim_process_save_state(process);
}

/* ---- the process ---- */

static void on_signal(uv_signal_t *handle, int number)
{
	struct shim *shim = handle->data;

	log_info("signal %d: ending the VM", number);
	if (shim->sandbox && !shim->gone)
		sandbox_end(shim->sandbox, shim_serves_files(shim));
}

static void watch_signals(struct shim *shim)
{
	(void)uv_signal_init(shim->loop, &shim->sigterm);
	(void)uv_signal_init(shim->loop, &shim->sigint);
	shim->sigterm.data = shim;
	shim->sigint.data = shim;
	if (uv_signal_start(&shim->sigterm, on_signal, SIGTERM) < 0 ||
	    uv_signal_start(&shim->sigint, on_signal, SIGINT) < 0)
		log_warning("signals can't be watched");
}

int shim_listen(struct shim *shim, const struct sandbox_config *config,
		struct rpc_listener **ret_listener, struct cay_error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/shim.sock", config->run_directory);
	const struct rpc_conn_options options = {
		.server = true,
		.services = &shim->service,
		.service_count = 1,
		.fallback = forward_begin,
		.user = shim,
	};

	shim->service = (struct rpc_service){
		.descriptor = &cay__shim__v1__shim__descriptor,
		.methods = service_methods,
		.method_count = service_method_count,
		.user = shim,
	};
	return rpc_listener_new(shim->loop, path, &options, ret_listener, err);
}

int shim_run(struct sandbox_config *config, char *argument, int64_t begun_us, struct cay_error *err)
{
	uv_check_t check;
	struct shim *shim = xcalloc(1, sizeof(*shim));
	int r = 0;

	shim->loop = uv_default_loop();
	shim->config = config;
	shim->start = "cold";
	shim->begun_us = begun_us;
	shim->begun_ns = clock_now_ns();
	if (config->purpose == SANDBOX_FOR_POOL)
		r = pool_new(shim, argument, &shim->pool, err);
	else
		for (size_t i = 0; i < config->container_count; i++)
			(void)shim_process_new(shim, &config->containers[i], NULL);
	if (r < 0)
		return r;
	(void)uv_timer_init(shim->loop, &shim->stall);
	(void)uv_timer_init(shim->loop, &shim->linger);
	(void)uv_check_init(shim->loop, &check);
	shim->linger.data = shim;
	shim->stall.data = shim;
	check.data = shim;
	watch_signals(shim);
	r = shim_listen(shim, config, &shim->listener, err);
	if (r < 0)
		return r;
	shim_mark(shim, &shim->times.shim_ready);
	(void)uv_check_start(&check, on_check);
	boot(shim);
	(void)uv_run(shim->loop, UV_RUN_DEFAULT);
	/* What is left belongs to connections; it goes with the process. */
	return 0;
}
