/* SPDX-License-Identifier: Apache-2.0 */
/* What a push asks of the catalog, and leaves in it. */
#include "image/push-internal.h"

#include "base/alloc.h"

enum { MOUNT_SOURCES_MAX = 4 };

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

void push_find_sources(struct image_store *store, const struct image_ref *ref, const char *digest,
		       struct strv *out)
{
	(void)pthread_mutex_lock(&store->lock);
	for (size_t i = 0; i < store->catalog.count; i++) {
		const struct record *record = store->catalog.records[i];

		if (!strv_contains(&record->blobs, digest))
			continue;
		for (size_t j = 0; j < record->digests.count; j++) {
			_cleanup_free_ char *repository =
				other_repository(ref, record->digests.items[j]);

			if (repository && out->count < MOUNT_SOURCES_MAX &&
			    !strv_contains(out, repository))
				strv_take(out, TAKE_PTR(repository));
		}
	}
	(void)pthread_mutex_unlock(&store->lock);
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
