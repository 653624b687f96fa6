/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What cp makes of its two paths: docker's rules ("docker container cp" in its
 * reference; copy.go of its archive package) as functions of what is known
 * about both sides, without a look at either.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>

/* One side of a copy. */
struct cp_side {
	char *path; /* a slash or "/." at its end says that it is to be a directory */
	char *name; /* what the source is called in the archive, if not by its path; or NULL */
	bool exists, directory;
};
void cp_side_done(struct cp_side *side);
#define _cleanup_cp_side_ _cleanup_(cp_side_done)

/* Where the archive of the source is to be unpacked, and under which name. */
struct cp_plan {
	char *directory;
	char *name; /* what is first in the archive is called there; NULL: as it is */
};
void cp_plan_done(struct cp_plan *plan);
#define _cleanup_cp_plan_ _cleanup_(cp_plan_done)

/*
 * "CONTAINER:PATH" taken apart; *ret_container is NULL for a path of this host: one without a
 * colon, an absolute one, or one that begins with a dot. The caller frees both.
 */
void cp_split(const char *argument, char **ret_container, char **ret_path);

/* The clean absolute path, with what `path` has at its end to say that it is a directory. */
char *cp_absolute(const char *path);
/* Clean directory and last component, which is "." where the path ends with it. */
void cp_split_entry(const char *path, char **ret_directory, char **ret_name);
/*
 * A link's target in place of `path`: in *side the target, ending as the path does, and the path's
 * own name where the archive is to have that.
 */
void cp_set_resolved(struct cp_side *side, const char *path, const char *target);
/* Where the link at `path` leads: its target, below the link's directory if it is relative. */
char *cp_link_target(const char *path, const char *target);

/* CAY_CONFLICT or CAY_NOT_FOUND where a source can't become that destination. */
int cp_make_plan(const struct cp_side *source, const struct cp_side *destination,
		 struct cp_plan *ret_plan, struct cay_error *err);
