/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool's table and the thread that keeps it full. A member is in one place
 * at a time: being warmed by the thread, in the list of those that are ready,
 * with the start that claims it, or in the list of those whose files are to go.
 */
#include "daemon/pool.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "daemon/launch-warm.h"
#include "daemon/pool-member.h"
#include "daemon/quiet.h"
#include "daemon/shim.h"
#include "daemon/templates-internal.h"
#include "image/program.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>

enum {
	THREAD_STACK = 256 * 1024,
	RETRY_MS = 5000, /* after a failure, twice as long after each that follows */
	RETRY_MAX_MS = 15 * 60 * 1000,
	END_MS = 3000, /* for members whose daemon was killed */
	POLL_FDS_MAX = 1 + 64,
};
#define IMAGE_DIRECTORY "image"

struct pool {
	struct daemon *daemon;
	char *directory;
	int wake_fd; /* an eventfd */
	pthread_t thread;
	bool is_threaded;

	/* The thread's own. */
	struct image_disk image; /* of the warm-up program; no extents: not made yet */
	int64_t lacking_since_ms, not_before_ms;
	unsigned int failures;
	char *fault; /* the last one */

	pthread_mutex_t lock;
	/* Under the lock. */
	struct member *ready, *warming, *claimed; /* the last: their files are to go */
	unsigned int limit;
	uint64_t claims;
	bool is_stopping;
};

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
	pool->limit = daemon->options.pool_size;
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
	const uint64_t one = 1;

	if (pool)
		(void)!write(pool->wake_fd, &one, sizeof(one)); /* full means already readable */
}

/* ---- the lists; with the lock held ---- */

static unsigned int count(const struct member *list)
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
		.ready = count(pool->ready),
		.warming = count(pool->warming),
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

/* Its directories are for the thread to remove, when the start is over. */
static void note_claimed(struct pool *pool, struct member *member)
{
	(void)pthread_mutex_lock(&pool->lock);
	member->next = pool->claimed;
	pool->claimed = member;
	pool->claims++;
	(void)pthread_mutex_unlock(&pool->lock);
}

bool pool_claim(struct pool *pool, struct container *container, struct sandbox_config *config,
		pid_t *ret_pid, struct rpc_client **ret_client)
{
	_cleanup_free_ char *config_path = NULL;
	char key[TEMPLATE_KEY_SIZE];
	struct cay_error err = { 0 };
	struct member *member;
	int r;

	/* Shares want a device that a VM which runs can't get any more. */
	if (pool->daemon->options.pool_size == 0 || config->share_count > 0 ||
	    templates_key(config, key, NULL, &err) < 0)
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
		member_kill(member);
		member_drop(member, false);
		pool_wake(pool);
		return false;
	}
	*ret_pid = member->pid;
	*ret_client = TAKE_PTR(member->client);
	note_claimed(pool, member);
	pool_wake(pool);
	return true;
}

/* ---- the thread ---- */

static void drop_claimed(struct pool *pool)
{
	struct member *member;

	do {
		(void)pthread_mutex_lock(&pool->lock);
		member = pool->claimed;
		if (member)
			pool->claimed = member->next;
		(void)pthread_mutex_unlock(&pool->lock);
		if (member)
			member_drop(member, true);
	} while (member);
}

static bool has_ended(const struct member *member)
{
	struct pollfd poll_fd = { .fd = member->pidfd, .events = POLLIN };

	return member->pidfd < 0 || poll(&poll_fd, 1, 0) > 0;
}

/* One that has ended, is of another shape than is wanted now, or one too many; taken out. */
static struct member *take_unfit(struct pool *pool, const char *key)
{
	struct member **link, *member;
	unsigned int kept = 0;

	(void)pthread_mutex_lock(&pool->lock);
	link = &pool->ready;
	while (*link && !has_ended(*link) && strcmp((*link)->key, key) == 0 &&
	       ++kept <= pool->limit)
		link = &(*link)->next;
	member = *link;
	if (member)
		*link = member->next;
	(void)pthread_mutex_unlock(&pool->lock);
	return member;
}

static void drop_unfit(struct pool *pool, const char *key)
{
	struct member *member;

	while ((member = take_unfit(pool, key))) {
		if (has_ended(member))
			log_warning("a VM of the pool has ended by itself");
		member_drop(member, false);
	}
}

/* Told once, as long as it stays the same. */
static void note_failure(struct pool *pool, const struct cay_error *err)
{
	const unsigned int doublings = MIN(pool->failures, 10U);

	if (!pool->fault || strcmp(pool->fault, err->message) != 0)
		log_warning("the pool could not be filled, it is tried again later: %s",
			    err->message);
	replace_string(&pool->fault, err->message);
	pool->failures++;
	pool->not_before_ms =
		clock_monotonic_ms() + MIN((int64_t)RETRY_MS << doublings, RETRY_MAX_MS);
}

/* As many as the memory allows, by what the largest takes; one that is ready is known. */
static void set_limit(struct pool *pool)
{
	const struct daemon_options *options = &pool->daemon->options;
	uint64_t largest = 0;
	unsigned int limit;

	for (const struct member *member = pool->ready; member; member = member->next)
		largest = MAX(largest, member->memory);
	if (largest == 0)
		return;
	limit = (unsigned int)MIN(options->pool_memory_bytes / largest, options->pool_size);
	if (limit < pool->limit)
		log_warning("the pool keeps %u VMs instead of %u: one takes %llu MB, and "
			    "--pool-memory allows %llu MB",
			    limit, options->pool_size, (unsigned long long)(largest / MIB),
			    (unsigned long long)(options->pool_memory_bytes / MIB));
	pool->limit = limit;
}

static void keep(struct pool *pool, struct member *member)
{
	(void)pthread_mutex_lock(&pool->lock);
	pool->warming = NULL;
	member->next = pool->ready;
	pool->ready = member;
	set_limit(pool);
	log_debug("a VM of the pool is ready, process %d, %llu MB; %u of %u", (int)member->pid,
		  (unsigned long long)(member->memory / MIB), count(pool->ready), pool->limit);
	(void)pthread_mutex_unlock(&pool->lock);
}

static int warm_up(struct pool *pool, struct member *member, const struct sandbox_config *machine,
		   struct cay_error *err)
{
	_cleanup_(shim_state_free_p) Cay__Shim__V1__StateResponse *state = NULL;
	bool is_stopping;
	int r;

	(void)pthread_mutex_lock(&pool->lock);
	is_stopping = pool->is_stopping;
	pool->warming = is_stopping ? NULL : member;
	(void)pthread_mutex_unlock(&pool->lock);
	r = is_stopping ? cay_error_set(err, CAY_CANCELLED, ECANCELED, "the daemon ends")
			: member_wait_warm(member, &state, err);
	if (r == 0) {
		/* A template that was no good is noticed here as well. */
		templates_started(pool->daemon->templates, machine, state->start,
				  state->template_error);
		keep(pool, member);
		return 0;
	}
	(void)pthread_mutex_lock(&pool->lock);
	pool->warming = NULL;
	(void)pthread_mutex_unlock(&pool->lock);
	member_kill(member);
	member_drop(member, false);
	return r;
}

static int ensure_image(struct pool *pool, struct cay_error *err)
{
	const struct daemon_options *options = &pool->daemon->options;
	_cleanup_free_ char *directory = path_join(pool->directory, IMAGE_DIRECTORY);

	if (pool->image.count > 0)
		return 0;
	return program_image_make(directory, options->layer_worker, options->warm_program,
				  &pool->image, err);
}

/* 1: one more is ready; 0: it waits for its template. */
static int add_member(struct pool *pool, struct sandbox_config *usual, const char *key,
		      struct cay_error *err)
{
	struct member *member;
	int r;

	if (templates_ask(pool->daemon->templates, usual, &usual->template_directory) ==
	    TEMPLATE_COMING)
		return 0; /* whoever makes it wakes the pool */
	r = ensure_image(pool, err);
	if (r == 0)
		r = member_new(pool->daemon, pool->directory, usual, key, &pool->image, &member,
			       err);
	if (r == 0)
		r = warm_up(pool, member, usual, err);
	if (r < 0)
		return r;
	pool->failures = 0;
	replace_string(&pool->fault, NULL);
	return 1;
}

static bool is_stopping(struct pool *pool)
{
	bool is_stopping;

	(void)pthread_mutex_lock(&pool->lock);
	is_stopping = pool->is_stopping;
	(void)pthread_mutex_unlock(&pool->lock);
	return is_stopping;
}

static bool lacks(struct pool *pool)
{
	bool lacks;

	(void)pthread_mutex_lock(&pool->lock);
	lacks = count(pool->ready) < pool->limit && !pool->is_stopping;
	(void)pthread_mutex_unlock(&pool->lock);
	return lacks;
}

/* Makes one where it is time to. The milliseconds to wait for the next look; -1: no need. */
static int64_t refill(struct pool *pool, struct sandbox_config *usual, const char *key)
{
	struct cay_error err = { 0 };
	const int64_t now = clock_monotonic_ms();
	int64_t left;
	int r;

	if (!lacks(pool)) {
		pool->lacking_since_ms = 0;
		return -1;
	}
	if (pool->lacking_since_ms == 0)
		pool->lacking_since_ms = now;
	left = MAX(pool->not_before_ms - now,
		   quiet_left_ms(pool->daemon->quiet, pool->lacking_since_ms));
	if (left > 0)
		return left;
	r = add_member(pool, usual, key, &err);
	if (r < 0 && !is_stopping(pool))
		note_failure(pool, &err);
	return r == 0 ? -1 : 0;
}

/* Until something changes or the time is up. */
static void wait_change(struct pool *pool, int64_t left_ms)
{
	struct pollfd fds[POLL_FDS_MAX] = { { .fd = pool->wake_fd, .events = POLLIN } };
	nfds_t used = 1;
	uint64_t number;

	(void)pthread_mutex_lock(&pool->lock);
	for (const struct member *member = pool->ready; member && used < POLL_FDS_MAX;
	     member = member->next)
		fds[used++] = (struct pollfd){ .fd = member->pidfd, .events = POLLIN };
	(void)pthread_mutex_unlock(&pool->lock);
	if (poll(fds, used, (int)MIN(left_ms, INT32_MAX)) > 0 && fds[0].revents)
		(void)!read(pool->wake_fd, &number, sizeof(number)); /* readable, or nothing */
}

/* One round. The milliseconds to wait for the next; -1: until something changes. */
static int64_t look_after(struct pool *pool, bool *ret_is_possible)
{
	_cleanup_(sandbox_config_free_p) struct sandbox_config *usual = NULL;
	char key[TEMPLATE_KEY_SIZE];
	struct cay_error err = { 0 };
	const struct launch_size usual_size = { 0 };
	int r = launch_empty_machine(pool->daemon, &usual_size, &usual, &err);

	if (r == 0)
		r = templates_key(usual, key, NULL, &err);
	drop_claimed(pool);
	if (r < 0) {
		note_failure(pool, &err);
		return MAX(pool->not_before_ms - clock_monotonic_ms(), 0);
	}
	/* passt belongs to its container from the start; it can't be exchanged. */
	*ret_is_possible = usual->interfaces[0].kind != SANDBOX_PASST;
	if (!*ret_is_possible)
		return -1;
	drop_unfit(pool, key);
	return refill(pool, usual, key);
}

static void *pool_main(void *user)
{
	struct pool *pool = user;
	bool is_possible = true;

	while (!is_stopping(pool)) {
		const int64_t left = look_after(pool, &is_possible);

		if (!is_possible) {
			log_info("there is no pool without the privileges for taps");
			return NULL;
		}
		if (left != 0)
			wait_change(pool, left);
	}
	return NULL;
}

void pool_start(struct pool *pool)
{
	pthread_attr_t attributes;

	if (pool->daemon->options.pool_size == 0)
		return;
	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setstacksize(&attributes, THREAD_STACK);
	pool->is_threaded = pthread_create(&pool->thread, &attributes, pool_main, pool) == 0;
	(void)pthread_attr_destroy(&attributes);
	if (!pool->is_threaded)
		log_warning("no thread for the pool: there are no members");
}

void pool_stop(struct pool *pool)
{
	struct member *list;

	if (!pool)
		return;
	(void)pthread_mutex_lock(&pool->lock);
	pool->is_stopping = true;
	if (pool->warming)
		member_kill(pool->warming); /* the thread waits for it */
	(void)pthread_mutex_unlock(&pool->lock);
	pool_wake(pool);
	if (pool->is_threaded)
		(void)pthread_join(pool->thread, NULL);
	pool->is_threaded = false;
	drop_claimed(pool);
	(void)pthread_mutex_lock(&pool->lock);
	list = TAKE_PTR(pool->ready);
	(void)pthread_mutex_unlock(&pool->lock);
	for (struct member *member = list; member; member = member->next)
		member_let_go(member); /* all at once, before they are waited for */
	while (list) {
		struct member *member = list;

		list = member->next;
		member_drop(member, false);
	}
}
