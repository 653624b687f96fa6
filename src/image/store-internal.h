/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's inside, shared by what fills it (pull, load), what empties it
 * (remove, collect) and what asks it.
 *
 * A file of the store is kept while a known image uses its digest or while
 * someone has pinned it. Pull and load pin a digest before they look whether
 * it is there, and until their image is known.
 */
#pragma once

#include "image/catalog.h"
#include "image/store.h"
#include "image/worker.h"

#include <pthread.h>

/* A container's hold on an image. */
struct hold {
	char *id, *holder;
};

struct image_store {
	struct content content;
	struct worker_program worker;
	struct strv insecure, mirrors, certs; /* of registries */
	unsigned int parallel, uploads;
	unsigned int
		idle_seconds;  /* a transfer that all but stands still for this long is given up */
	unsigned int retry_ms; /* the first pause before a retry */

	pthread_mutex_t lock; /* of all below */
	pthread_cond_t changed;
	struct catalog catalog;
	struct hold *holds;
	size_t hold_count;
	struct strv pins;   /* digests, as often as they were pinned */
	struct strv claims; /* digests that someone is getting just now */
	bool untidy;        /* an index is gone, whose files are still there */
};

/* Digests pinned by one pull, load, push or save. */
struct pins {
	struct image_store *store;
	struct strv digests;
};
void pins_add(struct pins *pins, const char *digest);
/* The same for who holds the lock. */
void pins_add_locked(struct pins *pins, const char *digest);
/* Unpins all, and if nobody else uses one of them, clears away what is not used. */
void pins_done(struct pins *pins);

/*
 * Waits until nobody else is getting the digest, then is the one who does. Whoever comes second
 * finds the blob there.
 */
int store_claim(struct image_store *store, const char *digest, const struct worker_cancel *cancel,
		struct cay_error *err);
void store_unclaim(struct image_store *store, const char *digest);

/* Whether blob and converted layer are there. The digest must be pinned. */
bool store_has_layer(const struct image_store *store, const struct descriptor *layer);
/*
 * Converts a layer whose blob is there; what it makes lasts before it has its name, since the image
 * may be known already.
 */
int store_convert_layer(struct image_store *store, const char *digest, const char *diff_id,
			const struct worker_cancel *cancel, struct cay_error *err);
/* The same where it is not converted yet, by one at a time. The digest must be pinned. */
int store_ensure_layer(struct image_store *store, const char *digest, const char *diff_id,
		       const struct worker_cancel *cancel, struct cay_error *err);
/* Makes an image's metadata, if it is not there, from its converted layers. */
int store_merge(struct image_store *store, const char *manifest_digest, const struct strv *blobs,
		const struct worker_cancel *cancel, struct cay_error *err);

/* An image to be made known. Names and digests may be NULL. */
struct publication {
	const char *manifest_digest;
	const char *index_digest; /* of which the manifest is a member; its blob is here */
	const char *name;         /* full: "registry/repository:tag" */
	const char *digest_name;  /* "registry/repository@digest" */
	bool news;                /* some of its files may not be synced, even if it is known */
};
/*
 * Makes an image known: merges its layers, makes everything last, then gives it the names. A name
 * is taken from the image that had it. With an index, the name points to it and shows this
 * manifest, and what else is known of the index stays with it. All digests must be pinned.
 * cancel and ret_image may be NULL.
 */
int store_publish(struct image_store *store, const struct publication *publication,
		  const struct worker_cancel *cancel, struct image **ret_image,
		  struct cay_error *err);
/* Makes known that a manifest is an attachment of a known index. All its digests must be pinned. */
int store_attach(struct image_store *store, const char *index_digest, const char *manifest_digest,
		 struct cay_error *err);

/* ---- what leaves the store: push and save ---- */

struct export_blob {
	char *media_type;
	char digest[DIGEST_SIZE];
	uint64_t size;
	bool is_foreign; /* its manifest tells a URL for it, so that it is not given on */
};
/* One manifest that is here, with all of its blobs. */
struct export_manifest {
	struct export_blob blob;   /* the manifest itself */
	struct export_blob *parts; /* its configuration, then its layers, lowest first */
	size_t part_count;
	struct platform platform; /* of its configuration; all NULL for an attachment */
	bool is_attachment;
};
/* What one reference stands for. Its blobs stay, whatever is removed, until export_done(). */
struct export
{
	struct pins pins;
	char *name;             /* full, as it was asked for; NULL: by id */
	char *id;               /* of the image that it shows */
	struct export_blob top; /* the index, or the one manifest */
	bool is_index;
	bool is_whole; /* every manifest of the index is here */
	struct export_manifest *manifests;
	size_t manifest_count;
	size_t shown; /* the one that the reference shows */
};
/*
 * Finds what a person wrote, as image_store_find(). `platform` ("os/arch[/variant]") takes that
 * member of an index alone, as if the reference pointed to it; NULL takes all that is here.
 * *ret_export must be released by export_done().
 */
int export_open(struct image_store *store, const char *reference, const char *platform,
		struct export *ret_export, struct cay_error *err);
/* The same from the catalog alone: the manifests' parts are not known yet. */
int export_find(struct image_store *store, const char *reference, const char *platform,
		struct export *ret_export, struct cay_error *err);
/* Reads a manifest, which must be pinned, for its parts' types and sizes. */
int export_read_parts(const struct content *content, struct export_manifest *manifest,
		      struct cay_error *err);
void export_done(struct export *export);
#define _cleanup_export_ _cleanup_(export_done)

/* Adds all tags of "registry/repository" in full. */
void store_names_of(struct image_store *store, const char *repository, struct strv *names);

/* Below here the lock must be held. */

/* Writes the catalog; if that fails, goes back to what is on disk. */
int store_save(struct image_store *store, struct cay_error *err);
/* The same after a removal, which makes the room it needs on a full disk. */
int store_save_removal(struct image_store *store, struct cay_error *err);
/* Finds what a person wrote; see image_store_find(). ret_by_name tells whether it was a name. */
int store_find_record(struct image_store *store, const char *text, struct record **ret_record,
		      char **ret_full_name, struct cay_error *err);
/* *ret_record is NULL where there is none. */
int store_find_by_id(struct image_store *store, const char *text, struct record **ret_record,
		     struct cay_error *err);
/* The image with this id made up of all its records. */
struct image *store_image(const struct image_store *store, const char *id);
/*
 * Adds to shared[i], for the first record i of each image, the size of the layers that other images
 * have too.
 */
void store_share(const struct catalog *catalog, uint64_t *shared);
const char *store_holder(const struct image_store *store, const char *id);
/* Deletes the files that no image and no pin keeps. */
void store_collect(struct image_store *store);
/* The same for what is made from blobs alone: should the images stay, it is made again. */
void store_collect_made(struct image_store *store);
