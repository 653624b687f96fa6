/* SPDX-License-Identifier: Apache-2.0 */
/* The store: opening it, asking it, names and holds. */
#include "image/store-internal.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "image/ref.h"

#include <errno.h>

enum {
	PREFIX_MIN = 4,
	IDLE_SECONDS = 30,
	RETRY_MS = 250,
	PARALLEL_DEFAULT = 3,
	UPLOADS_DEFAULT = 5,
	PARALLEL_MAX = 16,
};

int image_store_open(const struct image_store_options *options, struct image_store **ret_store,
		     struct cay_error *err)
{
	struct image_store *store = xcalloc(1, sizeof(*store));
	int r = content_open(options->root, &store->content, err);

	if (r == 0)
		r = catalog_load(&store->content, &store->catalog, err);
	if (r < 0) {
		content_close(&store->content);
		free(store);
		return r;
	}
	store->worker.path = xstrdup(options->worker);
	if (options->insecure_registries)
		strv_copy(&store->insecure, options->insecure_registries);
	store->parallel = options->parallel_layers ? options->parallel_layers : PARALLEL_DEFAULT;
	store->parallel = MIN(store->parallel, PARALLEL_MAX);
	store->uploads = options->parallel_uploads ? options->parallel_uploads : UPLOADS_DEFAULT;
	store->uploads = MIN(store->uploads, PARALLEL_MAX);
	if (options->registry_mirrors)
		strv_copy(&store->mirrors, options->registry_mirrors);
	if (options->registry_certs)
		strv_copy(&store->certs, options->registry_certs);
	store->idle_seconds = IDLE_SECONDS;
	store->retry_ms = RETRY_MS;
	(void)pthread_mutex_init(&store->lock, NULL); /* these two can't fail on Linux */
	(void)pthread_cond_init(&store->changed, NULL);
	store_collect(store);
	*ret_store = store;
	return 0;
}

void image_store_close(struct image_store *store)
{
	if (!store)
		return;
	catalog_done(&store->catalog);
	content_close(&store->content);
	for (size_t i = 0; i < store->hold_count; i++) {
		free(store->holds[i].id);
		free(store->holds[i].holder);
	}
	free(store->holds);
	strv_done(&store->insecure);
	strv_done(&store->mirrors);
	strv_done(&store->certs);
	strv_done(&store->pins);
	strv_done(&store->claims);
	(void)pthread_cond_destroy(&store->changed);
	(void)pthread_mutex_destroy(&store->lock);
	free(store->worker.path);
	free(store);
}

void image_free(struct image *image)
{
	if (!image)
		return;
	free(image->id);
	free(image->manifest_digest);
	strv_done(&image->names);
	strv_done(&image->digests);
	free(image->os);
	free(image->architecture);
	free(image->variant);
	strv_done(&image->diff_ids);
	free(image->layer_sizes);
	json_decref(image->config);
	free(image);
}

static void add_all(struct strv *to, const struct strv *from)
{
	for (size_t i = 0; i < from->count; i++)
		if (!strv_contains(to, from->items[i]))
			strv_add(to, from->items[i]);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Docker's order. */
static void sort_names(struct strv *names)
{
	if (names->count > 1)
		qsort(names->items, names->count, sizeof(char *), compare_names);
}

/* Whether an index keeps it, and nothing shows it. */
static bool is_mere_member(const struct catalog *catalog, const struct record *record)
{
	return record->names.count == 0 && record->digests.count == 0 &&
		catalog_is_member(catalog, record) && !catalog_index_shown_by(catalog, record);
}

struct image *store_image(const struct image_store *store, const char *id)
{
	struct image *image = NULL;
	size_t records = 0, members = 0;

	for (size_t i = 0; i < store->catalog.count; i++) {
		const struct record *record = store->catalog.records[i];

		if (strcmp(record->config_digest, id) != 0)
			continue;
		if (!image) {
			image = xcalloc(1, sizeof(*image));
			image->id = xstrdup(id);
			image->manifest_digest = xstrdup(record->digest);
			image->created_ns = record->config.created_ns;
			image->os = xstrdup(record->config.platform.os);
			image->architecture = xstrdup(record->config.platform.architecture);
			replace_string(&image->variant, record->config.platform.variant);
			image->size = record->size;
			image->layer_count = record->blobs.count;
			image->layer_sizes = xmemdup(record->layer_sizes,
						     record->blobs.count * sizeof(uint64_t));
			strv_copy(&image->diff_ids, &record->config.diff_ids);
			image->config = json_deep_copy(record->config.document);
		}
		add_all(&image->names, &record->names);
		add_all(&image->digests, &record->digests);
		members += is_mere_member(&store->catalog, record);
		records++;
	}
	if (image) {
		sort_names(&image->names);
		sort_names(&image->digests);
		image->is_member = members == records;
	}
	return image;
}

static bool is_in_repository(const char *name, const char *repository)
{
	return starts_with(name, repository) && name[strlen(repository)] == ':';
}

static bool one_is_in_repository(const struct strv *names, const char *repository)
{
	for (size_t i = 0; i < names->count; i++)
		if (is_in_repository(names->items[i], repository))
			return true;
	return false;
}

/*
 * "name@digest" is what an image was pulled by, or else the digest of a manifest or of an index
 * that has a name in that repository.
 */
static struct record *find_by_digest(const struct catalog *catalog, const char *repository,
				     const char *digest)
{
	_cleanup_free_ char *reference = xasprintf("%s@%s", repository, digest);
	const struct image_index *index = catalog_index(catalog, digest);
	struct record *record = catalog_by_manifest(catalog, digest);

	for (size_t i = 0; i < catalog->count; i++)
		if (strv_contains(&catalog->records[i]->digests, reference))
			return catalog->records[i];
	if (record && one_is_in_repository(&record->names, repository))
		return record;
	for (size_t i = 0; record && i < catalog->index_count; i++)
		if (strv_contains(&catalog->indexes[i]->members, digest) &&
		    one_is_in_repository(&catalog->indexes[i]->names, repository))
			return record;
	for (size_t i = 0; index && i < index->names.count; i++)
		if (is_in_repository(index->names.items[i], repository))
			return catalog_by_name(catalog, index->names.items[i]);
	return NULL;
}

static struct record *find_by_reference(struct image_store *store, const char *text,
					char **ret_full_name)
{
	_cleanup_image_ref_ struct image_ref ref = { 0 };
	_cleanup_free_ char *full = NULL, *name = NULL;
	struct record *record;

	if (image_ref_parse(text, &ref, NULL) < 0)
		return NULL;
	name = image_ref_name(&ref);
	if (ref.digest) {
		full = xasprintf("%s@%s", name, ref.digest);
		record = find_by_digest(&store->catalog, name, ref.digest);
	} else {
		full = image_ref_format(&ref);
		record = catalog_by_name(&store->catalog, full);
	}
	if (record)
		*ret_full_name = TAKE_PTR(full);
	return record;
}

int store_find_by_id(struct image_store *store, const char *text, struct record **ret_record,
		     struct cay_error *err)
{
	const char *hex = starts_with(text, "sha256:") ? text + strlen("sha256:") : text;
	struct record *found = NULL;

	if (strlen(hex) < PREFIX_MIN || hex[strspn(hex, "0123456789abcdef")] != '\0') {
		*ret_record = NULL;
		return 0;
	}
	for (size_t i = 0; i < store->catalog.count; i++) {
		struct record *record = store->catalog.records[i];

		assert(record);
		if (!starts_with(digest_hex(record->config_digest), hex))
			continue;
		if (found && strcmp(found->config_digest, record->config_digest) != 0)
			return cay_error_set(err, CAY_INVALID, ENOTUNIQ,
					     "the image id \"%s\" is ambiguous", text);
		if (!found)
			found = record;
	}
	*ret_record = found;
	return 0;
}

int store_find_record(struct image_store *store, const char *text, struct record **ret_record,
		      char **ret_full_name, struct cay_error *err)
{
	_cleanup_free_ char *full = NULL;
	struct record *record = find_by_reference(store, text, &full);
	int r = 0;

	if (!record)
		r = store_find_by_id(store, text, &record, err);
	if (r < 0)
		return r;
	if (!record)
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "No such image: %.300s", text);
	*ret_record = record;
	*ret_full_name = TAKE_PTR(full);
	return 0;
}

void store_names_of(struct image_store *store, const char *repository, struct strv *names)
{
	const struct catalog *catalog = &store->catalog;

	(void)pthread_mutex_lock(&store->lock);
	for (size_t i = 0; i < catalog->count; i++)
		for (size_t j = 0; j < catalog->records[i]->names.count; j++)
			if (is_in_repository(catalog->records[i]->names.items[j], repository))
				strv_add(names, catalog->records[i]->names.items[j]);
	(void)pthread_mutex_unlock(&store->lock);
	sort_names(names);
}

int image_store_find(struct image_store *store, const char *name, struct image **ret_image,
		     struct cay_error *err)
{
	_cleanup_free_ char *full = NULL;
	struct record *record;
	int r;

	(void)pthread_mutex_lock(&store->lock);
	r = store_find_record(store, name, &record, &full, err);
	if (r == 0)
		*ret_image = store_image(store, record->config_digest);
	(void)pthread_mutex_unlock(&store->lock);
	return r;
}

int image_store_list(struct image_store *store, struct image ***ret_images, size_t *ret_count,
		     struct cay_error *err)
{
	_cleanup_free_ uint64_t *shared = NULL;
	struct image **images;
	size_t count = 0;

	(void)pthread_mutex_lock(&store->lock);
	images = xcalloc(store->catalog.count + 1, sizeof(struct image *));
	shared = xcalloc(store->catalog.count + 1, sizeof(*shared));
	store_share(&store->catalog, shared);
	for (size_t i = 0; i < store->catalog.count; i++) {
		const char *id = store->catalog.records[i]->config_digest;
		bool seen = false;

		for (size_t j = 0; j < i && !seen; j++)
			seen = strcmp(store->catalog.records[j]->config_digest, id) == 0;
		if (seen)
			continue;
		images[count] = store_image(store, id);
		images[count++]->shared_size = shared[i];
	}
	(void)pthread_mutex_unlock(&store->lock);
	*ret_images = images;
	*ret_count = count;
	return 0;
}

int image_store_tag(struct image_store *store, const char *name, const char *new_name,
		    struct cay_error *err)
{
	_cleanup_image_ref_ struct image_ref ref = { 0 };
	_cleanup_free_ char *full = NULL, *new_full = NULL;
	struct record *record;
	int r = image_ref_parse(new_name, &ref, err);

	if (r < 0)
		return r;
	if (ref.digest)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "refusing to create a tag with a digest reference");
	new_full = image_ref_format(&ref);
	(void)pthread_mutex_lock(&store->lock);
	r = store_find_record(store, name, &record, &full, err);
	if (r == 0) {
		catalog_give(&store->catalog, new_full, record,
			     full ? catalog_index_of(&store->catalog, full)
				  : catalog_index_shown_by(&store->catalog, record));
		store->untidy |= catalog_drop_unused_indexes(&store->catalog);
		r = store_save(store, err);
	}
	(void)pthread_mutex_unlock(&store->lock);
	return r;
}

void image_store_hold(struct image_store *store, const char *id, const char *holder)
{
	(void)pthread_mutex_lock(&store->lock);
	store->holds = xreallocarray(store->holds, store->hold_count + 1, sizeof(*store->holds));
	store->holds[store->hold_count++] = (struct hold){ xstrdup(id), xstrdup(holder) };
	(void)pthread_mutex_unlock(&store->lock);
}

void image_store_release(struct image_store *store, const char *id, const char *holder)
{
	(void)pthread_mutex_lock(&store->lock);
	for (size_t i = 0; i < store->hold_count; i++) {
		struct hold *hold = &store->holds[i];

		if (strcmp(hold->id, id) != 0 || strcmp(hold->holder, holder) != 0)
			continue;
		free(hold->id);
		free(hold->holder);
		*hold = store->holds[--store->hold_count];
		break;
	}
	(void)pthread_mutex_unlock(&store->lock);
}

const char *store_holder(const struct image_store *store, const char *id)
{
	for (size_t i = 0; i < store->hold_count; i++)
		if (strcmp(store->holds[i].id, id) == 0)
			return store->holds[i].holder;
	return NULL;
}

static int go_back(struct image_store *store, int r)
{
	struct catalog on_disk = { 0 };

	if (catalog_load(&store->content, &on_disk, NULL) < 0) {
		log_error("the catalog of images can't be read back; memory and disk differ");
		return r;
	}
	catalog_done(&store->catalog);
	store->catalog = on_disk;
	return r;
}

int store_save(struct image_store *store, struct cay_error *err)
{
	int r = catalog_save(&store->catalog, &store->content, err);

	return r < 0 ? go_back(store, r) : 0;
}

int store_save_removal(struct image_store *store, struct cay_error *err)
{
	struct cay_error own = { 0 };
	int r = catalog_save(&store->catalog, &store->content, &own);

	if (r == -ENOSPC || r == -EDQUOT) {
		/* Blobs must stay until the catalog is written; what was made from them need not.
		 */
		store_collect_made(store);
		r = catalog_save(&store->catalog, &store->content, &own);
	}
	if (r == 0)
		return 0;
	(void)cay_error_set(err, own.code, own.err, "%s", own.message);
	return go_back(store, r);
}
