/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong with a template that could not be cloned. A clone also fails
 * where the host is too busy for an answer in time or has no memory left, and
 * then another template would fail the same way, and making it is the last
 * thing that such a host needs. So it is read whole first.
 */
#include "daemon/templates-internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/pool.h"
#include "vmm/template.h"

void templates_doubt(struct templates *templates, struct template_entry *entry,
		     const struct sandbox_config *config, int64_t since_ms, const char *fault)
{
	/* One of those that were under way at the first fault says no more than that. */
	if (entry->doubt || since_ms < entry->trusted_ms) {
		log_info("a VM was booted without the template %.12s: %s", entry->key, fault);
		return;
	}
	entry->doubt = xstrdup(fault);
	entry->doubt_like = launch_copy_machine(config);
	templates_wake(templates);
}

/* A copy of what is known of one in doubt. */
struct suspect {
	char key[TEMPLATE_KEY_SIZE];
	char *directory;
	int64_t created_ns;
	bool has_failed;
};

static bool find_suspect(struct templates *templates, struct suspect *ret_suspect)
{
	const struct template_entry *found = NULL;

	(void)pthread_mutex_lock(&templates->lock);
	for (size_t i = 0; i < templates->count && !found; i++)
		if (templates->items[i]->doubt)
			found = templates->items[i];
	if (found && !templates->is_stopping) {
		memcpy(ret_suspect->key, found->key, sizeof(ret_suspect->key));
		ret_suspect->directory = xstrdup(found->directory);
		ret_suspect->created_ns = found->created_ns;
		ret_suspect->has_failed = found->has_failed;
	} else {
		found = NULL;
	}
	(void)pthread_mutex_unlock(&templates->lock);
	return found != NULL;
}

static void acquit(struct template_entry *entry)
{
	log_warning("a VM was booted without the template %.12s, which is whole: %s", entry->key,
		    entry->doubt);
	free(TAKE_PTR(entry->doubt));
	sandbox_config_free(TAKE_PTR(entry->doubt_like));
	entry->has_failed = true;
	entry->trusted_ms = clock_monotonic_ms();
}

/* With the lock held. */
static void condemn(struct templates *templates, struct template_entry *entry, const char *damage)
{
	(void)templates_take_out(templates, entry->key);
	log_error("the template %.12s %s, it is removed and made again: %s", entry->key,
		  damage ? "is damaged" : "could not be cloned twice in a row",
		  damage ? damage : entry->doubt);
	(void)templates_want(templates, entry->key, entry->doubt_like, json_incref(entry->shape));
}

static void judge(struct templates *templates, const struct suspect *suspect)
{
	struct cay_error err = { 0 };
	const bool is_whole = template_verify(suspect->directory, &err) == 0;
	struct template_entry *entry;

	(void)pthread_mutex_lock(&templates->lock);
	entry = templates_entry(templates, suspect->key);
	/* Somebody may have removed it meanwhile, and another may be in its place. */
	if (entry && (entry->created_ns != suspect->created_ns || !entry->doubt))
		entry = NULL;
	if (entry && is_whole && !suspect->has_failed)
		acquit(TAKE_PTR(entry));
	else if (entry)
		condemn(templates, entry, is_whole ? NULL : err.message);
	(void)pthread_mutex_unlock(&templates->lock);
	if (entry && templates_discard(entry, &err) < 0)
		log_error("%s", err.message);
}

void templates_judge(struct templates *templates)
{
	struct suspect suspect;
	bool was_any = false;

	while (find_suspect(templates, &suspect)) {
		judge(templates, &suspect);
		free(suspect.directory);
		was_any = true;
	}
	if (was_any)
		pool_wake(templates->daemon->pool); /* which may wait for it */
}
