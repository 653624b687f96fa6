/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After a crash, a kill or a power cut three things can disagree: the rows of
 * the database, the directories below containers/, and the shims that run. A
 * row with its directory is a container; a shim that answers for it says that
 * it runs; everything else is a rest and is cleared away.
 */
#include "daemon/recover.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "daemon/containers.h"
#include "daemon/daemon.h"
#include "daemon/damaged.h"
#include "daemon/database.h"
#include "daemon/files-vm.h"
#include "daemon/lifecycle.h"
#include "daemon/mounts.h"
#include "daemon/networks.h"
#include "daemon/placement.h"
#include "daemon/shim.h"
#include "daemon/supervisor.h"
#include "daemon/volumes.h"
#include "image/store.h"
#include "sandbox/state.h"

#include <dirent.h>
#include <errno.h>

enum { SHIM_END_MS = 15000 };

/* ---- rows ---- */

static int load_row(const struct database_container *row, void *user, struct cay_error *err)
{
	struct daemon *daemon = user;
	_cleanup_container_ struct container *container = NULL;
	_cleanup_free_ char *name = NULL;
	struct request *request;
	struct cay_error fault = { 0 };
	enum container_status status;

	if (!id_is_valid(row->id) || container_status_parse(row->status, &status) < 0 ||
	    request_load(row->request, &request, &fault) < 0) {
		/* One bad row must not keep all the others from their users. */
		damaged_add(daemon, row, fault.code != CAY_OK ? fault.message : "its state");
		return 0;
	}
	container =
		container_new(daemon, row->id, row->name, row->image_id, row->image_name, request);
	container->created_ns = row->created_ns;
	container->vm_uid = row->vm_uid;
	container->status = status;
	container->run.started_ns = row->started_ns;
	container->run.finished_ns = row->finished_ns;
	container->run.exit_code = row->exit_code;
	container->run.oom_killed = row->oom_killed;
	(void)snprintf(container->run.error, sizeof(container->run.error), "%s", row->error);
	if (containers_reserve(daemon->containers, row->name, row->id, &name, &fault) < 0) {
		log_error("container %.12s: %s", row->id, fault.message);
		return 0;
	}
	containers_add(daemon->containers, container);
	return 0;
}

/* ---- shims ---- */

/* A shim that answers is followed where its container runs, and ended where it never began to. */
static bool take_up(struct container *container)
{
	_cleanup_rpc_client_ struct rpc_client *client = NULL;
	_cleanup_(shim_state_free_p) Cay__Shim__V1__StateResponse *state = NULL;
	const Cay__Shim__V1__ContainerState *one;
	struct cay_error err = { 0 };

	if (shim_connect(container, &client, &err) < 0 || shim_state(client, &state, &err) < 0)
		return false;
	one = state->n_containers > 0 ? state->containers[0] : NULL;
	if (!one || one->status == CAY__SHIM__V1__STATUS__CREATED) {
		(void)shim_shutdown(container, &err); /* else it is killed */
		(void)shim_wait_gone(state->shim_pid, SHIM_END_MS);
		return false;
	}
	if (one->status == CAY__SHIM__V1__STATUS__EXITED) {
		(void)shim_wait_gone(state->shim_pid, SHIM_END_MS);
		return false;
	}
	container->run = (struct container_run){
		.shim_pid = state->shim_pid,
		.vm_pid = state->vm_pid,
		.guest_pid = one->guest_pid,
		.started_ns = one->started_ns,
		.oom_killed = one->oom_killed,
	};
	(void)snprintf(container->run.start, sizeof(container->run.start), "%s", state->start);
	/* That it is paused only the row says. */
	if (container->status != CONTAINER_PAUSED)
		container->status = CONTAINER_RUNNING;
	container->shim_ready = container->supervised = true;
	container->starts = 1;
	networks_take_up(container->daemon->networks, container);
	volumes_take_up(container->daemon->volumes, container);
	log_info("container %.12s runs on", container->id);
	if (supervisor_follow(container, TAKE_PTR(client), state->shim_pid, &err) < 0)
		log_error("container %.12s: %s", container->id, err.message);
	return true;
}

/* The run that the state file tells of, as far as the database does not know it. True: it ended. */
static bool learn_end(struct container *container)
{
	_cleanup_free_ char *path = container_path(container, "state.json");
	struct sandbox_state state = { 0 };
	struct cay_error err = { 0 };
	bool found = sandbox_state_load(path, &state, &err) == 0;
	bool was_up = container_is_up(container->status);
	bool newer = found && state.started_ns > container->run.started_ns;

	files_vm_recover(container);
	if (found) {
		shim_destroy(container, state.shim_pid); /* one that does not answer */
		shim_end_vm(container, state.vm_pid);
	}
	/* It may have said its last word before it was killed. */
	if (!was_up && !newer)
		return false;
	if (newer)
		container->run = (struct container_run){ .started_ns = state.started_ns };
	container->status = CONTAINER_RUNNING;
	supervisor_record_end(container);
	container_save(container);
	return true;
}

/* Whether a start had come so far; without a word of it where the power was cut soon after. */
static bool was_started(const struct container *container)
{
	_cleanup_free_ char *path = container_path(container, "shim.json");

	return container->run.started_ns > 0 || file_exists(path);
}

static void recover_one(struct container *container)
{
	struct cay_error err = { 0 };
	bool ended;

	if (file_exists(container->run_directory) && take_up(container))
		return;
	ended = learn_end(container);
	if (file_exists(container->run_directory)) {
		/* One that had only just been started: its disks are not free while it lives. */
		shim_destroy_unknown(container);
		shim_clean(container);
	}
	if (!container->request->auto_remove || !(ended || was_started(container)))
		return;
	if (container_remove(container, false, true, &err) < 0)
		log_error("container %.12s: removing it: %s", container->id, err.message);
}

/* ---- rests ---- */

static int compare_id(const struct database_container *row, void *user, struct cay_error *err)
{
	(void)err;
	return strcmp(row->id, user) == 0 ? -EEXIST : 0;
}

/* True as well for a row that is damaged, or that can't be read: its container's disk stays. */
static bool has_row(struct daemon *daemon, const char *id)
{
	_cleanup_container_ struct container *container = NULL;
	struct cay_error ignored;

	return containers_find(daemon->containers, id, &container, &ignored) == 0 ||
		database_each_container(daemon->database, compare_id, (void *)id, &ignored) < 0;
}

static void end_sandbox(const struct container *container)
{
	_cleanup_free_ char *path = container_path(container, "state.json");
	struct sandbox_state state = { 0 };
	struct cay_error err = { 0 };

	if (sandbox_state_load(path, &state, &err) == 0) {
		if (shim_shutdown(container, &err) < 0 ||
		    !shim_wait_gone(state.shim_pid, SHIM_END_MS))
			shim_destroy(container, state.shim_pid);
		shim_end_vm(container, state.vm_pid);
	}
	if (file_exists(container->run_directory))
		shim_destroy_unknown(container);
	shim_clean(container);
}

void recover_end(struct daemon *daemon, const char *id)
{
	_cleanup_container_ struct container *container =
		container_new(daemon, id, "", "", "", NULL);

	if (!file_exists(container->run_directory))
		return;
	log_warning("container %.12s: ending what may still run of it", id);
	end_sandbox(container);
}

/* A shim whose container is unknown holds files that are about to go. */
void recover_clear(struct daemon *daemon, const char *id)
{
	_cleanup_container_ struct container *container =
		container_new(daemon, id, "", "", "", NULL);
	struct cay_error err = { 0 };

	end_sandbox(container);
	if (remove_tree(container->directory, &err) < 0)
		log_warning("%s", err.message);
}

static void clear_directory(struct daemon *daemon, const char *path,
			    void (*each)(struct daemon *daemon, const char *path, const char *name))
{
	DIR *directory = opendir(path);
	struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		each(daemon, path, entry->d_name);
	if (directory)
		(void)closedir(directory);
}

static void clear_entry(struct daemon *daemon, const char *path, const char *name)
{
	_cleanup_free_ char *full = path_join(path, name);
	struct cay_error err = { 0 };

	if (starts_with(name, ".removing-") && remove_tree(full, &err) < 0)
		log_warning("%s", err.message);
	if (id_is_valid(name) && !has_row(daemon, name)) {
		log_info("container %.12s has no row in the database, clearing it away", name);
		recover_clear(daemon, name);
	}
}

/* A row whose directory is gone was in the middle of its removal. */
static bool drop_without_directory(struct container *container)
{
	struct cay_error err = { 0 };

	if (file_exists(container->directory))
		return false;
	log_info("container %.12s: finishing its removal", container->id);
	shim_clean(container);
	if (database_delete_container(container->daemon->database, container->id, false, &err) < 0)
		log_error("container %.12s: %s", container->id, err.message);
	else
		containers_remove(container->daemon->containers, container);
	networks_forget_container(container->daemon->networks, container);
	mounts_release(container->daemon, container->request, container->id,
		       container->request->auto_remove);
	image_store_release(container->daemon->images, container->image_id, container->id);
	return true;
}

int recover_containers(struct daemon *daemon, struct cay_error *err)
{
	_cleanup_container_list_ struct container_list list = { 0 };
	_cleanup_free_ char *directory = path_join(daemon->options.root, "containers");
	int r = make_dirs(directory, 0700, err);

	if (r == 0)
		r = database_each_container(daemon->database, load_row, daemon, err);
	if (r == 0)
		r = networks_load_endpoints(daemon->networks, err);
	if (r < 0)
		return r;
	containers_list(daemon->containers, &list);
	/* Who has what is known of all before the first is removed, with what only it had. */
	for (size_t i = 0; i < list.count; i++) {
		image_store_hold(daemon->images, list.items[i]->image_id, list.items[i]->id);
		mounts_take_up(list.items[i]);
	}
	damaged_hold(daemon);
	for (size_t i = 0; i < list.count; i++)
		if (!drop_without_directory(list.items[i]))
			recover_one(list.items[i]);
	clear_directory(daemon, directory, clear_entry);
	clear_directory(daemon, daemon->options.run, clear_entry);
	return 0;
}
