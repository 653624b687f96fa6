/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The containers of the guest, by id, from their creation to the removal of
 * the last trace: their first process, the others, the cgroup, the mounts.
 */
#pragma once

#include "guest/cgroup.h"
#include "guest/proc.h"

#include <vminitd.pb-c.h>

struct container;
struct guest;

enum container_state {
	CONTAINER_CREATING, /* its first process is being prepared */
	CONTAINER_CREATED,
	CONTAINER_RUNNING,
	CONTAINER_STOPPED, /* its first process has ended */
	CONTAINER_DELETING,
};

enum { CONTAINER_ID_MAX = 128, CONTAINERS_MAX = 256, PROCESSES_MAX = 1024 };

/* These answer the call, at once or later. */
void container_create(struct guest *guest, struct rpc_call *call,
		      const Cay__Vminitd__V1__CreateContainerRequest *request);
void container_create_process(struct guest *guest, struct rpc_call *call,
			      const Cay__Vminitd__V1__CreateProcessRequest *request);
void container_delete(struct container *container, bool strict, struct rpc_call *call);
/* Freezes or thaws it; the answer comes when that is so. */
void container_pause(struct container *container, bool paused, struct rpc_call *call);

/* A failure is CAY_NOT_FOUND; err is set exactly when the result is NULL. */
struct container *container_find(const struct guest *guest, const char *id, struct cay_error *err);
struct proc *container_find_process(const struct guest *guest, const char *container_id,
				    const char *process_id, struct cay_error *err);

/* Sends the signal to all processes of the container. */
int container_signal_all(struct container *container, int number, struct cay_error *err);
/* Forgets an exec process that has ended. */
int container_delete_process(struct container *container, struct proc *process,
			     struct cay_error *err);

/* One of its processes has executed its program. */
void container_started(struct container *container, const struct proc *process);
/* A child of vminitd has been reaped: a process of some container, a task, an orphan. */
void containers_reaped(struct guest *guest, pid_t pid, int wait_status);
/* Kills all processes of all containers; does not wait. */
void containers_kill(struct guest *guest);

const char *container_id(const struct container *container);
struct guest *container_guest(const struct container *container);
struct cgroup *container_cgroup(struct container *container);
/* The first process's pid, or -1 once it has ended. */
pid_t container_pid(const struct container *container);
