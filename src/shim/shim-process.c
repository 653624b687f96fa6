/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of the sandbox as clients see it: made, started, its output given
 * to the log and to who is attached, its end told once everything is written.
 */
#include "shim/shim.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>

enum { EXIT_KILLED = 137 };

static void set_status(struct shim_process *process, enum process_status status)
{
	assert(status > process->status);
	process->status = status;
}

/* What a person knows the process by. */
static const char *process_name(const struct shim_process *process)
{
	return process->exec_id ? process->exec_id : process->container->id;
}

static void answer_failure(struct shim_process *process, const struct cay_error *err)
{
	if (process->pending)
		reply_fail(TAKE_PTR(process->pending), err);
}

/* ---- state ---- */

void shim_process_save_state(const struct shim_process *process)
{
	static const enum sandbox_status statuses[] = {
		[PROCESS_NEW] = SANDBOX_CREATED,     [PROCESS_CREATING] = SANDBOX_CREATED,
		[PROCESS_CREATED] = SANDBOX_CREATED, [PROCESS_STARTING] = SANDBOX_CREATED,
		[PROCESS_RUNNING] = SANDBOX_RUNNING, [PROCESS_EXITED] = SANDBOX_EXITED,
	};
	const struct shim *shim = process->shim;
	struct sandbox_state state = {
		.status = statuses[process->status],
		.shim_pid = getpid(),
		.vm_pid = shim->sandbox && !shim->gone ? sandbox_vm_pid(shim->sandbox) : 0,
		.started_ns = process->started_ns,
		.finished_ns = process->finished_ns,
		.exit_code = process->exit_code,
		.oom_killed = process->oom_killed,
	};
	struct cay_error err = { 0 };
	int r;

	if (process->exec_id)
		return;
	(void)snprintf(state.error, sizeof(state.error), "%s", process->error);
	/*
	 * Only the end must survive a power cut: whatever ran has then ended in any case. So must
	 * no end of a container that goes with it.
	 */
	r = process->status == PROCESS_EXITED && !process->shim->config->disposable
		? sandbox_state_save(process->container->state_path, &state, &err)
		: sandbox_state_note(process->container->state_path, &state, &err);
	if (r < 0)
		log_error("%s", err.message);
}

/* ---- the end ---- */

/* Execs that ended long ago are forgotten, the oldest first. */
static void forget_old_execs(struct shim *shim)
{
	struct shim_process **link = &shim->processes, *process;
	unsigned int ended = 0;

	/* New ones stand in front, so the first are the youngest. */
	while ((process = *link)) {
		if (process->exec_id && process->status == PROCESS_EXITED &&
		    !process->attachments && ++ended > SHIM_ENDED_EXECS_KEPT) {
			*link = process->next;
			shim_process_free(process);
		} else {
			link = &process->next;
		}
	}
}

/* The one way into EXITED: the log is whole and the state on disk before anyone is told. */
static void finish(struct shim_process *process, int code, int64_t time_ns, const char *error)
{
	Cay__Shim__V1__WaitResponse response = CAY__SHIM__V1__WAIT_RESPONSE__INIT;

	set_status(process, PROCESS_EXITED);
	process->exit_code = code;
	process->finished_ns = time_ns;
	process->stdin_open = false;
	(void)snprintf(process->error, sizeof(process->error), "%s", error);
	if (!process->exec_id)
		shim_mark(process->shim, &process->shim->times.exited);
	logs_close(TAKE_PTR(process->logs));
	shim_process_save_state(process);
	response.exit_code = (uint32_t)code;
	response.exited_ns = time_ns;
	response.oom_killed = process->oom_killed;
	attach_end(process, NULL);
	reply_list_send(&process->waiters, &response.base);
	watch_exited(process);
	sandbox_process_free(TAKE_PTR(process->guest));
}

/* finish(), and what follows from it for the sandbox. */
static void finish_and_go_on(struct shim_process *process, int code, int64_t time_ns,
			     const char *error)
{
	struct shim *shim = process->shim;

	finish(process, code, time_ns, error);
	if (process->exec_id)
		forget_old_execs(shim);
	else
		shim_container_ended(shim);
}

void shim_process_lost(struct shim_process *process, const struct cay_error *why)
{
	const bool started = process->status >= PROCESS_RUNNING;

	if (process->status == PROCESS_EXITED)
		return;
	answer_failure(process, why);
	finish(process, started ? EXIT_KILLED : cay_code_exit_status(why->code), clock_now_ns(),
	       why->message);
}

/* ---- callbacks from the guest ---- */

static void on_output(struct sandbox_process *guest, enum sandbox_stream stream, const void *data,
		      size_t size, void *user)
{
	struct shim_process *process = user;

	if (process->logs)
		logs_append(process->logs, stream == SANDBOX_STDERR ? LOG_STDERR : LOG_STDOUT, data,
			    size);
	attach_output(process, stream, data, size);
	shim_process_update_flow(process);
}

static void on_writable(struct sandbox_process *guest, void *user)
{
	attach_input_ready(user);
}

static void on_exit_known(struct sandbox_process *guest, const struct sandbox_exit *exit,
			  void *user)
{
	struct shim_process *process = user;

	process->oom_killed = exit->oom_killed;
	finish_and_go_on(process, exit->code, shim_sane_time(process->shim, exit->time_ns), "");
}

static const struct sandbox_process_events guest_events = {
	.on_output = on_output,
	.on_writable = on_writable,
	.on_exit = on_exit_known,
};

void shim_process_update_flow(struct shim_process *process)
{
	if (!process->guest)
		return;
	if (attach_any_full(process))
		sandbox_process_pause(process->guest);
	else
		sandbox_process_resume(process->guest);
}

/* It never ran: the caller is told why, and that is its end. */
static void fail_start(struct shim_process *process, const struct cay_error *err)
{
	const struct cay_error why = *err;

	answer_failure(process, &why);
	finish_and_go_on(process, cay_code_exit_status(why.code), clock_now_ns(), why.message);
}

/* ---- start ---- */

static void answer_start(struct shim_process *process)
{
	Cay__Shim__V1__StartResponse start = CAY__SHIM__V1__START_RESPONSE__INIT;
	Cay__Shim__V1__StartExecResponse exec = CAY__SHIM__V1__START_EXEC_RESPONSE__INIT;

	start.guest_pid = process->guest_pid;
	start.started_ns = process->started_ns;
	exec.guest_pid = process->guest_pid;
	if (process->pending)
		reply_send(TAKE_PTR(process->pending), process->exec_id ? &exec.base : &start.base);
}

static void on_started(struct sandbox_process *guest, const struct cay_error *err, int pid,
		       int64_t started_ns, void *user)
{
	struct shim_process *process = user;

	if (err) {
		fail_start(process, err);
		return;
	}
	set_status(process, PROCESS_RUNNING);
	process->guest_pid = pid;
	process->started_ns = shim_sane_time(process->shim, started_ns);
	if (!process->exec_id)
		shim_mark(process->shim, &process->shim->times.started);
	shim_process_save_state(process);
	answer_start(process);
	watch_started(process);
}

static void start(struct shim_process *process)
{
	set_status(process, PROCESS_STARTING);
	sandbox_process_start(process->guest, on_started);
}

static void on_created(struct sandbox_process *guest, const struct cay_error *err, void *user)
{
	const Cay__Shim__V1__CreateExecResponse response =
		CAY__SHIM__V1__CREATE_EXEC_RESPONSE__INIT;
	struct shim_process *process = user;

	if (err) {
		fail_start(process, err);
		return;
	}
	set_status(process, PROCESS_CREATED);
	if (process->container->files_only) { /* all there will be of it */
		answer_start(process);
		return;
	}
	attach_input_ready(process);
	if (process->exec_id) {
		if (process->pending)
			reply_send(TAKE_PTR(process->pending), &response.base);
		return;
	}
	shim_mark(process->shim, &process->shim->times.created);
	start(process);
}

static void create(struct shim_process *process, const struct sandbox_process_spec *spec)
{
	set_status(process, PROCESS_CREATING);
	process->guest = sandbox_process_new(process->shim->sandbox, spec, &guest_events, process);
	sandbox_process_create(process->guest, on_created);
}

void shim_process_run(struct shim_process *process)
{
	const struct sandbox_process_spec spec = { .container = process->container };
	struct cay_error err = { 0 };

	if (process->container->log_path &&
	    logs_open(process->container->log_path, process->container->log_max_size,
		      process->container->log_max_files, &process->logs, &err) < 0) {
		fail_start(process, &err);
		return;
	}
	create(process, &spec);
}

void shim_process_create_exec(struct shim_process *process,
			      const Cay__Shim__V1__CreateExecRequest *request)
{
	const struct sandbox_process_spec spec = {
		.container = process->container,
		.exec_id = process->exec_id,
		.oci_process = request->oci_process.data,
		.oci_process_size = request->oci_process.len,
		.user = request->user,
		.stdin_open = request->stdin,
	};

	process->stdin_open = request->stdin;
	create(process, &spec);
}

void shim_process_start_exec(struct shim_process *process)
{
	start(process);
}

/* ---- new, find, free ---- */

struct shim_process *shim_process_new(struct shim *shim, const struct sandbox_container *container,
				      const char *exec_id)
{
	struct shim_process *process = xcalloc(1, sizeof(*process));

	process->shim = shim;
	process->container = container;
	process->exec_id = xstrdup(exec_id);
	process->stdin_open = container->open_stdin;
	process->next = shim->processes;
	shim->processes = process;
	return process;
}

struct shim_process *shim_process_find(struct shim *shim, const char *container_id,
				       const char *exec_id, struct cay_error *err)
{
	const char *wanted = exec_id ? exec_id : "";

	for (struct shim_process *process = shim->processes; process; process = process->next)
		if (strcmp(process->container->id, container_id) == 0 &&
		    strcmp(process->exec_id ? process->exec_id : "", wanted) == 0)
			return process;
	(void)cay_error_set(err, CAY_NOT_FOUND, ENOENT, "no such %s: %s",
			    *wanted ? "exec" : "container", *wanted ? wanted : container_id);
	return NULL;
}

void shim_process_free(struct shim_process *process)
{
	log_debug("forgetting %s", process_name(process));
	sandbox_process_free(process->guest);
	logs_close(process->logs);
	free(process->exec_id);
	free(process);
}
