/* SPDX-License-Identifier: Apache-2.0 */
/* Start, stop, kill, pause, rename. */
#include "daemon/lifecycle-internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/containers.h"
#include "daemon/daemon.h"
#include "daemon/database.h"
#include "daemon/events.h"
#include "daemon/files-vm.h"
#include "daemon/networks.h"
#include "daemon/shim.h"
#include "daemon/supervisor.h"

#include <errno.h>
#include <signal.h>

enum {
	KILL_WAIT_MS = 10000,     /* from SIGKILL to the end, then the VM is shut down */
	SHUTDOWN_WAIT_MS = 10000, /* from there, then the shim is killed */
	IDLE_WAIT_MS = 60000,     /* for another operation on the same container */
	FOREVER = -1,
};

/* ---- telling and storing ---- */

void container_emit(const struct container *container, const char *action, json_t *extra)
{
	json_t *attributes = json_object();
	json_t *labels = json_object_get(container->request->config, "Labels");

	if (labels)
		(void)json_object_update(attributes, labels);
	(void)json_object_set_new(attributes, "image", json_string(container->image_name));
	(void)pthread_mutex_lock((pthread_mutex_t *)&container->lock);
	(void)json_object_set_new(attributes, "name", json_string(container->name));
	(void)pthread_mutex_unlock((pthread_mutex_t *)&container->lock);
	if (extra)
		(void)json_object_update(attributes, extra);
	json_decref(extra);
	events_emit(container->daemon->events, "container", action, container->id, attributes, 0);
}

void container_save(struct container *container)
{
	_cleanup_view_ struct container_view view = { 0 };
	struct cay_error err = { 0 };

	container_view(container, &view);
	const struct database_container row = {
		.id = container->id,
		.status = container_status_name(view.status),
		.started_ns = view.run.started_ns,
		.finished_ns = view.run.finished_ns,
		.exit_code = view.run.exit_code,
		.oom_killed = view.run.oom_killed,
		.error = view.run.error,
		.fleeting = container->request->auto_remove,
	};

	if (database_update_container(container->daemon->database, &row, &err) < 0)
		log_error("container %.12s: %s", container->id, err.message);
}

/* ---- waiting; all with the lock held ---- */

/* False when the time is up. */
static bool wait_change(struct container *container, const struct timespec *deadline)
{
	if (!deadline)
		return pthread_cond_wait(&container->changed, &container->lock) == 0;
	return pthread_cond_timedwait(&container->changed, &container->lock, deadline) == 0;
}

static bool has_ended(const struct container *container, unsigned int exits)
{
	return container->exits != exits || !container_is_up(container->status);
}

/* Waits for the end of the run during which `exits` was read; FOREVER or milliseconds. */
static bool wait_end(struct container *container, unsigned int exits, int64_t ms)
{
	struct timespec deadline = clock_deadline(MAX(ms, 0));

	while (!has_ended(container, exits))
		if (!wait_change(container, ms == FOREVER ? NULL : &deadline))
			return has_ended(container, exits);
	return true;
}

bool container_wait_down(struct container *container, unsigned int exits, int64_t timeout_ms)
{
	bool ended;

	(void)pthread_mutex_lock(&container->lock);
	ended = wait_end(container, exits, timeout_ms);
	(void)pthread_mutex_unlock(&container->lock);
	return ended;
}

/* Waits until no start is under way. */
bool lifecycle_wait_started(struct container *container)
{
	struct timespec deadline = clock_deadline(SHIM_START_MS + SHIM_READY_MS);

	while (container->start_pending)
		if (!wait_change(container, &deadline))
			return false;
	return true;
}

static bool is_clearing(const struct container *container)
{
	return container->supervised && !container_is_up(container->status) &&
		container->status != CONTAINER_STARTING;
}

static int wait_cleared(struct container *container, const struct timespec *deadline,
			struct cay_error *err)
{
	while (is_clearing(container))
		if (!wait_change(container, deadline))
			return cay_error_set(err, CAY_TIMEOUT, ETIMEDOUT,
					     "container %.12s: what its last run left is not "
					     "cleared away yet",
					     container->id);
	return 0;
}

int lifecycle_wait_idle(struct container *container, struct cay_error *err)
{
	const struct timespec deadline = clock_deadline(IDLE_WAIT_MS);

	return wait_cleared(container, &deadline, err);
}

int lifecycle_wait_free(struct container *container, bool kill_files, struct cay_error *err)
{
	const struct timespec deadline = clock_deadline(IDLE_WAIT_MS);
	int r;

	container->files_unwanted++;
	do {
		r = wait_cleared(container, &deadline, err);
		if (r == 0)
			r = files_vm_wait_none(container, kill_files, &deadline, err);
	} while (r == 0 && is_clearing(container));
	container->files_unwanted--;
	(void)pthread_cond_broadcast(&container->changed);
	return r;
}

/* ---- start ---- */

/* With the lock held: 0 when it may start now. */
static int check_startable(struct container *container, struct cay_error *err)
{
	switch (container->status) {
	case CONTAINER_CREATED:
	case CONTAINER_EXITED:
		if (!container->is_doomed)
			return 0;
		break;
	case CONTAINER_RUNNING:
	case CONTAINER_STARTING:
		return cay_error_set(err, CAY_NOT_MODIFIED, EALREADY,
				     "container %.12s is running already", container->id);
	case CONTAINER_PAUSED:
		return cay_error_set(err, CAY_CONFLICT, EBUSY,
				     "cannot start a paused container, try unpause instead");
	default:
		break;
	}
	return cay_error_set(err, CAY_CONFLICT, EBUSY,
			     "container is marked for removal and cannot be started");
}

int container_start(struct container *container, struct cay_error *err)
{
	int r;

	(void)pthread_mutex_lock(&container->lock);
	(void)lifecycle_wait_started(container);
	r = lifecycle_wait_free(container, false, err);
	if (r == 0)
		r = check_startable(container, err);
	if (r == 0) {
		container->start_pending = container->supervised = true;
		container_set_status(container, CONTAINER_STARTING);
	}
	(void)pthread_mutex_unlock(&container->lock);
	if (r < 0)
		return r;
	r = supervisor_start(container, err);
	(void)pthread_mutex_lock(&container->lock);
	if (r < 0) {
		container->start_pending = container->supervised = false;
		container_set_status(container, container->before_start);
	} else if (!lifecycle_wait_started(container)) {
		r = cay_error_set(err, CAY_TIMEOUT, ETIMEDOUT,
				  "container %.12s: its start takes too long", container->id);
	} else if (container->start_error.code != CAY_OK) {
		*err = container->start_error;
		r = -err->err;
	}
	(void)pthread_mutex_unlock(&container->lock);
	return r;
}

/* ---- kill and stop ---- */

int container_require_up(struct container *container, struct cay_error *err)
{
	enum container_status status;

	(void)pthread_mutex_lock(&container->lock);
	status = container->status;
	(void)pthread_mutex_unlock(&container->lock);
	if (!container_is_up(status))
		return cay_error_set(err, CAY_CONFLICT, ESRCH, "container %s is not running",
				     container->id);
	return 0;
}

static int send_signal(struct container *container, int signal, struct cay_error *err)
{
	int r = shim_kill(container, "", signal, false, err);

	if (r < 0)
		return cay_error_prefix(err, "container %.12s: sending signal %d", container->id,
					signal);
	container_emit(container, "kill", json_pack("{s:o}", "signal", json_sprintf("%d", signal)));
	return 0;
}

/* From SIGKILL by way of the VM's to the shim's own death; true once it has ended. */
bool lifecycle_force_end(struct container *container, unsigned int exits)
{
	struct cay_error err = { 0 };
	pid_t shim_pid;
	bool ended;

	if (send_signal(container, SIGKILL, &err) < 0)
		log_debug("%s", err.message);
	(void)pthread_mutex_lock(&container->lock);
	ended = wait_end(container, exits, KILL_WAIT_MS);
	(void)pthread_mutex_unlock(&container->lock);
	if (ended)
		return true;
	log_warning("container %.12s does not die, shutting its VM down", container->id);
	(void)shim_shutdown(container, &err); /* what follows is stronger */
	(void)pthread_mutex_lock(&container->lock);
	ended = wait_end(container, exits, SHUTDOWN_WAIT_MS);
	shim_pid = container->run.shim_pid;
	(void)pthread_mutex_unlock(&container->lock);
	if (ended)
		return true;
	shim_destroy(container, shim_pid);
	(void)pthread_mutex_lock(&container->lock);
	ended = wait_end(container, exits, SHUTDOWN_WAIT_MS);
	(void)pthread_mutex_unlock(&container->lock);
	return ended;
}

int container_kill(struct container *container, int signal, struct cay_error *err)
{
	unsigned int exits;
	int r;

	(void)pthread_mutex_lock(&container->lock);
	(void)lifecycle_wait_started(container);
	exits = container->exits;
	(void)pthread_mutex_unlock(&container->lock);
	r = container_require_up(container, err);
	if (r < 0)
		return cay_error_prefix(err, "cannot kill container: %.12s", container->id);
	if (signal != SIGKILL)
		return send_signal(container, signal, err);
	/* As docker, with this signal it is over when the call returns. */
	if (!lifecycle_force_end(container, exits))
		return cay_error_set(err, CAY_TIMEOUT, ETIMEDOUT, "container %.12s does not end",
				     container->id);
	return 0;
}

int container_stop(struct container *container, int signal, int64_t timeout, struct cay_error *err)
{
	struct cay_error signal_err = { 0 };
	enum container_status status;
	unsigned int exits;
	bool ended;

	if (signal == 0)
		signal = container->request->stop_signal;
	if (timeout == INT64_MIN)
		timeout = container->request->stop_timeout;
	(void)pthread_mutex_lock(&container->lock);
	(void)lifecycle_wait_started(container);
	status = container->status;
	exits = container->exits;
	(void)pthread_mutex_unlock(&container->lock);
	if (!container_is_up(status))
		return cay_error_set(err, CAY_NOT_MODIFIED, EALREADY,
				     "container %.12s does not run", container->id);
	if (status == CONTAINER_PAUSED && container_resume(container, &signal_err) < 0)
		log_debug("%s", signal_err.message);
	/* A shim that does not take the signal is treated like a process that ignores it. */
	if (send_signal(container, signal, &signal_err) < 0)
		log_debug("%s", signal_err.message);
	(void)pthread_mutex_lock(&container->lock);
	ended = wait_end(container, exits, timeout < 0 ? FOREVER : MIN(timeout, INT32_MAX) * 1000);
	(void)pthread_mutex_unlock(&container->lock);
	if (!ended && !lifecycle_force_end(container, exits))
		return cay_error_set(err, CAY_TIMEOUT, ETIMEDOUT, "container %.12s does not end",
				     container->id);
	container_emit(container, "stop", NULL);
	return 0;
}

int container_restart(struct container *container, int signal, int64_t timeout,
		      struct cay_error *err)
{
	int r = container_stop(container, signal, timeout, err);

	if (r < 0 && err->code != CAY_NOT_MODIFIED)
		return r;
	cay_error_clear(err);
	r = container_start(container, err);
	if (r == 0)
		container_emit(container, "restart", NULL);
	return r;
}

/* ---- pause ---- */

static int set_paused(struct container *container, bool paused, struct cay_error *err)
{
	Cay__Vminitd__V1__PauseContainerRequest pause =
		CAY__VMINITD__V1__PAUSE_CONTAINER_REQUEST__INIT;
	Cay__Vminitd__V1__ResumeContainerRequest resume =
		CAY__VMINITD__V1__RESUME_CONTAINER_REQUEST__INIT;
	enum container_status from = paused ? CONTAINER_RUNNING : CONTAINER_PAUSED, status;
	int r;

	(void)pthread_mutex_lock(&container->lock);
	status = container->status;
	(void)pthread_mutex_unlock(&container->lock);
	if (status != from && container_is_up(status))
		return cay_error_set(err, CAY_CONFLICT, EBUSY, "Container %s is %s", container->id,
				     paused ? "already paused" : "not paused");
	r = container_require_up(container, err);
	if (r < 0)
		return r;
	pause.id = resume.id = container->id;
	r = paused
		? shim_guest_call(container, "PauseContainer", &pause.base, SHIM_CALL_MS, NULL, err)
		: shim_guest_call(container, "ResumeContainer", &resume.base, SHIM_CALL_MS, NULL,
				  err);
	if (r < 0)
		return cay_error_prefix(err, "container %.12s: %s", container->id,
					paused ? "pausing" : "resuming");
	(void)pthread_mutex_lock(&container->lock);
	if (container->status == from) /* else it has ended meanwhile */
		container_set_status(container, paused ? CONTAINER_PAUSED : CONTAINER_RUNNING);
	(void)pthread_mutex_unlock(&container->lock);
	container_save(container); /* the shim does not know, and the next daemon has to */
	container_emit(container, paused ? "pause" : "unpause", NULL);
	return 0;
}

int container_pause(struct container *container, struct cay_error *err)
{
	return set_paused(container, true, err);
}

int container_resume(struct container *container, struct cay_error *err)
{
	return set_paused(container, false, err);
}

/* ---- rename ---- */

int container_rename(struct container *container, const char *name, struct cay_error *err)
{
	struct daemon *daemon = container->daemon;
	_cleanup_view_ struct container_view view = { 0 };
	_cleanup_free_ char *reserved = NULL;
	json_t *extra;
	int r;

	container_view(container, &view);
	if (strcmp(view.name, name[0] == '/' ? name + 1 : name) == 0)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "Renaming a container with the same name as its current name");
	r = containers_reserve(daemon->containers, name, container->id, &reserved, err);
	if (r < 0)
		return r;
	r = database_rename_container(daemon->database, container->id, reserved, err);
	if (r < 0) {
		containers_release(daemon->containers, reserved, container->id);
		return r;
	}
	containers_rename(daemon->containers, container, reserved);
	networks_rename_container(daemon->networks, container, reserved);
	extra = json_object();
	(void)json_object_set_new(extra, "oldName", json_sprintf("/%s", view.name));
	container_emit(container, "rename", extra);
	return 0;
}
