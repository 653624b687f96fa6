/* SPDX-License-Identifier: Apache-2.0 */
/* The images of a store, in memory and in index.json. */
#include "image/catalog.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

#include <errno.h>

enum { CATALOG_MAX = 64 << 20 }; /* bytes of index.json: some hundred thousand names */

void record_free(struct record *record)
{
	if (!record)
		return;
	free(record->media_type);
	strv_done(&record->blobs);
	strv_done(&record->names);
	strv_done(&record->digests);
	image_config_done(&record->config);
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

static int find_layers(const struct content *content, const struct manifest *manifest,
		       struct record *record, struct cay_error *err)
{
	for (size_t i = 0; i < manifest->item_count; i++) {
		struct layer_header header;
		char diff_id[DIGEST_SIZE];

		if (!content_has_layer(content, manifest->items[i].digest, &header))
			return cay_error_set(err, CAY_CORRUPT, ENOENT, "the layer %s is missing",
					     manifest->items[i].digest);
		digest_format(header.diff_id, diff_id);
		if (strcmp(diff_id, record->config.diff_ids.items[i]) != 0)
			return cay_error_set(err, CAY_CORRUPT, EBADMSG,
					     "the layer %s decompresses to %s and not to %s",
					     manifest->items[i].digest, diff_id,
					     record->config.diff_ids.items[i]);
		record->size += header.tar_bytes;
		strv_add(&record->blobs, manifest->items[i].digest);
	}
	return 0;
}

int record_load(const struct content *content, const char *manifest_digest,
		struct record **ret_record, struct cay_error *err)
{
	_cleanup_(record_free_p) struct record *record = xcalloc(1, sizeof(*record));
	_cleanup_manifest_ struct manifest manifest = { 0 };
	_cleanup_buf_ struct buf text = { 0 };
	int r = content_read_blob(content, manifest_digest, DOCUMENT_MAX, &text, err);

	if (r == 0)
		r = manifest_parse(text.data, text.length, NULL, &manifest, err);
	if (r < 0)
		return r;
	if (manifest.is_index)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG, "%s is an index", manifest_digest);
	memcpy(record->digest, manifest_digest, DIGEST_SIZE);
	memcpy(record->config_digest, manifest.config.digest, DIGEST_SIZE);
	record->manifest_size = text.length;
	record->media_type = TAKE_PTR(manifest.media_type);
	buf_clear(&text);
	r = content_read_blob(content, record->config_digest, DOCUMENT_MAX, &text, err);
	if (r == 0)
		r = image_config_parse(text.data, text.length, manifest.item_count, &record->config,
				       err);
	if (r == 0)
		r = find_layers(content, &manifest, record, err);
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

void catalog_add(struct catalog *catalog, struct record *record)
{
	assert(record);
	catalog->records =
		xreallocarray(catalog->records, catalog->count + 1, sizeof(struct record *));
	catalog->records[catalog->count++] = record;
}

void catalog_drop(struct catalog *catalog, struct record *record)
{
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

void catalog_done(struct catalog *catalog)
{
	for (size_t i = 0; i < catalog->count; i++)
		record_free(catalog->records[i]);
	free(catalog->records);
	*catalog = (struct catalog){ 0 };
}

/* Annotations are strings alone, so the list is one, with commas, which no reference has. */
static int load_digests(const json_t *annotations, struct strv *digests, struct cay_error *err)
{
	_cleanup_free_ char *joined = NULL;
	struct str rest, item;
	int r = json_read_string(annotations, ANNOTATION_DIGESTS, &joined, err);

	rest = str_from(joined);
	while (rest.length > 0) {
		item = str_split(rest, ',', &rest);
		strv_take(digests, str_dup(item));
	}
	return r;
}

static void save_digests(json_t *annotations, const struct strv *digests)
{
	_cleanup_buf_ struct buf joined = { 0 };

	for (size_t i = 0; i < digests->count; i++)
		buf_printf(&joined, "%s%s", i > 0 ? "," : "", digests->items[i]);
	if (joined.length > 0)
		json_set_string(annotations, ANNOTATION_DIGESTS, joined.data);
}

/* One descriptor of index.json: its image, loaded when seen first, gets the name. */
static int load_entry(const struct content *content, const json_t *entry, struct catalog *catalog,
		      struct cay_error *err)
{
	_cleanup_free_ char *digest = NULL, *name = NULL;
	json_t *annotations = NULL;
	struct record *record;
	int r = json_read_string(entry, "digest", &digest, err);

	if (r == 0)
		r = json_read_object(entry, "annotations", &annotations, err);
	if (r == 0 && annotations)
		r = json_read_string(annotations, ANNOTATION_IMAGE_NAME, &name, err);
	if (r < 0)
		return r;
	if (!digest_is_valid(digest))
		return cay_error_set(err, CAY_CORRUPT, EBADMSG, "it has a bad digest");
	record = catalog_by_manifest(catalog, digest);
	if (!record) {
		r = record_load(content, digest, &record, err);
		if (r < 0)
			return cay_error_prefix(err, "%s", name ? name : digest);
		catalog_add(catalog, record);
		if (annotations)
			r = load_digests(annotations, &record->digests, err);
	}
	if (name && !catalog_by_name(catalog, name))
		strv_add(&record->names, name);
	return r;
}

int catalog_load(const struct content *content, struct catalog *ret_catalog, struct cay_error *err)
{
	_cleanup_(catalog_done) struct catalog catalog = { 0 };
	_cleanup_free_ char *path = content_catalog_path(content);
	_cleanup_json_ json_t *document = NULL;
	json_t *entries = NULL;
	int r;

	if (file_exists(path)) {
		r = json_parse_file(path, CATALOG_MAX, &document, err);
		if (r == 0)
			r = json_read_array(document, "manifests", &entries, err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; entries && i < json_array_size(entries); i++) {
		struct cay_error why = { 0 };

		/* One damaged image must not take the others with it. */
		if (load_entry(content, json_array_get(entries, i), &catalog, &why) < 0)
			log_warning("an image in %s is left out: %s", path, why.message);
	}
	*ret_catalog = catalog;
	catalog = (struct catalog){ 0 };
	return 0;
}

/* `name` may be NULL. */
static json_t *save_entry(const struct record *record, const char *name, bool first)
{
	json_t *entry = json_object(), *annotations = json_object(), *platform = json_object();

	json_set_string(entry, "mediaType", record->media_type);
	json_set_string(entry, "digest", record->digest);
	json_set_int(entry, "size", (int64_t)record->manifest_size);
	json_set_string(platform, "architecture", record->config.platform.architecture);
	json_set_string(platform, "os", record->config.platform.os);
	if (record->config.platform.variant)
		json_set_string(platform, "variant", record->config.platform.variant);
	json_set(entry, "platform", platform);
	if (name) {
		json_set_string(annotations, ANNOTATION_REF_NAME, name);
		json_set_string(annotations, ANNOTATION_IMAGE_NAME, name);
	}
	if (first)
		save_digests(annotations, &record->digests);
	json_set(entry, "annotations", annotations);
	return entry;
}

int catalog_save(const struct catalog *catalog, const struct content *content,
		 struct cay_error *err)
{
	_cleanup_free_ char *path = content_catalog_path(content), *text = NULL;
	_cleanup_json_ json_t *document = json_object();
	json_t *entries = json_array();

	json_set_int(document, "schemaVersion", 2);
	json_set_string(document, "mediaType", MEDIA_OCI_INDEX);
	for (size_t i = 0; i < catalog->count; i++) {
		const struct record *record = catalog->records[i];

		for (size_t j = 0; j < record->names.count; j++)
			(void)json_array_append_new(
				entries, save_entry(record, record->names.items[j], j == 0));
		if (record->names.count == 0)
			(void)json_array_append_new(entries, save_entry(record, NULL, true));
	}
	json_set(document, "manifests", entries);
	text = json_print(document);
	return file_write_atomic(path, text, strlen(text), 0644, err);
}
