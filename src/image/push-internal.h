/* SPDX-License-Identifier: Apache-2.0 */
/* What a push asks of the catalog, and leaves in it. Each call takes the store's lock. */
#pragma once

#include "image/ref.h"
#include "image/store-internal.h"

enum { MOUNT_SOURCES_MAX = 8 };

/*
 * Other repositories of the same registry from which images with these layers were pulled, or to
 * which they were pushed: the layers can be mounted from there. MOUNT_SOURCES_MAX of them at most
 * for all layers together, as a token is wanted that may read each; one for each layer first, then
 * more.
 */
void push_choose_sources(struct image_store *store, const struct image_ref *ref,
			 const struct strv *digests, struct strv *out);

/* Those of the chosen ones that have this layer. */
void push_find_sources(struct image_store *store, const struct image_ref *ref, const char *digest,
		       const struct strv *chosen, struct strv *out);

/* Whether an image has this full name. */
bool push_is_known(struct image_store *store, const char *full_name);

/*
 * What was pushed as `digest` (of an index or of the manifest that it shows) can from now on be
 * named by its digest in this repository, as after a pull.
 */
int push_note_digest(struct image_store *store, const char *name, const char *digest,
		     const char *manifest_digest, struct cay_error *err);
