/* SPDX-License-Identifier: Apache-2.0 */
/* Indexes: multi-platform images, and what of them is kept beside the images. */
#include "image/catalog.h"

#include "base/alloc.h"

#include <errno.h>

static void attachment_done(struct attachment *attachment)
{
	free(attachment->media_type);
	strv_done(&attachment->blobs);
}

void image_index_free(struct image_index *index)
{
	if (!index)
		return;
	free(index->media_type);
	strv_done(&index->members);
	strv_done(&index->names);
	for (size_t i = 0; i < index->attachment_count; i++)
		attachment_done(&index->attachments[i]);
	free(index->attachments);
	free(index);
}

int image_index_load(const struct content *content, const char *digest,
		     struct image_index **ret_index, struct cay_error *err)
{
	_cleanup_(image_index_free_p) struct image_index *index = xcalloc(1, sizeof(*index));
	_cleanup_manifest_ struct manifest manifest = { 0 };
	int r = manifest_read_stored(content, digest, &manifest, &index->size, err);

	if (r < 0)
		return r;
	if (!manifest.is_index)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG, "%s is not an index", digest);
	memcpy(index->digest, digest, DIGEST_SIZE);
	index->media_type = TAKE_PTR(manifest.media_type);
	for (size_t i = 0; i < manifest.item_count; i++)
		if (!strv_contains(&index->members, manifest.items[i].digest))
			strv_add(&index->members, manifest.items[i].digest);
	*ret_index = TAKE_PTR(index);
	return 0;
}

bool is_attachment(const struct descriptor *member)
{
	/* As buildkit marks them: they run nowhere. */
	return member->platform.os && strcmp(member->platform.os, "unknown") == 0;
}

static int read_attachment(const struct content *content, const char *manifest_digest,
			   struct attachment *attachment, struct cay_error *err)
{
	_cleanup_manifest_ struct manifest manifest = { 0 };
	int r = manifest_read_stored(content, manifest_digest, &manifest, &attachment->size, err);

	if (r < 0)
		return r;
	if (manifest.is_index)
		return cay_error_set(err, CAY_INVALID, EBADMSG, "its indexes are nested");
	for (size_t i = 0; i <= manifest.item_count; i++) {
		const struct descriptor *blob = i == 0 ? &manifest.config : &manifest.items[i - 1];

		if (!content_has_blob(content, blob->digest, blob->size))
			return cay_error_set(err, CAY_INVALID, ENOENT, "the blob %s is missing",
					     blob->digest);
		strv_add(&attachment->blobs, blob->digest);
	}
	memcpy(attachment->digest, manifest_digest, DIGEST_SIZE);
	attachment->media_type = TAKE_PTR(manifest.media_type);
	return 0;
}

int image_index_attach(struct image_index *index, const struct content *content,
		       const char *manifest_digest, struct cay_error *err)
{
	struct attachment attachment = { 0 };
	int r;

	for (size_t i = 0; i < index->attachment_count; i++)
		if (strcmp(index->attachments[i].digest, manifest_digest) == 0)
			return 0;
	r = read_attachment(content, manifest_digest, &attachment, err);
	if (r < 0) {
		attachment_done(&attachment);
		return r;
	}
	index->attachments = xreallocarray(index->attachments, index->attachment_count + 1,
					   sizeof(*index->attachments));
	index->attachments[index->attachment_count++] = attachment;
	return 0;
}
