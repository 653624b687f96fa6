/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A registry as a client sees it (the OCI distribution specification 1.1), for
 * one repository: manifests and blobs in both directions, with what it takes:
 * authentication, redirects, retries, resumption.
 *
 * Credentials and tokens go to the registry itself and to the realm it names,
 * and nowhere else. Whatever comes is checked by its digest by the caller.
 */
#pragma once

#include "image/manifest.h"
#include "image/ref.h"
#include "image/store.h"
#include "image/transfer.h"

struct registry;

struct registry_options {
	const struct image_ref *ref;
	const char *mirror; /* the URL of a server that answers in the registry's place, or NULL */
	bool push;          /* it is going to be written to */
	const struct strv *pull_from; /* other repositories of it that will be read, or NULL */
	/* "host", "host:port", "address/bits": plain HTTP, or TLS with whoever answers */
	const struct strv *insecure;
	const struct strv *certs;                    /* folders (certs.h); may be NULL */
	const struct image_credentials *credentials; /* may be NULL */
	const struct worker_cancel *cancel;
	unsigned int idle_seconds;
	unsigned int retry_ms; /* the first pause before a retry; it doubles */
};

/*
 * Asks an insecure or a loopback registry whether it speaks plain HTTP or TLS. The options'
 * pointers must last.
 */
int registry_open(const struct registry_options *options, struct registry **ret_registry,
		  struct cay_error *err);
void registry_close(struct registry *registry);
DEFINE_CLEANUP(struct registry *, registry_close);

/*
 * Something to transfer with, with the connections that an earlier borrower has left open. For one
 * thread, until it is given back, before the registry is closed. Never NULL.
 */
struct transfer *registry_borrow(struct registry *registry);
void registry_give_back(struct registry *registry, struct transfer *transfer);

/* CAY_INVALID unless it is "http[s]://host[:port][/]". */
int registry_check_mirror(const char *url, struct cay_error *err);

/*
 * A manifest or index by tag or digest, at most DOCUMENT_MAX bytes; not checked. ret_media_type is
 * what the Content-Type header says, NULL where there is none or one that says nothing; the caller
 * frees it. Where the registry tells a digest of its own, it must be that of the bytes.
 */
int registry_get_manifest(struct registry *registry, struct transfer *transfer, const char *name,
			  struct buf *out, char **ret_media_type, struct cay_error *err);

/*
 * A blob's bytes in order, each once, however often it takes; all of its size, or an error. Where
 * the registry does not have it, it comes from one of the descriptor's URLs, without credentials.
 */
int registry_get_blob(struct registry *registry, struct transfer *transfer,
		      const struct descriptor *blob,
		      int (*sink)(const void *data, size_t size, void *user, struct cay_error *err),
		      void *user, struct cay_error *err);

/* A document in a blob of at most DOCUMENT_MAX bytes, an image's configuration; its digest is
 * checked.
 */
int registry_get_config(struct registry *registry, struct transfer *transfer,
			const struct descriptor *config, struct buf *out, struct cay_error *err);

/* All tags of the repository, added to `out`. */
int registry_get_tags(struct registry *registry, struct transfer *transfer, struct strv *out,
		      struct cay_error *err);

/* Whether the registry has the blob in this repository. 1, 0 or -errno. */
int registry_has_blob(struct registry *registry, struct transfer *transfer, const char *digest,
		      uint64_t size, struct cay_error *err);

/* The same for a manifest or an index. */
int registry_has_manifest(struct registry *registry, struct transfer *transfer, const char *digest,
			  struct cay_error *err);

/* A blob that is sent. */
struct registry_upload {
	const char *digest;
	uint64_t size;
	int fd;                                   /* positions in it are left alone */
	const struct strv *mount_from;            /* repositories that may have it, or NULL */
	void (*sent)(uint64_t bytes, void *user); /* how much the registry has; may be NULL */
	void *user;
	const char *ret_mounted_from; /* one of mount_from, where it worked */
};
int registry_put_blob(struct registry *registry, struct transfer *transfer,
		      struct registry_upload *upload, struct cay_error *err);

/* `name` is a tag or the digest of the bytes. */
int registry_put_manifest(struct registry *registry, struct transfer *transfer, const char *name,
			  const char *media_type, const void *data, size_t size,
			  struct cay_error *err);

/*
 * Finds out whether the registry takes the credentials. ret_identity_token is what a token server
 * gives in exchange for a password, or NULL; the caller frees it.
 */
int registry_login(struct registry *registry, struct transfer *transfer, char **ret_identity_token,
		   struct cay_error *err);
