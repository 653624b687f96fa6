/* SPDX-License-Identifier: Apache-2.0 */
/* VMs for the files of containers that don't run, each with a thread that boots and ends it. */
#include "daemon/files-vm.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "daemon/daemon.h"
#include "daemon/launch.h"
#include "daemon/recorder.h"
#include "daemon/shim.h"
#include "daemon/templates.h"
#include "daemon/volumes.h"
#include "sandbox/state.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

enum {
	THREAD_STACK = 256 * 1024,
	IDLE_MS = 3000,  /* a client that copies twice comes back within that */
	END_MS = 45000,  /* the guest has 30 s to write its disks */
	DYING_MS = 1000, /* for a shim that was killed, or its VM */
};

enum files_vm_state { FILES_BOOTING, FILES_READY, FILES_ENDING };

/* From the first use to the end of its thread; container->files points to it. */
struct files_vm {
	struct container *container; /* a reference */
	int wake;                    /* an eventfd: something below has changed */
	/* Under the container's lock. */
	unsigned int references; /* the thread's, those of uses and of who waits to be one */
	enum files_vm_state state;
	pid_t shim_pid; /* 0: there is none yet */
	unsigned int users;
	bool killed;            /* by a removal */
	struct cay_error fault; /* why it could not be booted */
};

/* ---- with the lock held ---- */

static void set_state(struct files_vm *vm, enum files_vm_state state)
{
	assert(state > vm->state);
	vm->state = state;
	(void)pthread_cond_broadcast(&vm->container->changed);
}

static void unref(struct files_vm *vm)
{
	assert(vm->references > 0);
	if (--vm->references > 0)
		return;
	cay_close_p(&vm->wake);
	free(vm);
}

/* Whether it is to be ended now; else *ret_timeout_ms is how long it may stay as it is. */
static bool is_to_end(struct files_vm *vm, bool was_idle, int *ret_timeout_ms)
{
	const struct container *container = vm->container;

	*ret_timeout_ms = vm->users > 0 ? -1 : IDLE_MS;
	return vm->users == 0 && (was_idle || container->files_unwanted > 0);
}

/* ---- its thread ---- */

static int boot(struct files_vm *vm, struct cay_error *err)
{
	struct container *container = vm->container;
	_cleanup_(sandbox_config_free_p) struct sandbox_config *config = NULL;
	_cleanup_rpc_client_ struct rpc_client *client = NULL;
	_cleanup_(shim_state_free_p) Cay__Shim__V1__StateResponse *state = NULL;
	struct cay_error ignored; /* what it would have told is known another time */
	const int64_t begun_ms = clock_monotonic_ms();
	char key[TEMPLATE_KEY_SIZE];
	pid_t pid = 0;
	int r = launch_files_config(container, &config, err);

	if (r == 0) {
		templates_key_of_start(container->daemon, config, key);
		templates_choose(container->daemon->templates, key, config);
		recorder_choose(container->daemon->recorder, config);
		r = shim_spawn(container, SHIM_FOR_FILES, config, &pid, &client, err);
		(void)pthread_mutex_lock(&container->lock);
		vm->shim_pid = pid;
		(void)pthread_cond_broadcast(&container->changed);
		(void)pthread_mutex_unlock(&container->lock);
	}
	if (r == 0)
		r = shim_start(client, container, NULL, err);
	if (r == 0 && shim_state(client, &state, &ignored) == 0)
		templates_started(container->daemon->templates, key, config, begun_ms, state->start,
				  state->template_error);
	return r;
}

/* Returns when it is to be ended, or has ended. */
static void stay(struct files_vm *vm)
{
	struct container *container = vm->container;
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, vm->shim_pid, 0);
	struct pollfd fds[] = {
		{ .fd = pidfd, .events = POLLIN },
		{ .fd = vm->wake, .events = POLLIN },
		{ .fd = container->daemon->stop_fd, .events = POLLIN },
	};
	bool was_idle = false, stopping = false;

	while (pidfd >= 0) {
		uint64_t count;
		int timeout_ms, n;
		bool is_over;

		(void)pthread_mutex_lock(&container->lock);
		is_over = is_to_end(vm, was_idle || stopping, &timeout_ms);
		if (is_over)
			set_state(vm, FILES_ENDING);
		(void)pthread_mutex_unlock(&container->lock);
		if (is_over)
			return;
		n = poll(fds, ARRAY_SIZE(fds), timeout_ms);
		was_idle = n == 0;
		if (n > 0 && fds[0].revents)
			break; /* it was killed, or its VM has died */
		if (n > 0 && fds[1].revents)
			(void)!read(vm->wake, &count, sizeof(count)); /* readable, or nothing */
		if (n > 0 && fds[2].revents) {
			fds[2].fd = -1;
			stopping = true;
		}
	}
	(void)pthread_mutex_lock(&container->lock);
	set_state(vm, FILES_ENDING);
	(void)pthread_mutex_unlock(&container->lock);
}

/* Nothing is left after this: no process, no run directory. */
static void end(struct files_vm *vm)
{
	struct container *container = vm->container;
	struct cay_error err = { 0 };
	const bool asked = !shim_wait_gone(vm->shim_pid, 0) && shim_shutdown(container, &err) == 0;

	if (!shim_wait_gone(vm->shim_pid, asked ? END_MS : DYING_MS)) {
		log_warning("container %.12s: ending the VM of its files: %s", container->id,
			    asked ? "it takes too long" : err.message);
		shim_destroy(container, vm->shim_pid);
	}
	files_vm_recover(container);
	volumes_leave(container->daemon->volumes, container);
	shim_clean(container);
}

static void *vm_main(void *user)
{
	struct files_vm *vm = user;
	struct container *container = vm->container;
	struct daemon *daemon = container->daemon;
	struct cay_error err = { 0 };
	const bool booted = boot(vm, &err) == 0;

	if (!booted)
		log_debug("container %.12s: the VM of its files: %s", container->id, err.message);
	(void)pthread_mutex_lock(&container->lock);
	vm->fault = err;
	set_state(vm, booted ? FILES_READY : FILES_ENDING);
	(void)pthread_mutex_unlock(&container->lock);
	if (booted)
		stay(vm);
	end(vm);
	(void)pthread_mutex_lock(&container->lock);
	container->files = NULL;
	(void)pthread_cond_broadcast(&container->changed);
	unref(vm);
	(void)pthread_mutex_unlock(&container->lock);
	container_unref(container);
	(void)__atomic_sub_fetch(&daemon->supervisors, 1, __ATOMIC_ACQ_REL);
	return NULL;
}

/* With the lock held. */
static int begin(struct container *container, struct cay_error *err)
{
	struct daemon *daemon = container->daemon;
	struct files_vm *vm = xcalloc(1, sizeof(*vm));
	int r;

	vm->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vm->wake < 0) {
		r = errno;
		free(vm);
		return cay_error_errno(err, r, "making an eventfd");
	}
	vm->references = 1;
	vm->container = container_ref(container);
	(void)__atomic_add_fetch(&daemon->supervisors, 1, __ATOMIC_ACQ_REL);
	r = thread_start(THREAD_STACK, vm_main, vm, NULL);
	if (r == 0) {
		container->files = vm;
		return 0;
	}
	(void)__atomic_sub_fetch(&daemon->supervisors, 1, __ATOMIC_ACQ_REL);
	container_unref(vm->container);
	cay_close_p(&vm->wake);
	free(vm);
	return cay_error_errno(err, r, "starting a thread for container %.12s", container->id);
}

/* ---- uses ---- */

/* With the lock held: whether its files may be looked at at all. */
static int check_there(const struct container *container, struct cay_error *err)
{
	switch (container->status) {
	case CONTAINER_REMOVED:
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "No such container: %s",
				     container->id);
	case CONTAINER_REMOVING:
	case CONTAINER_DEAD:
		return cay_error_set(err, CAY_CONFLICT, EBUSY, "container %.12s is being removed",
				     container->id);
	default:
		return 0;
	}
}

/*
 * With the lock held: waits for the VM's boot. 1: it is used, with a reference; 0: it has ended
 * again already.
 */
static int join(struct container *container, struct files_vm *vm, struct cay_error *err)
{
	int r = 0;

	vm->references++;
	while (vm->state == FILES_BOOTING)
		(void)pthread_cond_wait(&container->changed, &container->lock);
	if (vm->fault.code != CAY_OK && !vm->killed) {
		*err = vm->fault;
		/* A file that the VM lacks is not the one that the client asked for. */
		if (err->code == CAY_NOT_FOUND)
			err->code = CAY_INTERNAL;
		r = cay_error_prefix(err, "container %.12s: mounting its disks in a VM",
				     container->id);
	} else if (vm->state == FILES_READY) {
		vm->users++;
		return 1;
	}
	/* Its thread has one for as long as the container points to it. */
	assert(container->files != vm || vm->references > 1);
	unref(vm);
	return r;
}

/* With the lock held: 1 with the use open, 0 when it is to be tried again. */
static int try_open(struct container *container, struct files_use *use, struct cay_error *err)
{
	int r = check_there(container, err);

	if (r < 0)
		return r;
	if (container_is_up(container->status)) {
		use->exits = container->exits;
		return 1;
	}
	if (container->supervised || container->files_unwanted > 0 ||
	    (container->files && container->files->state == FILES_ENDING)) {
		(void)pthread_cond_wait(&container->changed, &container->lock);
		return 0;
	}
	if (!container->files)
		r = begin(container, err);
	if (r < 0)
		return r;
	use->vm = container->files;
	r = join(container, use->vm, err);
	if (r <= 0)
		use->vm = NULL;
	return r;
}

int files_use_open(struct container *container, struct files_use *ret_use, struct cay_error *err)
{
	struct files_use use = { 0 };
	int r;

	(void)pthread_mutex_lock(&container->lock);
	do
		r = try_open(container, &use, err);
	while (r == 0);
	(void)pthread_mutex_unlock(&container->lock);
	if (r < 0)
		return r;
	use.container = container_ref(container);
	*ret_use = use;
	return 0;
}

void files_use_close(struct files_use *use)
{
	struct container *container = use->container;

	if (!container)
		return;
	if (use->vm) {
		(void)pthread_mutex_lock(&container->lock);
		use->vm->users--;
		fd_wake(use->vm->wake);
		unref(use->vm);
		(void)pthread_mutex_unlock(&container->lock);
	}
	container_unref(container);
	*use = (struct files_use){ 0 };
}

int files_use_sync(struct files_use *use, struct cay_error *err)
{
	Cay__Vminitd__V1__SyncRequest request = CAY__VMINITD__V1__SYNC_REQUEST__INIT;

	if (!use->vm)
		return 0;
	return shim_guest_call(use->container, "Sync", &request.base, SHIM_CALL_MS, NULL, err);
}

/* ---- those who don't want it ---- */

int files_vm_wait_none(struct container *container, bool kill, const struct timespec *deadline,
		       struct cay_error *err)
{
	pid_t killed = 0;

	while (container->files) {
		const pid_t pid = container->files->shim_pid;

		fd_wake(container->files->wake);
		if (kill && pid > 0 && pid != killed) {
			killed = pid;
			container->files->killed = true;
			(void)pthread_mutex_unlock(&container->lock);
			shim_destroy(container, pid);
			(void)pthread_mutex_lock(&container->lock);
			continue;
		}
		if (pthread_cond_timedwait(&container->changed, &container->lock, deadline) ==
			    ETIMEDOUT &&
		    container->files)
			return cay_error_set(err, CAY_TIMEOUT, ETIMEDOUT,
					     "container %.12s: its files are being copied; try "
					     "again when that has ended",
					     container->id);
	}
	return 0;
}

void files_vm_recover(struct container *container)
{
	_cleanup_free_ char *path = container_path(container, "files-state.json");
	struct sandbox_state state = { 0 };
	struct cay_error ignored;

	if (sandbox_state_load(path, &state, &ignored) < 0)
		return;
	shim_destroy(container, state.shim_pid); /* one that does not answer */
	shim_end_vm(container, state.vm_pid);
	(void)unlink(path); /* one that stays names processes that are gone */
}
