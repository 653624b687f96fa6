/* SPDX-License-Identifier: Apache-2.0 */
/* The table of templates: who gets which, who wants which, and who is told what. */
#include "daemon/templates-internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "sandbox/template.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { GONE_ASK_MS = 200 /* how soon a waiter is missed */ };

/* ---- keys ---- */

int templates_key(const struct sandbox_config *config, char ret_key[TEMPLATE_KEY_SIZE],
		  json_t **ret_shape, struct cay_error *err)
{
	_cleanup_free_ char *text = NULL;
	char digest[DIGEST_SIZE];
	int r = sandbox_shape(config, &text, err);

	if (r == 0 && ret_shape)
		r = json_parse(text, strlen(text), "a template's shape", ret_shape, err);
	if (r < 0)
		return r;
	digest_of(text, strlen(text), digest);
	memcpy(ret_key, digest_hex(digest), TEMPLATE_KEY_SIZE);
	return 0;
}

/* ---- the table; all with the lock held ---- */

struct template_entry *templates_entry(const struct templates *templates, const char *key)
{
	for (size_t i = 0; i < templates->count; i++)
		if (strcmp(templates->items[i]->key, key) == 0)
			return templates->items[i];
	return NULL;
}

static struct template_wish *find_wish(const struct templates *templates, const char *key)
{
	struct template_wish *wish = templates->wishes;

	while (wish && strcmp(wish->key, key) != 0)
		wish = wish->next;
	return wish;
}

void template_entry_free(struct template_entry *entry)
{
	json_decref(entry->shape);
	sandbox_config_free(entry->doubt_like);
	free(entry->doubt);
	free(entry->directory);
	free(entry);
}

static void wish_free(struct template_wish *wish)
{
	sandbox_config_free(wish->like);
	json_decref(wish->shape);
	free(wish->fault);
	free(wish);
}

void templates_add(struct templates *templates, struct template_entry *entry)
{
	templates->items = xreallocarray(templates->items, templates->count + 1,
					 sizeof(struct template_entry *));
	templates->items[templates->count++] = entry;
}

struct template_entry *templates_take_out(struct templates *templates, const char *key)
{
	for (size_t i = 0; i < templates->count; i++) {
		struct template_entry *entry = templates->items[i];

		if (strcmp(entry->key, key) != 0)
			continue;
		templates->count--;
		memmove(&templates->items[i], &templates->items[i + 1],
			(templates->count - i) * sizeof(struct template_entry *));
		return entry;
	}
	return NULL;
}

void templates_drop_wish(struct templates *templates, struct template_wish *gone)
{
	struct template_wish **link = &templates->wishes;

	while (*link != gone)
		link = &(*link)->next;
	*link = gone->next;
	wish_free(gone);
}

void templates_wake(struct templates *templates)
{
	fd_wake(templates->wake_fd);
	(void)pthread_cond_broadcast(&templates->changed);
}

/* Shapes without end may be asked for: with too many, the oldest that nobody waits for goes. */
static void make_room(struct templates *templates)
{
	struct template_wish *oldest = NULL, *oldest_waited_for = NULL;
	unsigned int count = 0;

	for (struct template_wish *wish = templates->wishes; wish; wish = wish->next) {
		count++;
		if (wish->is_making)
			continue; /* the thread has it */
		if (!oldest && !wish->is_urgent)
			oldest = wish;
		if (!oldest_waited_for && wish->is_urgent)
			oldest_waited_for = wish;
	}
	if (count >= TEMPLATES_MAX)
		templates_drop_wish(templates, oldest ? oldest : oldest_waited_for);
}

struct template_wish *templates_want(struct templates *templates, const char *key,
				     const struct sandbox_config *like, json_t *shape)
{
	struct template_wish *wish = find_wish(templates, key), **link;

	if (wish) {
		json_decref(shape);
		return wish;
	}
	make_room(templates);
	link = &templates->wishes;
	while (*link)
		link = &(*link)->next;
	wish = xcalloc(1, sizeof(*wish));
	memcpy(wish->key, key, sizeof(wish->key));
	wish->like = launch_copy_machine(like);
	wish->shape = shape;
	wish->since_ms = clock_monotonic_ms();
	*link = wish;
	templates_wake(templates);
	return wish;
}

/* ---- starts ---- */

/* The time of its last use is the directory's own, for the next daemon. */
static void note_use(struct template_entry *entry)
{
	entry->starts++;
	entry->used_ns = clock_now_ns();
	(void)utimensat(AT_FDCWD, entry->directory, NULL, 0); /* else it looks older than it is */
}

enum template_prospect templates_ask(struct templates *templates,
				     const struct sandbox_config *config, char **ret_directory)
{
	enum template_prospect prospect = TEMPLATE_COMING;
	_cleanup_json_ json_t *shape = NULL;
	struct template_entry *entry;
	char key[TEMPLATE_KEY_SIZE];
	struct cay_error err = { 0 };

	if (!templates->daemon->options.use_templates)
		return TEMPLATE_NONE_SOON;
	if (templates_key(config, key, &shape, &err) < 0) {
		log_debug("%s", err.message);
		return TEMPLATE_NONE_SOON;
	}
	(void)pthread_mutex_lock(&templates->lock);
	entry = templates_entry(templates, key);
	if (entry && entry->doubt) {
		prospect = TEMPLATE_COMING; /* it, or another */
	} else if (entry) {
		note_use(entry);
		*ret_directory = xstrdup(entry->directory);
		prospect = TEMPLATE_READY;
	} else if (templates_want(templates, key, config, TAKE_PTR(shape))->failures > 0) {
		prospect = TEMPLATE_NONE_SOON;
	}
	(void)pthread_mutex_unlock(&templates->lock);
	return prospect;
}

void templates_key_of_start(const struct daemon *daemon, const struct sandbox_config *config,
			    char ret_key[TEMPLATE_KEY_SIZE])
{
	struct cay_error err = { 0 };

	ret_key[0] = '\0';
	if ((daemon->options.use_templates || daemon->options.pool_size > 0) &&
	    sandbox_may_be_cloned(config) && templates_key(config, ret_key, NULL, &err) < 0)
		log_debug("%s", err.message);
}

void templates_choose(struct templates *templates, const char *key, struct sandbox_config *config)
{
	struct template_entry *entry;

	if (!templates->daemon->options.use_templates)
		return;
	(void)pthread_mutex_lock(&templates->lock);
	entry = templates_entry(templates, key);
	if (entry && !entry->doubt) {
		note_use(entry);
		config->template_directory = xstrdup(entry->directory);
	}
	(void)pthread_mutex_unlock(&templates->lock);
}

/* Takes it out of its place at once, and its files away; who has them open keeps them. */
int templates_discard(struct template_entry *entry, struct cay_error *err)
{
	_cleanup_free_ char *doomed = NULL;
	const char *name = path_last(entry->directory);
	char id[ID_SIZE];
	int r;

	id_make(id);
	doomed = xasprintf("%.*s" TEMPLATE_OLD_PREFIX "%s", (int)(name - entry->directory),
			   entry->directory, id);
	r = rename(entry->directory, doomed) < 0 && errno != ENOENT
		? cay_error_errno(err, errno, "renaming %s", entry->directory)
		: remove_tree(doomed, err);
	template_entry_free(entry);
	return r;
}

/* With the lock held. */
static void learn(struct templates *templates, const struct sandbox_config *config,
		  int64_t since_ms, const char *start, const char *fault)
{
	const char *key = path_last(config->template_directory);
	struct template_entry *entry = templates_entry(templates, key);

	if (entry && fault[0] != '\0')
		templates_doubt(templates, entry, config, since_ms, fault);
	else if (fault[0] != '\0') /* somebody has removed it meanwhile, and it was missed */
		log_info("a VM was booted without the template %.12s: %s", key, fault);
	else if (entry && strcmp(start, "template") == 0)
		entry->has_failed = false;
}

/* A key is told anew beside the shape: what either depends on may have changed since the start. */
static void want_like(struct templates *templates, const struct sandbox_config *config)
{
	_cleanup_json_ json_t *shape = NULL;
	char key[TEMPLATE_KEY_SIZE];
	struct cay_error ignored; /* the next start looks again */

	if (templates_key(config, key, &shape, &ignored) < 0)
		return;
	(void)pthread_mutex_lock(&templates->lock);
	if (!templates_entry(templates, key))
		(void)templates_want(templates, key, config, TAKE_PTR(shape));
	(void)pthread_mutex_unlock(&templates->lock);
}

void templates_started(struct templates *templates, const char *key,
		       const struct sandbox_config *config, int64_t since_ms, const char *start,
		       const char *fault)
{
	bool is_known;

	if (!templates->daemon->options.use_templates)
		return;
	(void)pthread_mutex_lock(&templates->lock);
	if (config->template_directory)
		learn(templates, config, since_ms, start, fault);
	is_known = templates_entry(templates, key) || find_wish(templates, key);
	(void)pthread_mutex_unlock(&templates->lock);
	if (!is_known && key[0] != '\0' && strcmp(start, "cold") == 0)
		want_like(templates, config);
}

/* ---- people ---- */

static void describe_entry(const struct template_entry *entry, struct template_info *info)
{
	*info = (struct template_info){
		.is_ready = true,
		.directory = xstrdup(entry->directory),
		.shape = json_incref(entry->shape),
		.created_ns = entry->created_ns,
		.used_ns = entry->used_ns,
		.bytes = entry->bytes,
		.starts = entry->starts,
	};
	memcpy(info->key, entry->key, sizeof(info->key));
}

static void describe_wish(const struct template_wish *wish, struct template_info *info)
{
	*info = (struct template_info){
		.is_making = wish->is_making,
		.directory = xstrdup(""),
		.shape = json_incref(wish->shape),
		.fault = wish->fault ? xstrdup(wish->fault) : NULL,
	};
	memcpy(info->key, wish->key, sizeof(info->key));
}

/* Those whose keys begin so. */
static void list(struct templates *templates, const char *prefix, struct template_list *ret_list)
{
	const size_t length = strlen(prefix);
	size_t max = templates->count;

	for (const struct template_wish *wish = templates->wishes; wish; wish = wish->next)
		max++;
	ret_list->items = xcalloc(max + 1, sizeof(*ret_list->items));
	ret_list->count = 0;
	for (size_t i = 0; i < templates->count; i++)
		if (strncmp(templates->items[i]->key, prefix, length) == 0)
			describe_entry(templates->items[i], &ret_list->items[ret_list->count++]);
	for (const struct template_wish *wish = templates->wishes; wish; wish = wish->next)
		if (strncmp(wish->key, prefix, length) == 0)
			describe_wish(wish, &ret_list->items[ret_list->count++]);
}

void templates_list(struct templates *templates, struct template_list *ret_list)
{
	(void)pthread_mutex_lock(&templates->lock);
	list(templates, "", ret_list);
	(void)pthread_mutex_unlock(&templates->lock);
}

void template_list_done(struct template_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].directory);
		free(list->items[i].fault);
		json_decref(list->items[i].shape);
	}
	free(list->items);
	*list = (struct template_list){ 0 };
}

/* With the lock held. */
static int find_one(struct templates *templates, const char *name, struct template_list *ret_list,
		    struct cay_error *err)
{
	struct template_list found = { 0 };
	int r = 0;

	if (name[0] != '\0')
		list(templates, name, &found);
	if (found.count == 0)
		r = cay_error_set(err, CAY_NOT_FOUND, ENOENT, "No such template: %.64s", name);
	else if (found.count > 1)
		r = cay_error_set(err, CAY_INVALID, EINVAL, "Several templates begin with %.64s",
				  name);
	if (r < 0)
		template_list_done(&found);
	else
		*ret_list = found;
	return r;
}

int templates_find(struct templates *templates, const char *name, struct template_list *ret_list,
		   struct cay_error *err)
{
	int r;

	(void)pthread_mutex_lock(&templates->lock);
	r = find_one(templates, name, ret_list, err);
	(void)pthread_mutex_unlock(&templates->lock);
	return r;
}

int templates_remove(struct templates *templates, const char *name, struct cay_error *err)
{
	_cleanup_template_list_ struct template_list found = { 0 };
	struct template_entry *entry = NULL;
	struct template_wish *wish;
	int r;

	(void)pthread_mutex_lock(&templates->lock);
	r = find_one(templates, name, &found, err);
	if (r == 0) {
		entry = templates_take_out(templates, found.items[0].key);
		wish = find_wish(templates, found.items[0].key);
		if (wish && wish->is_making)
			template_maker_cancel(&templates->maker); /* its thread drops the wish */
		else if (wish)
			templates_drop_wish(templates, wish);
		templates_wake(templates);
	}
	(void)pthread_mutex_unlock(&templates->lock);
	if (entry)
		r = templates_discard(entry, err);
	return r;
}

/* With the lock held: waits for what becomes of the wish. */
static int wait_made(struct templates *templates, const char *key, unsigned int failures,
		     bool (*is_gone)(void *user), void *user, struct cay_error *err)
{
	for (;;) {
		const struct template_wish *wish = find_wish(templates, key);

		if (templates_entry(templates, key))
			return 0;
		if (!wish)
			return cay_error_set(err, CAY_CONFLICT, ECANCELED,
					     "the template %.12s was removed before it was made",
					     key);
		if (wish->failures != failures)
			return cay_error_set(err, CAY_INTERNAL, EIO,
					     "making the template %.12s: %s", key, wish->fault);
		if (templates->is_stopping || is_gone(user))
			return cay_error_set(err, CAY_CANCELLED, ECANCELED,
					     "the template %.12s is not waited for any more", key);
		thread_wait_ms(&templates->changed, &templates->lock, GONE_ASK_MS);
	}
}

/* With the lock held: one that was removed while it was made is not what is asked for now. */
static void wait_given_up(struct templates *templates, const char *key)
{
	const struct template_wish *wish;

	while ((wish = find_wish(templates, key)) && wish->is_making &&
	       templates->maker.is_cancelled && !templates->is_stopping)
		thread_wait_ms(&templates->changed, &templates->lock, GONE_ASK_MS);
}

int templates_create(struct templates *templates, const struct sandbox_config *config,
		     bool (*is_gone)(void *user), void *user, char ret_key[TEMPLATE_KEY_SIZE],
		     struct cay_error *err)
{
	_cleanup_json_ json_t *shape = NULL;
	struct template_wish *wish;
	int r;

	if (!templates->daemon->options.use_templates)
		return cay_error_set(err, CAY_UNAVAILABLE, ENOTSUP,
				     "templates are switched off: the daemon was started with "
				     "--templates off");
	r = templates_key(config, ret_key, &shape, err);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&templates->lock);
	wait_given_up(templates, ret_key);
	if (!templates_entry(templates, ret_key)) {
		wish = templates_want(templates, ret_key, config, TAKE_PTR(shape));
		wish->is_urgent = true;
		wish->not_before_ms = 0;
		templates_wake(templates);
		r = wait_made(templates, ret_key, wish->failures, is_gone, user, err);
	}
	(void)pthread_mutex_unlock(&templates->lock);
	return r;
}
