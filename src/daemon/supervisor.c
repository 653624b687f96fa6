/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From "start" to the recorded end, in one thread a running container. The log
 * is complete before the status says "exited"; what comes after that is in
 * supervisor-end.c.
 */
#include "daemon/supervisor-internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "daemon/daemon.h"
#include "daemon/exec.h"
#include "daemon/launch-disk.h"
#include "daemon/launch.h"
#include "daemon/lifecycle.h"
#include "daemon/placement.h"
#include "daemon/pool.h"
#include "daemon/quiet.h"
#include "daemon/recorder.h"
#include "daemon/shim.h"
#include "sandbox/state.h"

#include <errno.h>
#include <poll.h>
#include <sys/syscall.h>

enum {
	THREAD_STACK = 256 * 1024,
	ATTACH_MS = 5000, /* for clients that attached before the start */
	EXIT_LOST = 137,  /* as if killed */
	EXIT_NOT_STARTED = 128,
};

/* ---- what is recorded ---- */

static void record_running(struct container *container, const Cay__Shim__V1__StateResponse *state,
			   int guest_pid, int64_t started_ns)
{
	(void)pthread_mutex_lock(&container->lock);
	container->run = (struct container_run){
		.shim_pid = state ? state->shim_pid : 0,
		.vm_pid = state ? state->vm_pid : 0,
		.guest_pid = guest_pid,
		.started_ns = started_ns,
	};
	container_set_status(container, CONTAINER_RUNNING);
	(void)pthread_mutex_unlock(&container->lock);
}

/* Once for each run: what comes second is dropped. */
static void record_exited(struct container *container, const struct sandbox_state *state)
{
	bool first;
	int64_t seconds = 0;

	(void)pthread_mutex_lock(&container->lock);
	first = container_is_up(container->status);
	if (first) {
		struct container_run *run = &container->run;

		run->shim_pid = run->vm_pid = run->guest_pid = 0;
		run->finished_ns = state->finished_ns > 0 ? state->finished_ns : clock_now_ns();
		run->exit_code = state->exit_code;
		run->oom_killed = run->oom_killed || state->oom_killed;
		(void)snprintf(run->error, sizeof(run->error), "%s", state->error);
		seconds = MAX((run->finished_ns - run->started_ns) / 1000000000, 0);
		container->shim_ready = false;
		container_set_status(container, CONTAINER_EXITED);
	}
	(void)pthread_mutex_unlock(&container->lock);
	if (!first)
		return;
	execs_container_ended(container->daemon->execs, container, EXIT_LOST);
	container_emit(container, "die",
		       json_pack("{s:o, s:o}", "exitCode", json_sprintf("%d", state->exit_code),
				 "execDuration", json_sprintf("%lld", (long long)seconds)));
}

/* ---- bringing it up ---- */

/* Clients that attached before the start get their place before the first byte. */
static void wait_attached(struct container *container)
{
	const struct timespec deadline = clock_deadline(ATTACH_MS);

	(void)pthread_mutex_lock(&container->lock);
	container_set_shim_ready(container, true);
	for (;;) {
		const struct container_attach *waiting = container->attaches;

		while (waiting && waiting->confirmed)
			waiting = waiting->next;
		if (!waiting)
			break;
		if (pthread_cond_timedwait(&container->changed, &container->lock, &deadline) ==
		    ETIMEDOUT) {
			log_warning("container %.12s: starting without a client that attached",
				    container->id);
			break;
		}
	}
	(void)pthread_mutex_unlock(&container->lock);
}

/* A VM that waits in the pool, else one of its own: cloned from a template, else booted. */
static int get_shim(struct supervisor *supervisor, struct sandbox_config *config,
		    struct cay_error *err)
{
	struct container *container = supervisor->container;
	struct daemon *daemon = container->daemon;

	templates_key_of_start(daemon, config, supervisor->key);
	if (pool_claim(daemon->pool, supervisor->key, container, config, &supervisor->shim_pid,
		       &supervisor->client))
		return 0;
	supervisor->begun_ms = clock_monotonic_ms();
	templates_choose(daemon->templates, supervisor->key, config);
	recorder_choose(daemon->recorder, config);
	return shim_spawn(container, SHIM_FOR_RUN, config, &supervisor->shim_pid,
			  &supervisor->client, err);
}

static bool is_light(const struct container *container, const struct sandbox_config *config)
{
	/* A disposable one has no disks but those that go with it. */
	bool light = container->request->auto_remove && config->disposable &&
		config->share_count == 0 && config->port_count == 0 && config->socket_count == 0 &&
		container->request->mount_count == 0;

	for (size_t i = 0; i < config->interface_count; i++)
		light = light && config->interfaces[i].kind == SANDBOX_TAP;
	return light;
}

/* How its VM came to be, for people who look, and for the templates. */
static void learn_start(const struct supervisor *supervisor, const struct sandbox_config *config,
			const Cay__Shim__V1__StateResponse *state)
{
	struct container *container = supervisor->container;

	log_debug("container %.12s: its VM's start was %s", container->id, state->start);
	(void)pthread_mutex_lock(&container->lock);
	(void)snprintf(container->run.start, sizeof(container->run.start), "%s", state->start);
	(void)pthread_mutex_unlock(&container->lock);
	templates_started(container->daemon->templates, supervisor->key, config,
			  supervisor->begun_ms, state->start, state->template_error);
}

static int bring_up(struct supervisor *supervisor, struct cay_error *err)
{
	struct container *container = supervisor->container;
	_cleanup_(sandbox_config_free_p) struct sandbox_config *config = NULL;
	_cleanup_(shim_start_free_p) Cay__Shim__V1__StartResponse *response = NULL;
	_cleanup_(shim_state_free_p) Cay__Shim__V1__StateResponse *state = NULL;
	struct cay_error ignored;
	int r = launch_config(container, &config, err);

	if (r == 0)
		r = get_shim(supervisor, config, err);
	if (r < 0)
		return r;
	wait_attached(container);
	supervisor->is_light = is_light(container, config);
	r = shim_start(supervisor->client, container, &response, err);
	if (r < 0)
		return launch_disk_note_failure(config, err);
	(void)shim_state(supervisor->client, &state, &ignored); /* only for what it tells */
	record_running(container, state, response->guest_pid, response->started_ns);
	if (state)
		learn_start(supervisor, config, state);
	if (state && state->vm_pid > 0 && supervisor->is_light)
		supervisor->vm_pidfd = (int)syscall(SYS_pidfd_open, state->vm_pid, 0);
	return 0;
}

/* The words by which docker's clients tell "not found" and "not executable" apart. */
static void word_start_error(struct cay_error *err)
{
	if (err->code == CAY_NO_COMMAND && !strstr(err->message, "executable file not found") &&
	    !strstr(err->message, "no such file or directory"))
		(void)cay_error_prefix(err, "executable file not found");
	if (err->code == CAY_NOT_EXEC && !strstr(err->message, "permission denied") &&
	    !strstr(err->message, "is a directory"))
		(void)cay_error_prefix(err, "permission denied");
	(void)cay_error_prefix(err, "failed to create task for container");
}

/* A shim that ended instead of answering has left the reason in its state file. */
static void explain_lost_shim(struct container *container, struct cay_error *err)
{
	_cleanup_free_ char *path = container_path(container, "state.json");
	struct sandbox_state state = { 0 };
	struct cay_error ignored;

	if (err->code == CAY_UNAVAILABLE && sandbox_state_load(path, &state, &ignored) == 0 &&
	    state.error[0] != '\0')
		(void)cay_error_set(err, CAY_UNAVAILABLE, err->err, "%s", state.error);
}

/* Leaves the container as it was before, with the error in its state. */
static void record_failed_start(struct container *container, const struct cay_error *err)
{
	(void)pthread_mutex_lock(&container->lock);
	container->start_error = *err;
	container->shim_ready = false;
	container->run.exit_code = err->code == CAY_NO_COMMAND || err->code == CAY_NOT_EXEC
		? cay_code_exit_status(err->code)
		: EXIT_NOT_STARTED;
	(void)snprintf(container->run.error, sizeof(container->run.error), "%s", err->message);
	container_set_status(container, container->before_start);
	(void)pthread_mutex_unlock(&container->lock);
	log_debug("container %.12s did not start: %s", container->id, err->message);
}

static void announce_start(struct container *container)
{
	(void)pthread_mutex_lock(&container->lock);
	container->start_error = (struct cay_error){ 0 };
	container->start_pending = false;
	(void)pthread_cond_broadcast(&container->changed);
	(void)pthread_mutex_unlock(&container->lock);
}

/* ---- following it ---- */

static void report_exec_exit(struct daemon *daemon, const char *id, int exit_code)
{
	_cleanup_exec_ struct exec *exec = NULL;
	struct cay_error ignored;

	if (execs_find(daemon->execs, id, &exec, &ignored) == 0)
		exec_record_exit(exec, exit_code);
}

static bool on_event(const ProtobufCMessage *message, void *user)
{
	const Cay__Shim__V1__Event *event = (const Cay__Shim__V1__Event *)message;
	struct supervisor *supervisor = user;
	struct container *container = supervisor->container;

	if (event->what_case == CAY__SHIM__V1__EVENT__WHAT_OOM) {
		(void)pthread_mutex_lock(&container->lock);
		container->run.oom_killed = true;
		(void)pthread_mutex_unlock(&container->lock);
		container_emit(container, "oom", NULL);
	}
	if (event->what_case == CAY__SHIM__V1__EVENT__WHAT_ADDRESS)
		networks_learn_address(container->daemon->networks, container, event->address->mac,
				       event->address->address, event->address->gateway);
	if (event->what_case != CAY__SHIM__V1__EVENT__WHAT_EXITED)
		return true;
	if (event->exec_id[0] != '\0') {
		report_exec_exit(container->daemon, event->exec_id,
				 (int)(event->exited->exit_code & 0xff));
		return true;
	}
	const struct sandbox_state state = {
		.finished_ns = event->time_ns,
		.exit_code = (int)(event->exited->exit_code & 0xff),
		.oom_killed = event->exited->oom_killed,
	};

	record_exited(container, &state);
	return !supervisor->is_light;
}

/* The shim is gone: its state file has the last word where no event had it. */
void supervisor_record_end(struct container *container)
{
	_cleanup_free_ char *path = container_path(container, "state.json");
	struct sandbox_state state = { 0 };
	struct cay_error err = { 0 };

	if (sandbox_state_load(path, &state, &err) < 0 || state.status != SANDBOX_EXITED) {
		state = (struct sandbox_state){ .exit_code = EXIT_LOST };
		(void)snprintf(state.error, sizeof(state.error), "the shim was lost");
	}
	record_exited(container, &state);
}

/* Returns false where the daemon is to end and the container goes on. */
static bool follow(struct supervisor *supervisor)
{
	struct container *container = supervisor->container;
	Cay__Shim__V1__EventsRequest request = CAY__SHIM__V1__EVENTS_REQUEST__INIT;
	struct cay_error err = { 0 };
	int r = rpc_client_stream(supervisor->client, &cay__shim__v1__shim__descriptor, "Events",
				  &request.base, container->daemon->stop_fd, on_event, supervisor,
				  &err);

	if (r < 0 && err.code == CAY_CANCELLED)
		return false;
	if (r < 0)
		log_warning("container %.12s: lost its shim: %s", container->id, err.message);
	return true;
}

static void supervise(struct supervisor *supervisor)
{
	struct container *container = supervisor->container;
	struct cay_error err = { 0 };

	if (!supervisor->recovered) {
		struct quiet *quiet = container->daemon->quiet;
		int r;

		quiet_interrupt(quiet);
		r = bring_up(supervisor, &err);
		quiet_resume(quiet);
		if (r < 0) {
			struct cay_error ignored;

			if (supervisor->client)
				(void)shim_shutdown(container, &ignored); /* else it is killed */
			supervisor_clear_away(supervisor);
			explain_lost_shim(container, &err);
			word_start_error(&err);
			record_failed_start(container, &err);
			supervisor_finish(supervisor);
			return;
		}
		container_emit(container, "start", NULL);
		announce_start(container);
		container_save(container);
	}
	if (!follow(supervisor)) {
		rpc_client_free(TAKE_PTR(supervisor->client));
		return;
	}
	if (supervisor->is_light && supervisor_remove_at_once(supervisor))
		return;
	supervisor_clear_away(supervisor);
	supervisor_finish(supervisor);
}

static void *supervisor_main(void *user)
{
	struct supervisor *supervisor = user;
	struct daemon *daemon = supervisor->container->daemon;

	supervise(supervisor);
	cay_close_p(&supervisor->vm_pidfd);
	container_unref(supervisor->container);
	free(supervisor);
	(void)__atomic_sub_fetch(&daemon->supervisors, 1, __ATOMIC_ACQ_REL);
	return NULL;
}

/* Takes the supervisor over. */
static int spawn_thread(struct supervisor *supervisor, struct cay_error *err)
{
	struct daemon *daemon = supervisor->container->daemon;
	int r;

	(void)__atomic_add_fetch(&daemon->supervisors, 1, __ATOMIC_ACQ_REL);
	r = thread_start(THREAD_STACK, supervisor_main, supervisor, NULL);
	if (r == 0)
		return 0;
	(void)__atomic_sub_fetch(&daemon->supervisors, 1, __ATOMIC_ACQ_REL);
	return cay_error_errno(err, r, "starting a thread for container %.12s",
			       supervisor->container->id);
}

static struct supervisor *supervisor_new(struct container *container)
{
	struct supervisor *supervisor = xcalloc(1, sizeof(*supervisor));

	supervisor->container = container_ref(container);
	supervisor->vm_pidfd = -1;
	return supervisor;
}

static void supervisor_drop(struct supervisor *supervisor)
{
	rpc_client_free(supervisor->client);
	container_unref(supervisor->container);
	free(supervisor);
}

int supervisor_start(struct container *container, struct cay_error *err)
{
	struct supervisor *supervisor = supervisor_new(container);
	int r = spawn_thread(supervisor, err);

	if (r < 0)
		supervisor_drop(supervisor);
	return r;
}

int supervisor_follow(struct container *container, struct rpc_client *client, pid_t shim_pid,
		      struct cay_error *err)
{
	struct supervisor *supervisor = supervisor_new(container);
	int r;

	supervisor->client = client;
	supervisor->shim_pid = shim_pid;
	supervisor->recovered = true;
	r = spawn_thread(supervisor, err);
	if (r < 0)
		supervisor_drop(supervisor);
	return r;
}

bool supervisors_wait(struct daemon *daemon, int timeout_ms)
{
	int64_t deadline = clock_monotonic_ms() + timeout_ms;

	while (__atomic_load_n(&daemon->supervisors, __ATOMIC_ACQUIRE) > 0) {
		if (clock_monotonic_ms() > deadline)
			return false;
		(void)poll(NULL, 0, 5);
	}
	return true;
}
