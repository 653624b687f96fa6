/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes: directories below <root>/volumes/<name> that outlive containers, as
 * docker's "local" driver has them, and disks (volume-block.h). Who has a volume
 * is a container, running or not, or one that is being made; a volume that
 * someone has is not removed.
 *
 * A volume's row in the database is there exactly while its directory is whole:
 * made under a name of its own, renamed, then the row; on its way out the row's
 * directory is renamed first. A directory that a crash left without its row is
 * cleared away if it is empty and becomes a volume again if it is not.
 *
 * Thread-safe. A struct volume does not change, and is counted.
 */
#pragma once

#include "base/error.h"
#include "base/strv.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct container;
struct daemon;
struct volumes;

/* docker's mark of a volume whose name was made up. */
#define VOLUME_ANONYMOUS_LABEL "com.docker.volume.anonymous"

enum volume_kind {
	VOLUME_DIRECTORY,
	VOLUME_MOUNT, /* a directory on which the host mounts something while it is in use */
	VOLUME_BLOCK,
};

struct volume {
	unsigned int references; /* atomic */
	char *name;
	enum volume_kind kind;
	json_t *options, *labels; /* NULL: none were given */
	int64_t created_ns;
	char *directory;  /* <root>/volumes/<name> */
	char *mountpoint; /* what inspect shows: its contents */
	uint64_t size;    /* VOLUME_BLOCK: the disk's */
	/* The directory that VOLUME_MOUNT binds; NULL: it mounts something else. */
	const char *bind_source; /* in `options` */
	char *bind_resolved;     /* where that led when the volume was made; NULL: unknown */
};

struct volume *volume_ref(struct volume *volume);
void volume_unref(struct volume *volume);
DEFINE_CLEANUP(struct volume *, volume_unref);
#define _cleanup_volume_ _cleanup_(volume_unref_p)

/* Reads the database and settles it with the directories. Before containers are recovered. */
int volumes_open(struct daemon *daemon, struct volumes **ret_volumes, struct cay_error *err);
/* Unmounts what nobody uses any more; after the containers were recovered. */
void volumes_settle(struct volumes *volumes);
void volumes_free(struct volumes *volumes);

/*
 * Finds the volume of this name or makes it; a name of NULL is made up. `user`, a container's id,
 * has it from now on (NULL: nobody). As docker's: options and labels of one that is there already
 * are not looked at. *ret_made tells which it was; may be NULL.
 */
int volumes_create(struct volumes *volumes, const char *name, const json_t *options,
		   const json_t *labels, const char *user, struct volume **ret_volume,
		   bool *ret_made, struct cay_error *err);
/* CAY_NOT_FOUND in docker's words. */
int volumes_find(struct volumes *volumes, const char *name, struct volume **ret_volume,
		 struct cay_error *err);
/* A container has it; one that is not there is CAY_NOT_FOUND. Twice is as once. */
int volumes_hold(struct volumes *volumes, const char *name, const char *user,
		 struct cay_error *err);
void volumes_release(struct volumes *volumes, const char *name, const char *user);
/* CAY_CONFLICT while someone has it. Blocks until the contents are gone. */
int volumes_remove(struct volumes *volumes, const char *name, struct cay_error *err);

struct volume_list {
	struct volume **items; /* by name */
	size_t count;
};
void volumes_list(struct volumes *volumes, struct volume_list *ret_list);
void volume_list_done(struct volume_list *list);
#define _cleanup_volume_list_ _cleanup_(volume_list_done)

/* How many containers have it. */
size_t volumes_count_users(struct volumes *volumes, const char *name);
/* Bytes of its contents, hard links once; -1 for VOLUME_MOUNT, which holds none of its own. */
int64_t volume_usage(const struct volume *volume);

/*
 * A container that is about to run uses it: what VOLUME_MOUNT mounts is there when this returns.
 * Of VOLUME_BLOCK there is one user at a time: while another container has entered it, this is
 * CAY_CONFLICT. Emits docker's "mount" event. Undone for all of a container's volumes by
 * volumes_leave().
 */
int volumes_enter(struct volumes *volumes, const struct volume *volume,
		  const struct container *container, const char *target, bool read_only,
		  struct cay_error *err);
/* The same for one that runs already, when the daemon starts. */
void volumes_take_up(struct volumes *volumes, const struct container *container);
void volumes_leave(struct volumes *volumes, const struct container *container);
/* The id of a container other than `id` that has entered it; the caller frees. NULL: none. */
char *volumes_find_other(struct volumes *volumes, const char *name, const char *id);
