/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of contents of a saved archive: an OCI layout's index.json, Docker's manifest.json. */
#include "image/save-internal.h"

#include "base/alloc.h"
#include "base/json.h"

static bool is_tag(const char *name)
{
	return name && !strchr(name, '@');
}

char *save_index_json(const struct saver *saver)
{
	_cleanup_json_ json_t *document = json_object();
	json_t *entries = json_array();

	for (size_t i = 0; i < saver->count; i++) {
		const struct export *export = &saver->exports[i];
		const struct export_blob *top = &export->top;
		json_t *entry = descriptor_json(top->media_type, top->digest, top->size);
		json_t *annotations;

		/* The whole name in both: a tag alone says little where there are several images.
		 */
		if (is_tag(export->name)) {
			annotations = json_object();
			json_set_string(annotations, ANNOTATION_IMAGE_NAME, export->name);
			json_set_string(annotations, ANNOTATION_REF_NAME, export->name);
			json_set(entry, "annotations", annotations);
		}
		(void)json_array_append_new(entries, entry);
	}
	json_set_int(document, "schemaVersion", 2);
	json_set_string(document, "mediaType", MEDIA_OCI_INDEX);
	json_set(document, "manifests", entries);
	return json_print(document);
}

static json_t *blob_path(const struct export_blob *blob)
{
	_cleanup_free_ char *path = xasprintf("blobs/sha256/%s", digest_hex(blob->digest));

	return json_string(path);
}

/* The entry of one image, with the tags of all references that show its manifest. */
static json_t *docker_entry(const struct saver *saver, const struct export_manifest *manifest)
{
	json_t *entry = json_object(), *tags = json_array(), *layers = json_array();

	for (size_t i = 0; i < saver->count; i++) {
		const struct export *export = &saver->exports[i];
		_cleanup_free_ char *familiar = NULL;

		if (!is_tag(export->name) ||
		    strcmp(export->manifests[export->shown].blob.digest, manifest->blob.digest) !=
			    0)
			continue;
		familiar = image_reference_familiar(export->name);
		(void)json_array_append_new(tags, json_string(familiar));
	}
	for (size_t i = 1; i < manifest->part_count; i++)
		(void)json_array_append_new(layers, blob_path(&manifest->parts[i]));
	json_set(entry, "Config", blob_path(&manifest->parts[0]));
	json_set(entry, "RepoTags", tags);
	json_set(entry, "Layers", layers);
	return entry;
}

char *save_manifest_json(const struct saver *saver)
{
	_cleanup_json_ json_t *document = json_array();

	for (size_t i = 0; i < saver->count; i++) {
		const struct export *export = &saver->exports[i];
		const struct export_manifest *shown = &export->manifests[export->shown];
		bool told = false;

		for (size_t j = 0; j < i && !told; j++)
			told = strcmp(saver->exports[j]
					      .manifests[saver->exports[j].shown]
					      .blob.digest,
				      shown->blob.digest) == 0;
		if (!told)
			(void)json_array_append_new(document, docker_entry(saver, shown));
	}
	return json_print(document);
}
