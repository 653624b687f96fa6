/* SPDX-License-Identifier: Apache-2.0 */
/* A container's parts, for the files that make, watch and remove it. */
#pragma once

#include "guest/container.h"
#include "guest/copy-job.h"

#include "base/strv.h"

#include <uv.h>

struct watch;

struct container {
	TAILQ_ENTRY(container) link;
	struct guest *guest;
	char *id;
	enum container_state state;
	struct cgroup cgroup;
	int namespaces;              /* CLONE_NEW… of those that are not the guest's */
	struct oci_seccomp *seccomp; /* for its later processes too; or NULL */
	struct oci_device_rule *device_rules;
	size_t device_rule_count;
	struct strv mounts; /* targets in the guest, in the order they were mounted */
	struct proc_list processes;
	size_t process_count;
	struct proc *init; /* one of them; NULL when it could not be forked */

	/* Its files, for who copies them. */
	char *root_path, *user;
	char *upper, *lower; /* of the overlay that its root is, or NULL */
	struct copy_job_list copies;
	struct watch *preparing; /* files only: the socket to the child that prepares them */
	int preparing_pidfd;     /* it, or -1 */
	int files_fd;            /* files only: the mount namespace they are seen in, or -1 */

	struct held *creating;
	struct cay_error *failure; /* why the creation failed, told when its traces are gone */
	struct held_list deleting;
	bool strict;      /* what is still in use is not unmounted, and the removal has failed */
	bool removing;    /* the removal has got beyond waiting for processes */
	uv_timer_t timer; /* for watching stalls, then for the removal */
	unsigned int removal_tries;

	struct watch *oom_watch, *pressure_watch, *state_watch;
	uint64_t oom_kills;
	struct held_list pausing;
	bool want_paused;
	bool files_only; /* it has no process */
};

/* Watches what the kernel tells about the container's cgroup; of stalls, some time from now. */
void container_watch(struct container *container);
void container_watch_pressure(struct container *container);
void container_unwatch(struct container *container);

void container_set_state(struct container *container, enum container_state state);
/* Everything is undone before the caller of the creation hears of it. */
void container_fail_creation(struct container *container, const struct cay_error *err);

/* ---- container-files.c ---- */

/* Remembers what the root is made of. */
void container_take_files(struct container *container, const struct oci_config *config,
			  const Cay__Vminitd__V1__CreateContainerRequest *request);
/* Creates a container that is there for its files alone; `creating` hears of the outcome. */
int container_prepare_files(struct container *container, const struct launch *launch,
			    struct cay_error *err);
/* True once nothing looks at its files any more; kills who does. */
bool container_leave_files(struct container *container);
void container_done_files(struct container *container);

/* Begins the removal of everything; `deleting` and `creating` hear of its end. */
void container_destroy(struct container *container);
/* Goes on with a removal after a process of the container has ended. */
void container_destroy_step(struct container *container);
