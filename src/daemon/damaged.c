/* SPDX-License-Identifier: Apache-2.0 */
/* The table of containers whose rows can't be read. */
#include "daemon/damaged.h"

#include "base/alloc.h"
#include "base/id.h"
#include "base/log.h"
#include "daemon/containers.h"
#include "daemon/daemon.h"
#include "daemon/database.h"
#include "daemon/recover.h"
#include "daemon/volumes.h"
#include "image/digest.h"
#include "image/store.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

struct damaged_row {
	char *id, *name, *image_id;
	char *text; /* all that the row says of what was asked for */
};

struct damaged {
	pthread_mutex_t lock;
	struct damaged_row *rows;
	size_t count;
};

struct damaged *damaged_new(void)
{
	struct damaged *damaged = xcalloc(1, sizeof(*damaged));

	(void)pthread_mutex_init(&damaged->lock, NULL);
	return damaged;
}

static void row_done(struct damaged_row *row)
{
	free(row->id);
	free(row->name);
	free(row->image_id);
	free(row->text);
}

void damaged_free(struct damaged *damaged)
{
	if (!damaged)
		return;
	for (size_t i = 0; i < damaged->count; i++)
		row_done(&damaged->rows[i]);
	free(damaged->rows);
	(void)pthread_mutex_destroy(&damaged->lock);
	free(damaged);
}

/* Takes over what the row has. */
static void add_row(struct damaged *damaged, const struct damaged_row *row)
{
	(void)pthread_mutex_lock(&damaged->lock);
	damaged->rows = xreallocarray(damaged->rows, damaged->count + 1, sizeof(*damaged->rows));
	damaged->rows[damaged->count++] = *row;
	(void)pthread_mutex_unlock(&damaged->lock);
}

void damaged_add(struct daemon *daemon, const struct database_container *row, const char *why)
{
	const struct damaged_row kept = {
		.id = xstrdup(row->id),
		.name = xstrdup(row->name),
		.image_id = xstrdup(row->image_id),
		.text = xstrdup(row->request),
	};
	_cleanup_free_ char *name = NULL;
	struct cay_error ignored; /* of a name that is none, or another's */

	log_error(
		"container %.12s (%.64s) in the database is damaged and left out: %s. Its files, "
		"its image and all volumes that it may have are kept, and volumes are not pruned, "
		"until it is removed by force",
		row->id, row->name, why);
	(void)containers_reserve(daemon->containers, row->name, row->id, &name, &ignored);
	add_row(daemon->damaged, &kept);
}

/* ---- what they have ---- */

static bool is_part_of_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		(c != '\0' && strchr("_.-", c));
}

/* Whether the name stands in the text as a whole word. */
static bool names(const char *text, const char *name)
{
	const size_t length = strlen(name);

	for (const char *at = text; (at = strstr(at, name)); at++)
		if ((at == text || !is_part_of_name(at[-1])) && !is_part_of_name(at[length]))
			return true;
	return false;
}

void damaged_hold(struct daemon *daemon)
{
	struct damaged *damaged = daemon->damaged;
	_cleanup_volume_list_ struct volume_list list = { 0 };

	volumes_list(daemon->volumes, &list);
	for (size_t i = 0; i < damaged->count; i++) {
		const struct damaged_row *row = &damaged->rows[i];
		struct cay_error ignored; /* one that has just gone */

		/* Its addresses are not known any more, nor what its taps may send. */
		if (id_is_valid(row->id))
			recover_end(daemon, row->id);
		if (digest_is_valid(row->image_id))
			image_store_hold(daemon->images, row->image_id, row->id);
		for (size_t j = 0; j < list.count; j++)
			if (names(row->text, list.items[j]->name))
				(void)volumes_hold(daemon->volumes, list.items[j]->name, row->id,
						   &ignored);
	}
}

static void release(struct daemon *daemon, const struct damaged_row *row)
{
	_cleanup_volume_list_ struct volume_list list = { 0 };

	if (digest_is_valid(row->image_id))
		image_store_release(daemon->images, row->image_id, row->id);
	containers_release(daemon->containers, row->name, row->id);
	volumes_list(daemon->volumes, &list);
	for (size_t i = 0; i < list.count; i++)
		volumes_release(daemon->volumes, list.items[i]->name, row->id);
}

static int check(struct daemon *daemon, bool images, struct cay_error *err)
{
	struct damaged *damaged = daemon->damaged;
	int r = 0;

	(void)pthread_mutex_lock(&damaged->lock);
	for (size_t i = 0; r == 0 && i < damaged->count; i++) {
		const struct damaged_row *row = &damaged->rows[i];

		if (images && digest_is_valid(row->image_id))
			continue;
		r = cay_error_set(
			err, CAY_CONFLICT, EBUSY,
			"container %.12s (%.64s) is damaged in the daemon's database, and "
			"which %s it has is not known: nothing is pruned before it is "
			"removed by force",
			row->id, row->name, images ? "image" : "volumes");
	}
	(void)pthread_mutex_unlock(&damaged->lock);
	return r;
}

int damaged_check_volumes(struct daemon *daemon, struct cay_error *err)
{
	return check(daemon, false, err);
}

int damaged_check_images(struct daemon *daemon, struct cay_error *err)
{
	return check(daemon, true, err);
}

bool damaged_has_image(struct daemon *daemon, const char *image_id)
{
	struct damaged *damaged = daemon->damaged;
	bool found = false;

	(void)pthread_mutex_lock(&damaged->lock);
	for (size_t i = 0; !found && i < damaged->count; i++)
		found = strcmp(damaged->rows[i].image_id, image_id) == 0;
	(void)pthread_mutex_unlock(&damaged->lock);
	return found;
}

/* ---- removal ---- */

static bool is_called(const struct damaged_row *row, const char *name)
{
	const size_t length = strlen(name);

	return strcmp(row->id, name) == 0 || strcmp(row->name, name) == 0 ||
		(length >= ID_SHORT_LENGTH && strncmp(row->id, name, length) == 0);
}

/* Takes the row out, which is the caller's then. */
static bool take(struct damaged *damaged, const char *name, struct damaged_row *ret_row)
{
	bool found = false;

	(void)pthread_mutex_lock(&damaged->lock);
	for (size_t i = 0; !found && i < damaged->count; i++) {
		found = is_called(&damaged->rows[i], name);
		if (!found)
			continue;
		*ret_row = damaged->rows[i];
		damaged->rows[i] = damaged->rows[--damaged->count];
	}
	(void)pthread_mutex_unlock(&damaged->lock);
	return found;
}

int damaged_remove(struct daemon *daemon, const char *name, bool force, struct cay_error *err)
{
	struct damaged_row row;
	int r = 0;

	if (!take(daemon->damaged, name, &row))
		return 0;
	if (!force)
		r = cay_error_set(
			err, CAY_CONFLICT, EBUSY,
			"container %.12s is damaged in the daemon's database: what it has "
			"written can't be reached any more, force its removal",
			row.id);
	if (r == 0 && id_is_valid(row.id))
		recover_clear(daemon, row.id);
	if (r == 0)
		r = database_delete_container(daemon->database, row.id, false, err);
	if (r < 0) {
		add_row(daemon->damaged, &row);
		return r;
	}
	log_info("container %.12s, which was damaged, is removed", row.id);
	release(daemon, &row);
	row_done(&row);
	return 1;
}
