/* SPDX-License-Identifier: Apache-2.0 */
/* The table of handle.h. A number is a slot and the generation of what is in it. */
#include "files/handle.h"

#include "base/alloc.h"

#include <errno.h>

enum { SLOTS_FIRST = 64 };

void handle_table_init(struct handle_table *table, struct places *places)
{
	*table = (struct handle_table){ .places = places, .generation = 1 };
	(void)pthread_mutex_init(&table->lock, NULL);
}

static void destroy(struct handle_table *table, struct handle *handle)
{
	cay_close_p(&handle->fd);
	free(handle->listing);
	(void)pthread_mutex_destroy(&handle->lock);
	free(handle);
	places_give(table->places, PLACE_HANDLE);
}

void handle_table_done(struct handle_table *table)
{
	handle_close_all(table);
	free(table->slots);
	(void)pthread_mutex_destroy(&table->lock);
}

static int take_slot(struct handle_table *table, struct handle *handle)
{
	size_t slot = table->lowest_free;

	while (slot < table->slot_count && table->slots[slot])
		slot++;
	if (slot == table->slot_count) {
		size_t count = slot ? slot * 2 : SLOTS_FIRST;
		struct handle **slots = reallocarray(table->slots, count, sizeof(struct handle *));

		if (!slots)
			return -ENOMEM;
		for (size_t i = slot; i < count; i++)
			slots[i] = NULL;
		table->slots = slots;
		table->slot_count = count;
	}
	table->slots[slot] = handle;
	table->lowest_free = slot + 1;
	handle->id = (uint64_t)table->generation++ << 32 | slot;
	return 0;
}

int handle_open(struct handle_table *table, bool directory, int *fd, uint64_t *ret_id)
{
	struct handle *handle = calloc(1, sizeof(*handle));
	int r;

	if (!handle)
		return -ENOMEM;
	handle->directory = directory;
	handle->listed = true;
	(void)pthread_mutex_init(&handle->lock, NULL);
	(void)pthread_mutex_lock(&table->lock);
	r = take_slot(table, handle);
	if (r == 0) {
		handle->fd = TAKE_FD(*fd);
		*ret_id = handle->id;
	}
	(void)pthread_mutex_unlock(&table->lock);
	if (r < 0) {
		(void)pthread_mutex_destroy(&handle->lock);
		free(handle);
	}
	return r;
}

static struct handle *handle_at(const struct handle_table *table, uint64_t id)
{
	size_t slot = (uint32_t)id;
	struct handle *handle = slot < table->slot_count ? table->slots[slot] : NULL;

	return handle && handle->id == id ? handle : NULL;
}

struct handle *handle_get(struct handle_table *table, uint64_t id, bool directory)
{
	struct handle *handle;

	(void)pthread_mutex_lock(&table->lock);
	handle = handle_at(table, id);
	if (handle && handle->directory != directory)
		handle = NULL;
	if (handle)
		handle->users++;
	(void)pthread_mutex_unlock(&table->lock);
	return handle;
}

void handle_put(struct handle_table *table, struct handle *handle)
{
	bool last;

	if (!handle)
		return;
	(void)pthread_mutex_lock(&table->lock);
	last = --handle->users == 0 && !handle->listed;
	(void)pthread_mutex_unlock(&table->lock);
	if (last)
		destroy(table, handle);
}

void handle_close(struct handle_table *table, uint64_t id)
{
	struct handle *handle;
	bool last = false;

	(void)pthread_mutex_lock(&table->lock);
	handle = handle_at(table, id);
	if (handle) {
		table->slots[(uint32_t)id] = NULL;
		table->lowest_free = MIN(table->lowest_free, (uint32_t)id);
		handle->listed = false;
		last = handle->users == 0;
	}
	(void)pthread_mutex_unlock(&table->lock);
	if (last)
		destroy(table, handle);
}

void handle_close_all(struct handle_table *table)
{
	bool more = true;

	for (size_t i = 0; more; i++) {
		uint64_t id = 0; /* no handle's: generations begin with 1 */

		(void)pthread_mutex_lock(&table->lock);
		more = i < table->slot_count;
		if (more && table->slots[i])
			id = table->slots[i]->id;
		(void)pthread_mutex_unlock(&table->lock);
		handle_close(table, id);
	}
}
