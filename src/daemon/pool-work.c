/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that keeps the pool full: it makes members when nobody waits for
 * a start, ends those that nobody could use, and clears away what those that
 * have left it leave behind.
 */
#include "daemon/pool-internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "daemon/launch-warm.h"
#include "daemon/quiet.h"
#include "daemon/recorder.h"
#include "daemon/shim.h"
#include "daemon/templates.h"
#include "image/program.h"

#include <errno.h>
#include <poll.h>

enum {
	THREAD_STACK = 256 * 1024,
	RETRY_MS = 5000, /* after a failure, twice as long after each that follows */
	POLL_FDS_MAX = 1 + 64,
};
#define IMAGE_DIRECTORY "image"

/* ---- what goes ---- */

static void drop_leaving(struct pool *pool)
{
	struct member *member;

	do {
		(void)pthread_mutex_lock(&pool->lock);
		member = pool->leaving;
		if (member)
			pool->leaving = member->next;
		(void)pthread_mutex_unlock(&pool->lock);
		if (member)
			member_drop(member);
	} while (member);
}

static bool has_ended(const struct member *member)
{
	struct pollfd poll_fd = { .fd = member->pidfd, .events = POLLIN };

	return member->pidfd < 0 || poll(&poll_fd, 1, 0) > 0;
}

/* One that has ended, is of another shape than is wanted now, or one too many; taken out. */
static struct member *take_unfit(struct pool *pool)
{
	struct member **link, *member;
	unsigned int kept = 0;

	(void)pthread_mutex_lock(&pool->lock);
	link = &pool->ready;
	while (*link && !has_ended(*link) && strcmp((*link)->key, pool->key) == 0 &&
	       ++kept <= pool->limit)
		link = &(*link)->next;
	member = *link;
	if (member)
		*link = member->next;
	(void)pthread_mutex_unlock(&pool->lock);
	return member;
}

static void drop_unfit(struct pool *pool)
{
	struct member *member;

	while ((member = take_unfit(pool))) {
		if (has_ended(member))
			log_warning("a VM of the pool has ended by itself");
		member_drop(member);
	}
}

/* Told once, as long as it stays the same. */
static void note_failure(struct pool *pool, const struct cay_error *err)
{
	if (!pool->fault || strcmp(pool->fault, err->message) != 0)
		log_warning("the pool could not be filled, it is tried again later: %s",
			    err->message);
	replace_string(&pool->fault, err->message);
	pool->not_before_ms = clock_monotonic_ms() +
		clock_backoff_ms(pool->failures++, RETRY_MS, POOL_RETRY_MAX_MS);
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
	if (limit < pool->told_limit)
		log_warning("the pool keeps %u VMs instead of %u: one takes %llu MB, and "
			    "--pool-memory allows %llu MB",
			    limit, options->pool_size, (unsigned long long)(largest / MIB),
			    (unsigned long long)(options->pool_memory_bytes / MIB));
	pool->limit = pool->told_limit = limit;
	pool->limited_ms = clock_monotonic_ms();
}

int64_t pool_revise_limit(struct pool *pool, const char *key, int64_t now_ms)
{
	const unsigned int size = pool->daemon->options.pool_size;
	int64_t left = -1;

	(void)pthread_mutex_lock(&pool->lock);
	if (strcmp(pool->key, key) != 0) {
		(void)snprintf(pool->key, sizeof(pool->key), "%s", key);
		pool->limit = pool->told_limit = size;
	} else if (pool->limit == 0) {
		/* None is there to be measured: one is made for that, now and then. */
		left = MAX(pool->limited_ms + POOL_RETRY_MAX_MS - now_ms, 0);
		if (left == 0) {
			pool->limit = 1;
			left = -1;
		}
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return left;
}

static void keep(struct pool *pool, struct member *member)
{
	(void)pthread_mutex_lock(&pool->lock);
	pool->warming = NULL;
	member->next = pool->ready;
	pool->ready = member;
	set_limit(pool);
	log_debug("a VM of the pool is ready, process %d, %llu MB; %u of %u", (int)member->pid,
		  (unsigned long long)(member->memory / MIB), pool_count(pool->ready), pool->limit);
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
		templates_started(pool->daemon->templates, pool->key, machine, member->begun_ms,
				  state->start, state->template_error);
		keep(pool, member);
		return 0;
	}
	(void)pthread_mutex_lock(&pool->lock);
	pool->warming = NULL;
	(void)pthread_mutex_unlock(&pool->lock);
	member_kill(member);
	member_drop(member);
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
static int add_member(struct pool *pool, struct sandbox_config *usual, struct cay_error *err)
{
	struct member *member;
	int r;

	if (templates_ask(pool->daemon->templates, usual, &usual->template_directory) ==
	    TEMPLATE_COMING)
		return 0; /* whoever makes it wakes the pool */
	recorder_choose(pool->daemon->recorder, usual);
	r = ensure_image(pool, err);
	if (r == 0)
		r = member_new(pool->daemon, pool->directory, usual, pool->key, &pool->image,
			       &member, err);
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
	lacks = pool_count(pool->ready) < pool->limit && !pool->is_stopping;
	(void)pthread_mutex_unlock(&pool->lock);
	return lacks;
}

/*
 * Makes one where it is time to. The milliseconds to wait for the next look, `full_ms` where there
 * are as many as may be; -1: no need.
 */
static int64_t refill(struct pool *pool, struct sandbox_config *usual, int64_t full_ms)
{
	struct cay_error err = { 0 };
	const int64_t now = clock_monotonic_ms();
	int64_t left;
	int r;

	if (!lacks(pool)) {
		pool->lacking_since_ms = 0;
		return full_ms;
	}
	if (pool->lacking_since_ms == 0)
		pool->lacking_since_ms = now;
	left = MAX(pool->not_before_ms - now,
		   quiet_left_ms(pool->daemon->quiet, pool->lacking_since_ms));
	if (left <= 0)
		left = recorder_left_ms(pool->daemon->recorder, usual);
	if (left > 0)
		return left;
	r = add_member(pool, usual, &err);
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
	int64_t full_ms;
	int r = launch_empty_machine(pool->daemon, &usual_size, &usual, &err);

	if (r == 0)
		r = templates_key(usual, key, NULL, &err);
	drop_leaving(pool);
	if (r < 0) {
		note_failure(pool, &err);
		return MAX(pool->not_before_ms - clock_monotonic_ms(), 0);
	}
	*ret_is_possible = pool_can_serve(usual);
	if (!*ret_is_possible)
		return -1;
	full_ms = pool_revise_limit(pool, key, clock_monotonic_ms());
	drop_unfit(pool);
	return refill(pool, usual, full_ms);
}

/* ---- start and end ---- */

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
	if (pool->daemon->options.pool_size == 0)
		return;
	pool->is_threaded = thread_start(THREAD_STACK, pool_main, pool, &pool->thread) == 0;
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
	drop_leaving(pool);
	(void)pthread_mutex_lock(&pool->lock);
	list = TAKE_PTR(pool->ready);
	(void)pthread_mutex_unlock(&pool->lock);
	for (struct member *member = list; member; member = member->next)
		member_let_go(member); /* all at once, before they are waited for */
	while (list) {
		struct member *member = list;

		list = member->next;
		member_drop(member);
	}
}
