/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mounts of containers: what a create request asks for made real (volumes
 * made and held, other containers' mounts taken over), given back when the
 * container goes, and shown to clients.
 */
#pragma once

#include "daemon/container.h"

/*
 * For a new container with this id: checks the sources that must exist, notes where they lead and
 * where the directories of published sockets are, adds what VolumesFrom
 * names, makes volumes that are not there. From then on the container has all its volumes; what
 * fails gives them back.
 */
int mounts_prepare(struct daemon *daemon, struct request *request, const char *id,
		   struct cay_error *err);
/*
 * The container has its volumes no longer. With `remove_anonymous` those whose names were made up
 * are removed, if nobody else has them.
 */
void mounts_release(struct daemon *daemon, const struct request *request, const char *id,
		    bool remove_anonymous);
/* A container that was there before the daemon has its volumes. */
void mounts_take_up(const struct container *container);

/* "Mounts" as inspect has them, or as lists do: without mode of propagation; a new array. */
json_t *mounts_to_json(const struct container *container);
