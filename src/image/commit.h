/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image made here, of one layer that streams in: what a container changed,
 * on top of the image it came from, or a whole root file system on top of
 * nothing. The layer is stored compressed, hashed and converted in one pass;
 * until the image is known nothing of it stays behind.
 */
#pragma once

#include "image/store.h"

struct image_commit {
	const char *parent;   /* the id of an image that someone holds; NULL: none */
	const char *platform; /* of one without a parent; NULL: linux and the host's architecture */
	const char *name;     /* full: "registry/repository:tag"; NULL: none */
	const char *author, *comment, *created_by; /* NULL: none */
	const json_t *config;                      /* "config" of the new image's configuration */
	/*
	 * Writes the layer, a tar without compression, to its end. A failure of the writer is
	 * passed on.
	 */
	int (*produce)(const struct image_writer *writer, void *user, struct cay_error *err);
	void *user;
};

/*
 * Makes the image known, under its name if it has one, which is taken from the image that had it. A
 * layer without an entry adds nothing but its line to the history. `sink` may be NULL.
 */
int image_store_commit(struct image_store *store, const struct image_commit *commit,
		       const struct image_progress_sink *sink, struct image **ret_image,
		       struct cay_error *err);
