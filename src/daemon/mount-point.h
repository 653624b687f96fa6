/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One directory, file, socket or volume that a container sees at a path of its
 * own: docker's "mount point". A container's are kept with its request, in the
 * form of mount_point_to_json(); those that other containers lent it
 * (VolumesFrom) are among them by then.
 */
#pragma once

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum mount_type { MOUNT_BIND, MOUNT_VOLUME };

enum mount_propagation {
	MOUNT_RPRIVATE, /* the default */
	MOUNT_PRIVATE,
	MOUNT_RSLAVE,
	MOUNT_SLAVE,
	/* What a guest mounts cannot appear on its host: these two act as the slave ones. */
	MOUNT_RSHARED,
	MOUNT_SHARED,
	MOUNT_PROPAGATION_COUNT,
};

struct mount_point {
	enum mount_type type;
	char *target; /* an absolute path in the container, cleaned, not "/"; unique */
	char *source; /* MOUNT_BIND: an absolute path of the host, cleaned; else NULL */
	char *name;   /* MOUNT_VOLUME: the volume's; else NULL */
	char *mode;   /* as it stood behind -v's second colon, for inspect */
	bool read_only;
	bool cached; /* docker's "cached" and "delegated": the guest may lag behind a second */

	/* MOUNT_BIND */
	enum mount_propagation propagation;
	bool non_recursive; /* without the host's mounts below the source */
	bool create_source; /* a source that is not there is made, a directory */
	char *resolved;     /* where the source led when the container was made; NULL: unknown */

	/* MOUNT_VOLUME */
	bool anonymous; /* its name was made up: it goes with `rm -v` and --rm */
	bool no_copy;   /* an empty volume is not filled from the image */
	char *subpath;  /* what of the volume is mounted; NULL: all */

	/* Of a request that is being made into a container only. */
	bool declared;   /* by Config.Volumes or the image: gives way to VolumesFrom */
	json_t *options; /* of a volume that is to be made, NULL: none */
	json_t *labels;
};

void mount_point_done(struct mount_point *point);
#define _cleanup_mount_point_ _cleanup_(mount_point_done)
/* All but what is only of a new request. */
void mount_point_copy(struct mount_point *to, const struct mount_point *from);

/* "rprivate" and so on; -EINVAL for another word. */
const char *mount_propagation_name(enum mount_propagation propagation);
int mount_propagation_parse(const char *name, enum mount_propagation *ret);

/* As it is stored, and back. */
json_t *mount_point_to_json(const struct mount_point *point);
int mount_point_from_json(const json_t *value, struct mount_point *ret_point,
			  struct cay_error *err);

/*
 * Where a path of the host leads now, links followed, as far as it is there; what is not there yet
 * stands behind that as it is. Slashes at the end are dropped. The caller frees; NULL is errno's.
 */
char *mount_path_resolve(const char *path);
/* Whether `path` is below `directory`, by their names. */
bool mount_path_is_below(const char *path, const char *directory);

/* Go's path.Clean: one '/' between parts, no "." and "..", none at the end. The caller frees. */
char *mount_path_clean(const char *path);
