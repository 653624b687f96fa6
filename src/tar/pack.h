/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file, or a directory with all that is in it, as entries of an archive. The
 * tree is walked by descriptors and no symbolic link is followed, so that
 * whoever changes it meanwhile can't lead the walk out of it.
 */
#pragma once

#include "tar/writer.h"

struct tar_pack_options {
	const char *shown;    /* what the file is called in errors */
	bool one_file_system; /* what is mounted below is left out; its mount point stays, empty */
	bool xattrs;          /* all of them; else only a program's capabilities, as docker does */
	/*
	 * NULL, or called with every entry before it is written, to change it: 1 to go on, 0 to
	 * leave it out with what is in it, or -errno with err set. `name` stands in `directory`.
	 */
	int (*edit)(void *user, int directory, const char *name, struct tar_entry *entry,
		    struct cay_error *err);
	void (*skipped)(void *user, const char *path); /* NULL, or told of each socket */
	void *user;
};

/*
 * Writes what `name` is in the directory, called `as` in the archive, and then what is in it, in
 * the order of names; with "" for `as` only that, by its names alone. Further names of a file that
 * is no symbolic link are hard links to its first; sockets are left out. A file that changes while
 * it is read has the size it had at first, with zeros for what it lost. A name that vanishes
 * meanwhile is left out.
 */
int tar_pack(struct tar_writer *writer, int directory, const char *name, const char *as,
	     const struct tar_pack_options *options, struct cay_error *err);
