/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data file of a layer: large contents one after the other, each from a
 * block's start on, and between them blocks into which small items are packed.
 */
#pragma once

#include "base/buf.h"
#include "image/worker/output.h"

struct data_writer;

/* The file is empty, or to be checked. */
struct data_writer *data_writer_new(struct output output);
void data_writer_free(struct data_writer *writer);
DEFINE_CLEANUP(struct data_writer *, data_writer_free);

/* The next contents of `size` bytes: returns the block it starts at. */
int data_writer_begin(struct data_writer *writer, uint64_t size, uint64_t *ret_block,
		      struct cay_error *err);
/*
 * A piece of it, at `offset`, which must not be lower than where the last piece ended and should
 * end on a block's end. Blocks of zeros are left as holes. After `allowed` bytes that are not holes
 * in the whole file it is CAY_TOO_LARGE.
 */
int data_writer_put(struct data_writer *writer, uint64_t offset, struct str data, uint64_t allowed,
		    struct cay_error *err);
/*
 * Room for an item of at most LAYER_BLOCK bytes in one block: where to put it, zeros now, good
 * until the next call, and its place in the file, a multiple of LAYER_SLOT.
 */
int data_writer_pack(struct data_writer *writer, size_t size, uint64_t allowed, char **ret_item,
		     uint64_t *ret_place, struct cay_error *err);
/* Writes what is left and gives the file its full size. */
int data_writer_finish(struct data_writer *writer, uint64_t *ret_blocks, struct cay_error *err);
