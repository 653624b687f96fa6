/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing a container: its directory's name, its row, its place in the table
 * and its name go while the client waits, what the directory held goes after.
 */
#include "daemon/lifecycle-internal.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "daemon/containers.h"
#include "daemon/daemon.h"
#include "daemon/database.h"
#include "daemon/exec.h"
#include "daemon/mounts.h"
#include "daemon/networks.h"
#include "image/store.h"

#include <errno.h>

enum { REMOVER_STACK = 128 * 1024 };

/*
 * The directory loses its name first: what a crash leaves of it is then never taken for a
 * container, and the next daemon finishes, dropping the row if that is still there.
 */
static char *doomed_path(const struct container *container)
{
	return xasprintf("%s/containers/.removing-%s", container->daemon->options.root,
			 container->id);
}

static int drop_row(struct container *container, const char *doomed, struct cay_error *err)
{
	struct database *database = container->daemon->database;
	struct cay_error ignored;
	const bool fleeting = container->request->auto_remove;
	int r = database_delete_container(database, container->id, fleeting, err);

	/* A full disk has no room to note that something goes, until it is gone. */
	if (r < 0 && err->code == CAY_NO_SPACE && remove_tree(doomed, &ignored) == 0) {
		cay_error_clear(err);
		r = database_delete_container(database, container->id, fleeting, err);
	}
	return r;
}

struct rest {
	struct daemon *daemon;
	char *path;
};

static void *remove_rest(void *user)
{
	struct rest *rest = user;
	struct cay_error err = { 0 };

	if (remove_tree(rest->path, &err) < 0)
		log_warning("%s", err.message); /* the next daemon tries again */
	(void)__atomic_sub_fetch(&rest->daemon->supervisors, 1, __ATOMIC_ACQ_REL);
	free(rest->path);
	free(rest);
	return NULL;
}

/*
 * A disk that was just written takes the host's file system up to 100 ms to let go of: a thread
 * waits for it, so that clients need not. Takes the path over.
 */
static void remove_rest_later(struct daemon *daemon, char *path)
{
	struct rest *rest = xcalloc(1, sizeof(*rest));

	*rest = (struct rest){ .daemon = daemon, .path = path };
	(void)__atomic_add_fetch(&daemon->supervisors, 1, __ATOMIC_ACQ_REL);
	if (thread_start(REMOVER_STACK, remove_rest, rest, NULL) < 0)
		(void)remove_rest(rest);
}

static int refuse_second(const struct container *container, struct cay_error *err)
{
	return cay_error_set(err, CAY_CONFLICT, EALREADY,
			     "removal of container %s is already in progress", container->name);
}

/*
 * Killing it takes its time, at whose end one that goes with its end would be removed by its
 * supervisor, any could be started again, and who has killed it would be told that.
 */
static int doom(struct container *container, struct cay_error *err)
{
	int r = 0;

	(void)pthread_mutex_lock(&container->lock);
	if (container->is_doomed)
		r = refuse_second(container, err);
	container->is_doomed = true;
	(void)pthread_mutex_unlock(&container->lock);
	return r;
}

/* With the lock held: whether its removal may begin now, and the status it is refused for. */
static int begin_removal(struct container *container, bool force, struct cay_error *err)
{
	int r = lifecycle_wait_free(container, true, err);

	if (r == 0 && container->is_doomed && !force)
		r = refuse_second(container, err);
	if (r < 0)
		return r;
	switch (container->status) {
	case CONTAINER_CREATED:
	case CONTAINER_EXITED:
	case CONTAINER_DEAD:
		container_set_status(container, CONTAINER_REMOVING);
		return 0;
	case CONTAINER_REMOVING:
		return refuse_second(container, err);
	case CONTAINER_REMOVED:
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "No such container: %s",
				     container->id);
	default:
		return cay_error_set(err, CAY_CONFLICT, EBUSY,
				     "cannot remove container \"/%s\": container is %s: %s before "
				     "removing or force remove",
				     container->name,
				     container->status == CONTAINER_PAUSED ? "paused" : "running",
				     container->status == CONTAINER_PAUSED
					     ? "unpause and stop the container"
					     : "stop the container");
	}
}

/* Kills it where it runs. A start that is under way is waited for. */
static int kill_for_removal(struct container *container, struct cay_error *err)
{
	unsigned int exits;
	bool up;

	(void)pthread_mutex_lock(&container->lock);
	(void)lifecycle_wait_started(container);
	up = container_is_up(container->status);
	exits = container->exits;
	(void)pthread_mutex_unlock(&container->lock);
	if (up && !lifecycle_force_end(container, exits))
		return cay_error_set(err, CAY_TIMEOUT, ETIMEDOUT, "container %.12s does not end",
				     container->id);
	return 0;
}

/* It is CONTAINER_REMOVING. */
static int remove_all(struct container *container, bool volumes, struct cay_error *err)
{
	struct daemon *daemon = container->daemon;
	char *doomed = doomed_path(container);
	int r = 0;

	execs_forget(daemon->execs, container);
	if (rename(container->directory, doomed) < 0 && errno != ENOENT)
		r = cay_error_errno(err, errno, "renaming %s", container->directory);
	if (r == 0)
		r = drop_row(container, doomed, err);
	remove_rest_later(daemon, doomed);
	if (r < 0)
		return cay_error_prefix(err, "removing container %.12s", container->id);
	networks_forget_container(daemon->networks, container);
	mounts_release(daemon, container->request, container->id, volumes);
	image_store_release(daemon->images, container->image_id, container->id);
	container_emit(container, "destroy", NULL);
	return 0;
}

/* It is CONTAINER_REMOVING, and will be CONTAINER_REMOVED or CONTAINER_DEAD. */
static int complete_removal(struct container *container, bool volumes, struct cay_error *err)
{
	int r = remove_all(container, volumes, err);

	/* The name is free before anyone hears that it is gone. */
	if (r == 0)
		containers_remove(container->daemon->containers, container);
	(void)pthread_mutex_lock(&container->lock);
	container_set_status(container, r == 0 ? CONTAINER_REMOVED : CONTAINER_DEAD);
	(void)pthread_mutex_unlock(&container->lock);
	return r;
}

static int remove_now(struct container *container, bool force, bool volumes, struct cay_error *err)
{
	int r;

	(void)pthread_mutex_lock(&container->lock);
	r = begin_removal(container, force, err);
	(void)pthread_mutex_unlock(&container->lock);
	return r < 0 ? r : complete_removal(container, volumes, err);
}

int container_remove(struct container *container, bool force, bool volumes, struct cay_error *err)
{
	int r;

	if (!force)
		return remove_now(container, force, volumes, err);
	r = doom(container, err);
	if (r < 0)
		return r;
	r = kill_for_removal(container, err);
	if (r == 0)
		r = remove_now(container, force, volumes, err);
	(void)pthread_mutex_lock(&container->lock);
	container->is_doomed = false; /* where that failed, the next may try */
	(void)pthread_mutex_unlock(&container->lock);
	return r;
}

int container_remove_ended(struct container *container, struct cay_error *err)
{
	bool is_free;

	(void)pthread_mutex_lock(&container->lock);
	/* Nobody can start it or look at its files from here on. */
	is_free = container->status == CONTAINER_EXITED && !container->is_doomed &&
		!container->files && container->files_unwanted == 0;
	if (is_free) {
		container_set_status(container, CONTAINER_REMOVING);
		container->supervised = false;
		(void)pthread_cond_broadcast(&container->changed);
	}
	(void)pthread_mutex_unlock(&container->lock);
	if (!is_free)
		return cay_error_set(err, CAY_CONFLICT, EBUSY, "container %.12s is in use",
				     container->id);
	return complete_removal(container, true, err);
}
