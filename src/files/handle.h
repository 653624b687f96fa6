/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest has open: files and directories, by a number. Thread-safe; a
 * handle that handle_get() returned stays until handle_put(), even when the
 * guest releases it meanwhile.
 */
#pragma once

#include "base/macros.h"
#include "files/places.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct listing; /* op-directory.c: a directory's position */

struct handle {
	int fd;
	bool directory;
	uint64_t id;

	pthread_mutex_t lock; /* of the listing */
	struct listing *listing;

	/* the table's */
	unsigned int users;
	bool listed;
};

struct handle_table {
	pthread_mutex_t lock;
	struct handle **slots;
	size_t slot_count;
	size_t lowest_free; /* no slot below it is free */
	uint32_t generation;
	struct places *places;
};

void handle_table_init(struct handle_table *table, struct places *places);
/* No use may be left. */
void handle_table_done(struct handle_table *table);

/* Takes *fd over on success, and a place of the caller's. -ENOMEM. */
int handle_open(struct handle_table *table, bool directory, int *fd, uint64_t *ret_id);
/* NULL: no such handle, or one of the other kind. */
struct handle *handle_get(struct handle_table *table, uint64_t id, bool directory);
/* NULL is allowed. */
void handle_put(struct handle_table *table, struct handle *handle);
/* An unknown id is ignored. */
void handle_close(struct handle_table *table, uint64_t id);
void handle_close_all(struct handle_table *table);
