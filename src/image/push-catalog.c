/* SPDX-License-Identifier: Apache-2.0 */
/* What a push asks of the catalog, and leaves in it. */
#include "image/push-internal.h"

#include "base/alloc.h"

/* The repository of "registry/repository@digest", if it is another one of the same registry. */
static char *other_repository(const struct image_ref *ref, const char *digest_name)
{
	const size_t length = strlen(ref->registry);
	const char *repository = digest_name + length + 1;
	_cleanup_free_ char *found = NULL;

	if (!starts_with(digest_name, ref->registry) || digest_name[length] != '/')
		return NULL;
	found = xstrndup(repository, strcspn(repository, "@"));
	return strcmp(found, ref->repository) == 0 ? NULL : TAKE_PTR(found);
}

/* All repositories that have the layer; locked. */
static void find_repositories(const struct image_store *store, const struct image_ref *ref,
			      const char *digest, struct strv *out)
{
	for (size_t i = 0; i < store->catalog.count; i++) {
		const struct record *record = store->catalog.records[i];

		if (!strv_contains(&record->blobs, digest))
			continue;
		for (size_t j = 0; j < record->digests.count; j++) {
			_cleanup_free_ char *repository =
				other_repository(ref, record->digests.items[j]);

			if (repository && !strv_contains(out, repository))
				strv_take(out, TAKE_PTR(repository));
		}
	}
}

/* Adds some of the repositories, until `wanted` of them are there. */
static void add_sources(const struct strv *repositories, size_t wanted, struct strv *out)
{
	size_t have = 0;

	for (size_t i = 0; i < repositories->count; i++)
		have += strv_contains(out, repositories->items[i]);
	for (size_t i = 0; i < repositories->count; i++) {
		if (have >= wanted || out->count >= MOUNT_SOURCES_MAX)
			return;
		if (strv_contains(out, repositories->items[i]))
			continue;
		strv_add(out, repositories->items[i]);
		have++;
	}
}

void push_choose_sources(struct image_store *store, const struct image_ref *ref,
			 const struct strv *digests, struct strv *out)
{
	static const size_t wanted[] = { 1, MOUNT_SOURCES_MAX };

	(void)pthread_mutex_lock(&store->lock);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		for (size_t j = 0; j < digests->count && out->count < MOUNT_SOURCES_MAX; j++) {
			_cleanup_strv_ struct strv repositories = { 0 };

			find_repositories(store, ref, digests->items[j], &repositories);
			add_sources(&repositories, wanted[i], out);
		}
	}
	(void)pthread_mutex_unlock(&store->lock);
}

void push_find_sources(struct image_store *store, const struct image_ref *ref, const char *digest,
		       const struct strv *chosen, struct strv *out)
{
	_cleanup_strv_ struct strv repositories = { 0 };

	(void)pthread_mutex_lock(&store->lock);
	find_repositories(store, ref, digest, &repositories);
	(void)pthread_mutex_unlock(&store->lock);
	for (size_t i = 0; i < repositories.count; i++)
		if (strv_contains(chosen, repositories.items[i]))
			strv_add(out, repositories.items[i]);
}

bool push_is_known(struct image_store *store, const char *full_name)
{
	bool known;

	(void)pthread_mutex_lock(&store->lock);
	known = catalog_by_name(&store->catalog, full_name) != NULL;
	(void)pthread_mutex_unlock(&store->lock);
	return known;
}

int push_note_digest(struct image_store *store, const char *name, const char *digest,
		     const char *manifest_digest, struct cay_error *err)
{
	_cleanup_free_ char *digest_name = xasprintf("%s@%s", name, digest);
	struct record *record;
	int r = 0;

	(void)pthread_mutex_lock(&store->lock);
	record = catalog_by_manifest(&store->catalog, manifest_digest);
	/* One that was removed meanwhile was pushed all the same. */
	if (record && !strv_contains(&record->digests, digest_name)) {
		catalog_give(&store->catalog, digest_name, record,
			     catalog_index(&store->catalog, digest));
		r = store_save(store, err);
	}
	(void)pthread_mutex_unlock(&store->lock);
	return r;
}

int image_store_local_tags(struct image_store *store, const char *reference, struct strv *ret_tags,
			   struct cay_error *err)
{
	_cleanup_image_ref_ struct image_ref ref = { 0 };
	_cleanup_free_ char *name = NULL;
	int r = image_ref_parse(reference, &ref, err);

	if (r < 0)
		return r;
	name = image_ref_name(&ref);
	(void)pthread_mutex_lock(&store->lock);
	for (size_t i = 0; i < store->catalog.count; i++) {
		const struct strv *names = &store->catalog.records[i]->names;

		for (size_t j = 0; j < names->count; j++)
			if (starts_with(names->items[j], name) &&
			    names->items[j][strlen(name)] == ':')
				strv_add(ret_tags, names->items[j] + strlen(name) + 1);
	}
	(void)pthread_mutex_unlock(&store->lock);
	return 0;
}
