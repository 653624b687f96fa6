/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The images of a store: content/index.json, read once and kept in memory.
 * An image is a manifest with the names it goes by. In the file each name is
 * one descriptor, with the annotations by which other tools find it; an image
 * without a name has one descriptor without. What a manifest was pulled by
 * ("name@digest") stands in an annotation of cay's own.
 */
#pragma once

#include "image/content.h"
#include "image/manifest.h"
#include "image/store.h"

#define ANNOTATION_REF_NAME   "org.opencontainers.image.ref.name"
#define ANNOTATION_IMAGE_NAME "io.containerd.image.name"
#define ANNOTATION_DIGESTS    "cay.image.digests"

/* One manifest. Two of them may have the same configuration, and so the same image id. */
struct record {
	char digest[DIGEST_SIZE]; /* the manifest's */
	uint64_t manifest_size;
	char *media_type;
	char config_digest[DIGEST_SIZE];
	struct strv blobs; /* digests of its layers' blobs, lowest first */
	struct strv names, digests;
	struct image_config config;
	uint64_t size; /* of the decompressed layers */
};

void record_free(struct record *record);
DEFINE_CLEANUP(struct record *, record_free);

/*
 * Reads manifest and configuration from the content store and finds the layers converted. The
 * result has no names.
 */
int record_load(const struct content *content, const char *manifest_digest,
		struct record **ret_record, struct cay_error *err);

struct catalog {
	struct record **records;
	size_t count;
};

/* Images whose files are damaged or missing are left out, and logged. */
int catalog_load(const struct content *content, struct catalog *ret_catalog, struct cay_error *err);
void catalog_done(struct catalog *catalog);
/* Writes index.json anew, to last. */
int catalog_save(const struct catalog *catalog, const struct content *content,
		 struct cay_error *err);

struct record *catalog_by_manifest(const struct catalog *catalog, const char *digest);
struct record *catalog_by_name(const struct catalog *catalog, const char *full_name);
/* Takes the record over. */
void catalog_add(struct catalog *catalog, struct record *record);
/* Frees it. */
void catalog_drop(struct catalog *catalog, struct record *record);
/* Removes one string; false if it was not there. */
bool names_remove(struct strv *names, const char *name);
