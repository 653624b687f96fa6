/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a process runs as, worked out from the container's own /etc/passwd and
 * /etc/group by docker's rules. Both are the container's bytes: they are read
 * with bounds and inside its root, and malformed lines are passed over.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"

#include <sys/types.h>

struct user {
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	size_t group_count;
	char *home; /* "/" where the file does not tell */
};

void user_done(struct user *user);
#define _cleanup_user_ _cleanup_(user_done)

/*
 * Resolves docker's form, name|uid[:group|gid] ("" is root's), with the contents of the two files.
 * Without a group in it, the group is that of the user's line (0 where there is none) and the
 * further groups those that list the user; with one, that group alone. The group is among the
 * further groups, and `additional` (names or numbers) are added. What can't be found is CAY_INVALID
 * with docker's words.
 */
int user_resolve(const char *spec, const struct strv *additional, struct str passwd,
		 struct str group, struct user *ret_user, struct cay_error *err);

/* The home directory in `passwd` of a user known by number, which the caller frees; never NULL. */
char *user_home(uid_t uid, struct str passwd);
/* Adds groups by name or number where they are missing. */
int user_add_groups(struct user *user, const struct strv *additional, struct str group,
		    struct cay_error *err);
/* Adds one group; -E2BIG for too many. */
int user_add_group(struct user *user, gid_t gid);

/*
 * Reads one of the files below the root of this process, without leaving it, whatever links it
 * holds. One that is absent is empty; one that is no regular file, or larger than 1 MiB, is an
 * error.
 */
int user_read_file(const char *path, struct buf *out, struct cay_error *err);
