/* SPDX-License-Identifier: Apache-2.0 */
/* The images of a store, in index.json. */
#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "image/catalog.h"

#include <errno.h>

enum { CATALOG_MAX = 64 << 20 }; /* bytes of index.json: some hundred thousand names */

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

/* One descriptor of index.json. */
struct entry {
	char *digest, *name, *shown; /* name and shown may be NULL */
	char *media_type;
	json_t *annotations; /* borrowed; may be NULL */
};

static void entry_done(struct entry *entry)
{
	free(entry->digest);
	free(entry->name);
	free(entry->shown);
	free(entry->media_type);
}

static int read_entry(const json_t *object, struct entry *entry, struct cay_error *err)
{
	int r = json_read_string(object, "digest", &entry->digest, err);

	if (r == 0)
		r = json_read_string(object, "mediaType", &entry->media_type, err);
	if (r == 0)
		r = json_read_object(object, "annotations", &entry->annotations, err);
	if (r == 0 && entry->annotations)
		r = json_read_string(entry->annotations, ANNOTATION_IMAGE_NAME, &entry->name, err);
	if (r == 0 && entry->annotations)
		r = json_read_string(entry->annotations, ANNOTATION_SHOWN, &entry->shown, err);
	if (r < 0)
		return r;
	if (!digest_is_valid(entry->digest))
		return cay_error_set(err, CAY_CORRUPT, EBADMSG, "it has a bad digest");
	return 0;
}

/* What an entry is: they are read in this order, since each refers to those before. */
enum entry_kind { ENTRY_MANIFEST, ENTRY_INDEX, ENTRY_ATTACHMENT, ENTRY_KIND_COUNT };

static enum entry_kind entry_kind(const struct entry *entry)
{
	if (entry->media_type && media_type_is_index(entry->media_type))
		return ENTRY_INDEX;
	return json_object_get(entry->annotations, ANNOTATION_ATTACHMENT) ? ENTRY_ATTACHMENT
									  : ENTRY_MANIFEST;
}

/* An image, loaded when seen first, gets the name. */
static int load_manifest(const struct content *content, const struct entry *entry,
			 struct catalog *catalog, struct cay_error *err)
{
	struct record *record = catalog_by_manifest(catalog, entry->digest);
	int r = 0;

	if (!record) {
		r = record_load(content, entry->digest, &record, err);
		if (r < 0)
			return r;
		catalog_add(catalog, record);
	}
	if (entry->annotations)
		r = load_digests(entry->annotations, &record->digests, err);
	if (entry->name && !catalog_by_name(catalog, entry->name))
		strv_add(&record->names, entry->name);
	return r;
}

static int load_index(const struct content *content, const struct entry *entry,
		      struct catalog *catalog, struct cay_error *err)
{
	struct image_index *index = catalog_index(catalog, entry->digest);
	struct record *shown;

	if (!index) {
		int r = image_index_load(content, entry->digest, &index, err);

		if (r < 0)
			return r;
		catalog_add_index(catalog, index);
	}
	if (entry->name && catalog_by_name(catalog, entry->name))
		return 0;
	shown = entry->shown ? catalog_by_manifest(catalog, entry->shown) : NULL;
	if (!entry->name) {
		if (shown)
			catalog_anchor(catalog, index, shown);
		return 0;
	}
	if (!shown)
		return cay_error_set(err, CAY_CORRUPT, ENOENT,
				     "the manifest that its index shows is missing");
	catalog_give(catalog, entry->name, shown, index);
	return 0;
}

static int load_attachment(const struct content *content, const struct entry *entry,
			   struct catalog *catalog, struct cay_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < catalog->index_count; i++)
		if (strv_contains(&catalog->indexes[i]->members, entry->digest))
			r = image_index_attach(catalog->indexes[i], content, entry->digest, err);
	return r;
}

static int load_entry(const struct content *content, const json_t *object, enum entry_kind kind,
		      struct catalog *catalog, struct cay_error *err)
{
	static int (*const loaders[])(const struct content *content, const struct entry *entry,
				      struct catalog *catalog, struct cay_error *err) = {
		[ENTRY_MANIFEST] = load_manifest,
		[ENTRY_INDEX] = load_index,
		[ENTRY_ATTACHMENT] = load_attachment,
	};
	_cleanup_(entry_done) struct entry entry = { 0 };
	int r = read_entry(object, &entry, err);

	if (r < 0)
		return kind == ENTRY_MANIFEST ? r : 0; /* told once */
	if (entry_kind(&entry) != kind)
		return 0;
	r = loaders[kind](content, &entry, catalog, err);
	return r < 0 ? cay_error_prefix(err, "%s", entry.name ? entry.name : entry.digest) : 0;
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
	for (enum entry_kind kind = 0; kind < ENTRY_KIND_COUNT; kind++)
		for (size_t i = 0; entries && i < json_array_size(entries); i++) {
			const json_t *entry = json_array_get(entries, i);
			struct cay_error why = { 0 };

			r = load_entry(content, entry, kind, &catalog, &why);
			if (r == 0)
				continue;
			/* Nothing is wrong with it: left out, its files would be cleared away. */
			if (why.code == CAY_NO_SPACE)
				return cay_error_set(err, why.code, why.err, "%s", why.message);
			/* One damaged image must not take the others with it. */
			log_warning("an image in %s is left out: %s", path, why.message);
		}
	(void)catalog_drop_unused_indexes(&catalog);
	*ret_catalog = catalog;
	catalog = (struct catalog){ 0 };
	return 0;
}

/* ---- writing ---- */

/* Adds a descriptor. `name` and `platform` may be NULL. Its annotations are borrowed. */
static json_t *add_entry(json_t *entries, const char *media_type, const char *digest, uint64_t size,
			 const struct platform *platform, const char *name)
{
	json_t *entry = descriptor_json(media_type, digest, size);
	json_t *annotations = json_object(), *object = json_object();

	if (platform) {
		json_set_string(object, "architecture", platform->architecture);
		json_set_string(object, "os", platform->os);
		if (platform->variant)
			json_set_string(object, "variant", platform->variant);
		json_set(entry, "platform", json_incref(object));
	}
	json_decref(object);
	if (name) {
		json_set_string(annotations, ANNOTATION_REF_NAME, name);
		json_set_string(annotations, ANNOTATION_IMAGE_NAME, name);
	}
	json_set(entry, "annotations", annotations);
	(void)json_array_append_new(entries, entry);
	return annotations;
}

/* A record's own descriptor: one for each name that leads to it straight, or one without. */
static void save_record(json_t *entries, const struct catalog *catalog, const struct record *record)
{
	json_t *annotations, *first = NULL;

	for (size_t i = 0; i < record->names.count; i++) {
		const char *name = record->names.items[i];
		const struct image_index *index = catalog_index_of(catalog, name);

		if (index) {
			annotations = add_entry(entries, index->media_type, index->digest,
						index->size, NULL, name);
			json_set_string(annotations, ANNOTATION_SHOWN, record->digest);
			continue;
		}
		annotations = add_entry(entries, record->media_type, record->digest,
					record->manifest_size, &record->config.platform, name);
		first = first ? first : annotations;
	}
	if (!first)
		first = add_entry(entries, record->media_type, record->digest,
				  record->manifest_size, &record->config.platform, NULL);
	save_digests(first, &record->digests);
}

static void save_index(json_t *entries, const struct image_index *index)
{
	const struct platform unknown = { (char *)"unknown", (char *)"unknown", NULL };

	if (index->names.count == 0) { /* else its names wrote it */
		json_t *annotations = add_entry(entries, index->media_type, index->digest,
						index->size, NULL, NULL);

		if (index->anchor[0])
			json_set_string(annotations, ANNOTATION_SHOWN, index->anchor);
	}
	for (size_t i = 0; i < index->attachment_count; i++) {
		const struct attachment *attachment = &index->attachments[i];

		json_set_string(add_entry(entries, attachment->media_type, attachment->digest,
					  attachment->size, &unknown, NULL),
				ANNOTATION_ATTACHMENT, "true");
	}
}

int catalog_save(const struct catalog *catalog, const struct content *content,
		 struct cay_error *err)
{
	_cleanup_free_ char *path = content_catalog_path(content), *text = NULL;
	_cleanup_json_ json_t *document = json_object();
	json_t *entries = json_array();

	json_set_int(document, "schemaVersion", 2);
	json_set_string(document, "mediaType", MEDIA_OCI_INDEX);
	for (size_t i = 0; i < catalog->count; i++)
		save_record(entries, catalog, catalog->records[i]);
	for (size_t i = 0; i < catalog->index_count; i++)
		save_index(entries, catalog->indexes[i]);
	json_set(document, "manifests", entries);
	text = json_print(document);
	if (strlen(text) > CATALOG_MAX) /* it could not be read again */
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
				     "the names of all images would take more than %d bytes",
				     CATALOG_MAX);
	return file_write_atomic(path, text, strlen(text), 0644, err);
}
