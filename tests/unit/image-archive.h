/* SPDX-License-Identifier: Apache-2.0 */
/* Image archives that the tests make: OCI layouts and Docker archives, in memory. */
#pragma once

#include "image-fixture.h"

static inline cay_unused void archive_file(struct buf *archive, const char *name, const void *data,
					   size_t size)
{
	const struct tar_item item = { 0 };

	tar_header(archive, '0', name, NULL, &item, size);
	buf_append(archive, data, size);
	tar_pad(archive);
}

/* A blob of an OCI layout, named by its digest. */
static inline cay_unused void archive_blob(struct buf *archive, const void *data, size_t size,
					   char ret_digest[DIGEST_SIZE])
{
	_cleanup_free_ char *name = NULL;

	digest_of(data, size, ret_digest);
	name = xasprintf("blobs/sha256/%s", digest_hex(ret_digest));
	archive_file(archive, name, data, size);
}

/* "{mediaType, digest, size, <more>}"; `more` is "" or starts with a comma. */
static inline cay_unused void archive_descriptor(struct buf *out, const char *type,
						 const char *digest, size_t size, const char *more)
{
	buf_printf(out, "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu%s}", type, digest,
		   size, more);
}

/*
 * One image of scripts (tar_script()), its blobs in the archive; its descriptor, with its platform,
 * is appended to `out`.
 */
static inline cay_unused void archive_image(struct buf *archive, const char *os,
					    const char *architecture, const char *const *layers,
					    struct buf *out)
{
	_cleanup_buf_ struct buf config = { 0 }, list = { 0 }, manifest = { 0 };
	_cleanup_free_ char *platform = xasprintf(
		",\"platform\":{\"os\":\"%s\",\"architecture\":\"%s\"}", os, architecture);
	char digest[DIGEST_SIZE];

	buf_printf(&config,
		   "{\"os\":\"%s\",\"architecture\":\"%s\",\"rootfs\":{\"type\":\"layers\","
		   "\"diff_ids\":[",
		   os, architecture);
	for (size_t i = 0; layers[i]; i++) {
		_cleanup_buf_ struct buf layer = { 0 };

		tar_script(&layer, layers[i]);
		archive_blob(archive, layer.data, layer.length, digest);
		buf_printf(&config, "%s\"%s\"", i ? "," : "", digest);
		buf_puts(&list, i ? "," : "");
		archive_descriptor(&list, MEDIA_OCI_LAYER_TAR, digest, layer.length, "");
	}
	buf_puts(&config, "]}}");
	archive_blob(archive, config.data, config.length, digest);
	buf_puts(&manifest, "{\"schemaVersion\":2,\"config\":");
	archive_descriptor(&manifest, MEDIA_OCI_CONFIG, digest, config.length, "");
	buf_printf(&manifest, ",\"layers\":[%s]}", buf_text(&list));
	archive_blob(archive, manifest.data, manifest.length, digest);
	archive_descriptor(out, MEDIA_OCI_MANIFEST, digest, manifest.length, platform);
}

/* An index of descriptors (with commas between them) as a blob; its descriptor goes to `out`. */
static inline cay_unused void archive_index(struct buf *archive, const char *members,
					    const char *more, struct buf *out,
					    char ret_digest[DIGEST_SIZE])
{
	_cleanup_free_ char *text =
		xasprintf("{\"schemaVersion\":2,\"mediaType\":\"%s\",\"manifests\":[%s]}",
			  MEDIA_OCI_INDEX, members);

	archive_blob(archive, text, strlen(text), ret_digest);
	archive_descriptor(out, MEDIA_OCI_INDEX, ret_digest, strlen(text), more);
}

/* The end of an OCI layout: its marker and its index.json of these descriptors. */
static inline cay_unused void archive_end(struct buf *archive, const char *descriptors)
{
	static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	_cleanup_free_ char *index =
		xasprintf("{\"schemaVersion\":2,\"manifests\":[%s]}", descriptors);

	archive_file(archive, "oci-layout", layout, strlen(layout));
	archive_file(archive, "index.json", index, strlen(index));
	tar_end(archive);
}

/* A Docker archive of one image of scripts. `wrong` spoils the last diff id. */
static inline cay_unused void archive_docker(struct buf *archive, const char *tags,
					     const char *const *layers, bool wrong)
{
	_cleanup_buf_ struct buf manifest = { 0 }, config = { 0 };

	buf_puts(&config,
		 "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":"
		 "\"layers\",\"diff_ids\":[");
	buf_printf(&manifest, "[{\"Config\":\"config.json\",\"RepoTags\":[%s],\"Layers\":[", tags);
	for (size_t i = 0; layers[i]; i++) {
		_cleanup_free_ char *name = xasprintf("%zu/layer.tar", i);
		_cleanup_buf_ struct buf layer = { 0 };
		char digest[DIGEST_SIZE];

		tar_script(&layer, layers[i]);
		digest_of(layer.data, layer.length, digest);
		if (wrong && !layers[i + 1])
			digest[10] = digest[10] == '0' ? '1' : '0';
		buf_printf(&config, "%s\"%s\"", i ? "," : "", digest);
		buf_printf(&manifest, "%s\"%s\"", i ? "," : "", name);
		archive_file(archive, name, layer.data, layer.length);
	}
	buf_puts(&config, "]}}");
	buf_puts(&manifest, "]}]");
	archive_file(archive, "config.json", config.data, config.length);
	archive_file(archive, "manifest.json", manifest.data, manifest.length);
	tar_end(archive);
}

static inline cay_unused int archive_load(struct image_store *store, const struct buf *archive,
					  struct strv *loaded, struct cay_error *err)
{
	_cleanup_close_ int fd = memfd_with("archive", archive->data, archive->length);

	assert_true(fd >= 0);
	return image_store_load(store, fd, NULL, loaded, err);
}
