/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An archive from a writer that is not trusted, on its way to readers that
 * trust what they get: docker's clients unpack what a daemon sends them with
 * plain paths, through every link that stands in the way. What comes out is
 * written anew, so that all readers see the names and sizes that were checked
 * here, and is what an honest walk over one tree gives: each name once, in
 * order, each directory before what is in it. So nothing in it can lie below a
 * link, whatever stood at its receiver before.
 */
#pragma once

#include "tar/reader.h"
#include "tar/writer.h"

/*
 * Reads the archive to its end and writes it with its end. `as` is what was asked for: the archive
 * is of this one file or directory, and so called: "x", or "." or "/" with what is in it behind
 * that. With "" it is what is in a directory, by its names alone.
 *
 * Anything else is CAY_CORRUPT: names beside that, absolute ones, "." and ".." in them, a name out
 * of order, a hard link to what is no earlier file of the archive, holes, ids that no Linux has.
 * Symbolic links lead where they like. Extended attributes are left out but for "user." ones and a
 * program's capabilities. What was written before a failure is not a whole archive.
 */
int tar_pass(struct tar_reader *reader, struct tar_writer *writer, const char *as,
	     struct cay_error *err);
