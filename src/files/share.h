/* SPDX-License-Identifier: Apache-2.0 */
/* What one cay-files serves: the shares of a sandbox, as its command line names them. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

/* Shares of one sandbox; far above what anyone binds into a container. */
enum { SHARES_MAX = 256 };

struct share {
	char *path;     /* absolute, without symbolic links, of a directory or a file */
	bool read_only; /* nothing below it may change through us */
	bool recursive; /* the host's mounts below it are part of it */
	bool slave;     /* and so are those that the host makes later */
	bool cached;    /* the guest may believe attributes and names for a second */
	int root_fd;    /* O_PATH; -1 until jail_enter() */
};

struct share_list {
	struct share *shares;
	size_t count;
};

/*
 * Adds what "--share FLAGS PATH" says. FLAGS: "ro" or "rw", then any of "rec", "slave", "cached",
 * with commas between. CAY_INVALID for another word or a relative path.
 */
int share_list_add(struct share_list *list, const char *flags, const char *path,
		   struct cay_error *err);
void share_list_done(struct share_list *list);
