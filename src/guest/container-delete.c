/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The removal of a container, in steps that each wait without blocking: its
 * processes are killed and reaped, its cgroup removed, its file systems
 * unmounted (by a task, as that flushes disks), its memory freed. A creation
 * that failed ends here too, and is answered once nothing is left of it.
 */
#include "guest/container-internal.h"

#include "guest/guest.h"
#include "guest/task.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <sys/mount.h>

/* The kernel removes killed processes from their cgroup some time after their parent reaped them.
 */
enum { REMOVAL_PAUSE_MS = 5, REMOVAL_TRIES_MAX = 1000 };

static void on_timer_closed(uv_handle_t *handle)
{
	free(container_of(handle, struct container, timer));
}

static void answer(struct container *container, const struct cay_error *err)
{
	Cay__Vminitd__V1__DeleteContainerResponse deleted =
		CAY__VMINITD__V1__DELETE_CONTAINER_RESPONSE__INIT;

	if (container->creating)
		held_fail(TAKE_PTR(container->creating), container->failure);
	if (err)
		held_fail_all(&container->deleting, err);
	else
		held_reply_all(&container->deleting, &deleted.base);
}

/* Everything outside is gone, or can't be removed (err): the id is free again. */
static void forget(struct container *container, const struct cay_error *err)
{
	struct cay_error gone = { 0 };

	TAILQ_REMOVE(&container->guest->containers, container, link);
	(void)cay_error_set(&gone, CAY_NOT_FOUND, ENOENT, "container %s was deleted",
			    container->id);
	held_fail_all(&container->pausing, &gone);
	answer(container, err);
	while (!TAILQ_EMPTY(&container->processes)) {
		struct proc *process = TAILQ_FIRST(&container->processes);

		proc_list_remove(&container->processes, process);
		proc_free(process);
	}
	container_unwatch(container);
	cgroup_done(&container->cgroup);
	oci_seccomp_free(container->seccomp);
	free(container->device_rules);
	strv_done(&container->mounts);
	container_done_files(container);
	free(container->failure);
	free(container->id);
	uv_close((uv_handle_t *)&container->timer, on_timer_closed);
}

/* Task: unmounts what was mounted for it, the last first. */
static int run_unmounts(const void *input, uint64_t *ret_value, struct cay_error *err)
{
	const struct container *container = input;
	_cleanup_free_ char *folder = xasprintf(GUEST_RUN "/c/%s", container->id);

	(void)ret_value;
	/* What was copied into a container without processes is on its disk now. */
	if (container->files_only)
		sync();
	for (size_t i = container->mounts.count; i > 0; i--) {
		const char *target = container->mounts.items[i - 1];

		/* EINVAL: the creation failed before this one, or the host has unmounted it. */
		if (umount2(target, UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT &&
		    (container->strict || umount2(target, UMOUNT_NOFOLLOW | MNT_DETACH) < 0))
			return cay_error_errno(err, errno, "unmounting %s", target);
	}
	/* It does not cross into a file system that someone else has mounted there. */
	return remove_tree(folder, err);
}

static void on_unmounted(int result, uint64_t value, const struct cay_error *err, void *user)
{
	(void)value;
	forget(user, result < 0 ? err : NULL);
}

static void remove_cgroup(uv_timer_t *timer)
{
	struct container *container = container_of(timer, struct container, timer);
	struct cay_error err = { 0 };
	int r = container->cgroup.fd >= 0 ? cgroup_remove(&container->cgroup) : 0;

	if (r == -EBUSY && container->removal_tries++ < REMOVAL_TRIES_MAX) {
		/* One that was being forked may have been missed. */
		(void)cgroup_kill(&container->cgroup);
		(void)uv_timer_start(timer, remove_cgroup, REMOVAL_PAUSE_MS, 0);
		return;
	}
	if (r < 0)
		log_warning("container %s: removing its cgroup: %s", container->id, errno_text(r));
	if (task_start(container->guest, run_unmounts, container, on_unmounted, container, &err) <
	    0)
		forget(container, &err);
}

void container_destroy_step(struct container *container)
{
	if (container->removing)
		return;
	for (struct proc *process = TAILQ_FIRST(&container->processes); process;
	     process = proc_next(process))
		if (proc_state(process) != PROC_EXITED)
			return;
	if (!container_leave_files(container))
		return;
	container->removing = true;
	remove_cgroup(&container->timer);
}

void container_destroy(struct container *container)
{
	if (container->state == CONTAINER_DELETING)
		return;
	container_set_state(container, CONTAINER_DELETING);
	container_unwatch(container);
	if (container->cgroup.fd >= 0)
		(void)cgroup_kill(&container->cgroup); /* an empty one has no one to kill */
	container_destroy_step(container);
}

void container_delete(struct container *container, bool strict, struct rpc_call *call)
{
	container->strict |= strict;
	held_add(&container->deleting, call);
	container_destroy(container);
}
