/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept and what goes: pins, claims, and the collection of files that nobody needs. */
#include "image/store-internal.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/thread.h"

#include <errno.h>
#include <unistd.h>

enum { CLAIM_POLL_MS = 100 };

void pins_add_locked(struct pins *pins, const char *digest)
{
	strv_add(&pins->store->pins, digest);
	strv_add(&pins->digests, digest);
}

void pins_add(struct pins *pins, const char *digest)
{
	(void)pthread_mutex_lock(&pins->store->lock);
	pins_add_locked(pins, digest);
	(void)pthread_mutex_unlock(&pins->store->lock);
}

int store_claim(struct image_store *store, const char *digest, const struct worker_cancel *cancel,
		struct cay_error *err)
{
	int r = 0;

	(void)pthread_mutex_lock(&store->lock);
	while (strv_contains(&store->claims, digest)) {
		thread_wait_ms(&store->changed, &store->lock, CLAIM_POLL_MS);
		if (worker_is_cancelled(cancel)) {
			r = worker_cancelled(err);
			break;
		}
	}
	if (r == 0)
		strv_add(&store->claims, digest);
	(void)pthread_mutex_unlock(&store->lock);
	return r;
}

void store_unclaim(struct image_store *store, const char *digest)
{
	(void)pthread_mutex_lock(&store->lock);
	(void)names_remove(&store->claims, digest);
	(void)pthread_cond_broadcast(&store->changed);
	(void)pthread_mutex_unlock(&store->lock);
}

/* The digests that are kept, as a sorted array. */
struct kept {
	const char **digests;
	size_t count, room;
};

static void keep(struct kept *kept, const char *digest)
{
	if (kept->count == kept->room) {
		kept->room *= 2;
		kept->digests = xreallocarray(kept->digests, kept->room, sizeof(char *));
	}
	kept->digests[kept->count++] = digest;
}

static void keep_index(struct kept *kept, const struct image_index *index)
{
	keep(kept, index->digest);
	for (size_t i = 0; i < index->attachment_count; i++) {
		const struct attachment *attachment = &index->attachments[i];

		keep(kept, attachment->digest);
		for (size_t j = 0; j < attachment->blobs.count; j++)
			keep(kept, attachment->blobs.items[j]);
	}
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_kept(const struct kept *kept, const char *digest)
{
	return bsearch(&digest, kept->digests, kept->count, sizeof(char *), compare);
}

static void drop_unless_kept(const char *digest, const char *path, void *user)
{
	const struct kept *kept = user;

	if (is_kept(kept, digest) && !content_is_outdated(path))
		return;
	if (unlink(path) < 0)
		log_warning("removing %s: %s", path, errno_text(errno));
}

static void drop_made_unless_kept(const char *digest, const char *path, void *user)
{
	if (!strstr(path, CONTENT_BLOBS "/"))
		drop_unless_kept(digest, path, user);
}

/* All that is kept; the digests themselves stay the store's. */
static struct kept gather(const struct image_store *store)
{
	/* Never without memory: sorting and searching nothing still want a pointer. */
	struct kept kept = { .digests = xcalloc(256, sizeof(char *)), .room = 256 };

	for (size_t i = 0; i < store->catalog.count; i++) {
		const struct record *record = store->catalog.records[i];

		keep(&kept, record->digest);
		keep(&kept, record->config_digest);
		for (size_t j = 0; j < record->blobs.count; j++)
			keep(&kept, record->blobs.items[j]);
	}
	for (size_t i = 0; i < store->catalog.index_count; i++)
		keep_index(&kept, store->catalog.indexes[i]);
	for (size_t i = 0; i < store->pins.count; i++)
		keep(&kept, store->pins.items[i]);
	qsort(kept.digests, kept.count, sizeof(char *), compare);
	return kept;
}

static bool one_is_unused(const struct image_store *store, const struct strv *digests)
{
	struct kept kept = gather(store);
	bool unused = false;

	for (size_t i = 0; i < digests->count && !unused; i++)
		unused = !is_kept(&kept, digests->items[i]);
	free(kept.digests);
	return unused;
}

static void collect(struct image_store *store,
		    void (*visit)(const char *digest, const char *path, void *user))
{
	struct kept kept = gather(store);
	struct cay_error err = { 0 };

	if (content_each(&store->content, visit, &kept, &err) < 0)
		log_warning("clearing away unused images: %s", err.message);
	free(kept.digests);
}

void store_collect(struct image_store *store)
{
	store->untidy = false;
	collect(store, drop_unless_kept);
}

void store_collect_made(struct image_store *store)
{
	collect(store, drop_made_unless_kept);
}

void pins_done(struct pins *pins)
{
	struct image_store *store = pins->store;

	(void)pthread_mutex_lock(&store->lock);
	for (size_t i = 0; i < pins->digests.count; i++)
		(void)names_remove(&store->pins, pins->digests.items[i]);
	/* Reading the folders is worth it only if something is not needed any more. */
	if (store->untidy || one_is_unused(store, &pins->digests))
		store_collect(store);
	(void)pthread_mutex_unlock(&store->lock);
	strv_done(&pins->digests);
}
