/* SPDX-License-Identifier: Apache-2.0 */
/* The table of node.h: slots by number, buckets by inode, both under one lock. */
#include "files/node.h"

#include "base/alloc.h"

#include <errno.h>
#include <linux/fuse.h>

enum { BUCKETS_FIRST = 1024, SLOTS_FIRST = 1024 };

static size_t hash(const struct node_key *key)
{
	uint64_t value = key->inode * UINT64_C(0x9e3779b97f4a7c15);

	value ^= (key->device << 17) ^ (key->mount << 41);
	return (size_t)(value ^ (value >> 32));
}

static bool same(const struct node_key *a, const struct node_key *b)
{
	return a->inode == b->inode && a->device == b->device && a->mount == b->mount;
}

void node_table_init(struct node_table *table, struct places *places)
{
	*table = (struct node_table){ .places = places };
	(void)pthread_mutex_init(&table->lock, NULL);
	table->bucket_count = BUCKETS_FIRST;
	table->buckets = xcalloc(table->bucket_count, sizeof(struct node *));
}

static struct node **bucket_of(const struct node_table *table, const struct node_key *key)
{
	return &table->buckets[hash(key) & (table->bucket_count - 1)];
}

static void unlist(struct node_table *table, struct node *node)
{
	struct node **at = bucket_of(table, &node->key);

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	node->listed = false;
	table->slots[node->id - 1] = NULL;
	/* The stack has as many places as there are slots. */
	table->free_slots[table->free_count++] = (size_t)node->id - 1;
	table->count--;
}

static void destroy(struct node_table *table, struct node *node)
{
	cay_close_p(&node->fd);
	free(node);
	places_give(table->places, PLACE_NODE);
}

/* With the lock held: what nobody knows any more leaves the table; true when it is to be freed. */
static bool release(struct node_table *table, struct node *node)
{
	if (node->lookups == 0 && node->listed)
		unlist(table, node);
	return !node->listed && node->users == 0;
}

void node_table_done(struct node_table *table)
{
	for (size_t i = 0; i < table->slots_used; i++)
		if (table->slots[i])
			destroy(table, table->slots[i]);
	free(table->slots);
	free(table->free_slots);
	free(table->buckets);
	(void)pthread_mutex_destroy(&table->lock);
}

static struct node *node_at(const struct node_table *table, uint64_t id)
{
	return id > 0 && id <= table->slots_used ? table->slots[id - 1] : NULL;
}

struct node *node_get(struct node_table *table, uint64_t id)
{
	struct node *node;

	(void)pthread_mutex_lock(&table->lock);
	node = node_at(table, id);
	if (node)
		node->users++;
	(void)pthread_mutex_unlock(&table->lock);
	return node;
}

void node_put(struct node_table *table, struct node *node)
{
	bool last;

	if (!node)
		return;
	(void)pthread_mutex_lock(&table->lock);
	node->users--;
	last = release(table, node);
	(void)pthread_mutex_unlock(&table->lock);
	if (last)
		destroy(table, node);
}

static struct node *find(struct node_table *table, const struct node_key *key)
{
	struct node *node = *bucket_of(table, key);

	while (node && !same(&node->key, key))
		node = node->next;
	if (node) {
		node->lookups++;
		node->users++;
	}
	return node;
}

struct node *node_find(struct node_table *table, const struct node_key *key)
{
	struct node *node;

	(void)pthread_mutex_lock(&table->lock);
	node = find(table, key);
	(void)pthread_mutex_unlock(&table->lock);
	return node;
}

static int grow_slots(struct node_table *table)
{
	size_t count = table->slot_count ? table->slot_count * 2 : SLOTS_FIRST;
	struct node **slots = reallocarray(table->slots, count, sizeof(struct node *));
	size_t *free_slots;

	if (!slots)
		return -ENOMEM;
	table->slots = slots;
	free_slots = reallocarray(table->free_slots, count, sizeof(*free_slots));
	if (!free_slots)
		return -ENOMEM;
	table->free_slots = free_slots;
	table->slot_count = count;
	return 0;
}

/* Longer chains are the worst of it when there is no memory. */
static void grow_buckets(struct node_table *table)
{
	size_t old_count = table->bucket_count;
	struct node **old = table->buckets;
	struct node **buckets = calloc(old_count * 2, sizeof(struct node *));

	if (!buckets)
		return;
	table->buckets = buckets;
	table->bucket_count = old_count * 2;
	for (size_t i = 0; i < old_count; i++) {
		for (struct node *node = old[i], *next; node; node = next) {
			struct node **at = bucket_of(table, &node->key);

			next = node->next;
			node->next = *at;
			*at = node;
		}
	}
	free(old);
}

static int take_slot(struct node_table *table, struct node *node)
{
	size_t slot;

	if (table->free_count == 0 && table->slots_used == table->slot_count &&
	    grow_slots(table) < 0)
		return -ENOMEM;
	slot = table->free_count > 0 ? table->free_slots[--table->free_count] : table->slots_used++;
	table->slots[slot] = node;
	node->id = slot + 1;
	node->generation = table->generation++;
	return 0;
}

static int insert(struct node_table *table, const struct node_key *key, mode_t mode, int *fd,
		  struct node **ret_node)
{
	struct node *node, **at;
	int r;

	node = calloc(1, sizeof(*node));
	if (!node)
		return -ENOMEM;
	r = take_slot(table, node);
	if (r < 0) {
		free(node);
		return r;
	}
	if (++table->count > table->bucket_count)
		grow_buckets(table);
	node->key = *key;
	node->type = mode & S_IFMT;
	node->fd = TAKE_FD(*fd);
	node->lookups = node->users = 1;
	node->listed = true;
	at = bucket_of(table, key);
	node->next = *at;
	*at = node;
	*ret_node = node;
	return 1;
}

int node_enter(struct node_table *table, const struct node_key *key, mode_t mode, int *fd,
	       struct node **ret_node)
{
	struct node *node;
	int r = 0;

	(void)pthread_mutex_lock(&table->lock);
	node = find(table, key);
	if (!node)
		r = insert(table, key, mode, fd, &node);
	(void)pthread_mutex_unlock(&table->lock);
	if (r < 0)
		return r;
	cay_close_p(fd);
	*fd = -1;
	*ret_node = node;
	return r;
}

void node_forget(struct node_table *table, uint64_t id, uint64_t count)
{
	struct node *node;
	bool last = false;

	if (id == FUSE_ROOT_ID)
		return;
	(void)pthread_mutex_lock(&table->lock);
	node = node_at(table, id);
	if (node) {
		node->lookups -= MIN(count, node->lookups);
		last = release(table, node);
	}
	(void)pthread_mutex_unlock(&table->lock);
	if (last)
		destroy(table, node);
}

void node_forget_all(struct node_table *table)
{
	/* Numbers above this one belong to nodes that come meanwhile. */
	size_t used;

	(void)pthread_mutex_lock(&table->lock);
	used = table->slots_used;
	(void)pthread_mutex_unlock(&table->lock);
	for (uint64_t id = FUSE_ROOT_ID + 1; id <= used; id++)
		node_forget(table, id, UINT64_MAX);
}
