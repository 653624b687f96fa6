/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON documents of an image. */
#include "image/manifest.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"

#include <errno.h>

/* A layer or document larger than this is not believed, whatever a registry says. */
#define BLOB_SIZE_MAX (INT64_C(256) << 30)

static void descriptor_done(struct descriptor *descriptor)
{
	free(descriptor->media_type);
	platform_done(&descriptor->platform);
	strv_done(&descriptor->urls);
	json_decref(descriptor->annotations);
}

void manifest_done(struct manifest *manifest)
{
	for (size_t i = 0; i < manifest->item_count; i++)
		descriptor_done(&manifest->items[i]);
	free(manifest->items);
	descriptor_done(&manifest->config);
	free(manifest->media_type);
	*manifest = (struct manifest){ 0 };
}

static int refuse(struct cay_error *err, const char *what)
{
	return cay_error_set(err, CAY_INVALID, EBADMSG, "the image's manifest is refused: %s",
			     what);
}

static int read_descriptor(const json_t *object, struct descriptor *descriptor,
			   struct cay_error *err)
{
	_cleanup_free_ char *digest = NULL;
	json_t *platform = NULL, *annotations = NULL;
	int64_t size = -1;
	int r;

	if (!json_is_object(object))
		return refuse(err, "a descriptor is not an object");
	descriptor->media_type = xstrdup("");
	r = json_read_string(object, "mediaType", &descriptor->media_type, err);
	if (r == 0)
		r = json_read_string(object, "digest", &digest, err);
	if (r == 0)
		r = json_read_int(object, "size", 0, BLOB_SIZE_MAX, &size, err);
	if (r == 0)
		r = json_read_object(object, "platform", &platform, err);
	if (r == 0)
		r = json_read_object(object, "annotations", &annotations, err);
	if (r == 0)
		r = json_read_strv(object, "urls", URLS_MAX, &descriptor->urls, err);
	if (r == 0 && platform)
		r = platform_read(platform, &descriptor->platform, err);
	if (r < 0)
		return r;
	if (!digest_is_valid(digest))
		return refuse(err,
			      "a digest is missing or is not \"sha256:\" and 64 hexadecimal "
			      "digits");
	if (size < 0)
		return refuse(err, "a descriptor has no size");
	memcpy(descriptor->digest, digest, DIGEST_SIZE);
	descriptor->size = (uint64_t)size;
	descriptor->annotations = json_incref(annotations);
	return 0;
}

static int read_items(json_t *array, size_t limit, struct manifest *manifest, struct cay_error *err)
{
	const size_t count = json_array_size(array);

	if (count > limit)
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
				     "the image's manifest lists more than %zu items", limit);
	manifest->items = xcalloc(count + 1, sizeof(*manifest->items));
	for (size_t i = 0; i < count; i++) {
		int r;

		manifest->item_count = i + 1; /* also a half-read one is released */
		r = read_descriptor(json_array_get(array, i), &manifest->items[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

bool media_type_is_index(const char *type)
{
	return strcmp(type, MEDIA_OCI_INDEX) == 0 || strcmp(type, MEDIA_DOCKER_LIST) == 0;
}

static bool is_manifest_type(const char *type)
{
	return strcmp(type, MEDIA_OCI_MANIFEST) == 0 || strcmp(type, MEDIA_DOCKER_MANIFEST) == 0;
}

/* Settles on one media type from the two that were told, if any, and from the contents. */
static int settle_type(const char *told, struct manifest *manifest, struct cay_error *err)
{
	if (told && manifest->media_type && strcmp(told, manifest->media_type) != 0)
		return cay_error_set(err, CAY_INVALID, EBADMSG,
				     "the image's manifest is refused: it is announced as %.128s "
				     "and calls itself %.128s",
				     told, manifest->media_type);
	if (!manifest->media_type)
		manifest->media_type = xstrdup(told                         ? told
						       : manifest->is_index ? MEDIA_OCI_INDEX
									    : MEDIA_OCI_MANIFEST);
	if (!media_type_is_index(manifest->media_type) && !is_manifest_type(manifest->media_type))
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "manifests of the type %.128s are not supported",
				     manifest->media_type);
	if (media_type_is_index(manifest->media_type) != manifest->is_index)
		return refuse(err, "its contents are not of its media type");
	return 0;
}

static int read_manifest(const json_t *document, json_t *layers, struct manifest *manifest,
			 struct cay_error *err)
{
	json_t *config = NULL;
	int r = json_read_object(document, "config", &config, err);

	if (r < 0)
		return r;
	if (!config || json_array_size(layers) == 0)
		return refuse(err, "it has no config or no layers");
	r = read_descriptor(config, &manifest->config, err);
	return r < 0 ? r : read_items(layers, LAYERS_MAX, manifest, err);
}

int manifest_parse(const char *data, size_t size, const char *media_type,
		   struct manifest *ret_manifest, struct cay_error *err)
{
	_cleanup_manifest_ struct manifest manifest = { 0 };
	_cleanup_json_ json_t *document = NULL;
	json_t *members = NULL, *layers = NULL;
	int64_t version = 2;
	int r;

	if (size > DOCUMENT_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
				     "the image's manifest is larger than %d bytes", DOCUMENT_MAX);
	r = json_parse(data, size, "the image's manifest", &document, err);
	if (r < 0)
		return r;
	if (!json_is_object(document))
		return refuse(err, "it is not an object");
	r = json_read_int(document, "schemaVersion", 0, 1000, &version, err);
	if (r == 0)
		r = json_read_string(document, "mediaType", &manifest.media_type, err);
	if (r == 0)
		r = json_read_array(document, "manifests", &members, err);
	if (r == 0)
		r = json_read_array(document, "layers", &layers, err);
	if (r < 0)
		return r;
	if (version != 2)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "manifests of schema version %d are not supported",
				     (int)version);
	if (members && (layers || json_object_get(document, "config")))
		return refuse(err, "it has both \"manifests\" and \"layers\" or \"config\"");
	manifest.is_index = members != NULL;
	r = settle_type(media_type, &manifest, err);
	if (r == 0)
		r = members ? read_items(members, MANIFESTS_MAX, &manifest, err)
			    : read_manifest(document, layers, &manifest, err);
	if (r < 0)
		return r;
	*ret_manifest = manifest;
	manifest = (struct manifest){ 0 };
	return 0;
}

int manifest_read_stored(const struct content *content, const char *digest,
			 struct manifest *ret_manifest, uint64_t *ret_size, struct cay_error *err)
{
	_cleanup_buf_ struct buf text = { 0 };
	int r = content_read_blob(content, digest, DOCUMENT_MAX, &text, err);

	if (r == 0)
		r = manifest_parse(text.data, text.length, NULL, ret_manifest, err);
	if (r == 0 && ret_size)
		*ret_size = text.length;
	return r;
}

json_t *descriptor_json(const char *media_type, const char *digest, uint64_t size)
{
	json_t *object = json_object();

	json_set_string(object, "mediaType", media_type);
	json_set_string(object, "digest", digest);
	json_set_int(object, "size", (int64_t)size);
	return object;
}

int manifest_select(const struct manifest *index, const struct platform *platform,
		    const struct descriptor **ret_member, struct cay_error *err)
{
	_cleanup_free_ char *wanted = platform_format(platform);
	_cleanup_buf_ struct buf there = { 0 };
	const struct descriptor *best = NULL;
	unsigned int best_match = 0;

	for (size_t i = 0; i < index->item_count; i++) {
		const struct descriptor *member = &index->items[i];
		_cleanup_free_ char *offered = NULL;
		unsigned int match;

		/* Members without a platform are taken for what was asked when there is no choice.
		 */
		if (!member->platform.os) {
			if (index->item_count == 1)
				best = member;
			continue;
		}
		match = platform_match(platform, &member->platform);
		if (match > best_match) {
			best = member;
			best_match = match;
		}
		offered = platform_format(&member->platform);
		if (there.length < 256)
			buf_printf(&there, "%s%.64s", there.length ? ", " : "", offered);
	}
	if (!best)
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT,
				     "no matching manifest for %s in the manifest list entries "
				     "(it has %s)",
				     wanted, there.length ? buf_text(&there) : "none");
	if (best->media_type[0] && !is_manifest_type(best->media_type))
		return refuse(err, "a member of its index is not a manifest");
	*ret_member = best;
	return 0;
}

void image_config_done(struct image_config *config)
{
	json_decref(config->document);
	platform_done(&config->platform);
	strv_done(&config->diff_ids);
	*config = (struct image_config){ 0 };
}

static int read_config(const json_t *document, size_t layer_count, struct image_config *config,
		       struct cay_error *err)
{
	_cleanup_free_ char *created = NULL;
	json_t *rootfs = NULL, *settings = NULL;
	int r = platform_read(document, &config->platform, err);

	if (r == 0)
		r = json_read_string(document, "created", &created, err);
	if (r == 0)
		r = json_read_object(document, "rootfs", &rootfs, err);
	if (r == 0)
		r = json_read_object(document, "config", &settings, err);
	if (r == 0 && rootfs)
		r = json_read_strv(rootfs, "diff_ids", LAYERS_MAX, &config->diff_ids, err);
	if (r < 0)
		return r;
	/* A wrong time is no reason to refuse an image: docker shows the zero time for it. */
	if (created && clock_parse(created, &config->created_ns) < 0)
		config->created_ns = 0;
	if (!rootfs || config->platform.os[0] == '\0')
		return cay_error_set(err, CAY_INVALID, EBADMSG,
				     "this is not a container image: its configuration has no "
				     "\"rootfs\" or no \"os\"");
	if (config->diff_ids.count != layer_count)
		return cay_error_set(err, CAY_INVALID, EBADMSG,
				     "the image's configuration has %zu layers and its manifest "
				     "%zu",
				     config->diff_ids.count, layer_count);
	for (size_t i = 0; i < layer_count; i++)
		if (!digest_is_valid(config->diff_ids.items[i]))
			return cay_error_set(err, CAY_INVALID, EBADMSG,
					     "the image's configuration has a bad diff id");
	return 0;
}

int image_config_parse(const char *data, size_t size, size_t layer_count,
		       struct image_config *ret_config, struct cay_error *err)
{
	_cleanup_image_config_ struct image_config config = { 0 };
	int r;

	if (size > DOCUMENT_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
				     "the image's configuration is larger than %d bytes",
				     DOCUMENT_MAX);
	r = json_parse(data, size, "the image's configuration", &config.document, err);
	if (r < 0)
		return r;
	if (!json_is_object(config.document))
		return cay_error_set(err, CAY_INVALID, EBADMSG,
				     "the image's configuration is not an object");
	r = read_config(config.document, layer_count, &config, err);
	if (r < 0)
		return r;
	*ret_config = config;
	config = (struct image_config){ 0 };
	return 0;
}
