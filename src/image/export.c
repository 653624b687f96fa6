/* SPDX-License-Identifier: Apache-2.0 */
/* What a reference stands for, and all the blobs of it, for what leaves the store. */
#include "image/store-internal.h"

#include "base/alloc.h"

#include <errno.h>

static void export_blob_done(struct export_blob *blob)
{
	free(blob->media_type);
}

static void export_manifest_done(struct export_manifest *manifest)
{
	export_blob_done(&manifest->blob);
	for (size_t i = 0; i < manifest->part_count; i++)
		export_blob_done(&manifest->parts[i]);
	free(manifest->parts);
	platform_done(&manifest->platform);
}

void export_done(struct export *export)
{
	for (size_t i = 0; i < export->manifest_count; i++)
		export_manifest_done(&export->manifests[i]);
	free(export->manifests);
	export_blob_done(&export->top);
	free(export->name);
	free(export->id);
	if (export->pins.store)
		pins_done(&export->pins);
	*export = (struct export){ 0 };
}

static void set_blob(struct export_blob *blob, const char *media_type, const char *digest,
		     uint64_t size)
{
	blob->media_type = xstrdup(media_type);
	memcpy(blob->digest, digest, DIGEST_SIZE);
	blob->size = size;
}

static struct export_manifest *add_manifest(struct export *export, const char *media_type,
					    const char *digest, uint64_t size)
{
	struct export_manifest *manifest;

	export->manifests = xreallocarray(export->manifests, export->manifest_count + 1,
					  sizeof(*export->manifests));
	manifest = &export->manifests[export->manifest_count++];
	*manifest = (struct export_manifest){ 0 };
	set_blob(&manifest->blob, media_type, digest, size);
	return manifest;
}

/* Locked: pins what a record consists of. */
static void take_record(struct export *export, const struct record *record)
{
	struct export_manifest *manifest =
		add_manifest(export, record->media_type, record->digest, record->manifest_size);

	platform_copy(&manifest->platform, &record->config.platform);
	pins_add_locked(&export->pins, record->digest);
	pins_add_locked(&export->pins, record->config_digest);
	for (size_t i = 0; i < record->blobs.count; i++)
		pins_add_locked(&export->pins, record->blobs.items[i]);
}

static void take_attachment(struct export *export, const struct attachment *attachment)
{
	add_manifest(export, attachment->media_type, attachment->digest, attachment->size)
		->is_attachment = true;
	pins_add_locked(&export->pins, attachment->digest);
	for (size_t i = 0; i < attachment->blobs.count; i++)
		pins_add_locked(&export->pins, attachment->blobs.items[i]);
}

/* Locked: the members that are here, in the index's order. */
static void take_index(struct export *export, const struct catalog *catalog,
		       const struct image_index *index, const struct record *shown)
{
	set_blob(&export->top, index->media_type, index->digest, index->size);
	pins_add_locked(&export->pins, index->digest);
	export->is_index = true;
	for (size_t i = 0; i < index->members.count; i++) {
		const char *digest = index->members.items[i];
		const struct record *record = catalog_by_manifest(catalog, digest);

		if (record == shown)
			export->shown = export->manifest_count;
		if (record)
			take_record(export, record);
		for (size_t j = 0; !record && j < index->attachment_count; j++)
			if (strcmp(index->attachments[j].digest, digest) == 0)
				take_attachment(export, &index->attachments[j]);
	}
	export->is_whole = export->manifest_count == index->members.count;
}

static const struct image_index *index_of(const struct catalog *catalog, const char *full_name,
					  const struct record *record)
{
	return full_name ? catalog_index_of(catalog, full_name)
			 : catalog_index_shown_by(catalog, record);
}

/* The record of the index, or of the reference itself, that fits a platform best. */
static int choose(const struct catalog *catalog, const struct image_index *index,
		  const char *reference, const char *text, const struct record **record,
		  struct cay_error *err)
{
	_cleanup_platform_ struct platform wanted = { 0 };
	const struct record *best = NULL;
	unsigned int best_match = 0;
	int r = platform_parse(text, &wanted, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < (index ? index->members.count : 1); i++) {
		const struct record *member =
			index ? catalog_by_manifest(catalog, index->members.items[i]) : *record;
		const unsigned int match =
			member ? platform_match(&wanted, &member->config.platform) : 0;

		if (match > best_match) {
			best = member;
			best_match = match;
		}
	}
	if (!best)
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT,
				     "image with reference %.256s was found but does not match the "
				     "specified platform: wanted %.128s",
				     reference, text);
	*record = best;
	return 0;
}

static int take(struct image_store *store, const char *reference, const char *platform,
		struct export *export, struct cay_error *err)
{
	const struct image_index *index;
	struct record *found;
	const struct record *record;
	int r = store_find_record(store, reference, &found, &export->name, err);

	if (r < 0)
		return r;
	record = found;
	index = index_of(&store->catalog, export->name, record);
	if (platform)
		r = choose(&store->catalog, index, reference, platform, &record, err);
	if (r < 0)
		return r;
	export->id = xstrdup(record->config_digest);
	if (index && !platform) {
		take_index(export, &store->catalog, index, record);
		return 0;
	}
	set_blob(&export->top, record->media_type, record->digest, record->manifest_size);
	export->is_whole = true;
	take_record(export, record);
	return 0;
}

int image_store_find_platform(struct image_store *store, const char *name, const char *platform,
			      struct image **ret_image, struct cay_error *err)
{
	_cleanup_free_ char *full = NULL;
	const struct record *record;
	struct record *found;
	int r;

	(void)pthread_mutex_lock(&store->lock);
	r = store_find_record(store, name, &found, &full, err);
	if (r == 0) {
		record = found;
		r = choose(&store->catalog, index_of(&store->catalog, full, found), name, platform,
			   &record, err);
	}
	if (r == 0)
		*ret_image = store_image(store, record->config_digest);
	(void)pthread_mutex_unlock(&store->lock);
	return r;
}

int export_read_parts(const struct content *content, struct export_manifest *manifest,
		      struct cay_error *err)
{
	_cleanup_manifest_ struct manifest document = { 0 };
	int r = manifest_read_stored(content, manifest->blob.digest, &document, NULL, err);

	if (r < 0)
		return r;
	manifest->parts = xcalloc(document.item_count + 1, sizeof(*manifest->parts));
	for (size_t i = 0; i <= document.item_count; i++) {
		const struct descriptor *part = i == 0 ? &document.config : &document.items[i - 1];

		set_blob(&manifest->parts[i], part->media_type, part->digest, part->size);
		manifest->parts[i].is_foreign = part->urls.count > 0;
		manifest->part_count = i + 1;
	}
	return 0;
}

int export_find(struct image_store *store, const char *reference, const char *platform,
		struct export *ret_export, struct cay_error *err)
{
	_cleanup_export_ struct export export = { .pins = { .store = store } };
	int r;

	(void)pthread_mutex_lock(&store->lock);
	r = take(store, reference, platform, &export, err);
	(void)pthread_mutex_unlock(&store->lock);
	if (r < 0)
		return r;
	*ret_export = export;
	export = (struct export){ 0 };
	return 0;
}

int export_open(struct image_store *store, const char *reference, const char *platform,
		struct export *ret_export, struct cay_error *err)
{
	_cleanup_export_ struct export export = { 0 };
	int r = export_find(store, reference, platform, &export, err);

	for (size_t i = 0; r == 0 && i < export.manifest_count; i++)
		r = export_read_parts(&store->content, &export.manifests[i], err);
	if (r < 0)
		return r;
	*ret_export = export;
	export = (struct export){ 0 };
	return 0;
}
