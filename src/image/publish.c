/* SPDX-License-Identifier: Apache-2.0 */
/* Making an image known: its layers converted and merged, its files made to last, its names given.
 */
#include "image/store-internal.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>

bool store_has_layer(const struct image_store *store, const struct descriptor *layer)
{
	struct layer_header header;

	return content_has_blob(&store->content, layer->digest, layer->size) &&
		content_has_layer(&store->content, layer->digest, &header);
}

int store_convert_layer(struct image_store *store, const char *digest, const char *diff_id,
			const struct worker_cancel *cancel, struct cay_error *err)
{
	_cleanup_free_ char *path = content_blob_path(&store->content, digest);
	_cleanup_(worker_done) struct worker worker = WORKER_INIT;
	_cleanup_close_ int blob = open(path, O_RDONLY | O_CLOEXEC);
	int r;

	if (blob < 0)
		return cay_error_errno(err, errno, "opening %s", path);
	worker.lasting = true;
	r = worker_start_layer(&worker, &store->worker, &store->content, blob, err);
	if (r == 0)
		r = worker_finish_layer(&worker, &store->content, digest, diff_id, cancel, err);
	return r < 0 ? cay_error_prefix(err, "layer %s", digest) : 0;
}

int store_ensure_layer(struct image_store *store, const char *digest, const char *diff_id,
		       const struct worker_cancel *cancel, struct cay_error *err)
{
	struct layer_header header;
	int r = store_claim(store, digest, cancel, err);

	if (r < 0)
		return r;
	if (!content_has_layer_of(&store->content, digest, diff_id, &header))
		r = store_convert_layer(store, digest, diff_id, cancel, err);
	store_unclaim(store, digest);
	return r;
}

/* What is made known is whole, and its configuration tells the truth of its layers. */
static int check_layers(const struct content *content, const struct record *record,
			struct cay_error *err)
{
	for (size_t i = 0; i < record->blobs.count; i++) {
		const char *wanted = record->config.diff_ids.items[i];
		struct layer_header header;
		char diff_id[DIGEST_SIZE];

		if (!content_has_layer(content, record->blobs.items[i], &header))
			return cay_error_set(err, CAY_CORRUPT, ENOENT, "the layer %s is missing",
					     record->blobs.items[i]);
		digest_format(header.diff_id, diff_id);
		if (strcmp(diff_id, wanted) != 0)
			return cay_error_set(err, CAY_CORRUPT, EBADMSG,
					     "the layer %s decompresses to %s and not to %s",
					     record->blobs.items[i], diff_id, wanted);
	}
	return 0;
}

/* fsync of every file of the image; for those that have long been on disk it costs nothing. */
static int sync_record(const struct image_store *store, const struct record *record,
		       struct cay_error *err)
{
	const struct content *content = &store->content;
	_cleanup_strv_ struct strv paths = { 0 };
	int r;

	strv_take(&paths, content_blob_path(content, record->digest));
	strv_take(&paths, content_blob_path(content, record->config_digest));
	strv_take(&paths, content_metadata_path(content, record->digest));
	for (size_t i = 0; i < record->blobs.count; i++) {
		strv_take(&paths, content_blob_path(content, record->blobs.items[i]));
		strv_take(&paths, content_data_path(content, record->blobs.items[i]));
		strv_take(&paths, content_index_path(content, record->blobs.items[i]));
	}
	r = content_sync_files(&paths, err);
	return r < 0 ? r : content_sync_folders(content, err);
}

int store_merge(struct image_store *store, const char *manifest_digest, const struct strv *blobs,
		const struct worker_cancel *cancel, struct cay_error *err)
{
	_cleanup_free_ char *path = content_metadata_path(&store->content, manifest_digest);

	if (file_exists(path))
		return 0;
	return worker_merge(&store->worker, &store->content, blobs->items, blobs->count, path,
			    cancel, err);
}

/* Locked: adds what is new to the catalog and gives it the names. */
static int enter(struct image_store *store, const struct publication *publication,
		 struct record **record, struct image_index **index, struct cay_error *err)
{
	struct catalog *catalog = &store->catalog;
	struct record *known = catalog_by_manifest(catalog, publication->manifest_digest);
	struct image_index *known_index = NULL;

	if (!known) {
		known = *record;
		catalog_add(catalog, TAKE_PTR(*record));
	}
	if (*index) {
		known_index = catalog_index(catalog, publication->index_digest);
		if (!known_index) {
			known_index = *index;
			catalog_add_index(catalog, TAKE_PTR(*index));
		}
	}
	if (publication->name)
		catalog_give(catalog, publication->name, known, known_index);
	if (publication->digest_name)
		catalog_give(catalog, publication->digest_name, known, known_index);
	if (known_index)
		catalog_anchor(catalog, known_index, known);
	store->untidy |= catalog_drop_unused_indexes(catalog);
	return store_save(store, err);
}

/* Whether there is nothing to do: the image is known by these names already. */
static bool is_known(struct image_store *store, const struct publication *publication,
		     struct image **ret_image)
{
	const struct record *record;
	const struct image_index *index;
	bool known;

	(void)pthread_mutex_lock(&store->lock);
	record = catalog_by_manifest(&store->catalog, publication->manifest_digest);
	known = record &&
		(!publication->name || strv_contains(&record->names, publication->name)) &&
		(!publication->digest_name ||
		 strv_contains(&record->digests, publication->digest_name));
	if (known && publication->name) {
		index = catalog_index_of(&store->catalog, publication->name);
		known = publication->index_digest
			? index && strcmp(index->digest, publication->index_digest) == 0
			: !index;
	}
	if (known && publication->index_digest)
		known = catalog_index(&store->catalog, publication->index_digest);
	if (known && ret_image)
		*ret_image = store_image(store, record->config_digest);
	(void)pthread_mutex_unlock(&store->lock);
	return known;
}

/* Reads an index, makes its blob last. */
static int prepare_index(const struct image_store *store, const struct publication *publication,
			 struct image_index **ret_index, struct cay_error *err)
{
	_cleanup_(image_index_free_p) struct image_index *index = NULL;
	_cleanup_free_ char *path = NULL;
	int r = image_index_load(&store->content, publication->index_digest, &index, err);

	if (r < 0)
		return r;
	if (!strv_contains(&index->members, publication->manifest_digest))
		return cay_error_set(err, CAY_INVALID, EINVAL, "%s is not a member of the index %s",
				     publication->manifest_digest, publication->index_digest);
	path = content_blob_path(&store->content, publication->index_digest);
	r = content_sync_file(path, err);
	if (r == 0)
		*ret_index = TAKE_PTR(index);
	return r;
}

int store_publish(struct image_store *store, const struct publication *publication,
		  const struct worker_cancel *cancel, struct image **ret_image,
		  struct cay_error *err)
{
	_cleanup_(image_index_free_p) struct image_index *index = NULL;
	_cleanup_(record_free_p) struct record *record = NULL;
	char id[DIGEST_SIZE];
	int r;

	if (!publication->news && is_known(store, publication, ret_image))
		return 0;
	r = record_load(&store->content, publication->manifest_digest, &record, err);
	if (r == 0)
		r = check_layers(&store->content, record, err);
	if (r == 0 && publication->index_digest)
		r = prepare_index(store, publication, &index, err);
	if (r == 0)
		r = store_merge(store, record->digest, &record->blobs, cancel, err);
	if (r == 0)
		r = sync_record(store, record, err);
	if (r < 0)
		return r;
	memcpy(id, record->config_digest, DIGEST_SIZE);
	(void)pthread_mutex_lock(&store->lock);
	r = enter(store, publication, &record, &index, err);
	if (r == 0 && ret_image)
		*ret_image = store_image(store, id);
	(void)pthread_mutex_unlock(&store->lock);
	return r;
}

static int sync_attachment(const struct image_store *store, const struct attachment *attachment,
			   struct cay_error *err)
{
	_cleanup_free_ char *manifest = content_blob_path(&store->content, attachment->digest);
	int r = content_sync_file(manifest, err);

	for (size_t i = 0; r == 0 && i < attachment->blobs.count; i++) {
		_cleanup_free_ char *path =
			content_blob_path(&store->content, attachment->blobs.items[i]);

		r = content_sync_file(path, err);
	}
	return r < 0 ? r : content_sync_folders(&store->content, err);
}

int store_attach(struct image_store *store, const char *index_digest, const char *manifest_digest,
		 struct cay_error *err)
{
	/* Read and synced without the lock, by way of an index of our own. */
	_cleanup_(image_index_free_p) struct image_index *own = xcalloc(1, sizeof(*own));
	struct image_index *index;
	int r = image_index_attach(own, &store->content, manifest_digest, err);

	if (r == 0)
		r = sync_attachment(store, &own->attachments[0], err);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&store->lock);
	index = catalog_index(&store->catalog, index_digest);
	if (index) {
		const size_t before = index->attachment_count;

		r = image_index_attach(index, &store->content, manifest_digest, err);
		if (r == 0 && index->attachment_count > before)
			r = store_save(store, err);
	}
	(void)pthread_mutex_unlock(&store->lock);
	return r;
}
