/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image's root disk: its metadata and its layers' data. Both were made when
 * the image came; where they are missing, damaged at first sight, or made by
 * another version of cay, they are made again here, from the blobs, when
 * somebody needs them.
 */
#include "image/parallel.h"
#include "image/store-internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <sys/stat.h>

/* What a disk is made of, taken from the catalog. */
struct recipe {
	struct image_store *store;
	struct pins pins;
	char manifest[DIGEST_SIZE];
	struct strv blobs, diff_ids;
	struct parallel parallel;
};

static void recipe_done(struct recipe *recipe)
{
	strv_done(&recipe->blobs);
	strv_done(&recipe->diff_ids);
	if (recipe->pins.store)
		pins_done(&recipe->pins);
}

/* With `pin`, all that it is made of stays until recipe_done(). */
static int look_up(struct recipe *recipe, const char *id, bool pin, struct cay_error *err)
{
	struct image_store *store = recipe->store;
	struct record *record = NULL;
	int r;

	(void)pthread_mutex_lock(&store->lock);
	r = store_find_by_id(store, id, &record, err);
	if (r == 0 && !record)
		r = cay_error_set(err, CAY_NOT_FOUND, ENOENT, "No such image: %.300s", id);
	if (r == 0) {
		memcpy(recipe->manifest, record->digest, DIGEST_SIZE);
		strv_copy(&recipe->blobs, &record->blobs);
		strv_copy(&recipe->diff_ids, &record->config.diff_ids);
	}
	if (r == 0 && pin) {
		recipe->pins.store = store;
		pins_add_locked(&recipe->pins, record->digest);
		for (size_t i = 0; i < record->blobs.count; i++)
			pins_add_locked(&recipe->pins, record->blobs.items[i]);
	}
	(void)pthread_mutex_unlock(&store->lock);
	return r;
}

static bool has_failed(void *user)
{
	const struct recipe *recipe = user;

	return atomic_load(&recipe->parallel.failed);
}

static int convert(size_t item, void *user, struct cay_error *err)
{
	struct recipe *recipe = user;
	const struct worker_cancel cancel = { has_failed, recipe };

	return store_ensure_layer(recipe->store, recipe->blobs.items[item],
				  recipe->diff_ids.items[item], &cancel, err);
}

/* Sizes are known better now. */
static void measure(struct recipe *recipe)
{
	struct image_store *store = recipe->store;
	struct record *record;

	(void)pthread_mutex_lock(&store->lock);
	record = catalog_by_manifest(&store->catalog, recipe->manifest);
	if (record)
		(void)record_measure(&store->content, record, NULL); /* they were there just now */
	(void)pthread_mutex_unlock(&store->lock);
}

/* Makes what is missing. */
static int prepare(struct recipe *recipe, struct cay_error *err)
{
	struct image_store *store = recipe->store;
	int r;

	recipe->parallel.work = convert;
	recipe->parallel.user = recipe;
	recipe->parallel.count = recipe->blobs.count;
	recipe->parallel.threads = store->parallel;
	r = parallel_run(&recipe->parallel, err);
	if (r < 0)
		return r;
	measure(recipe);
	r = store_claim(store, recipe->manifest, NULL, err);
	if (r < 0)
		return r;
	r = store_merge(store, recipe->manifest, &recipe->blobs, NULL, err);
	store_unclaim(store, recipe->manifest);
	return r;
}

static void add_extent(struct image_disk *disk, char *path, uint64_t size)
{
	disk->extents = xreallocarray(disk->extents, disk->count + 1, sizeof(*disk->extents));
	disk->extents[disk->count++] = (struct image_extent){ path, size };
}

static int fill(const struct recipe *recipe, struct image_disk *disk, struct cay_error *err)
{
	const struct content *content = &recipe->store->content;
	_cleanup_free_ char *path = content_metadata_path(content, recipe->manifest);
	struct stat st;

	if (stat(path, &st) < 0)
		return cay_error_errno(err, errno, "opening %s", path);
	add_extent(disk, TAKE_PTR(path), (uint64_t)st.st_size);
	for (size_t i = 0; i < recipe->blobs.count; i++) {
		const char *digest = recipe->blobs.items[i];
		struct layer_header header;

		if (!content_has_layer_of(content, digest, recipe->diff_ids.items[i], &header))
			return cay_error_set(err, CAY_CORRUPT, EIO, "the layer %s is damaged",
					     digest);
		if (header.data_blocks > 0)
			add_extent(disk, content_data_path(content, digest),
				   header.data_blocks * LAYER_BLOCK);
	}
	return 0;
}

static int make_disk(struct image_store *store, const char *id, struct image_disk *disk,
		     struct cay_error *err)
{
	_cleanup_(recipe_done) struct recipe recipe = { .store = store };
	int r = look_up(&recipe, id, true, err);

	if (r == 0)
		r = prepare(&recipe, err);
	if (r == 0)
		r = fill(&recipe, disk, err);
	return r < 0
		? cay_error_prefix(err,
				   "making its disk (if this stays: `cay image verify` it, then "
				   "pull or load it again)")
		: 0;
}

int image_store_disk(struct image_store *store, const char *id, struct image_disk *ret_disk,
		     struct cay_error *err)
{
	_cleanup_(recipe_done) struct recipe recipe = { .store = store };
	struct image_disk disk = { 0 };
	int r = look_up(&recipe, id, false, err);

	if (r < 0)
		return r;
	/* In the common case this looks at each layer's header and no more. */
	if (fill(&recipe, &disk, NULL) < 0) {
		image_disk_done(&disk);
		r = make_disk(store, id, &disk, err);
	}
	if (r < 0)
		image_disk_done(&disk);
	else
		*ret_disk = disk;
	return r;
}

void image_disk_done(struct image_disk *disk)
{
	for (size_t i = 0; i < disk->count; i++)
		free(disk->extents[i].path);
	free(disk->extents);
	*disk = (struct image_disk){ 0 };
}
