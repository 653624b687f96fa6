/* SPDX-License-Identifier: Apache-2.0 */
/* A process of a container. */
#include "guest/proc.h"

#include "guest/container.h"
#include "guest/guest.h"
#include "guest/streams.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"
#include "rpc/watch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

struct proc {
	TAILQ_ENTRY(proc) link;
	struct container *container;
	char *id;
	enum proc_state state;
	pid_t pid;
	int pidfd;
	struct watch *report; /* of the child, until it has executed */
	int word;             /* to start; -1 once that is said */
	bool attaches;        /* a descriptor comes with the report */
	bool terminal;
	struct launched pipes; /* its pipes, until `streams` has them */
	struct streams *streams;
	void (*prepared)(struct proc *process, const struct cay_error *err, void *user);
	void *prepared_user;
	struct held *starting;
	struct held_list waiting;
	uint64_t kills_before; /* of the cgroup, by the kernel for lack of memory */
	unsigned int exit_status;
	int64_t started_ns, exited_ns;
	bool oom_killed;
};

static const char *const state_names[] = {
	[PROC_PREPARING] = "preparing", [PROC_CREATED] = "created", [PROC_STARTING] = "starting",
	[PROC_RUNNING] = "running",     [PROC_EXITED] = "exited",
};

static void set_state(struct proc *process, enum proc_state state)
{
	/* One step forward, or to the end from anywhere. */
	assert(state == process->state + 1 || state == PROC_EXITED);
	log_debug("container %s: process %s is %s", container_id(process->container), process->id,
		  state_names[state]);
	process->state = state;
}

static void close_pipes(struct launched *pipes)
{
	const int fds[] = { pipes->input, pipes->output, pipes->error };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	pipes->input = pipes->output = pipes->error = -1;
}

static void make_streams(struct proc *process, int terminal)
{
	struct launched *pipes = &process->pipes;
	uv_loop_t *loop = &container_guest(process->container)->loop;

	process->streams = streams_new(loop, TAKE_FD(pipes->input),
				       process->terminal ? terminal : TAKE_FD(pipes->output),
				       TAKE_FD(pipes->error), process->terminal);
}

static void tell_prepared(struct proc *process, const struct cay_error *err)
{
	void (*prepared)(struct proc * process, const struct cay_error *err, void *user) =
		TAKE_PTR(process->prepared);

	if (prepared)
		prepared(process, err, process->prepared_user);
}

static void tell_started(struct proc *process)
{
	Cay__Vminitd__V1__StartProcessResponse response =
		CAY__VMINITD__V1__START_PROCESS_RESPONSE__INIT;

	process->started_ns = clock_now_ns();
	set_state(process, PROC_RUNNING);
	container_started(process->container, process);
	response.pid = process->pid;
	response.started_ns = process->started_ns;
	if (process->starting)
		held_reply(TAKE_PTR(process->starting), &response.base);
}

static void on_failed(struct proc *process, const struct launch_message *message)
{
	struct cay_error err = { 0 };

	(void)cay_error_set(&err,
			    message->code > CAY_OK && message->code < CAY_CODE_COUNT
				    ? (enum cay_code)message->code
				    : CAY_INTERNAL,
			    message->err, "%s", message->message);
	if (process->starting)
		held_fail(TAKE_PTR(process->starting), &err);
	else
		tell_prepared(process, &err);
}

/* Takes what the child has said, if anything; closes the socket at its end. */
static void hear_child(struct proc *process)
{
	struct launch_message message;
	int terminal, r;

	if (!process->report)
		return;
	r = launch_receive(watch_fd(process->report), process->attaches, &message, &terminal);
	if (r == -EAGAIN)
		return;
	if (r > 0 && message.kind == LAUNCH_READY && process->state == PROC_PREPARING) {
		make_streams(process, terminal);
		set_state(process, PROC_CREATED);
		tell_prepared(process, NULL);
		return;
	}
	if (terminal >= 0)
		(void)close(terminal);
	watch_close(TAKE_PTR(process->report));
	if (r > 0) {
		on_failed(process, &message);
	} else if (process->state == PROC_STARTING) {
		tell_started(process);
	} else {
		/* Killed while it prepared or waited; the exit status is told to who waits. */
		(void)snprintf(message.message, sizeof(message.message),
			       "the process was killed before it was started");
		message.code = CAY_CONFLICT;
		message.err = ECHILD;
		on_failed(process, &message);
	}
}

static void on_report(struct watch *watch, int events, void *user)
{
	(void)watch;
	(void)events;
	hear_child(user);
}

int proc_new(struct container *container, const char *id, const struct launch *launch_spec,
	     void (*prepared)(struct proc *process, const struct cay_error *err, void *user),
	     void *user, struct proc **ret_process, struct cay_error *err)
{
	struct launched launched;
	struct proc *process;
	int r = launch(launch_spec, &launched, err);

	if (r < 0)
		return r;
	process = xcalloc(1, sizeof(*process));
	process->container = container;
	process->id = xstrdup(id);
	process->pid = launched.pid;
	process->pidfd = launched.pidfd;
	process->pipes = launched;
	process->terminal = launch_spec->process->terminal;
	process->attaches = launch_attaches(launch_spec);
	process->word = launched.word;
	process->prepared = prepared;
	process->prepared_user = user;
	TAILQ_INIT(&process->waiting);
	*ret_process = process;
	r = watch_new(&container_guest(container)->loop, launched.report, on_report, process,
		      &process->report);
	if (r < 0)
		abort(); /* a report can be polled; only memory or descriptors can have run out */
	watch_set(process->report, UV_READABLE);
	return 0;
}

void proc_free(struct proc *process)
{
	struct cay_error err = { 0 };

	(void)cay_error_set(&err, CAY_NOT_FOUND, ESRCH, "process %s was deleted", process->id);
	if (process->starting)
		held_fail(process->starting, &err);
	held_fail_all(&process->waiting, &err);
	watch_close(process->report);
	if (process->word >= 0)
		(void)close(process->word);
	close_pipes(&process->pipes);
	streams_free(process->streams);
	if (process->pidfd >= 0)
		(void)close(process->pidfd);
	free(process->id);
	free(process);
}

void proc_start(struct proc *process, struct rpc_call *call)
{
	struct cay_error err = { 0 };

	if (process->state != PROC_CREATED) {
		(void)cay_error_set(&err, CAY_CONFLICT, EINVAL, "process %s is %s", process->id,
				    state_names[process->state]);
		rpc_call_finish(call, &err);
		return;
	}
	process->kills_before = cgroup_oom_kills(container_cgroup(process->container));
	if (!process->report || write(process->word, "", 1) < 0) {
		(void)cay_error_set(&err, CAY_CONFLICT, ECHILD,
				    "process %s was killed before it was started", process->id);
		rpc_call_finish(call, &err);
		return;
	}
	(void)close(TAKE_FD(process->word));
	process->starting = held_new(call, NULL, NULL); /* it starts whoever listens */
	set_state(process, PROC_STARTING);
}

static void fill_wait(const struct proc *process, Cay__Vminitd__V1__WaitProcessResponse *response)
{
	cay__vminitd__v1__wait_process_response__init(response);
	response->exit_code = process->exit_status;
	response->exited_ns = process->exited_ns;
	response->oom_killed = process->oom_killed;
}

void proc_wait(struct proc *process, struct rpc_call *call)
{
	Cay__Vminitd__V1__WaitProcessResponse response;

	if (process->state != PROC_EXITED) {
		held_add(&process->waiting, call);
		return;
	}
	fill_wait(process, &response);
	rpc_call_reply(call, &response.base);
}

int proc_signal(struct proc *process, int number, struct cay_error *err)
{
	if (process->state == PROC_EXITED)
		return cay_error_set(err, CAY_CONFLICT, ESRCH, "process %s is not running",
				     process->id);
	/* Its pid is not reused before it is reaped, which only this thread does. */
	if (kill(process->pid, number) < 0)
		return cay_error_errno(err, errno, "sending signal %d to process %s", number,
				       process->id);
	return 0;
}

static void emit_exit(const struct proc *process)
{
	Cay__Vminitd__V1__ProcessExitedEvent exited = CAY__VMINITD__V1__PROCESS_EXITED_EVENT__INIT;
	Cay__Vminitd__V1__Event event = CAY__VMINITD__V1__EVENT__INIT;

	exited.process_id = process->id;
	exited.exit_code = process->exit_status;
	event.container_id = (char *)container_id(process->container);
	event.what_case = CAY__VMINITD__V1__EVENT__WHAT_PROCESS_EXITED;
	event.process_exited = &exited;
	events_emit(&container_guest(process->container)->events, &event);
}

void proc_exited(struct proc *process, int wait_status)
{
	Cay__Vminitd__V1__WaitProcessResponse response;
	uint64_t kills = cgroup_oom_kills(container_cgroup(process->container));

	/* What it said before it ended comes first: that it was started, or why not. */
	for (int i = 0; process->report && i < 3; i++)
		hear_child(process);
	process->exit_status = (unsigned int)process_exit_code(wait_status);
	process->exited_ns = clock_now_ns();
	/* cay-init hands the signal on as a status. */
	process->oom_killed =
		process->exit_status == 128 + SIGKILL && kills > process->kills_before;
	if (process->pidfd >= 0)
		(void)close(process->pidfd);
	process->pidfd = -1;
	set_state(process, PROC_EXITED);
	emit_exit(process);
	fill_wait(process, &response);
	held_reply_all(&process->waiting, &response.base);
}

struct container *proc_container(const struct proc *process)
{
	return process->container;
}

const char *proc_id(const struct proc *process)
{
	return process->id;
}

pid_t proc_pid(const struct proc *process)
{
	return process->pid;
}

int proc_pidfd(const struct proc *process)
{
	return process->pidfd;
}

enum proc_state proc_state(const struct proc *process)
{
	return process->state;
}

unsigned int proc_exit_status(const struct proc *process)
{
	return process->exit_status;
}

struct streams *proc_streams(const struct proc *process)
{
	return process->streams;
}

struct proc *proc_next(const struct proc *process)
{
	return TAILQ_NEXT(process, link);
}

void proc_list_add(struct proc_list *list, struct proc *process)
{
	TAILQ_INSERT_TAIL(list, process, link);
}

void proc_list_remove(struct proc_list *list, struct proc *process)
{
	TAILQ_REMOVE(list, process, link);
}
