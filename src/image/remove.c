/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's rmi: names go first, the image with its last one. */
#include "image/store-internal.h"

#include "base/alloc.h"

#include <errno.h>

enum { SHORT_ID = 12 };

/* What is asked, found and checked before anything changes. */
struct removal {
	struct image_store *store;
	const char *text; /* as written */
	bool force;
	const struct strv *running; /* may be NULL */
	const char *only_id; /* of which the name must still be, or which has none; or NULL */
	char id[DIGEST_SIZE];
	char *full_name; /* NULL: by id */
	bool delete;     /* the image too, and not a name alone */
};

/* The part of a full name in front of its tag or digest, as a length. */
static size_t repository_length(const char *full_name)
{
	const char *at = strchr(full_name, '@');
	const char *slash = strrchr(full_name, '/');
	const char *colon = slash ? strchr(slash, ':') : NULL;

	if (at)
		return (size_t)(at - full_name);
	return colon ? (size_t)(colon - full_name) : strlen(full_name);
}

static bool same_repository(const char *left, const char *right)
{
	const size_t length = repository_length(left);

	return repository_length(right) == length && strncmp(left, right, length) == 0;
}

/* Whether a name is the last thing an image is known by. */
static bool is_last_reference(const struct image_store *store, const char *id,
			      const char *full_name)
{
	struct image *image = store_image(store, id);
	bool last = true;

	for (size_t i = 0; i < image->names.count; i++)
		if (strcmp(image->names.items[i], full_name) != 0)
			last = false;
	/* Digests of its own repository go with the last tag; those of others keep the image. */
	for (size_t i = 0; i < image->digests.count; i++)
		if (strcmp(image->digests.items[i], full_name) != 0 &&
		    !same_repository(image->digests.items[i], full_name))
			last = false;
	image_free(image);
	return last;
}

/* Whether an id stands for one name at most, so that it may go with it: all in one repository. */
static bool has_one_name(const struct image_store *store, const char *id)
{
	struct image *image = store_image(store, id);
	const char *first = image->names.count ? image->names.items[0]
		: image->digests.count         ? image->digests.items[0]
					       : NULL;
	bool one = image->names.count <= 1;

	for (size_t i = 0; i < image->digests.count; i++)
		one &= same_repository(first, image->digests.items[i]);
	image_free(image);
	return one;
}

/* A container that holds it; one that runs rather than one that does not. */
static const char *find_holder(const struct removal *removal, bool *ret_running)
{
	const struct image_store *store = removal->store;

	for (size_t i = 0; removal->running && i < store->hold_count; i++) {
		*ret_running = strcmp(store->holds[i].id, removal->id) == 0 &&
			strv_contains(removal->running, store->holds[i].holder);
		if (*ret_running)
			return store->holds[i].holder;
	}
	*ret_running = false;
	return store_holder(store, removal->id);
}

static int check_name(struct removal *removal, const char *holder, struct cay_error *err)
{
	removal->delete = is_last_reference(removal->store, removal->id, removal->full_name);
	if (!removal->delete || !holder)
		return 0;
	if (!removal->force)
		return cay_error_set(err, CAY_CONFLICT, EBUSY,
				     "conflict: unable to remove repository reference \"%.256s\" "
				     "(must force) - container %.*s is using its referenced image "
				     "%.*s",
				     removal->text, SHORT_ID, holder, SHORT_ID,
				     digest_hex(removal->id));
	removal->delete = false;
	return 0;
}

/* Whether it is still what somebody has seen: an image's name, or an image without one. */
static int check_unchanged(const struct removal *removal, struct cay_error *err)
{
	struct image *image;
	bool unchanged = strcmp(removal->id, removal->only_id) == 0;

	if (unchanged && !removal->full_name) {
		image = store_image(removal->store, removal->id);
		unchanged = image->names.count + image->digests.count == 0 && !image->is_member;
		image_free(image);
	}
	return unchanged
		? 0
		: cay_error_set(err, CAY_CONFLICT, EBUSY,
				"%.256s has been given another meaning or a name meanwhile",
				removal->text);
}

static int check(struct removal *removal, struct cay_error *err)
{
	bool running;
	const char *holder = find_holder(removal, &running), *id = digest_hex(removal->id);

	if (removal->only_id && check_unchanged(removal, err) < 0)
		return -EBUSY;
	if (removal->full_name)
		return check_name(removal, holder, err);
	if (running)
		return cay_error_set(err, CAY_CONFLICT, EBUSY,
				     "conflict: unable to delete %.*s (cannot be forced) - image "
				     "is being used by running container %.*s",
				     SHORT_ID, id, SHORT_ID, holder);
	if (!removal->force && !has_one_name(removal->store, removal->id))
		return cay_error_set(err, CAY_CONFLICT, EBUSY,
				     "conflict: unable to delete %.*s (must be forced) - image is "
				     "referenced in multiple repositories",
				     SHORT_ID, id);
	if (!removal->force && holder)
		return cay_error_set(err, CAY_CONFLICT, EBUSY,
				     "conflict: unable to delete %.*s (must be forced) - image is "
				     "being used by stopped container %.*s",
				     SHORT_ID, id, SHORT_ID, holder);
	removal->delete = !holder;
	return 0;
}

static void tell_untagged(struct strv *untagged, const char *full_name)
{
	strv_take(untagged, image_reference_familiar(full_name));
}

/* Takes away the names that match: all of them, or one and with it its repository's digests. */
static void untag(struct removal *removal, struct record *record, struct strv *untagged)
{
	_cleanup_strv_ struct strv gone = { 0 };
	const char *only = removal->full_name;
	bool repository_left = false;

	for (size_t i = record->names.count; i > 0; i--) {
		const char *name = record->names.items[i - 1];

		if (!only || strcmp(name, only) == 0)
			strv_add(&gone, name);
		else
			repository_left |= same_repository(name, only);
	}
	for (size_t i = record->digests.count; i > 0; i--) {
		const char *digest = record->digests.items[i - 1];

		if (!only || strcmp(digest, only) == 0 ||
		    (same_repository(digest, only) && !repository_left))
			strv_add(&gone, digest);
	}
	for (size_t i = 0; i < gone.count; i++) {
		tell_untagged(untagged, gone.items[i]);
		catalog_take(&removal->store->catalog, gone.items[i]);
	}
}

static bool layer_is_used(const struct catalog *catalog, const char *blob)
{
	for (size_t i = 0; i < catalog->count; i++)
		if (strv_contains(&catalog->records[i]->blobs, blob))
			return true;
	return false;
}

/* Drops a record and tells which layers went with it, highest first. */
static void delete_record(struct image_store *store, struct record *record,
			  struct image_removal *done)
{
	_cleanup_strv_ struct strv blobs = { 0 }, diff_ids = { 0 };
	_cleanup_free_ uint64_t *sizes = TAKE_PTR(record->layer_sizes);

	strv_copy(&blobs, &record->blobs);
	strv_copy(&diff_ids, &record->config.diff_ids);
	if (!strv_contains(&done->deleted, record->config_digest))
		strv_add(&done->deleted, record->config_digest);
	catalog_drop(&store->catalog, record);
	for (size_t i = blobs.count; i > 0; i--) {
		if (layer_is_used(&store->catalog, blobs.items[i - 1]) ||
		    strv_contains(&done->deleted, diff_ids.items[i - 1]))
			continue;
		strv_add(&done->deleted, diff_ids.items[i - 1]);
		done->reclaimed_bytes += sizes[i - 1];
	}
}

/* Whether nothing keeps an image but the index that is about to go. */
static bool is_forsaken(const struct image_store *store, const struct record *record)
{
	return record->names.count == 0 && record->digests.count == 0 &&
		!catalog_is_member(&store->catalog, record) &&
		!store_holder(store, record->config_digest);
}

/*
 * The indexes that lost their last name go, and with them the images of other platforms that only
 * they kept. Names that moved elsewhere leave such images without a name instead.
 */
static void delete_unused_indexes(struct image_store *store, struct image_removal *done)
{
	struct catalog *catalog = &store->catalog;

	for (size_t i = 0; i < catalog->index_count; i++) {
		const struct image_index *index = catalog->indexes[i];

		for (size_t j = 0; j < index->members.count; j++) {
			struct record *record =
				catalog_by_manifest(catalog, index->members.items[j]);

			if (!catalog_index_is_used(catalog, index) && record &&
			    is_forsaken(store, record))
				delete_record(store, record, done);
		}
	}
	(void)catalog_drop_unused_indexes(catalog); /* the caller collects */
}

static int execute(struct removal *removal, struct image_removal *done, struct cay_error *err)
{
	struct image_store *store = removal->store;
	int r;

	for (size_t i = store->catalog.count; i > 0; i--) {
		struct record *record = store->catalog.records[i - 1];

		if (strcmp(record->config_digest, removal->id) != 0)
			continue;
		untag(removal, record, &done->untagged);
		if (removal->delete)
			delete_record(store, record, done);
	}
	delete_unused_indexes(store, done);
	r = store_save_removal(store, err);
	if (r == 0)
		store_collect(store);
	return r;
}

static void add_all(struct strv *to, const struct strv *from)
{
	for (size_t i = 0; i < from->count; i++)
		strv_add(to, from->items[i]);
}

static int remove_image(struct removal *removal, struct image_removal *ret_removal,
			struct cay_error *err)
{
	_cleanup_image_removal_ struct image_removal done = { 0 };
	struct image_store *store = removal->store;
	struct record *record;
	int r;

	(void)pthread_mutex_lock(&store->lock);
	r = store_find_record(store, removal->text, &record, &removal->full_name, err);
	/* Found by what it is, and not by a name that could be taken away. */
	if (r == 0 && removal->full_name && strchr(removal->full_name, '@') &&
	    !strv_contains(&record->digests, removal->full_name))
		r = cay_error_set(err, CAY_NOT_FOUND, ENOENT, "No such image: %.300s",
				  removal->text);
	if (r == 0) {
		memcpy(removal->id, record->config_digest, DIGEST_SIZE);
		r = check(removal, err);
	}
	if (r == 0)
		r = execute(removal, &done, err);
	(void)pthread_mutex_unlock(&store->lock);
	free(removal->full_name);
	if (r < 0)
		return r;
	add_all(&ret_removal->untagged, &done.untagged);
	add_all(&ret_removal->deleted, &done.deleted);
	ret_removal->reclaimed_bytes += done.reclaimed_bytes;
	return 0;
}

int image_store_remove(struct image_store *store, const char *name, bool force,
		       const struct strv *running, struct image_removal *ret_removal,
		       struct cay_error *err)
{
	struct removal removal = {
		.store = store, .text = name, .force = force, .running = running
	};

	return remove_image(&removal, ret_removal, err);
}

int image_store_remove_unchanged(struct image_store *store, const char *name, const char *id,
				 struct image_removal *ret_removal, struct cay_error *err)
{
	struct removal removal = { .store = store, .text = name, .only_id = id };

	return remove_image(&removal, ret_removal, err);
}

void image_removal_done(struct image_removal *removal)
{
	strv_done(&removal->untagged);
	strv_done(&removal->deleted);
	*removal = (struct image_removal){ 0 };
}
