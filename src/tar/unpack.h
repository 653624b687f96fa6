/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making the files of an archive below a directory. The archive is not
 * trusted: every name is made clean or refused, and resolved anew by the kernel
 * for each entry, from a descriptor of the directory, so that nothing is ever
 * made, changed or removed outside of it, whatever the archive or another
 * process puts in the way.
 */
#pragma once

#include "tar/reader.h"

struct tar_unpack_options {
	const char *shown; /* what the place is called in errors */
	/* Where entries go below the directory; "" for the directory itself. It must exist. */
	const char *below;
	/*
	 * Symbolic links on the way are followed as if the directory were "/"; else one of them is
	 * an error.
	 */
	bool follow;
	/* Owners and all attributes are set; else both are this process's, but for "user." ones. */
	bool owner;
	/* All belong to these instead of the owners in the archive; only with `owner`. */
	bool one_owner;
	uint32_t uid, gid;
	/* Device nodes are made; else they are left out. */
	bool devices;
	/*
	 * A directory is not replaced by something else, nor something else by a directory: an
	 * error in docker's words. What is replaced otherwise goes with all that is in it.
	 */
	bool keep_kinds;
	/*
	 * In names and targets of hard links `from` at the beginning becomes `to`, and what begins
	 * otherwise is an error: who asked for one thing gets nothing beside it. With "/" all
	 * begin so. NULL: names stay as they are.
	 */
	const char *from, *to;
	void (*skipped)(void *user, const struct tar_entry *entry); /* NULL, or told what is */
	void *user;
};

/*
 * Reads the archive to its end. Missing directories on the way are made. A failure leaves what was
 * made before it, and of a file that was being written nothing. Modes are the archive's, whatever
 * the umask; those and the times of directories are set last, so that read-only ones can be filled.
 */
int tar_unpack(struct tar_reader *reader, int directory, const struct tar_unpack_options *options,
	       struct cay_error *err);
