/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of a published socket on the host: made in a directory that may
 * belong to a user, and so as that user, who is also its owner. Nothing is
 * reached by a path twice: the directory is held open.
 */
#pragma once

#include "base/error.h"

#include <sys/types.h>

struct socket_file {
	int directory; /* -1: there is no file */
	char *name;    /* in it */
	dev_t device;
	ino_t inode;
};

/*
 * Listens at `path`, mode 0600. A socket that nobody listens on gives way; one that is in use, and
 * anything that is no socket, is CAY_EXISTS. The listening descriptor or -errno.
 */
int socket_file_listen(const char *path, struct socket_file *ret_file, struct cay_error *err);
/* Removes the file if it is still that one, and forgets it. The socket must still be open: that
   keeps another file from having the same number. */
void socket_file_remove(struct socket_file *file);

/* Removes the socket that a dead program has left at `path`; one that is in use stays. */
void socket_file_sweep(const char *path);
