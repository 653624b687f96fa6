/* SPDX-License-Identifier: Apache-2.0 */
/* One container in memory: its status, who waits for it, its counted lifetime. */
#include "daemon/container.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "daemon/daemon.h"

#include <errno.h>
#include <sys/eventfd.h>

#define MAY(status) (1u << CONTAINER_##status)

/* docker's words, and the steps that are legal from each. */
static const struct {
	const char *name;
	unsigned int next;
} statuses[] = {
	[CONTAINER_CREATED] = { "created", MAY(STARTING) | MAY(REMOVING) },
	[CONTAINER_STARTING] = { "starting", MAY(RUNNING) | MAY(CREATED) | MAY(EXITED) },
	[CONTAINER_RUNNING] = { "running", MAY(PAUSED) | MAY(EXITED) },
	[CONTAINER_PAUSED] = { "paused", MAY(RUNNING) | MAY(EXITED) },
	[CONTAINER_EXITED] = { "exited", MAY(STARTING) | MAY(REMOVING) },
	[CONTAINER_REMOVING] = { "removing", MAY(REMOVED) | MAY(DEAD) },
	[CONTAINER_REMOVED] = { "removed", 0 },
	[CONTAINER_DEAD] = { "dead", MAY(REMOVING) },
};
static_assert(ARRAY_SIZE(statuses) == CONTAINER_STATUS_COUNT, "every status has a row");

const char *container_status_name(enum container_status status)
{
	return statuses[status].name;
}

int container_status_parse(const char *name, enum container_status *ret_status)
{
	for (unsigned int i = 0; i < CONTAINER_STATUS_COUNT; i++) {
		if (strcmp(statuses[i].name, name) == 0) {
			*ret_status = i;
			return 0;
		}
	}
	return -EINVAL;
}

bool container_is_up(enum container_status status)
{
	return status == CONTAINER_RUNNING || status == CONTAINER_PAUSED;
}

struct container *container_new(struct daemon *daemon, const char *id, const char *name,
				const char *image_id, const char *image_name,
				struct request *request)
{
	struct container *container = xcalloc(1, sizeof(*container));
	pthread_condattr_t attributes;

	container->daemon = daemon;
	container->references = 1;
	(void)snprintf(container->id, sizeof(container->id), "%s", id);
	container->name = xstrdup(name);
	container->image_id = xstrdup(image_id);
	container->image_name = xstrdup(image_name);
	container->request = request;
	container->directory = xasprintf("%s/containers/%s", daemon->options.root, id);
	container->run_directory = xasprintf("%s/%s", daemon->options.run, id);
	(void)pthread_mutex_init(&container->lock, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&container->changed, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	return container;
}

struct container *container_ref(struct container *container)
{
	(void)__atomic_add_fetch(&container->references, 1, __ATOMIC_RELAXED);
	return container;
}

void container_unref(struct container *container)
{
	if (!container || __atomic_sub_fetch(&container->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	assert(!container->watches && !container->attaches && !container->files);
	request_free(container->request);
	free(container->name);
	free(container->image_id);
	free(container->image_name);
	free(container->directory);
	free(container->run_directory);
	(void)pthread_cond_destroy(&container->changed);
	(void)pthread_mutex_destroy(&container->lock);
	free(container);
}

/* With the lock held. */
static void wake(struct container *container)
{
	for (struct container_watch *watch = container->watches; watch; watch = watch->next)
		fd_wake(watch->fd);
	(void)pthread_cond_broadcast(&container->changed);
}

void container_set_status(struct container *container, enum container_status status)
{
	enum container_status old = container->status;

	assert(statuses[old].next & (1u << status));
	if (status == CONTAINER_STARTING) {
		container->before_start = old;
		container->starts++;
	}
	if (status == CONTAINER_EXITED && container_is_up(old))
		container->exits++;
	container->status = status;
	log_debug("container %.12s: %s to %s", container->id, statuses[old].name,
		  statuses[status].name);
	wake(container);
}

void container_view(struct container *container, struct container_view *ret_view)
{
	(void)pthread_mutex_lock(&container->lock);
	*ret_view = (struct container_view){
		.name = xstrdup(container->name),
		.status = container->status == CONTAINER_STARTING ? container->before_start
								  : container->status,
		.run = container->run,
		.starts = container->starts,
		.exits = container->exits,
		.shim_ready = container->shim_ready,
	};
	(void)pthread_mutex_unlock(&container->lock);
}

void container_view_done(struct container_view *view)
{
	free(view->name);
	view->name = NULL;
}

int container_watch_add(struct container *container, struct container_watch *watch,
			struct cay_error *err)
{
	watch->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (watch->fd < 0)
		return cay_error_errno(err, errno, "watching container %.12s", container->id);
	(void)pthread_mutex_lock(&container->lock);
	watch->next = container->watches;
	container->watches = watch;
	(void)pthread_mutex_unlock(&container->lock);
	return 0;
}

void container_watch_remove(struct container *container, struct container_watch *watch)
{
	(void)pthread_mutex_lock(&container->lock);
	for (struct container_watch **at = &container->watches; *at; at = &(*at)->next) {
		if (*at == watch) {
			*at = watch->next;
			break;
		}
	}
	(void)pthread_mutex_unlock(&container->lock);
	cay_close_p(&watch->fd);
	watch->fd = -1;
}

void container_watch_clear(struct container_watch *watch)
{
	uint64_t count;

	(void)!read(watch->fd, &count, sizeof(count)); /* non-blocking: empty is fine */
}

void container_set_shim_ready(struct container *container, bool ready)
{
	container->shim_ready = ready;
	wake(container);
}

void container_attach_add(struct container *container, struct container_attach *attach)
{
	(void)pthread_mutex_lock(&container->lock);
	attach->next = container->attaches;
	container->attaches = attach;
	(void)pthread_mutex_unlock(&container->lock);
}

void container_attach_confirm(struct container *container, struct container_attach *attach)
{
	(void)pthread_mutex_lock(&container->lock);
	attach->confirmed = true;
	(void)pthread_cond_broadcast(&container->changed);
	(void)pthread_mutex_unlock(&container->lock);
}

void container_attach_remove(struct container *container, struct container_attach *attach)
{
	(void)pthread_mutex_lock(&container->lock);
	for (struct container_attach **at = &container->attaches; *at; at = &(*at)->next) {
		if (*at == attach) {
			*at = attach->next;
			break;
		}
	}
	(void)pthread_cond_broadcast(&container->changed);
	(void)pthread_mutex_unlock(&container->lock);
}

char *container_path(const struct container *container, const char *name)
{
	return path_join(container->directory, name);
}

char *container_log_path(const struct container *container)
{
	return xasprintf("%s/%s-json.log", container->directory, container->id);
}

char *container_shim_socket(const struct container *container)
{
	return path_join(container->run_directory, "shim.sock");
}
