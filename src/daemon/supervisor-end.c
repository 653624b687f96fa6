/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes after a container's recorded end. The order matters to clients:
 * the VM is cleared away before the container can be started again or is
 * removed. Only one that goes with its end, and whose VM has nothing that
 * others may want, is removed first; its VM is cut off from its networks then,
 * and goes while nobody waits.
 */
#include "daemon/supervisor-internal.h"

#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/lifecycle-internal.h"
#include "daemon/placement.h"
#include "daemon/shim.h"
#include "daemon/volumes.h"
#include "sandbox/sandbox.h"
#include "sandbox/state.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From the container's end to the shim's, which may have much to write. */
enum { SHIM_END_MS = SANDBOX_SYNC_TIMEOUT_MS + 15000 };

/* Why a VM was lost is in the state file only; the event that came first does not say. */
static void learn_error(struct container *container)
{
	_cleanup_free_ char *path = container_path(container, "state.json");
	struct sandbox_state state = { 0 };
	struct cay_error ignored;

	if (sandbox_state_load(path, &state, &ignored) < 0 || state.error[0] == '\0')
		return;
	(void)pthread_mutex_lock(&container->lock);
	if (container->status == CONTAINER_EXITED && container->run.error[0] == '\0')
		memcpy(container->run.error, state.error, sizeof(container->run.error));
	(void)pthread_mutex_unlock(&container->lock);
}

void supervisor_clear_away(struct supervisor *supervisor)
{
	struct container *container = supervisor->container;
	pid_t vm_pid;
	bool up;

	rpc_client_free(TAKE_PTR(supervisor->client));
	if (!shim_wait_gone(supervisor->shim_pid, SHIM_END_MS))
		shim_destroy(container, supervisor->shim_pid);
	(void)pthread_mutex_lock(&container->lock);
	up = container_is_up(container->status);
	vm_pid = container->run.vm_pid;
	(void)pthread_mutex_unlock(&container->lock);
	if (up) {
		shim_end_vm(container, vm_pid);
		supervisor_record_end(container);
	} else {
		learn_error(container);
	}
	networks_unplace(container->daemon->networks, container);
	volumes_leave(container->daemon->volumes, container);
	shim_clean(container);
}

void supervisor_finish(struct supervisor *supervisor)
{
	struct container *container = supervisor->container;
	bool ran;

	(void)pthread_mutex_lock(&container->lock);
	container->supervised = false;
	ran = !container->start_pending;
	(void)pthread_cond_broadcast(&container->changed);
	(void)pthread_mutex_unlock(&container->lock);
	if (container->request->auto_remove) {
		struct cay_error err = { 0 };

		/* Without force: whoever started it again meanwhile keeps it. */
		if (container_remove(container, false, true, &err) < 0 &&
		    err.code != CAY_NOT_FOUND && err.code != CAY_CONFLICT)
			log_error("container %.12s: removing it at its end: %s", container->id,
				  err.message);
	} else {
		container_save(container);
	}
	if (ran)
		return;
	(void)pthread_mutex_lock(&container->lock);
	container->start_pending = false;
	(void)pthread_cond_broadcast(&container->changed);
	(void)pthread_mutex_unlock(&container->lock);
}

bool supervisor_remove_at_once(struct supervisor *supervisor)
{
	struct container *container = supervisor->container;
	struct cay_error err = { 0 };
	int r;

	/*
	 * Its network goes before it does: what the firewall no longer knows is not held back, and
	 * its addresses are the next one's. Who is stopped sends nothing, and can be killed.
	 */
	if (supervisor->vm_pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, supervisor->vm_pidfd, SIGSTOP, NULL, 0);
	networks_unplace(container->daemon->networks, container);
	r = container_remove_ended(container, &err);
	if (r < 0 && err.code != CAY_CONFLICT)
		log_error("container %.12s: removing it at its end: %s", container->id,
			  err.message);
	if (r < 0)
		return false;
	rpc_client_free(TAKE_PTR(supervisor->client));
	if (!shim_wait_gone(supervisor->shim_pid, SHIM_END_MS))
		shim_destroy(container, supervisor->shim_pid);
	shim_clean(container);
	return true;
}
