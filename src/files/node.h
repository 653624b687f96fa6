/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that a guest knows: each a node with a number, an O_PATH
 * descriptor that stands for the inode whatever becomes of its names, and the
 * count of references that the guest holds. As the descriptor keeps the inode
 * alive, its number on the host is not given to another file meanwhile.
 *
 * Thread-safe. A node that a function returned has a use of the caller's own
 * and stays until node_put(), even when the guest forgets it.
 */
#pragma once

#include "base/macros.h"
#include "files/places.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

/* What makes a file that file. The mount too: the same file elsewhere may be read-only there. */
struct node_key {
	uint64_t device, inode, mount;
};

struct node {
	int fd; /* O_PATH */
	mode_t type;
	struct node_key key;
	uint64_t id;
	uint64_t generation; /* differs between those that had the same id */
	/* The guest may have cached data from within the same tick of the file's clock. */
	atomic_bool unsettled;

	/* the table's */
	uint64_t lookups;
	unsigned int users;
	struct node *next; /* of the same hash */
	bool listed;
};

struct node_table {
	pthread_mutex_t lock;
	struct node **buckets; /* a power of two */
	size_t bucket_count;
	struct node **slots; /* by id - 1 */
	size_t slot_count, slots_used;
	size_t *free_slots; /* a stack */
	size_t free_count;
	uint64_t generation;
	size_t count;
	struct places *places;
};

void node_table_init(struct node_table *table, struct places *places);
/* No use may be left. */
void node_table_done(struct node_table *table);

/* The node with this number, or NULL. */
struct node *node_get(struct node_table *table, uint64_t id);
/* NULL is allowed. */
void node_put(struct node_table *table, struct node *node);
/* One that is known, with one lookup more; NULL when it is not. */
struct node *node_find(struct node_table *table, const struct node_key *key);
/*
 * The same, made where it is missing: 1, and a place of the caller's has become the node's; 0 where
 * it was known; -ENOMEM. Takes *fd over on success, and closes it if the node has one.
 */
int node_enter(struct node_table *table, const struct node_key *key, mode_t mode, int *fd,
	       struct node **ret_node);
/* The guest gives back `count` lookups; more than it has is as many as it has. */
void node_forget(struct node_table *table, uint64_t id, uint64_t count);
/* All that the guest has, but the root's. */
void node_forget_all(struct node_table *table);
