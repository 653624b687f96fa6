/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A registry as a client sees it (the OCI distribution specification 1.1), for
 * one repository: manifests and blobs, with what it takes to get them:
 * authentication, redirects, retries, resumption.
 *
 * Credentials and tokens go to the registry itself and to the realm it names,
 * and nowhere else. Whatever comes is checked by its digest by the caller.
 */
#pragma once

#include "image/ref.h"
#include "image/store.h"
#include "image/transfer.h"

struct registry;

struct registry_options {
	const struct image_ref *ref;
	const struct strv *insecure;                 /* "host[:port]" to be used by plain HTTP */
	const struct image_credentials *credentials; /* may be NULL */
	const struct worker_cancel *cancel;
	unsigned int idle_seconds;
	unsigned int retry_ms; /* the first pause before a retry; it doubles */
};

/* Asks a loopback registry whether it speaks plain HTTP. The options' pointers must last. */
int registry_open(const struct registry_options *options, struct registry **ret_registry,
		  struct cay_error *err);
void registry_close(struct registry *registry);
DEFINE_CLEANUP(struct registry *, registry_close);

/*
 * A manifest or index by tag or digest, at most DOCUMENT_MAX bytes; not checked. ret_media_type is
 * what the Content-Type header says, NULL where there is none or one that says nothing; the caller
 * frees it. Where the registry tells a digest of its own, it must be that of the bytes.
 */
int registry_get_manifest(struct registry *registry, struct transfer *transfer, const char *name,
			  struct buf *out, char **ret_media_type, struct cay_error *err);

/* A blob's bytes in order, each once, however often it takes; all `size` of them, or an error. */
int registry_get_blob(struct registry *registry, struct transfer *transfer, const char *digest,
		      uint64_t size,
		      int (*sink)(const void *data, size_t size, void *user, struct cay_error *err),
		      void *user, struct cay_error *err);
