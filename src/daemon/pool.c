/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool's table. A member is in one place at a time: being warmed by the
 * thread (pool-work.c), in the list of those that are ready, with the start
 * that claims it, or in the list of those that leave.
 */
#include "daemon/pool-internal.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "daemon/shim.h"
#include "sandbox/template.h"

#include <dirent.h>
#include <errno.h>
#include <sys/eventfd.h>

enum { END_MS = 3000 /* for members whose daemon was killed */ };

/* ---- what is left of an earlier one ---- */

static int clear(struct pool *pool, struct cay_error *err)
{
	_cleanup_free_ char *prefix = xasprintf("%s/", pool->directory);
	const struct dirent *entry;
	DIR *entries;
	int r = make_dirs(pool->directory, 0700, err);

	if (r < 0)
		return r;
	/* Each has seen its leash go; one that does not end would hold what goes now. */
	shim_destroy_all(prefix, END_MS);
	entries = opendir(pool->directory);
	if (!entries)
		return cay_error_errno(err, errno, "opening %s", pool->directory);
	while ((entry = readdir(entries))) {
		_cleanup_free_ char *path = path_join(pool->directory, entry->d_name);
		struct cay_error fault = { 0 };

		if (id_is_valid(entry->d_name) && remove_tree(path, &fault) < 0)
			log_warning("%s", fault.message);
	}
	(void)closedir(entries);
	return 0;
}

int pool_open(struct daemon *daemon, struct pool **ret_pool, struct cay_error *err)
{
	struct pool *pool = xcalloc(1, sizeof(*pool));
	int r = 0;

	pool->daemon = daemon;
	pool->directory = path_join(daemon->options.root, "pool");
	pool->limit = pool->told_limit = daemon->options.pool_size;
	(void)pthread_mutex_init(&pool->lock, NULL);
	pool->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->wake_fd < 0)
		r = cay_error_errno(err, errno, "making an eventfd");
	if (r == 0)
		r = clear(pool, err);
	if (r < 0) {
		pool_free(pool);
		return r;
	}
	*ret_pool = pool;
	return 0;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	cay_close_p(&pool->wake_fd);
	(void)pthread_mutex_destroy(&pool->lock);
	image_disk_done(&pool->image);
	free(pool->fault);
	free(pool->directory);
	free(pool);
}

void pool_wake(struct pool *pool)
{
	if (pool)
		fd_wake(pool->wake_fd);
}

/* ---- the lists; with the lock held ---- */

unsigned int pool_count(const struct member *list)
{
	unsigned int n = 0;

	for (; list; list = list->next)
		n++;
	return n;
}

static uint64_t sum_memory(const struct member *list)
{
	uint64_t sum = 0;

	for (; list; list = list->next)
		sum += list->memory;
	return sum;
}

void pool_get_status(struct pool *pool, struct pool_status *ret_status)
{
	(void)pthread_mutex_lock(&pool->lock);
	*ret_status = (struct pool_status){
		.size = pool->daemon->options.pool_size,
		.limit = pool->limit,
		.ready = pool_count(pool->ready),
		.warming = pool_count(pool->warming),
		.memory = sum_memory(pool->ready),
		.claims = pool->claims,
	};
	(void)pthread_mutex_unlock(&pool->lock);
}

static void tell(const struct member *list, bool is_ready,
		 void (*each)(const struct pool_member_info *info, void *user), void *user)
{
	for (; list; list = list->next) {
		const struct pool_member_info info = {
			.id = list->id,
			.pid = list->pid,
			.is_ready = is_ready,
			.memory = list->memory,
		};

		each(&info, user);
	}
}

void pool_each(struct pool *pool, void (*each)(const struct pool_member_info *info, void *user),
	       void *user)
{
	(void)pthread_mutex_lock(&pool->lock);
	tell(pool->ready, true, each, user);
	tell(pool->warming, false, each, user);
	(void)pthread_mutex_unlock(&pool->lock);
}

/* ---- claiming ---- */

static struct member *take_ready(struct pool *pool, const char *key)
{
	struct member **link, *member;

	(void)pthread_mutex_lock(&pool->lock);
	link = &pool->ready;
	while (*link && strcmp((*link)->key, key) != 0)
		link = &(*link)->next;
	member = *link;
	if (member)
		*link = member->next;
	(void)pthread_mutex_unlock(&pool->lock);
	return member;
}

/* The thread clears away what it leaves: all of it, where the claim has failed. */
static void note_leaving(struct pool *pool, struct member *member)
{
	(void)pthread_mutex_lock(&pool->lock);
	member->next = pool->leaving;
	pool->leaving = member;
	pool->claims += member->is_claimed ? 1 : 0;
	(void)pthread_mutex_unlock(&pool->lock);
	pool_wake(pool);
}

bool pool_can_serve(const struct sandbox_config *config)
{
	for (size_t i = 0; i < config->interface_count; i++)
		if (config->interfaces[i].kind != SANDBOX_TAP || config->interfaces[i].dhcp)
			return false;
	return sandbox_may_be_cloned(config);
}

bool pool_claim(struct pool *pool, const char *key, struct container *container,
		struct sandbox_config *config, pid_t *ret_pid, struct rpc_client **ret_client)
{
	_cleanup_free_ char *config_path = NULL;
	struct cay_error err = { 0 };
	struct member *member;
	int r;

	if (pool->daemon->options.pool_size == 0 || key[0] == '\0' || !pool_can_serve(config))
		return false;
	member = take_ready(pool, key);
	if (!member) {
		pool_wake(pool); /* perhaps those that are there are of another kernel */
		return false;
	}
	config->member = xstrdup(member->id);
	r = shim_prepare(container, SHIM_FOR_RUN, config, &config_path, &err);
	if (r == 0)
		r = member_claim(member, config_path, &err);
	if (r < 0) {
		log_warning("container %.12s: a VM of the pool could not be used: %s",
			    container->id, err.message);
		free(TAKE_PTR(config->member));
		member_stop_at_once(member);
	} else {
		*ret_pid = member->pid;
		*ret_client = TAKE_PTR(member->client);
	}
	note_leaving(pool, member);
	return r == 0;
}
