/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the store's files are, and how they come to be: the OCI layout's
 * blobs, each layer's data and index, each image's metadata. Files are made
 * under images/tmp and renamed into place when they are whole and checked, so
 * a name that exists stands for a good file as long as the host does not crash;
 * content_sync() makes that last, and comes before an image is made known.
 *
 * Layers are kept by the digest of their blob, not by that of their
 * decompressed bytes: the daemon has computed the former itself. The latter is
 * the word of a worker that a hostile layer may have taken over; by it, such a
 * layer could put itself in the place of another image's.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"
#include "image/digest.h"
#include "image/layer-format.h"

#include <stdbool.h>
#include <stdint.h>

#define CONTENT_BLOBS "content/blobs/sha256" /* below the root */

/* Bytes of a document (manifest, index, configuration), which may be read just to be checked. */
enum { CONTENT_DOCUMENT_MAX = 4 << 20 };

struct content {
	char *root;
};

/* Makes the folders and the OCI layout's marker, and clears what a crash left half-made. */
int content_open(const char *root, struct content *ret_content, struct cay_error *err);
void content_close(struct content *content);

/* Paths; the caller frees. `digest` must be valid. */
char *content_blob_path(const struct content *content, const char *digest);
char *content_data_path(const struct content *content, const char *digest);
char *content_index_path(const struct content *content, const char *digest);
/* Of the metadata that goes with this version's layers. */
char *content_metadata_path(const struct content *content, const char *digest);
/* Whether a file's path is that of another version's metadata. */
bool content_is_outdated(const char *path);
char *content_catalog_path(const struct content *content); /* index.json */

/* Whether the blob is there in exactly this size. */
bool content_has_blob(const struct content *content, const char *digest, uint64_t size);
/* The same of a document, whose bytes are checked too; false for one above CONTENT_DOCUMENT_MAX. */
bool content_has_document(const struct content *content, const char *digest, uint64_t size);
/* Reads a small blob and checks its digest. */
int content_read_blob(const struct content *content, const char *digest, size_t limit,
		      struct buf *out, struct cay_error *err);
/* Whether the layer has been converted: then its header, for sizes and its diff id. */
bool content_has_layer(const struct content *content, const char *digest,
		       struct layer_header *ret_header);

/* The same, and its diff id must be this one. */
bool content_has_layer_of(const struct content *content, const char *digest, const char *diff_id,
			  struct layer_header *ret_header);
/* False when there is no such blob. */
bool content_blob_size(const struct content *content, const char *digest, uint64_t *ret_size);

/* A new file under images/tmp, open for reading and writing; -errno. The caller frees the path. */
int content_temporary(const struct content *content, char **ret_path, struct cay_error *err);

/* A blob being written. All zeros with fd -1 (BLOB_WRITER_INIT) before blob_writer_open(). */
struct blob_writer {
	const struct content *content;
	int fd;
	char *path;
	uint64_t size;
	uint64_t begun; /* for fd_write_behind() */
	struct hasher hasher;
	char digest[DIGEST_SIZE]; /* "" until it is sealed */
	bool is_new;              /* by its commit, which found no such blob */
};
#define BLOB_WRITER_INIT \
	{ \
		.fd = -1 \
	}

int blob_writer_open(struct blob_writer *writer, const struct content *content,
		     struct cay_error *err);
int blob_writer_put(struct blob_writer *writer, const void *data, size_t size,
		    struct cay_error *err);
/* Ends the writing; writer->digest is what was written. */
void blob_writer_seal(struct blob_writer *writer);
/*
 * Seals it and gives the blob its name, unless there is one of that name and size. With `digest`,
 * it and `size` must be what was written, else CAY_CORRUPT; NULL takes what came. A document that
 * is there and damaged is replaced; for larger blobs that would cost each load a second reading.
 */
int blob_writer_commit(struct blob_writer *writer, const char *digest, uint64_t size,
		       struct cay_error *err);
/* Drops what was not committed. */
void blob_writer_done(struct blob_writer *writer);

/* A whole small blob. */
int content_write_blob(const struct content *content, const void *data, size_t size,
		       struct cay_error *err);

/* Makes one file last, or several, or the entries of the folders that files were renamed into. */
int content_sync_file(const char *path, struct cay_error *err);
int content_sync_files(const struct strv *paths, struct cay_error *err);
int content_sync_folders(const struct content *content, struct cay_error *err);

/*
 * Calls `visit` for each file of the three kinds with the digest it belongs to and its full path.
 * Names that are no digest's are skipped.
 */
int content_each(const struct content *content,
		 void (*visit)(const char *digest, const char *path, void *user), void *user,
		 struct cay_error *err);
