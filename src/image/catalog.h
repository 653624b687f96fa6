/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The images of a store: content/index.json, read once and kept in memory.
 * An image is a manifest with the names it goes by. A name may point to an
 * index (a multi-platform image) and then shows one of the manifests that are
 * here of it; the index keeps the others.
 *
 * In the file each name is one descriptor, of its manifest or of its index,
 * with the annotations by which other tools find it; which manifest an index's
 * name shows stands in an annotation of cay's own. Every manifest that is here
 * and every index has a descriptor, without a name where no name points to it,
 * and so do an index's attachments: manifests that are no images, such as
 * signatures and statements of origin. What a manifest was pulled by
 * ("name@digest") stands in an annotation of its descriptor.
 */
#pragma once

#include "image/content.h"
#include "image/manifest.h"
#include "image/store.h"

#define ANNOTATION_REF_NAME   "org.opencontainers.image.ref.name"
#define ANNOTATION_IMAGE_NAME "io.containerd.image.name"
#define ANNOTATION_DIGESTS    "cay.image.digests"
#define ANNOTATION_SHOWN      "cay.image.shown"
#define ANNOTATION_ATTACHMENT "cay.image.attachment" /* "true" */

/* One manifest. Two of them may have the same configuration, and so the same image id. */
struct record {
	char digest[DIGEST_SIZE]; /* the manifest's */
	uint64_t manifest_size;
	char *media_type;
	char config_digest[DIGEST_SIZE];
	struct strv blobs; /* digests of its layers' blobs, lowest first */
	struct strv names, digests;
	struct image_config config;
	uint64_t size; /* of the files in all layers */
	/* Each layer's; of one that waits for its conversion it is the blob's. */
	uint64_t *layer_sizes;
};

void record_free(struct record *record);
DEFINE_CLEANUP(struct record *, record_free);

/*
 * Reads manifest and configuration from the content store and finds the layers, converted or as
 * blobs. The result has no names.
 */
int record_load(const struct content *content, const char *manifest_digest,
		struct record **ret_record, struct cay_error *err);

/* A member of an index that is here and is no image: its blobs are kept, no more. */
struct attachment {
	char digest[DIGEST_SIZE];
	uint64_t size;
	char *media_type;
	struct strv blobs; /* digests of its configuration and of its layers */
};

/* One index, and those of the names that point to it. */
struct image_index {
	char digest[DIGEST_SIZE];
	uint64_t size;
	char *media_type;
	struct strv members; /* digests of all its manifests, here or not */
	struct strv names;
	char anchor[DIGEST_SIZE]; /* the manifest that shows it while it has no name; or "" */
	struct attachment *attachments;
	size_t attachment_count;
};

void image_index_free(struct image_index *index);
DEFINE_CLEANUP(struct image_index *, image_index_free);
/* Reads an index from the content store; it has neither names nor attachments yet. */
int image_index_load(const struct content *content, const char *digest,
		     struct image_index **ret_index, struct cay_error *err);
/* Whether a member of an index is an attachment and no image. */
bool is_attachment(const struct descriptor *member);
/* Notes an attachment, of which all blobs must be here; one that is noted already is left. */
int image_index_attach(struct image_index *index, const struct content *content,
		       const char *manifest_digest, struct cay_error *err);

/* Finds anew what the layers' sizes are. CAY_CORRUPT when one is neither there as it is nor as a
 * blob. */
int record_measure(const struct content *content, struct record *record, struct cay_error *err);

struct catalog {
	struct record **records;
	size_t count;
	struct image_index **indexes;
	size_t index_count;
};

/*
 * Images whose files are damaged or missing are left out, and logged. Without the memory or the
 * descriptors to read them it fails as a whole.
 */
int catalog_load(const struct content *content, struct catalog *ret_catalog, struct cay_error *err);
void catalog_done(struct catalog *catalog);
/* Writes index.json anew, to last. */
int catalog_save(const struct catalog *catalog, const struct content *content,
		 struct cay_error *err);

struct record *catalog_by_manifest(const struct catalog *catalog, const char *digest);
struct record *catalog_by_name(const struct catalog *catalog, const char *full_name);
struct image_index *catalog_index(const struct catalog *catalog, const char *digest);
/* The index that a name, or a "name@digest", points to; NULL where it is a manifest. */
struct image_index *catalog_index_of(const struct catalog *catalog, const char *reference);
/* The index that a manifest without a name shows. */
struct image_index *catalog_index_shown_by(const struct catalog *catalog,
					   const struct record *record);
/* Whether a name or a "name@digest" points to it, or a manifest shows it. */
bool catalog_index_is_used(const struct catalog *catalog, const struct image_index *index);
/* Whether an index that is used keeps this manifest. */
bool catalog_is_member(const struct catalog *catalog, const struct record *record);

/*
 * Gives a record a name, or a "name@digest" (with a '@' in it), by way of an index or of none
 * (NULL). It is taken from whoever had it.
 */
void catalog_give(struct catalog *catalog, const char *reference, struct record *record,
		  struct image_index *index);
/* Keeps an index that has no name while the record is there. Names make that void. */
void catalog_anchor(struct catalog *catalog, struct image_index *index,
		    const struct record *record);
/* Takes it away, wherever it points to. */
void catalog_take(struct catalog *catalog, const char *reference);

/* These take what they are given over. */
void catalog_add(struct catalog *catalog, struct record *record);
void catalog_add_index(struct catalog *catalog, struct image_index *index);
/* Frees it. */
void catalog_drop(struct catalog *catalog, struct record *record);
/* Frees the indexes that nothing points to any more, and tells if there were. Their manifests stay.
 */
bool catalog_drop_unused_indexes(struct catalog *catalog);
/* Removes one string; false if it was not there. */
bool names_remove(struct strv *names, const char *name);
