/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the volumes share. */
#pragma once

#include "daemon/volumes.h"

#include <pthread.h>

/* Names below <root>/volumes and in a volume's directory. */
#define VOLUME_MAKING   ".making-"
#define VOLUME_REMOVING ".removing-"
#define VOLUME_DATA     "_data"
#define VOLUME_DISK     "disk.ext4"

struct volume_row {
	struct volume *volume;
	struct strv users;  /* ids of the containers that have it */
	struct strv active; /* of those that run with it */
};

struct volumes {
	struct daemon *daemon;
	char *directory; /* <root>/volumes */
	/*
	 * Guards the rows. Held while a volume is made or loses its name, which the disk may take
	 * some milliseconds for, so that a name never stands for two directories.
	 */
	pthread_mutex_t lock;
	/* Held while something is mounted for a VOLUME_MOUNT or unmounted; taken before the other.
	 */
	pthread_mutex_t mounting;
	struct volume_row *rows; /* by name */
	size_t count;
};

/* A volume that is not yet anywhere. */
int volume_new(struct volumes *volumes, const char *name, const json_t *options,
	       const json_t *labels, struct volume **ret_volume, struct cay_error *err);
/* Its row in the database. */
int volume_store(struct volumes *volumes, const struct volume *volume, struct cay_error *err);
/* docker's event; `extra` is taken over. */
void volume_emit(const struct volumes *volumes, const struct volume *volume, const char *action,
		 json_t *extra);

/* With the lock held. */
struct volume_row *volumes_row(struct volumes *volumes, const char *name);
void volumes_insert(struct volumes *volumes, struct volume *volume);
struct volume *volumes_take_out(struct volumes *volumes, struct volume_row *row);
