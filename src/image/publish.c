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
	r = worker_start_layer(&worker, store->worker, &store->content, blob, err);
	if (r == 0)
		r = worker_finish_layer(&worker, &store->content, digest, diff_id, cancel, err);
	return r < 0 ? cay_error_prefix(err, "layer %s", digest) : 0;
}

/* fsync of every file of the image; for those that have long been on disk it costs nothing. */
static int sync_record(const struct image_store *store, const struct record *record,
		       struct cay_error *err)
{
	const struct content *content = &store->content;
	_cleanup_strv_ struct strv paths = { 0 };

	strv_take(&paths, content_blob_path(content, record->digest));
	strv_take(&paths, content_blob_path(content, record->config_digest));
	strv_take(&paths, content_metadata_path(content, record->digest));
	for (size_t i = 0; i < record->blobs.count; i++) {
		strv_take(&paths, content_blob_path(content, record->blobs.items[i]));
		strv_take(&paths, content_data_path(content, record->blobs.items[i]));
		strv_take(&paths, content_index_path(content, record->blobs.items[i]));
	}
	for (size_t i = 0; i < paths.count; i++) {
		int r = content_sync_file(paths.items[i], err);

		if (r < 0)
			return r;
	}
	return content_sync_folders(content, err);
}

static int merge(const struct image_store *store, const struct record *record,
		 struct cay_error *err)
{
	_cleanup_free_ char *path = content_metadata_path(&store->content, record->digest);

	if (file_exists(path))
		return 0;
	return worker_merge(store->worker, &store->content, record->blobs.items,
			    record->blobs.count, path, err);
}

/* Locked: adds the record, or finds it known already, and gives it the names. */
static int enter(struct image_store *store, struct record **record, const char *name,
		 const char *digest_name, struct cay_error *err)
{
	struct record *known = catalog_by_manifest(&store->catalog, (*record)->digest);

	if (!known) {
		known = *record;
		catalog_add(&store->catalog, TAKE_PTR(*record));
	}
	if (name && !strv_contains(&known->names, name)) {
		struct record *previous = catalog_by_name(&store->catalog, name);

		if (previous)
			(void)names_remove(&previous->names, name);
		strv_add(&known->names, name);
	}
	if (digest_name && !strv_contains(&known->digests, digest_name))
		strv_add(&known->digests, digest_name);
	return store_save(store, err);
}

/* Whether there is nothing to do: the image is known by these names already. */
static bool is_known(struct image_store *store, const char *manifest_digest, const char *name,
		     const char *digest_name, struct image **ret_image)
{
	const struct record *record;
	bool known;

	(void)pthread_mutex_lock(&store->lock);
	record = catalog_by_manifest(&store->catalog, manifest_digest);
	known = record && (!name || strv_contains(&record->names, name)) &&
		(!digest_name || strv_contains(&record->digests, digest_name));
	if (known && ret_image)
		*ret_image = store_image(store, record->config_digest);
	(void)pthread_mutex_unlock(&store->lock);
	return known;
}

int store_publish(struct image_store *store, const char *manifest_digest, const char *name,
		  const char *digest_name, struct image **ret_image, struct cay_error *err)
{
	_cleanup_(record_free_p) struct record *record = NULL;
	char id[DIGEST_SIZE];
	int r;

	if (is_known(store, manifest_digest, name, digest_name, ret_image))
		return 0;
	r = record_load(&store->content, manifest_digest, &record, err);
	if (r == 0)
		r = merge(store, record, err);
	if (r == 0)
		r = sync_record(store, record, err);
	if (r < 0)
		return r;
	memcpy(id, record->config_digest, DIGEST_SIZE);
	(void)pthread_mutex_lock(&store->lock);
	r = enter(store, &record, name, digest_name, err);
	if (r == 0 && ret_image)
		*ret_image = store_image(store, id);
	(void)pthread_mutex_unlock(&store->lock);
	return r;
}
