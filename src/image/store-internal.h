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
	char *worker;
	struct strv insecure;
	unsigned int parallel;
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
};

/* Digests pinned by one pull or load. */
struct pins {
	struct image_store *store;
	struct strv digests;
};
void pins_add(struct pins *pins, const char *digest);
/* Unpins all, and clears away what nobody uses any more. */
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
/* Converts a layer whose blob is there. */
int store_convert_layer(struct image_store *store, const char *digest, const char *diff_id,
			const struct worker_cancel *cancel, struct cay_error *err);

/*
 * Makes an image known: merges its layers, makes everything last, then gives it the names (NULL or
 * full; `digest_name` is "repository@digest"). A name is taken from the image that had it.
 * All its digests must be pinned. ret_image may be NULL.
 */
int store_publish(struct image_store *store, const char *manifest_digest, const char *name,
		  const char *digest_name, struct image **ret_image, struct cay_error *err);

/* Below here the lock must be held. */

/* Writes the catalog; if that fails, goes back to what is on disk. */
int store_save(struct image_store *store, struct cay_error *err);
/* Finds what a person wrote; see image_store_find(). ret_by_name tells whether it was a name. */
int store_find_record(struct image_store *store, const char *text, struct record **ret_record,
		      char **ret_full_name, struct cay_error *err);
/* The image with this id made up of all its records. */
struct image *store_image(const struct image_store *store, const char *id);
const char *store_holder(const struct image_store *store, const char *id);
/* Deletes the files that no image and no pin keeps. */
void store_collect(struct image_store *store);
