/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte stream that may be compressed: gzip (any number of members), zstd
 * (any number of frames) or neither, told apart by its first bytes and never
 * by what someone said it is. Everything that comes out is hashed, unless that
 * is not wanted.
 */
#pragma once

#include "base/error.h"
#include "image/digest.h"

#include <sys/types.h>

struct stream;

/* Where the raw bytes come from: like read(2), 0 at the end, -errno on failure. */
typedef ssize_t stream_source(void *user, void *data, size_t size);

/* `limit` bounds what may come out in all. Nothing is read yet. */
struct stream *stream_new(stream_source *source, void *user, uint64_t limit);
void stream_free(struct stream *stream);
DEFINE_CLEANUP(struct stream *, stream_free);

/* bzip2 and xz are taken as well. Before anything is read. */
void stream_take_other(struct stream *stream);
/* Nobody will ask for the digest. Before anything is read. */
void stream_without_digest(struct stream *stream);

/*
 * Reads `size` bytes, fewer only at the end. A truncated or broken compressed stream, or one over
 * the limit, is an error.
 */
ssize_t stream_read(struct stream *stream, void *data, size_t size, struct cay_error *err);
/* The same for a tar_reader, whose source `stream` is. */
ssize_t stream_read_raw(void *stream, void *data, size_t size, struct cay_error *err);
/* Reads to the end, so that the digest covers everything. */
int stream_drain(struct stream *stream, struct cay_error *err);

uint64_t stream_bytes_in(const struct stream *stream);
uint64_t stream_bytes_out(const struct stream *stream);
/* SHA-256 of all that came out; once, after stream_drain(). */
void stream_digest(struct stream *stream, uint8_t ret_digest[DIGEST_BYTES]);
