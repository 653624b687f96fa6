/* SPDX-License-Identifier: Apache-2.0 */
/* What the images take: each layer once, and what several of them share. */
#include "image/store-internal.h"

#include "base/alloc.h"

/* A layer of one image. */
struct use {
	const char *blob;
	uint64_t size;
	size_t image;
	bool counts; /* in its image's size: the layers of a second manifest do not */
};

struct uses {
	struct use *items;
	size_t count;
};

static int by_blob_then_image(const void *a, const void *b)
{
	const struct use *left = a, *right = b;
	const int order = strcmp(left->blob, right->blob);

	return order ? order : (left->image > right->image) - (left->image < right->image);
}

/* Every layer of every image, sorted. An image's number is the first record's with its id. */
static struct uses collect_uses(const struct catalog *catalog)
{
	struct uses uses = { 0 };
	size_t room = 1;

	for (size_t i = 0; i < catalog->count; i++)
		room += catalog->records[i]->blobs.count;
	uses.items = xcalloc(room, sizeof(*uses.items));
	for (size_t i = 0; i < catalog->count; i++) {
		const struct record *record = catalog->records[i];
		size_t image = 0;

		while (strcmp(catalog->records[image]->config_digest, record->config_digest) != 0)
			image++;
		for (size_t j = 0; j < record->blobs.count; j++)
			uses.items[uses.count++] =
				(struct use){ record->blobs.items[j], record->layer_sizes[j], image,
					      image == i };
	}
	qsort(uses.items, uses.count, sizeof(*uses.items), by_blob_then_image);
	return uses;
}

uint64_t image_store_layers_size(struct image_store *store)
{
	uint64_t size = 0;
	struct uses uses;

	(void)pthread_mutex_lock(&store->lock);
	uses = collect_uses(&store->catalog);
	for (size_t i = 0; i < uses.count; i++)
		if (i == 0 || strcmp(uses.items[i].blob, uses.items[i - 1].blob) != 0)
			size += uses.items[i].size;
	(void)pthread_mutex_unlock(&store->lock);
	free(uses.items);
	return size;
}

void store_share(const struct catalog *catalog, uint64_t *shared)
{
	struct uses uses = collect_uses(catalog);

	for (size_t i = 0, end; i < uses.count; i = end) {
		const struct use *first = &uses.items[i];

		for (end = i + 1; end < uses.count; end++)
			if (strcmp(uses.items[end].blob, first->blob) != 0)
				break;
		if (uses.items[end - 1].image == first->image)
			continue; /* one image's alone, however often */
		for (size_t j = i; j < end; j++)
			if (uses.items[j].counts)
				shared[uses.items[j].image] += uses.items[j].size;
	}
	free(uses.items);
}
