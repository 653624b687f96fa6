/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The images of one root: content/ (an OCI image layout, the truth about which
 * images exist and what they are called), layers/ (each layer as an EROFS data
 * file, made once) and images/ (each image's EROFS metadata file).
 *
 * One struct image_store belongs to one daemon and may be used from any
 * thread. Pull and load block for as long as the network and the disk take;
 * the others only for a few small files.
 */
#pragma once

#include "base/error.h"
#include "base/strv.h"

#include <jansson.h>
#include <stdbool.h>

struct image_store;

struct image_store_options {
	const char *root;
	const char *worker; /* path of the cay-layer program */
	/* "host", "host:port", "address/bits": plain HTTP or unverified TLS; loopback always */
	const struct strv *insecure_registries;
	const struct strv *registry_mirrors; /* URLs, asked in order before Docker Hub */
	const struct strv *registry_certs;   /* folders like /etc/docker/certs.d, the first that
						knows a registry counts */
	unsigned int parallel_layers;        /* of a pull; 0: 3 */
	unsigned int parallel_uploads;       /* of a push; 0: 5 */
};

/* Makes what is missing and clears away what a crash left half-made. */
int image_store_open(const struct image_store_options *options, struct image_store **ret_store,
		     struct cay_error *err);
void image_store_close(struct image_store *store);

/* One image, as a value of its own; freed with image_free(). */
struct image {
	char *id;              /* "sha256:…", the digest of its config, as docker's image id */
	char *manifest_digest; /* "sha256:…" */
	struct strv names;     /* "docker.io/library/debian:bookworm", full form; may be empty */
	struct strv digests;   /* "docker.io/library/debian@sha256:…" for pulled images */
	bool is_member; /* an index that is in use keeps it, whether a name shows it or not */
	int64_t created_ns;
	char *os, *architecture, *variant;
	uint64_t size; /* of the files in all layers, in bytes, as docker counts it */
	size_t layer_count;
	uint64_t *layer_sizes; /* each layer's share of `size`, lowest first */
	uint64_t
		shared_size; /* of layers that other images have too; by image_store_list() alone */
	struct strv diff_ids; /* "sha256:…" of each decompressed layer, lowest first */
	json_t *config;       /* the whole OCI image configuration */
};
void image_free(struct image *image);
DEFINE_CLEANUP(struct image *, image_free);

/*
 * Finds an image by what a person writes: a reference ("debian", "debian:12",
 * "host:5000/a/b@sha256:…"), an id with or without "sha256:", or an unambiguous prefix of an id of
 * at least 4 digits. CAY_NOT_FOUND says "No such image: <what was written>".
 */
int image_store_find(struct image_store *store, const char *name, struct image **ret_image,
		     struct cay_error *err);
/* The same for a platform, "os/arch[/variant]": of an index that member which fits it best. */
int image_store_find_platform(struct image_store *store, const char *name, const char *platform,
			      struct image **ret_image, struct cay_error *err);
/* All images; the caller frees each and the array. */
int image_store_list(struct image_store *store, struct image ***ret_images, size_t *ret_count,
		     struct cay_error *err);

/* The size of all layers, each counted once. */
uint64_t image_store_layers_size(struct image_store *store);

/* The root disk: metadata first, then the layers' data, to be read as one disk. */
struct image_extent {
	char *path;
	uint64_t size; /* bytes, a multiple of 4096 */
};
struct image_disk {
	struct image_extent *extents;
	size_t count;
};
/*
 * Makes what is missing of the disk, or was made by another version of cay, from the image's blobs:
 * then it blocks for as long as that takes. The files exist while the image does: hold it with
 * image_store_hold() while a VM uses them.
 */
int image_store_disk(struct image_store *store, const char *id, struct image_disk *ret_disk,
		     struct cay_error *err);
void image_disk_done(struct image_disk *disk);

/* Progress of a pull or load. Called from several threads, one at a time. */
struct image_progress {
	const char *id;     /* short layer or image id, or "" */
	const char *status; /* docker's words: "Pulling fs layer", "Downloading", "Extracting", … */
	uint64_t current, total; /* bytes; total 0: unknown */
};
struct image_progress_sink {
	void (*report)(const struct image_progress *progress, void *user);
	bool (*cancelled)(
		void *user); /* asked often; true ends the work with CAY_CANCELLED. May be NULL */
	void *user;
};

struct image_credentials {
	const char *username, *password; /* or */
	const char *identity_token;      /* or */
	const char *registry_token;      /* as docker's X-Registry-Auth has them; all may be NULL */
};

/*
 * Pulls `reference`. platform is "os/arch[/variant]" or NULL for linux and the host's architecture.
 * On success the image is stored under the reference's full name and returned.
 */
int image_store_pull(struct image_store *store, const char *reference, const char *platform,
		     const struct image_credentials *credentials,
		     const struct image_progress_sink *sink, struct image **ret_image,
		     struct cay_error *err);

/* What was pushed, in the words of its registry. */
struct image_pushed {
	char digest[72]; /* "sha256:…" of the manifest or index */
	uint64_t size;   /* its bytes */
};

/*
 * Pushes the image that has the name `reference` (with a tag, or "latest") to the registry in that
 * name: what is there already is not sent, what another of its repositories has is mounted. From
 * then on the image is also known by the digest in that repository. platform is as for a pull; NULL
 * takes what there is.
 */
int image_store_push(struct image_store *store, const char *reference, const char *platform,
		     const struct image_credentials *credentials,
		     const struct image_progress_sink *sink, struct image_pushed *ret_pushed,
		     struct cay_error *err);
/* The tags by which images of the repository that `reference` names are known here. */
int image_store_local_tags(struct image_store *store, const char *reference, struct strv *ret_tags,
			   struct cay_error *err);

/* Below: questions to registries, about what need not be here. They block for the network. */

/* The tags that the repository of `reference` has there. */
int image_store_remote_tags(struct image_store *store, const char *reference,
			    const struct image_credentials *credentials,
			    const struct image_progress_sink *sink, struct strv *ret_tags,
			    struct cay_error *err);

/* What a reference leads to in its registry. */
struct image_remote {
	char *media_type;
	char digest[72];
	uint64_t size;
	struct image_remote_platform {
		char *os, *architecture, *variant; /* the last may be NULL */
	} * platforms;
	size_t platform_count;
};
int image_store_inspect_remote(struct image_store *store, const char *reference,
			       const struct image_credentials *credentials,
			       const struct image_progress_sink *sink,
			       struct image_remote *ret_remote, struct cay_error *err);
void image_remote_done(struct image_remote *remote);

/*
 * Whether the registry at `address` ("host[:port]", or a URL of it; "" and index.docker.io's are
 * Docker Hub) takes the credentials. ret_identity_token is what a token server gives for them, to
 * be used in place of the password, or NULL; the caller frees and wipes it.
 */
int image_store_login(struct image_store *store, const char *address,
		      const struct image_credentials *credentials,
		      const struct image_progress_sink *sink, char **ret_identity_token,
		      struct cay_error *err);

/*
 * Loads every image of an OCI or Docker archive (tar, also gzip or zstd compressed) read from fd.
 * The names, in the short form for people (or, of those without, the ids), are added to ret_loaded.
 */
int image_store_load(struct image_store *store, int fd, const struct image_progress_sink *sink,
		     struct strv *ret_loaded, struct cay_error *err);

/* Where an archive goes, in pieces; what it returns ends the work if it is negative. */
struct image_writer {
	int (*write)(const void *data, size_t size, void *user, struct cay_error *err);
	void *user;
};

/*
 * Writes the images as one tar that is both an OCI layout and a Docker archive, in memory that
 * does not grow with them. A repository without a tag stands for all of its tags. An index is saved
 * with all of its manifests that are here; `platform` ("os/arch[/variant]", else NULL) takes that
 * one alone. Nothing is written before all images are found; they are kept from then on, whoever
 * removes them. `sink` may be NULL.
 */
int image_store_save(struct image_store *store, const struct strv *references, const char *platform,
		     const struct image_writer *writer, const struct image_progress_sink *sink,
		     struct cay_error *err);

/* By its first bytes (6 say enough): gzip, zstd, bzip2 or xz. */
bool image_is_compressed(const void *data, size_t size);

/*
 * A stream that may be compressed, made plain: *ret_fd is a socket to read it from until its end.
 * `fd`, a socket too, is borrowed until image_unpack_end(); where nothing is compressed *ret_fd is
 * `fd` itself and *ret_unpacking NULL. Blocks until the first bytes are there.
 */
struct image_unpacking;
int image_unpack_begin(struct image_store *store, int fd, struct image_unpacking **ret_unpacking,
		       int *ret_fd, struct cay_error *err);
/*
 * Frees it; NULL is allowed. CAY_INVALID where the compressed data was broken, which is why the
 * plain data was cut off. With `complete` the rest is read, and checked, first.
 */
int image_unpack_end(struct image_unpacking *unpacking, bool complete, struct cay_error *err);

/* One thing that was looked at. */
struct image_check {
	const char
		*kind; /* "manifest" (or index), "config", "layer": blobs; "disk": made from them */
	char *digest;  /* of the blob that it is, or was made from */
	uint64_t size;
	char *problem; /* and what to do; NULL: all is well */
};
struct image_verdict {
	char *id;
	bool ok;
	struct image_check *checks;
	size_t count;
};
void image_verdict_done(struct image_verdict *verdict);

/*
 * Checks all that is stored of an image, which takes about as long as loading it. What is damaged
 * is taken away: the next pull or load replaces it, and what was made from blobs is made again when
 * it is needed. `sink` may be NULL. That something is damaged is no error of this function.
 */
int image_store_verify(struct image_store *store, const char *reference,
		       const struct image_progress_sink *sink, struct image_verdict *ret_verdict,
		       struct cay_error *err);

int image_store_tag(struct image_store *store, const char *name, const char *new_name,
		    struct cay_error *err);

/* What removals did; it adds up over several. Starts as all zeros. */
struct image_removal {
	struct strv untagged;     /* names, in the short form for people */
	struct strv deleted;      /* ids of images, then diff ids of their layers, highest first */
	uint64_t reclaimed_bytes; /* the files in those layers */
};
void image_removal_done(struct image_removal *removal);
#define _cleanup_image_removal_ _cleanup_(image_removal_done)

/*
 * Docker's rmi: by a name, that name goes, and the image with its last one; by an id, the image,
 * which is CAY_CONFLICT with names in several repositories unless `force`. An image that a
 * container holds is CAY_CONFLICT too; with `force` it only loses its names, where docker deletes
 * it under a stopped container. Of holders that are in `running` (NULL: none) not even force by id
 * takes it.
 */
int image_store_remove(struct image_store *store, const char *name, bool force,
		       const struct strv *running, struct image_removal *removal,
		       struct cay_error *err);

/*
 * The same without force for what was found some time ago: `name` must still be a name of the image
 * with this id or, if it is the id itself, the image must have no names. Else CAY_CONFLICT.
 */
int image_store_remove_unchanged(struct image_store *store, const char *name, const char *id,
				 struct image_removal *removal, struct cay_error *err);

/* Containers keep their image: counted by image id, by `holder` (a container's id). */
void image_store_hold(struct image_store *store, const char *id, const char *holder);
void image_store_release(struct image_store *store, const char *id, const char *holder);

/* The full form of a reference: "debian" → "docker.io/library/debian:latest". */
int image_reference_normalize(const char *reference, char **ret_full, struct cay_error *err);
/* The short form for people: "docker.io/library/debian:latest" → "debian:latest". */
char *image_reference_familiar(const char *full);
