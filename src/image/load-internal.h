/* SPDX-License-Identifier: Apache-2.0 */
/* What loading shares with the readers of the two kinds of archives. */
#pragma once

#include "image/parallel.h"
#include "image/progress.h"
#include "image/store-internal.h"

/* A file of the archive; its contents are the blob with this digest. */
struct archive_file {
	char *path;
	char *link; /* it is the file of this path instead; may be NULL */
	char digest[DIGEST_SIZE];
	uint64_t size;
};

struct loader {
	struct image_store *store;
	struct progress progress;
	struct worker_cancel cancel;
	struct pins pins;
	struct archive_file *files;
	size_t file_count;
	struct strv loaded;
	bool news; /* a blob was not here yet */
};

/* Links are followed. NULL when there is no such file. */
const struct archive_file *loader_find(const struct loader *loader, const char *path);
/* Appends a document of at most DOCUMENT_MAX bytes. */
int loader_read(const struct loader *loader, const char *path, struct buf *out,
		struct cay_error *err);
/* The same for what a descriptor leads to, whose size must be the one told. */
int loader_read_blob(struct loader *loader, const struct descriptor *descriptor, struct buf *out,
		     struct cay_error *err);
/* Whether a manifest and all that it lists are here; they are pinned then. */
bool loader_has_image(struct loader *loader, const struct descriptor *member);
/*
 * Converts and publishes the image whose manifest is in the store, under its full names and by way
 * of its index, if it has one (NULL). Without names it is told by its id; with NULL for names it is
 * not told of.
 */
int loader_image(struct loader *loader, const char *manifest_digest, const char *index_digest,
		 const struct strv *names, struct cay_error *err);

/* All images of an OCI layout, or of a Docker archive. */
int loader_oci(struct loader *loader, struct cay_error *err);
int loader_docker(struct loader *loader, struct cay_error *err);
