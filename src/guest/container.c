/* SPDX-License-Identifier: Apache-2.0 */
/* The containers of the guest: creating them and their processes, finding them, their ends. */
#include "guest/container-internal.h"

#include "guest/device-filter.h"
#include "guest/guest.h"
#include "guest/launch.h"
#include "guest/share.h"

#include "base/alloc.h"
#include "base/log.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

static const char *const state_names[] = {
	[CONTAINER_CREATING] = "creating", [CONTAINER_CREATED] = "created",
	[CONTAINER_RUNNING] = "running",   [CONTAINER_STOPPED] = "stopped",
	[CONTAINER_DELETING] = "deleting",
};

void container_set_state(struct container *container, enum container_state state)
{
	/* Forward only, and into each once. */
	assert(state > container->state);
	log_debug("container %s is %s", container->id, state_names[state]);
	container->state = state;
}

/* Ids become names of folders and cgroups. */
static bool id_is_plain(const char *id)
{
	size_t length = strlen(id);

	return length > 0 && length <= CONTAINER_ID_MAX && id[0] != '.' &&
		strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
		length;
}

static struct container *look_up(const struct guest *guest, const char *id)
{
	struct container *container;

	TAILQ_FOREACH(container, &guest->containers, link)
	if (strcmp(container->id, id) == 0)
		return container;
	return NULL;
}

struct container *container_find(const struct guest *guest, const char *id, struct cay_error *err)
{
	struct container *container = look_up(guest, id);

	if (!container)
		(void)cay_error_set(err, CAY_NOT_FOUND, ENOENT, "no container \"%.200s\"", id);
	return container;
}

static struct proc *look_up_process(const struct container *container, const char *id)
{
	for (struct proc *process = TAILQ_FIRST(&container->processes); process;
	     process = proc_next(process))
		if (strcmp(proc_id(process), id) == 0)
			return process;
	return NULL;
}

struct proc *container_find_process(const struct guest *guest, const char *id,
				    const char *process_name, struct cay_error *err)
{
	struct container *container = container_find(guest, id, err);
	struct proc *process;

	if (!container)
		return NULL;
	process = look_up_process(container, process_name);
	if (!process)
		(void)cay_error_set(err, CAY_NOT_FOUND, ESRCH,
				    "container %s has no process \"%.200s\"", id, process_name);
	return process;
}

static void add_process(struct container *container, struct proc *process)
{
	proc_list_add(&container->processes, process);
	container->process_count++;
}

static void drop_process(struct container *container, struct proc *process)
{
	proc_list_remove(&container->processes, process);
	container->process_count--;
	proc_free(process);
}

/* ---- creating a container ---- */

static struct container *container_new(struct guest *guest, const char *id)
{
	struct container *container = xcalloc(1, sizeof(*container));

	container->guest = guest;
	container->id = xstrdup(id);
	container->cgroup = (struct cgroup){ .fd = -1, .filter_fd = -1 };
	TAILQ_INIT(&container->processes);
	TAILQ_INIT(&container->deleting);
	TAILQ_INIT(&container->pausing);
	TAILQ_INIT(&container->copies);
	container->preparing_pidfd = container->files_fd = -1;
	(void)uv_timer_init(&guest->loop, &container->timer); /* always 0 */
	TAILQ_INSERT_TAIL(&guest->containers, container, link);
	return container;
}

/* Everything is undone before the caller hears of it, so that the id can be used again. */
void container_fail_creation(struct container *container, const struct cay_error *err)
{
	if (!container->failure)
		container->failure = xmemdup(err, sizeof(*err));
	container_destroy(container);
}

static void on_init_prepared(struct proc *process, const struct cay_error *err, void *user)
{
	struct container *container = user;
	Cay__Vminitd__V1__CreateContainerResponse response =
		CAY__VMINITD__V1__CREATE_CONTAINER_RESPONSE__INIT;
	struct cay_error filter_err = { 0 };

	if (err) {
		container_fail_creation(container, err);
		return;
	}
	if (container->state != CONTAINER_CREATING)
		return; /* it is being deleted */
	/* Not before: the preparation opens the disks, which the rules may forbid. */
	if (device_filter_attach(container->cgroup.fd, container->device_rules,
				 container->device_rule_count,
				 container->guest->ahead.device_filter_fd,
				 &container->cgroup.filter_fd, &filter_err) < 0) {
		container_fail_creation(container, &filter_err);
		return;
	}
	container_set_state(container, CONTAINER_CREATED);
	container_watch(container);
	response.pid = proc_pid(process);
	held_reply(TAKE_PTR(container->creating), &response.base);
}

/* The caller of a creation that is not finished has given up. */
static void on_creator_gone(void *user)
{
	struct cay_error err = { 0 };

	(void)cay_error_set(&err, CAY_CANCELLED, ECANCELED, "the caller gave up");
	container_fail_creation(user, &err);
}

static int parse_request(const Cay__Vminitd__V1__CreateContainerRequest *request,
			 struct oci_config *config, struct cay_error *err)
{
	const ProtobufCBinaryData *process = request->init ? &request->init->oci_process : NULL;
	int r = oci_config_parse(request->oci_config.data, request->oci_config.len, config, err);

	if (r < 0)
		return r;
	if (process && process->len > 0) {
		oci_process_done(&config->process);
		r = oci_process_parse(process->data, process->len, &config->process, err);
		if (r < 0)
			return r;
	} else if (!config->has_process && !request->files_only) {
		return cay_error_set(err, CAY_INVALID, EINVAL, "no process is given");
	}
	return 0;
}

static int all_namespaces(const struct oci_config *config)
{
	int flags = 0;

	for (size_t i = 0; i < config->namespace_count; i++)
		flags |= config->namespaces[i].flag;
	return flags;
}

static bool has_share(const Cay__Vminitd__V1__CreateContainerRequest *request)
{
	for (size_t i = 0; i < request->n_mounts; i++)
		if (strcmp(request->mounts[i]->type, SHARE_TYPE) == 0)
			return true;
	return false;
}

static int begin_creation(struct container *container, struct oci_config *config,
			  const Cay__Vminitd__V1__CreateContainerRequest *request,
			  struct cay_error *err)
{
	const Cay__Vminitd__V1__ProcessSpec *spec = request->init;
	const struct strv groups = { spec ? spec->additional_groups : NULL,
				     spec ? spec->n_additional_groups : 0 };
	struct launch launch = {
		.guest = container->guest,
		.process = &config->process,
		.seccomp = config->seccomp,
		.user = spec ? spec->user : "",
		.additional_groups = &groups,
		.stdin_pipe = spec && spec->stdin,
		.config = config,
		.mounts = request->mounts,
		.mount_count = request->n_mounts,
		.files = request->files,
		.file_count = request->n_files,
		.fills = request->fills,
		.fill_count = request->n_fills,
		.use_init = request->use_init,
		.files_only = request->files_only,
		.cgroup_fd = -1,
		.pidfd = -1,
	};
	int r;

	if (has_share(request)) {
		r = shares_open(container->guest, err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < request->n_mounts; i++)
		strv_add(&container->mounts, request->mounts[i]->target);
	container_take_files(container, config, request);
	if (request->files_only)
		return container_prepare_files(container, &launch, err);
	if ((r = ahead_make_cgroup(&container->guest->ahead, config->cgroups_path, container->id,
				   &container->cgroup, err)) < 0 ||
	    (r = cgroup_apply(&container->cgroup, &config->resources, err)) < 0)
		return r;
	container->namespaces = all_namespaces(config);
	launch.cgroup_fd = container->cgroup.fd;
	r = proc_new(container, PROC_INIT_ID, &launch, on_init_prepared, container,
		     &container->init, err);
	if (r < 0)
		return r;
	container->guest->loopback_up = false; /* the container may set it down */
	container->seccomp = TAKE_PTR(config->seccomp);
	container->device_rules = TAKE_PTR(config->resources.device_rules);
	container->device_rule_count = config->resources.device_rule_count;
	add_process(container, container->init);
	return 0;
}

void container_create(struct guest *guest, struct rpc_call *call,
		      const Cay__Vminitd__V1__CreateContainerRequest *request)
{
	_cleanup_oci_config_ struct oci_config config = { 0 };
	struct cay_error err = { 0 };
	struct container *container;
	unsigned int count = 0;

	TAILQ_FOREACH(container, &guest->containers, link)
	count++;
	if (!id_is_plain(request->id))
		(void)cay_error_set(&err, CAY_INVALID, EINVAL, "\"%.200s\" is no container's id",
				    request->id);
	else if (look_up(guest, request->id))
		(void)cay_error_set(&err, CAY_EXISTS, EEXIST, "container %s exists already",
				    request->id);
	else if (count >= CONTAINERS_MAX || guest->shutting_down)
		(void)cay_error_set(&err, CAY_CONFLICT, EAGAIN, "no more containers can be made");
	if (err.code != CAY_OK || parse_request(request, &config, &err) < 0) {
		rpc_call_finish(call, &err);
		return;
	}
	container = container_new(guest, request->id);
	container->creating = held_new(call, on_creator_gone, container);
	if (begin_creation(container, &config, request, &err) < 0)
		container_fail_creation(container, &err);
}

/* ---- creating a process in it ---- */

/* A process that is being created, and the call for that. */
struct creation {
	struct container *container;
	struct proc *process;
	struct held *held;
};

static void on_exec_prepared(struct proc *process, const struct cay_error *err, void *user)
{
	struct creation *creation = user;
	Cay__Vminitd__V1__CreateProcessResponse response =
		CAY__VMINITD__V1__CREATE_PROCESS_RESPONSE__INIT;

	(void)process;
	if (err)
		held_fail(creation->held, err);
	else
		held_reply(creation->held, &response.base);
	free(creation);
}

/* The child may hang on a file system that the container made; no one waits for it any more. */
static void on_exec_creator_gone(void *user)
{
	struct creation *creation = user;
	struct cay_error err;

	if (creation->process)
		(void)proc_signal(creation->process, SIGKILL, &err); /* it may be gone */
}

static int check_new_process(const struct container *container, const char *id,
			     struct cay_error *err)
{
	if (container->state != CONTAINER_RUNNING)
		return cay_error_set(err, CAY_CONFLICT, EINVAL, "container %s is not running",
				     container->id);
	if (id[0] == '\0' || strlen(id) > CONTAINER_ID_MAX)
		return cay_error_set(err, CAY_INVALID, EINVAL, "\"%.200s\" is no process's id", id);
	if (look_up_process(container, id))
		return cay_error_set(err, CAY_EXISTS, EEXIST, "process %s exists already", id);
	if (container->process_count >= PROCESSES_MAX)
		return cay_error_set(err, CAY_NO_SPACE, EAGAIN, "container %s has %d processes",
				     container->id, PROCESSES_MAX);
	return 0;
}

static int begin_process(struct container *container, struct creation *creation,
			 const Cay__Vminitd__V1__CreateProcessRequest *request,
			 struct cay_error *err)
{
	const Cay__Vminitd__V1__ProcessSpec *spec = request->process;
	_cleanup_oci_process_ struct oci_process process = { 0 };
	const struct strv groups = { spec ? spec->additional_groups : NULL,
				     spec ? spec->n_additional_groups : 0 };
	struct launch launch = {
		.guest = container->guest,
		.process = &process,
		.seccomp = container->seccomp,
		.additional_groups = &groups,
		.cgroup_fd = container->cgroup.fd,
		.namespaces = container->namespaces,
	};
	int r = check_new_process(container, request->process_id, err);

	if (r < 0)
		return r;
	if (!spec)
		return cay_error_set(err, CAY_INVALID, EINVAL, "no process is given");
	r = oci_process_parse(spec->oci_process.data, spec->oci_process.len, &process, err);
	if (r < 0)
		return r;
	launch.user = spec->user;
	launch.stdin_pipe = spec->stdin;
	launch.pidfd = proc_pidfd(container->init);
	r = proc_new(container, request->process_id, &launch, on_exec_prepared, creation,
		     &creation->process, err);
	if (r == -EBUSY) {
		/* A container that nests groups of its own has moved its processes out of the top.
		 */
		_cleanup_close_ int below = cgroup_open_of(
			&container->cgroup, container->guest->proc_fd, proc_pid(container->init));

		launch.cgroup_fd = below;
		if (below >= 0)
			r = proc_new(container, request->process_id, &launch, on_exec_prepared,
				     creation, &creation->process, err);
	}
	if (r < 0)
		return r;
	add_process(container, creation->process);
	return 0;
}

void container_create_process(struct guest *guest, struct rpc_call *call,
			      const Cay__Vminitd__V1__CreateProcessRequest *request)
{
	struct cay_error err = { 0 };
	struct container *container = container_find(guest, request->container_id, &err);
	struct creation *creation;

	if (!container) {
		rpc_call_finish(call, &err);
		return;
	}
	creation = xcalloc(1, sizeof(*creation));
	creation->container = container;
	if (begin_process(container, creation, request, &err) < 0) {
		free(creation);
		rpc_call_finish(call, &err);
		return;
	}
	creation->held = held_new(call, on_exec_creator_gone, creation);
}

void container_started(struct container *container, const struct proc *process)
{
	if (process != container->init || container->state != CONTAINER_CREATED)
		return;
	container_set_state(container, CONTAINER_RUNNING);
	container_watch_pressure(container);
}

/* ---- ends ---- */

int container_delete_process(struct container *container, struct proc *process,
			     struct cay_error *err)
{
	if (process == container->init)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "the first process goes with its container");
	if (proc_state(process) != PROC_EXITED)
		return cay_error_set(err, CAY_CONFLICT, EBUSY, "process %s has not ended",
				     proc_id(process));
	drop_process(container, process);
	return 0;
}

static void on_exited(struct container *container, struct proc *process, int wait_status)
{
	bool was_created = proc_state(process) != PROC_PREPARING;

	proc_exited(process, wait_status);
	if (process == container->init && container->state < CONTAINER_STOPPED) {
		/* In a pid namespace of its own the kernel has killed the rest. */
		if (!(container->namespaces & CLONE_NEWPID))
			(void)cgroup_kill(&container->cgroup);
		if (container->state != CONTAINER_CREATING)
			container_set_state(container, CONTAINER_STOPPED);
	}
	if (process != container->init && !was_created)
		drop_process(container, process); /* its creation has failed */
	if (container->state == CONTAINER_DELETING)
		container_destroy_step(container);
}

void containers_reaped(struct guest *guest, pid_t pid, int wait_status)
{
	struct container *container;

	TAILQ_FOREACH(container, &guest->containers, link)
	{
		for (struct proc *process = TAILQ_FIRST(&container->processes); process;
		     process = proc_next(process)) {
			if (proc_pid(process) != pid || proc_state(process) == PROC_EXITED)
				continue;
			on_exited(container, process, wait_status);
			return;
		}
	}
}

void containers_kill(struct guest *guest)
{
	struct container *container;

	TAILQ_FOREACH(container, &guest->containers, link)
	if (container->cgroup.fd >= 0)
		(void)cgroup_kill(&container->cgroup); /* nothing else can be done */
}

static bool signal_one(pid_t pid, void *user)
{
	const int *number = user;

	(void)kill(pid, *number); /* it may have ended since it was listed */
	return true;
}

int container_signal_all(struct container *container, int number, struct cay_error *err)
{
	int r = number == SIGKILL ? cgroup_kill(&container->cgroup)
				  : cgroup_each_pid(&container->cgroup, signal_one, &number);

	return r < 0 ? cay_error_errno(err, r, "signalling container %s", container->id) : 0;
}

const char *container_id(const struct container *container)
{
	return container->id;
}

struct guest *container_guest(const struct container *container)
{
	return container->guest;
}

struct cgroup *container_cgroup(struct container *container)
{
	return &container->cgroup;
}

pid_t container_pid(const struct container *container)
{
	return container->init && proc_state(container->init) != PROC_EXITED
		? proc_pid(container->init)
		: -1;
}
