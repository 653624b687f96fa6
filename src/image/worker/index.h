/* SPDX-License-Identifier: Apache-2.0 */
/* Writing and reading a layer's index; the format is in image/layer-format.h. */
#pragma once

#include "base/buf.h"
#include "image/layer-format.h"
#include "image/worker/output.h"

/* What a record says besides its fixed fields. */
struct index_strings {
	struct str path, link, xattrs;
};

struct index_writer;

/* The file is empty, or to be checked. */
struct index_writer *index_writer_new(struct output output);
void index_writer_free(struct index_writer *writer);
DEFINE_CLEANUP(struct index_writer *, index_writer_free);

/* Fills in the record's sizes. CAY_TOO_LARGE beyond LAYER_ENTRIES_MAX. */
int index_writer_add(struct index_writer *writer, const struct layer_record *record,
		     const struct index_strings *strings, struct cay_error *err);
/* Writes what is left and the header, whose counts are filled in by the caller but for its own. */
int index_writer_finish(struct index_writer *writer, struct layer_header *header,
			struct cay_error *err);

/* An index in memory, mapped from its file and checked as far as its header says. */
struct index_map {
	const uint8_t *data;
	size_t size;
	struct layer_header header;
};

int index_map_open(int fd, struct index_map *ret_map, struct cay_error *err);
void index_map_close(struct index_map *map);

/*
 * The record at *offset (0 at first), checked to lie within the index, to be of a known kind and to
 * have a clean path; *offset goes on to the next. 1, or 0 at the end, or -errno.
 */
int index_next(const struct index_map *map, size_t *offset, const struct layer_record **ret_record,
	       struct cay_error *err);
/* The strings behind a record that index_next() returned. */
struct index_strings index_strings_of(const struct layer_record *record);
