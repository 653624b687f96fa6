/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of contents of image archives: an OCI layout's index.json, Docker's manifest.json. */
#include "image/load-internal.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "image/ref.h"

#include <errno.h>
#include <fcntl.h>

enum { IMAGES_MAX = 1000, NAMES_MAX = 1000 };

static const char *annotation(const struct descriptor *member, const char *key)
{
	return json_string_value(json_object_get(member->annotations, key));
}

/*
 * The name of an OCI layout's member. Writers use "ref.name" for a whole reference, a repository or
 * a tag alone: what can only be a tag of nothing ("latest") is no name.
 */
static int member_name(const struct descriptor *member, struct strv *names, struct cay_error *err)
{
	const char *text = annotation(member, ANNOTATION_IMAGE_NAME);
	_cleanup_free_ char *full = NULL;
	int r;

	if (!text)
		text = annotation(member, ANNOTATION_REF_NAME);
	if (!text || strcmp(text, "latest") == 0)
		return 0;
	r = image_reference_normalize(text, &full, err);
	if (r < 0)
		return r;
	if (!strchr(full, '@'))
		strv_take(names, TAKE_PTR(full));
	return 0;
}

/* The index's member that its names are to show: this host's, or else the first that is here. */
static const struct descriptor *choose_shown(struct loader *loader, const struct manifest *index,
					     const struct platform *host)
{
	const struct descriptor *chosen = NULL;
	unsigned int best = 0;

	for (size_t i = 0; i < index->item_count; i++) {
		const struct descriptor *member = &index->items[i];
		const unsigned int match =
			member->platform.os ? platform_match(host, &member->platform) : 0;

		if (is_attachment(member) || !loader_has_image(loader, member))
			continue;
		if (!chosen || match > best) {
			chosen = member;
			best = match;
		}
	}
	return chosen;
}

static int load_attachments(struct loader *loader, const char *index_digest,
			    const struct manifest *index, struct cay_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < index->item_count; i++) {
		const struct descriptor *member = &index->items[i];

		if (!is_attachment(member) || !loader_has_image(loader, member))
			continue;
		r = store_attach(loader->store, index_digest, member->digest, err);
	}
	return r;
}

/* An index: every member that is here is kept; the one that is shown gets the names. */
static int load_index(struct loader *loader, const char *digest, const struct manifest *index,
		      const struct strv *names, const struct platform *host, struct cay_error *err)
{
	const struct descriptor *shown = choose_shown(loader, index, host);
	int r;

	if (!shown)
		return cay_error_set(err, CAY_INVALID, ENOENT,
				     "it has none of the images of its index %s", digest);
	r = loader_image(loader, shown->digest, digest, names, err);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < index->item_count; i++) {
		const struct descriptor *member = &index->items[i];

		if (member != shown && !is_attachment(member) && loader_has_image(loader, member))
			r = loader_image(loader, member->digest, digest, NULL, err);
	}
	return r < 0 ? r : load_attachments(loader, digest, index, err);
}

static int load_member(struct loader *loader, const struct descriptor *member,
		       const struct platform *host, struct cay_error *err)
{
	_cleanup_manifest_ struct manifest inner = { 0 };
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_strv_ struct strv names = { 0 };
	int r = loader_read_blob(loader, member, &text, err);

	if (r == 0)
		r = manifest_parse(text.data, text.length,
				   member->media_type[0] ? member->media_type : NULL, &inner, err);
	if (r == 0)
		r = member_name(member, &names, err);
	if (r < 0)
		return r;
	if (inner.is_index)
		return load_index(loader, member->digest, &inner, &names, host, err);
	return loader_image(loader, member->digest, NULL, &names, err);
}

static bool is_for(const struct descriptor *member, const struct platform *host)
{
	return !member->platform.os || platform_match(host, &member->platform) > 0;
}

int loader_oci(struct loader *loader, struct cay_error *err)
{
	_cleanup_manifest_ struct manifest index = { 0 };
	_cleanup_platform_ struct platform host = { 0 };
	_cleanup_buf_ struct buf text = { 0 };
	int r = loader_read(loader, "index.json", &text, err);

	if (r == 0)
		r = manifest_parse(text.data, text.length, NULL, &index, err);
	if (r == 0)
		r = platform_parse(NULL, &host, err);
	if (r < 0)
		return r;
	if (!index.is_index || index.item_count > IMAGES_MAX)
		return cay_error_set(err, CAY_INVALID, EBADMSG, "its index.json is not an index");
	/* This host's last: a name that several have is theirs. */
	for (unsigned int turn = 0; turn < 2; turn++)
		for (size_t i = 0; r == 0 && i < index.item_count; i++)
			if (!is_attachment(&index.items[i]) &&
			    is_for(&index.items[i], &host) == (turn == 1))
				r = load_member(loader, &index.items[i], &host, err);
	if (r == 0 && loader->loaded.count == 0)
		return cay_error_set(err, CAY_INVALID, ENOENT, "it holds no image");
	return r;
}

/* The layer's media type by its first bytes: docker's archives hold plain tars, others compress. */
static const char *layer_type(const struct loader *loader, const char *digest)
{
	_cleanup_free_ char *path = content_blob_path(&loader->store->content, digest);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t magic[4] = { 0 };

	if (fd >= 0)
		(void)read_full(fd, magic, sizeof(magic)); /* short ones are plain */
	if (magic[0] == 0x1f && magic[1] == 0x8b)
		return MEDIA_OCI_LAYER_TAR "+gzip";
	if (memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0)
		return MEDIA_OCI_LAYER_TAR "+zstd";
	return MEDIA_OCI_LAYER_TAR;
}

static int missing(const char *path, struct cay_error *err)
{
	return cay_error_set(err, CAY_INVALID, ENOENT, "%.256s is missing in it", path);
}

static json_t *make_descriptor(const char *type, const struct archive_file *file)
{
	return descriptor_json(type, file->digest, file->size);
}

/* Writes the OCI manifest that a Docker archive's entry stands for. */
static int make_manifest(struct loader *loader, const char *config_path, const struct strv *layers,
			 char ret_digest[DIGEST_SIZE], struct cay_error *err)
{
	const struct archive_file *config = loader_find(loader, config_path);
	_cleanup_json_ json_t *manifest = json_object(), *items = json_array();
	_cleanup_free_ char *text = NULL;

	if (!config)
		return missing(config_path, err);
	for (size_t i = 0; i < layers->count; i++) {
		const struct archive_file *layer = loader_find(loader, layers->items[i]);

		if (!layer)
			return missing(layers->items[i], err);
		(void)json_array_append_new(
			items, make_descriptor(layer_type(loader, layer->digest), layer));
	}
	json_set_int(manifest, "schemaVersion", 2);
	json_set_string(manifest, "mediaType", MEDIA_OCI_MANIFEST);
	json_set(manifest, "config", make_descriptor(MEDIA_OCI_CONFIG, config));
	json_set(manifest, "layers", json_incref(items));
	text = json_print(manifest);
	digest_of(text, strlen(text), ret_digest);
	pins_add(&loader->pins, ret_digest);
	loader->news |= !content_has_document(&loader->store->content, ret_digest, strlen(text));
	return content_write_blob(&loader->store->content, text, strlen(text), err);
}

static int load_docker_image(struct loader *loader, const json_t *entry, struct cay_error *err)
{
	_cleanup_strv_ struct strv tags = { 0 }, layers = { 0 }, names = { 0 };
	_cleanup_free_ char *config = NULL;
	char digest[DIGEST_SIZE];
	int r = json_read_string(entry, "Config", &config, err);

	if (r == 0)
		r = json_read_strv(entry, "RepoTags", NAMES_MAX, &tags, err);
	if (r == 0)
		r = json_read_strv(entry, "Layers", LAYERS_MAX, &layers, err);
	for (size_t i = 0; r == 0 && i < tags.count; i++) {
		char *full;

		r = image_reference_normalize(tags.items[i], &full, err);
		if (r < 0)
			break;
		strv_take(&names, full);
		/* A digest is what a registry's contents have, not what an archive says. */
		if (strchr(full, '@'))
			r = cay_error_set(err, CAY_INVALID, EINVAL, "invalid tag \"%.256s\"",
					  tags.items[i]);
	}
	if (r == 0 && !config)
		r = cay_error_set(err, CAY_INVALID, EBADMSG, "its manifest.json names no Config");
	if (r == 0)
		r = make_manifest(loader, config, &layers, digest, err);
	return r < 0 ? r : loader_image(loader, digest, NULL, &names, err);
}

int loader_docker(struct loader *loader, struct cay_error *err)
{
	_cleanup_json_ json_t *document = NULL;
	_cleanup_buf_ struct buf text = { 0 };
	size_t index;
	json_t *entry;
	int r;

	if (!loader_find(loader, "manifest.json"))
		return cay_error_set(err, CAY_INVALID, ENOENT,
				     "it is neither an OCI nor a Docker image archive: it has no "
				     "index.json with oci-layout, and no manifest.json");
	r = loader_read(loader, "manifest.json", &text, err);
	if (r == 0)
		r = json_parse(buf_text(&text), text.length, "manifest.json", &document, err);
	if (r < 0)
		return r;
	if (!json_is_array(document) || json_array_size(document) == 0 ||
	    json_array_size(document) > IMAGES_MAX)
		return cay_error_set(err, CAY_INVALID, EBADMSG,
				     "its manifest.json is not a list of images");
	json_array_foreach(document, index, entry) {
		if (!json_is_object(entry))
			return cay_error_set(err, CAY_INVALID, EBADMSG,
					     "its manifest.json is not a list of images");
		r = load_docker_image(loader, entry, err);
		if (r < 0)
			return r;
	}
	return 0;
}
