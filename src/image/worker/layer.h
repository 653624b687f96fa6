/* SPDX-License-Identifier: Apache-2.0 */
/* A layer: from a tar stream to its data file and its index. */
#pragma once

#include "image/worker/index.h"
#include "image/worker/stream.h"

/*
 * Reads the stream to its end and fills the two empty files, or checks that they are what it would
 * fill them with. On success ret_header is what stands at the head of the index, with the digest of
 * the decompressed stream.
 */
int layer_convert(struct stream *stream, struct output data, struct output index,
		  struct layer_header *ret_header, struct cay_error *err);
