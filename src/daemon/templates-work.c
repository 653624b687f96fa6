/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread behind the table: it has what an earlier daemon left checked,
 * makes what is wanted when nobody waits for anything, and removes what is too
 * much.
 */
#include "daemon/templates-internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "daemon/pool.h"
#include "daemon/quiet.h"
#include "daemon/recorder.h"
#include "vmm/template.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

enum {
	THREAD_STACK = 256 * 1024,
	RETRY_MS = 60 * 1000, /* after a failure, twice as long after each that follows */
	RETRY_MAX_MS = 60 * 60 * 1000,
};
#define TEMPLATES_BYTES_MAX (4 * GIB)
#define UNUSED_MAX_NS       (INT64_C(30) * 24 * 3600 * 1000000000)

/* ---- what is there ---- */

static int load_entry(const char *directory, const char *key, struct template_entry **ret_entry,
		      struct cay_error *err)
{
	struct template_entry *entry;
	struct template template = TEMPLATE_NONE;
	struct stat st;
	int r = template_open(directory, &template, err);

	if (r < 0)
		return r;
	entry = xcalloc(1, sizeof(*entry));
	memcpy(entry->key, key, sizeof(entry->key));
	entry->directory = xstrdup(directory);
	entry->shape = json_incref(template.shape);
	entry->created_ns = template.created_ns;
	entry->bytes = template.stored_bytes;
	entry->trusted_ms = clock_monotonic_ms();
	if (stat(directory, &st) == 0)
		entry->used_ns = st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec;
	template_close(&template);
	*ret_entry = entry;
	return 0;
}

/* Everything in the directory that is no template goes. */
static void load_name(struct templates *templates, const char *name)
{
	_cleanup_free_ char *path = path_join(templates->directory, name);
	struct template_entry *entry;
	struct cay_error err = { 0 };

	if (digest_hex_is_valid(name)) {
		if (load_entry(path, name, &entry, &err) == 0) {
			templates_add(templates, entry);
			return;
		}
		log_error("the template %.12s is damaged and removed: %s", name, err.message);
	}
	if (remove_tree(path, &err) < 0)
		log_warning("%s", err.message);
}

static int compare_age(const void *a, const void *b)
{
	const struct template_entry *const *first = a, *const *second = b;

	return ((*first)->created_ns > (*second)->created_ns) -
		((*first)->created_ns < (*second)->created_ns);
}

static int load(struct templates *templates, struct cay_error *err)
{
	const struct dirent *entry;
	DIR *directory;
	int r = make_dirs(templates->directory, 0700, err);

	if (r < 0)
		return r;
	template_maker_clear(templates->directory);
	directory = opendir(templates->directory);
	if (!directory)
		return cay_error_errno(err, errno, "opening %s", templates->directory);
	while ((entry = readdir(directory)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			load_name(templates, entry->d_name);
	(void)closedir(directory);
	if (templates->count > 0)
		qsort(templates->items, templates->count, sizeof(struct template_entry *),
		      compare_age);
	return 0;
}

int templates_open(struct daemon *daemon, struct templates **ret_templates, struct cay_error *err)
{
	struct templates *templates = xcalloc(1, sizeof(*templates));
	int r = 0;

	templates->daemon = daemon;
	templates->directory = path_join(daemon->options.root, "templates");
	(void)pthread_mutex_init(&templates->lock, NULL);
	(void)pthread_cond_init(&templates->changed, NULL);
	templates->maker.lock = &templates->lock;
	templates->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (templates->wake_fd < 0)
		r = cay_error_errno(err, errno, "making an eventfd");
	if (r == 0)
		r = load(templates, err);
	if (r < 0) {
		templates_free(templates);
		return r;
	}
	*ret_templates = templates;
	return 0;
}

/* ---- what is too much ---- */

/* With the lock held. */
static struct template_entry *find_least_used(const struct templates *templates)
{
	struct template_entry *least = NULL;

	for (size_t i = 0; i < templates->count; i++)
		if (!least || templates->items[i]->used_ns < least->used_ns)
			least = templates->items[i];
	return least;
}

/* With the lock held: one that is to go, taken out, with the reason; NULL: none. */
static struct template_entry *take_superfluous(struct templates *templates, const char **ret_why)
{
	const struct template_entry *least = find_least_used(templates);
	uint64_t bytes = 0;

	for (size_t i = 0; i < templates->count; i++)
		bytes += templates->items[i]->bytes;
	*ret_why = NULL;
	if (templates->count > TEMPLATES_MAX)
		*ret_why = "there are too many, and it was not used for the longest time";
	else if (templates->count > 1 && bytes > TEMPLATES_BYTES_MAX)
		*ret_why = "they take too much space, and it was not used for the longest time";
	else if (least && clock_now_ns() - least->used_ns > UNUSED_MAX_NS)
		*ret_why = "it was not used for a month";
	return *ret_why ? templates_take_out(templates, least->key) : NULL;
}

static void evict(struct templates *templates)
{
	struct template_entry *entry;
	struct cay_error err = { 0 };

	do {
		const char *why;

		(void)pthread_mutex_lock(&templates->lock);
		entry = take_superfluous(templates, &why);
		(void)pthread_mutex_unlock(&templates->lock);
		if (!entry)
			return;
		log_info("removing the template %.12s: %s", entry->key, why);
		if (templates_discard(entry, &err) < 0)
			log_error("%s", err.message);
	} while (true);
}

/* ---- making ---- */

/* With the lock held: one to be made now; else *ret_wait_ms is when to look again (-1: never). */
static struct template_wish *find_due(const struct templates *templates, int *ret_wait_ms)
{
	const int64_t now = clock_monotonic_ms();
	int64_t wait = -1;

	for (struct template_wish *wish = templates->wishes; wish; wish = wish->next)
		if (wish->is_urgent)
			return wish;
	for (struct template_wish *wish = templates->wishes; wish; wish = wish->next) {
		int64_t left = wish->not_before_ms - now;

		if (left <= 0)
			left = quiet_left_ms(templates->daemon->quiet, wish->since_ms);
		if (left <= 0)
			left = recorder_left_ms(templates->daemon->recorder, wish->like);
		if (left <= 0)
			return wish;
		wait = wait < 0 ? left : MIN(wait, left);
	}
	*ret_wait_ms = (int)MIN(wait, INT32_MAX);
	return NULL;
}

/* With the lock held. Told once, as long as it stays the same. */
static void note_failure(struct template_wish *wish, const struct cay_error *err)
{
	if (!wish->fault || strcmp(wish->fault, err->message) != 0)
		log_warning("the template %.12s could not be made, containers of its shape start "
			    "cold; it is tried again later: %s",
			    wish->key, err->message);
	replace_string(&wish->fault, err->message);
	wish->is_urgent = wish->is_making = false;
	wish->since_ms = clock_monotonic_ms();
	wish->not_before_ms =
		wish->since_ms + clock_backoff_ms(wish->failures++, RETRY_MS, RETRY_MAX_MS);
}

/* What was made, or why not, goes into the table; the wish was not touched by others meanwhile. */
static int conclude(struct templates *templates, struct template_wish *wish, int r,
		    const struct cay_error *err, int64_t took_ms)
{
	_cleanup_free_ char *directory = path_join(templates->directory, wish->key);
	struct template_entry *entry = NULL;
	struct cay_error why = *err;

	if (r == 0)
		r = load_entry(directory, wish->key, &entry, &why);
	(void)pthread_mutex_lock(&templates->lock);
	if (r == 0 && templates->maker.is_cancelled) /* when it was ready already */
		r = cay_error_set(&why, CAY_CANCELLED, ECANCELED, "it was given up");
	if (r == 0) {
		log_info("made the template %.12s in %lld ms, %llu MB", entry->key,
			 (long long)took_ms, (unsigned long long)(entry->bytes / MIB));
		templates_add(templates, entry);
	}
	if (r == 0 || why.code == CAY_CANCELLED)
		templates_drop_wish(templates, wish);
	else
		note_failure(wish, &why);
	(void)pthread_cond_broadcast(&templates->changed);
	(void)pthread_mutex_unlock(&templates->lock);
	if (r < 0 && entry)
		(void)templates_discard(entry, &why); /* the next daemon looks at it again */
	pool_wake(templates->daemon->pool);
	return r;
}

static void make(struct templates *templates, struct template_wish *wish, bool background)
{
	const int64_t begun = clock_monotonic_ms();
	struct cay_error err = { 0 };
	int r = template_make(templates->daemon, &templates->maker, templates->directory, wish->key,
			      wish->like, background, &err);

	r = conclude(templates, wish, r, &err, clock_monotonic_ms() - begun);
	if (r == 0)
		evict(templates);
}

/* Waits for the next thing to do. NULL: to wait again; *ret_is_over: for ever. */
static struct template_wish *await_wish(struct templates *templates, bool *ret_is_over,
					bool *ret_background)
{
	struct pollfd poll_fd = { .fd = templates->wake_fd, .events = POLLIN };
	struct template_wish *wish;
	uint64_t count;
	int wait_ms = -1;

	(void)pthread_mutex_lock(&templates->lock);
	*ret_is_over = templates->is_stopping;
	wish = templates->is_stopping ? NULL : find_due(templates, &wait_ms);
	if (wish) {
		wish->is_making = true;
		*ret_background = !wish->is_urgent;
		templates->maker.is_cancelled = false;
	}
	(void)pthread_mutex_unlock(&templates->lock);
	if (wish || *ret_is_over)
		return wish;
	if (poll(&poll_fd, 1, wait_ms) > 0)
		(void)!read(templates->wake_fd, &count, sizeof(count)); /* or it is not readable */
	return NULL;
}

static void *templates_main(void *user)
{
	struct templates *templates = user;
	bool is_over = false;

	templates_check(templates);
	evict(templates);
	while (!is_over) {
		bool background = true;
		struct template_wish *wish = await_wish(templates, &is_over, &background);

		templates_judge(templates);
		if (wish)
			make(templates, wish, background);
	}
	return NULL;
}

/* ---- start and end ---- */

void templates_start(struct templates *templates)
{
	if (!templates->daemon->options.use_templates)
		return;
	templates->is_threaded =
		thread_start(THREAD_STACK, templates_main, templates, &templates->thread) == 0;
	if (!templates->is_threaded)
		log_warning("no thread for templates: none are made");
}

void templates_stop(struct templates *templates)
{
	if (!templates)
		return;
	(void)pthread_mutex_lock(&templates->lock);
	templates->is_stopping = true;
	template_maker_cancel(&templates->maker);
	templates_wake(templates);
	(void)pthread_mutex_unlock(&templates->lock);
	if (templates->is_threaded)
		(void)pthread_join(templates->thread, NULL);
	templates->is_threaded = false;
}

void templates_free(struct templates *templates)
{
	if (!templates)
		return;
	while (templates->wishes)
		templates_drop_wish(templates, templates->wishes);
	for (size_t i = 0; i < templates->count; i++)
		template_entry_free(templates->items[i]);
	free(templates->items);
	free(templates->directory);
	cay_close_p(&templates->wake_fd);
	(void)pthread_cond_destroy(&templates->changed);
	(void)pthread_mutex_destroy(&templates->lock);
	free(templates);
}
