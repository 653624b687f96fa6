/* SPDX-License-Identifier: Apache-2.0 */
/* The images of a store, in memory: manifests, indexes, and what points to them. */
#include "image/catalog.h"

#include "base/alloc.h"

#include <errno.h>

void record_free(struct record *record)
{
	if (!record)
		return;
	free(record->media_type);
	strv_done(&record->blobs);
	strv_done(&record->names);
	strv_done(&record->digests);
	image_config_done(&record->config);
	free(record->layer_sizes);
	free(record);
}

bool names_remove(struct strv *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->items[i], name) != 0)
			continue;
		free(names->items[i]);
		/* The NULL at the end moves too. */
		memmove(&names->items[i], &names->items[i + 1],
			(names->count - i) * sizeof(names->items[0]));
		names->count--;
		return true;
	}
	return false;
}

int record_measure(const struct content *content, struct record *record, struct cay_error *err)
{
	uint64_t size = 0;

	for (size_t i = 0; i < record->blobs.count; i++) {
		const char *digest = record->blobs.items[i];
		struct layer_header header;

		if (content_has_layer_of(content, digest, record->config.diff_ids.items[i],
					 &header))
			record->layer_sizes[i] = header.content_bytes;
		else if (!content_blob_size(content, digest, &record->layer_sizes[i]))
			return cay_error_set(err, CAY_CORRUPT, ENOENT, "the layer %s is missing",
					     digest);
		size += record->layer_sizes[i];
	}
	record->size = size;
	return 0;
}

int record_load(const struct content *content, const char *manifest_digest,
		struct record **ret_record, struct cay_error *err)
{
	_cleanup_(record_free_p) struct record *record = xcalloc(1, sizeof(*record));
	_cleanup_manifest_ struct manifest manifest = { 0 };
	_cleanup_buf_ struct buf text = { 0 };
	int r = manifest_read_stored(content, manifest_digest, &manifest, &record->manifest_size,
				     err);

	if (r < 0)
		return r;
	if (manifest.is_index)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG, "%s is an index", manifest_digest);
	memcpy(record->digest, manifest_digest, DIGEST_SIZE);
	memcpy(record->config_digest, manifest.config.digest, DIGEST_SIZE);
	record->media_type = TAKE_PTR(manifest.media_type);
	r = content_read_blob(content, record->config_digest, DOCUMENT_MAX, &text, err);
	if (r == 0)
		r = image_config_parse(text.data, text.length, manifest.item_count, &record->config,
				       err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < manifest.item_count; i++)
		strv_add(&record->blobs, manifest.items[i].digest);
	record->layer_sizes = xcalloc(manifest.item_count + 1, sizeof(uint64_t));
	r = record_measure(content, record, err);
	if (r < 0)
		return r;
	*ret_record = TAKE_PTR(record);
	return 0;
}

struct record *catalog_by_manifest(const struct catalog *catalog, const char *digest)
{
	for (size_t i = 0; i < catalog->count; i++)
		if (strcmp(catalog->records[i]->digest, digest) == 0)
			return catalog->records[i];
	return NULL;
}

struct record *catalog_by_name(const struct catalog *catalog, const char *full_name)
{
	for (size_t i = 0; i < catalog->count; i++)
		if (strv_contains(&catalog->records[i]->names, full_name))
			return catalog->records[i];
	return NULL;
}

struct image_index *catalog_index(const struct catalog *catalog, const char *digest)
{
	for (size_t i = 0; i < catalog->index_count; i++)
		if (strcmp(catalog->indexes[i]->digest, digest) == 0)
			return catalog->indexes[i];
	return NULL;
}

struct image_index *catalog_index_of(const struct catalog *catalog, const char *reference)
{
	const char *at = strchr(reference, '@');

	if (at)
		return catalog_index(catalog, at + 1);
	for (size_t i = 0; i < catalog->index_count; i++)
		if (strv_contains(&catalog->indexes[i]->names, reference))
			return catalog->indexes[i];
	return NULL;
}

struct image_index *catalog_index_shown_by(const struct catalog *catalog,
					   const struct record *record)
{
	for (size_t i = 0; i < catalog->index_count; i++)
		if (strcmp(catalog->indexes[i]->anchor, record->digest) == 0)
			return catalog->indexes[i];
	return NULL;
}

bool catalog_index_is_used(const struct catalog *catalog, const struct image_index *index)
{
	if (index->names.count > 0 || index->anchor[0])
		return true;
	for (size_t i = 0; i < catalog->count; i++)
		for (size_t j = 0; j < catalog->records[i]->digests.count; j++)
			if (ends_with(catalog->records[i]->digests.items[j], index->digest))
				return true;
	return false;
}

bool catalog_is_member(const struct catalog *catalog, const struct record *record)
{
	for (size_t i = 0; i < catalog->index_count; i++)
		if (strv_contains(&catalog->indexes[i]->members, record->digest) &&
		    catalog_index_is_used(catalog, catalog->indexes[i]))
			return true;
	return false;
}

void catalog_take(struct catalog *catalog, const char *reference)
{
	for (size_t i = 0; i < catalog->count; i++) {
		(void)names_remove(&catalog->records[i]->names, reference);
		(void)names_remove(&catalog->records[i]->digests, reference);
	}
	for (size_t i = 0; i < catalog->index_count; i++)
		(void)names_remove(&catalog->indexes[i]->names, reference);
}

void catalog_give(struct catalog *catalog, const char *reference, struct record *record,
		  struct image_index *index)
{
	catalog_take(catalog, reference);
	if (strchr(reference, '@')) {
		strv_add(&record->digests, reference);
		return;
	}
	strv_add(&record->names, reference);
	if (index) {
		strv_add(&index->names, reference);
		index->anchor[0] = '\0';
	}
}

void catalog_anchor(struct catalog *catalog, struct image_index *index, const struct record *record)
{
	if (!catalog_index_is_used(catalog, index))
		memcpy(index->anchor, record->digest, DIGEST_SIZE);
}

void catalog_add(struct catalog *catalog, struct record *record)
{
	assert(record);
	catalog->records =
		xreallocarray(catalog->records, catalog->count + 1, sizeof(struct record *));
	catalog->records[catalog->count++] = record;
}

void catalog_add_index(struct catalog *catalog, struct image_index *index)
{
	assert(index);
	catalog->indexes = xreallocarray(catalog->indexes, catalog->index_count + 1,
					 sizeof(struct image_index *));
	catalog->indexes[catalog->index_count++] = index;
}

void catalog_drop(struct catalog *catalog, struct record *record)
{
	for (size_t i = 0; i < catalog->index_count; i++) {
		for (size_t j = 0; j < record->names.count; j++)
			(void)names_remove(&catalog->indexes[i]->names, record->names.items[j]);
		if (strcmp(catalog->indexes[i]->anchor, record->digest) == 0)
			catalog->indexes[i]->anchor[0] = '\0';
	}
	for (size_t i = 0; i < catalog->count; i++) {
		if (catalog->records[i] != record)
			continue;
		memmove(&catalog->records[i], &catalog->records[i + 1],
			(catalog->count - i - 1) * sizeof(struct record *));
		catalog->count--;
		record_free(record);
		return;
	}
}

bool catalog_drop_unused_indexes(struct catalog *catalog)
{
	const size_t before = catalog->index_count;
	size_t kept = 0;

	for (size_t i = 0; i < before; i++) {
		struct image_index *index = catalog->indexes[i];

		if (catalog_index_is_used(catalog, index))
			catalog->indexes[kept++] = index;
		else
			image_index_free(index);
	}
	catalog->index_count = kept;
	return kept < before;
}

void catalog_done(struct catalog *catalog)
{
	for (size_t i = 0; i < catalog->count; i++)
		record_free(catalog->records[i]);
	free(catalog->records);
	for (size_t i = 0; i < catalog->index_count; i++)
		image_index_free(catalog->indexes[i]);
	free(catalog->indexes);
	*catalog = (struct catalog){ 0 };
}
