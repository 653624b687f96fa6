/* SPDX-License-Identifier: Apache-2.0 */
/* The table of execs. */
#include "daemon/exec.h"

#include "base/alloc.h"
#include "base/json.h"
#include "daemon/daemon.h"
#include "daemon/lifecycle.h"

#include <errno.h>

struct execs {
	pthread_mutex_t lock;
	struct exec **items; /* oldest first */
	size_t count;
};

struct execs *execs_new(void)
{
	struct execs *execs = xcalloc(1, sizeof(*execs));

	(void)pthread_mutex_init(&execs->lock, NULL);
	return execs;
}

void execs_free(struct execs *execs)
{
	if (!execs)
		return;
	for (size_t i = 0; i < execs->count; i++)
		exec_unref(execs->items[i]);
	free(execs->items);
	(void)pthread_mutex_destroy(&execs->lock);
	free(execs);
}

struct exec *exec_new(struct container *container)
{
	struct exec *exec = xcalloc(1, sizeof(*exec));

	id_make(exec->id);
	exec->references = 1;
	exec->container = container_ref(container);
	return exec;
}

struct exec *exec_ref(struct exec *exec)
{
	(void)__atomic_add_fetch(&exec->references, 1, __ATOMIC_RELAXED);
	return exec;
}

void exec_unref(struct exec *exec)
{
	if (!exec || __atomic_sub_fetch(&exec->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	container_unref(exec->container);
	strv_done(&exec->arguments);
	strv_done(&exec->env);
	free(exec->user);
	free(exec->working_directory);
	free(exec->detach_keys);
	free(exec);
}

/* With the lock held. */
static void drop(struct execs *execs, size_t index)
{
	exec_unref(execs->items[index]);
	execs->count--;
	memmove(&execs->items[index], &execs->items[index + 1],
		(execs->count - index) * sizeof(*execs->items));
}

int execs_add(struct execs *execs, struct exec *exec, struct cay_error *err)
{
	size_t ended = SIZE_MAX, owned = 0;
	int r = 0;

	(void)pthread_mutex_lock(&execs->lock);
	for (size_t i = 0; i < execs->count; i++) {
		if (execs->items[i]->container != exec->container)
			continue;
		owned++;
		if (execs->items[i]->exited && ended == SIZE_MAX)
			ended = i;
	}
	if (owned >= EXECS_PER_CONTAINER_MAX && ended == SIZE_MAX) {
		r = cay_error_set(err, CAY_CONFLICT, EBUSY,
				  "container %.12s has %d execs that have not ended",
				  exec->container->id, EXECS_PER_CONTAINER_MAX);
	} else {
		if (owned >= EXECS_PER_CONTAINER_MAX)
			drop(execs, ended);
		execs->items = xreallocarray(execs->items, execs->count + 1, sizeof(*execs->items));
		execs->items[execs->count++] = exec_ref(exec);
	}
	(void)pthread_mutex_unlock(&execs->lock);
	return r;
}

int execs_find(struct execs *execs, const char *id, struct exec **ret_exec, struct cay_error *err)
{
	bool found = false;

	(void)pthread_mutex_lock(&execs->lock);
	for (size_t i = 0; i < execs->count && !found; i++) {
		found = strcmp(execs->items[i]->id, id) == 0;
		if (found)
			*ret_exec = exec_ref(execs->items[i]);
	}
	(void)pthread_mutex_unlock(&execs->lock);
	if (!found)
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "No such exec instance: %.100s",
				     id);
	return 0;
}

int execs_begin(struct execs *execs, struct exec *exec, struct cay_error *err)
{
	bool again;

	(void)pthread_mutex_lock(&execs->lock);
	again = exec->started || exec->exited;
	exec->started = true;
	(void)pthread_mutex_unlock(&execs->lock);
	if (again)
		return cay_error_set(err, CAY_CONFLICT, EALREADY, "exec %.12s was started before",
				     exec->id);
	return 0;
}

void execs_set_running(struct execs *execs, struct exec *exec, int guest_pid)
{
	(void)pthread_mutex_lock(&execs->lock);
	exec->running = !exec->exited;
	exec->guest_pid = guest_pid;
	(void)pthread_mutex_unlock(&execs->lock);
}

bool execs_set_exited(struct execs *execs, struct exec *exec, int exit_code)
{
	bool first;

	(void)pthread_mutex_lock(&execs->lock);
	first = !exec->exited;
	if (first)
		exec->exit_code = exit_code;
	exec->exited = true;
	exec->running = false;
	(void)pthread_mutex_unlock(&execs->lock);
	return first;
}

void exec_record_exit(struct exec *exec, int exit_code)
{
	if (execs_set_exited(exec->container->daemon->execs, exec, exit_code))
		container_emit(exec->container, "exec_die",
			       json_pack("{s:o, s:s}", "exitCode", json_sprintf("%d", exit_code),
					 "execID", exec->id));
}

void execs_set_size(struct execs *execs, struct exec *exec, unsigned int columns, unsigned int rows)
{
	(void)pthread_mutex_lock(&execs->lock);
	exec->columns = columns;
	exec->rows = rows;
	(void)pthread_mutex_unlock(&execs->lock);
}

void execs_view(struct execs *execs, const struct exec *exec, struct exec *ret_view)
{
	(void)pthread_mutex_lock(&execs->lock);
	*ret_view = *exec;
	(void)pthread_mutex_unlock(&execs->lock);
}

void execs_container_ended(struct execs *execs, const struct container *container, int exit_code)
{
	(void)pthread_mutex_lock(&execs->lock);
	for (size_t i = 0; i < execs->count; i++) {
		struct exec *exec = execs->items[i];

		if (exec->container != container || exec->exited)
			continue;
		exec->exited = true;
		exec->running = false;
		exec->exit_code = exit_code;
	}
	(void)pthread_mutex_unlock(&execs->lock);
}

void execs_forget(struct execs *execs, const struct container *container)
{
	(void)pthread_mutex_lock(&execs->lock);
	for (size_t i = execs->count; i > 0; i--)
		if (execs->items[i - 1]->container == container)
			drop(execs, i - 1);
	(void)pthread_mutex_unlock(&execs->lock);
}

json_t *execs_running_ids(struct execs *execs, const struct container *container)
{
	json_t *ids = NULL;

	(void)pthread_mutex_lock(&execs->lock);
	for (size_t i = 0; i < execs->count; i++) {
		const struct exec *exec = execs->items[i];

		if (exec->container != container || !exec->running)
			continue;
		if (!ids)
			ids = json_array();
		(void)json_array_append_new(ids, json_string(exec->id));
	}
	(void)pthread_mutex_unlock(&execs->lock);
	return ids;
}
