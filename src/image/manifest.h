/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON documents of an image, OCI's and Docker's: descriptors, manifests,
 * indexes ("manifest lists") and configurations, read strictly.
 *
 * Formats: the OCI image specification 1.1 (descriptor.md, manifest.md,
 * image-index.md, config.md); the distribution project's "Image Manifest
 * Version 2, Schema 2".
 */
#pragma once

#include "base/strv.h"
#include "image/content.h"
#include "image/digest.h"
#include "image/platform.h"

#define MEDIA_OCI_MANIFEST    "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_INDEX       "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_CONFIG      "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER_TAR   "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_LIST     "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_CONFIG   "application/vnd.docker.container.image.v1+json"

enum {
	DOCUMENT_MAX = CONTENT_DOCUMENT_MAX, /* of a manifest, an index or a configuration */
	LAYERS_MAX = 500,                    /* of an image */
	MANIFESTS_MAX = 1000,                /* of an index */
	URLS_MAX = 16,                       /* of one layer */
};

struct descriptor {
	char *media_type; /* "" where none was given */
	char digest[DIGEST_SIZE];
	uint64_t size;
	struct platform platform; /* of an index's members */
	struct strv urls;         /* where else it may be got from */
	json_t *annotations;      /* may be NULL */
};

/* An index has members and no config; a manifest has a config and layers, lowest first. */
struct manifest {
	bool is_index;
	char *media_type;
	struct descriptor config;
	struct descriptor *items; /* layers or members */
	size_t item_count;
};

void manifest_done(struct manifest *manifest);
#define _cleanup_manifest_ _cleanup_(manifest_done)

/* Whether a media type is that of an index, OCI's or Docker's. */
bool media_type_is_index(const char *type);

/*
 * Reads a manifest or an index. `media_type` is what a descriptor or the Content-Type header says
 * it is, or NULL; it and the document's own "mediaType" must agree with each other and with what
 * the document holds.
 */
int manifest_parse(const char *data, size_t size, const char *media_type,
		   struct manifest *ret_manifest, struct cay_error *err);
/* The same of a stored one, whose digest is checked. ret_size, its bytes, may be NULL. */
int manifest_read_stored(const struct content *content, const char *digest,
			 struct manifest *ret_manifest, uint64_t *ret_size, struct cay_error *err);
/* A descriptor of these three members, as JSON. */
json_t *descriptor_json(const char *media_type, const char *digest, uint64_t size);
/* The member that fits best; it is borrowed from the index. CAY_NOT_FOUND names what there is. */
int manifest_select(const struct manifest *index, const struct platform *platform,
		    const struct descriptor **ret_member, struct cay_error *err);

/* What cay reads of an image's configuration. */
struct image_config {
	json_t *document;
	struct platform platform;
	int64_t created_ns; /* 0 where it is not given */
	struct strv diff_ids;
};

void image_config_done(struct image_config *config);
#define _cleanup_image_config_ _cleanup_(image_config_done)

/* `layer_count` is the manifest's, which the configuration's must equal. */
int image_config_parse(const char *data, size_t size, size_t layer_count,
		       struct image_config *ret_config, struct cay_error *err);
