/* SPDX-License-Identifier: Apache-2.0 */
/* What saving shares with the writers of the two tables of contents. */
#pragma once

#include "image/progress.h"
#include "image/store-internal.h"

struct saver {
	struct image_store *store;
	const char *platform; /* may be NULL */
	struct export *exports;
	size_t count;
	const struct export_blob **blobs; /* borrowed from the exports, each digest once */
	size_t blob_count;
	uint64_t done, total; /* bytes of the blobs */
	struct progress progress;
	int64_t last_ms;
	int (*write)(const void *data, size_t size, void *user, struct cay_error *err);
	void *user;
};

/* The OCI layout's index.json: a descriptor for each reference. The caller frees. */
char *save_index_json(const struct saver *saver);
/* Docker's manifest.json: an entry for each image, with all its tags. */
char *save_manifest_json(const struct saver *saver);
