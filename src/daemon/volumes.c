/* SPDX-License-Identifier: Apache-2.0 */
/* The table of volumes: made, found, held, removed. */
#include "daemon/volumes.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/database.h"
#include "daemon/events.h"
#include "daemon/mount-point.h"
#include "daemon/volume-block.h"
#include "daemon/volume-options.h"
#include "daemon/volumes-internal.h"

#include <errno.h>
#include <sys/stat.h>

/* ---- one volume ---- */

struct volume *volume_ref(struct volume *volume)
{
	(void)__atomic_add_fetch(&volume->references, 1, __ATOMIC_RELAXED);
	return volume;
}

void volume_unref(struct volume *volume)
{
	if (!volume || __atomic_sub_fetch(&volume->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	free(volume->name);
	json_decref(volume->options);
	json_decref(volume->labels);
	free(volume->bind_resolved);
	free(volume->directory);
	free(volume->mountpoint);
	free(volume);
}

int volume_new(struct volumes *volumes, const char *name, const json_t *options,
	       const json_t *labels, struct volume **ret_volume, struct cay_error *err)
{
	_cleanup_volume_ struct volume *volume = xcalloc(1, sizeof(*volume));
	int r;

	volume->references = 1;
	volume->name = xstrdup(name);
	volume->options = json_is_object(options) ? json_deep_copy(options) : NULL;
	volume->labels = json_is_object(labels) ? json_deep_copy(labels) : NULL;
	volume->directory = path_join(volumes->directory, name);
	r = volume_options_check(options, &volume->kind, &volume->size, err);
	if (r < 0)
		return r;
	volume->mountpoint = path_join(volume->directory,
				       volume->kind == VOLUME_BLOCK ? VOLUME_DISK : VOLUME_DATA);
	volume->bind_source = volume_options_bind_source(volume->options);
	*ret_volume = TAKE_PTR(volume);
	return 0;
}

void volume_emit(const struct volumes *volumes, const struct volume *volume, const char *action,
		 json_t *extra)
{
	json_t *attributes = json_pack("{s:s}", "driver", "local");

	if (extra)
		(void)json_object_update(attributes, extra);
	json_decref(extra);
	events_emit(volumes->daemon->events, "volume", action, volume->name, attributes, 0);
}

/* ---- the table; all with the lock held ---- */

struct volume_row *volumes_row(struct volumes *volumes, const char *name)
{
	for (size_t i = 0; i < volumes->count; i++)
		if (strcmp(volumes->rows[i].volume->name, name) == 0)
			return &volumes->rows[i];
	return NULL;
}

void volumes_insert(struct volumes *volumes, struct volume *volume)
{
	size_t at = volumes->count;

	while (at > 0 && strcmp(volumes->rows[at - 1].volume->name, volume->name) > 0)
		at--;
	volumes->rows = xreallocarray(volumes->rows, volumes->count + 1, sizeof(*volumes->rows));
	memmove(&volumes->rows[at + 1], &volumes->rows[at],
		(volumes->count - at) * sizeof(*volumes->rows));
	volumes->count++;
	volumes->rows[at] = (struct volume_row){ .volume = volume };
}

/* The table's reference goes to the caller. */
struct volume *volumes_take_out(struct volumes *volumes, struct volume_row *row)
{
	struct volume *volume = row->volume;
	size_t after = volumes->count - (size_t)(row - volumes->rows) - 1;

	strv_done(&row->users);
	strv_done(&row->active);
	memmove(row, row + 1, after * sizeof(*row));
	volumes->count--;
	return volume;
}

void volumes_free(struct volumes *volumes)
{
	if (!volumes)
		return;
	while (volumes->count > 0)
		volume_unref(volumes_take_out(volumes, &volumes->rows[volumes->count - 1]));
	free(volumes->rows);
	free(volumes->directory);
	(void)pthread_mutex_destroy(&volumes->lock);
	free(volumes);
}

static int no_such(const char *name, struct cay_error *err)
{
	return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "get %.300s: no such volume", name);
}

/* ---- making one ---- */

static int check_name(const char *name, struct cay_error *err)
{
	if (strlen(name) == 1)
		return cay_error_set(
			err, CAY_INVALID, EINVAL,
			"create %s: volume name is too short, names should be at least "
			"two alphanumeric characters",
			name);
	if (!name_is_valid(name))
		return cay_error_set(
			err, CAY_INVALID, EINVAL,
			"create %.300s: \"%.300s\" includes invalid characters for a local volume "
			"name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to "
			"pass a host directory, use absolute path",
			name, name);
	return 0;
}

int volume_store(struct volumes *volumes, const struct volume *volume, struct cay_error *err)
{
	_cleanup_json_ json_t *document = json_object();
	_cleanup_free_ char *text = NULL;
	struct database_volume row = { .name = volume->name, .created_ns = volume->created_ns };

	if (volume->options)
		json_set(document, "Options", json_incref(volume->options));
	if (volume->labels)
		json_set(document, "Labels", json_incref(volume->labels));
	if (volume->bind_resolved)
		json_set_string(document, "BindResolved", volume->bind_resolved);
	text = json_print(document);
	row.document = text;
	return database_store_volume(volumes->daemon->database, &row, err);
}

static int fill_directory(const struct volume *volume, const char *directory, struct cay_error *err)
{
	_cleanup_free_ char *data = path_join(directory, VOLUME_DATA);
	_cleanup_free_ char *disk = path_join(directory, VOLUME_DISK);

	if (mkdir(directory, 0701) < 0)
		return cay_error_errno(err, errno, "making %s", directory);
	if (volume->kind == VOLUME_BLOCK)
		return volume_block_make(disk, volume->size, err);
	/* Modes are for containers to see: not what the umask leaves of them. */
	if (mkdir(data, 0755) < 0 || chmod(data, 0755) < 0 || chmod(directory, 0701) < 0)
		return cay_error_errno(err, errno, "making %s", data);
	return 0;
}

/* Whole under its name or not there. */
static int make_directory(struct volumes *volumes, const struct volume *volume,
			  struct cay_error *err)
{
	char id[ID_SIZE];
	_cleanup_free_ char *making = NULL;
	struct cay_error cleanup = { 0 };
	int r;

	id_make(id);
	making = xasprintf("%s/" VOLUME_MAKING "%s", volumes->directory, id);
	r = fill_directory(volume, making, err);
	if (r == 0 && rename(making, volume->directory) < 0)
		r = cay_error_errno(err, errno, "renaming %s", making);
	if (r == 0)
		r = file_sync_parent(volume->directory, err);
	if (r < 0 && remove_tree(making, &cleanup) < 0)
		log_warning("volume %s: %s", volume->name, cleanup.message);
	return r;
}

/* With the lock held. */
static int make(struct volumes *volumes, struct volume *volume, struct cay_error *err)
{
	struct cay_error cleanup = { 0 };
	int r = make_directory(volumes, volume, err);

	if (r < 0)
		return cay_error_prefix(err, "create %s", volume->name);
	volume->created_ns = clock_now_ns();
	r = volume_store(volumes, volume, err);
	if (r < 0) {
		if (remove_tree(volume->directory, &cleanup) < 0)
			log_warning("volume %s: %s", volume->name, cleanup.message);
		return cay_error_prefix(err, "create %s", volume->name);
	}
	volumes_insert(volumes, volume_ref(volume));
	return 0;
}

/* With the lock held: a new one of this name. */
static int make_new(struct volumes *volumes, const char *name, const json_t *options,
		    const json_t *labels, struct cay_error *err)
{
	_cleanup_volume_ struct volume *volume = NULL;
	int r = check_name(name, err);

	if (r < 0)
		return r;
	r = volume_new(volumes, name, options, labels, &volume, err);
	if (r < 0)
		return cay_error_prefix(err, "create %s", name);
	if (volume->bind_source)
		volume->bind_resolved = mount_path_resolve(volume->bind_source);
	r = make(volumes, volume, err);
	if (r == 0)
		volume_emit(volumes, volume, "create", NULL);
	return r;
}

int volumes_create(struct volumes *volumes, const char *name, const json_t *options,
		   const json_t *labels, const char *user, struct volume **ret_volume,
		   bool *ret_made, struct cay_error *err)
{
	_cleanup_json_ json_t *marked = NULL;
	char made_up[ID_SIZE];
	struct volume_row *row;
	bool made;
	int r = 0;

	if (!name) {
		id_make(made_up);
		name = made_up;
		marked = labels ? json_deep_copy(labels) : json_object();
		json_set_string(marked, VOLUME_ANONYMOUS_LABEL, "");
		labels = marked;
	}
	(void)pthread_mutex_lock(&volumes->lock);
	made = !volumes_row(volumes, name);
	if (made)
		r = make_new(volumes, name, options, labels, err);
	row = r == 0 ? volumes_row(volumes, name) : NULL;
	if (row) {
		if (user && !strv_contains(&row->users, user))
			strv_add(&row->users, user);
		*ret_volume = volume_ref(row->volume);
	}
	(void)pthread_mutex_unlock(&volumes->lock);
	if (r == 0 && ret_made)
		*ret_made = made;
	return r;
}

/* ---- finding and holding ---- */

int volumes_find(struct volumes *volumes, const char *name, struct volume **ret_volume,
		 struct cay_error *err)
{
	const struct volume_row *row;

	(void)pthread_mutex_lock(&volumes->lock);
	row = volumes_row(volumes, name);
	if (row)
		*ret_volume = volume_ref(row->volume);
	(void)pthread_mutex_unlock(&volumes->lock);
	return row ? 0 : no_such(name, err);
}

int volumes_hold(struct volumes *volumes, const char *name, const char *user, struct cay_error *err)
{
	struct volume_row *row;

	(void)pthread_mutex_lock(&volumes->lock);
	row = volumes_row(volumes, name);
	if (row && !strv_contains(&row->users, user))
		strv_add(&row->users, user);
	(void)pthread_mutex_unlock(&volumes->lock);
	return row ? 0 : no_such(name, err);
}

void volumes_release(struct volumes *volumes, const char *name, const char *user)
{
	struct volume_row *row;

	(void)pthread_mutex_lock(&volumes->lock);
	row = volumes_row(volumes, name);
	if (row)
		strv_remove(&row->users, user);
	(void)pthread_mutex_unlock(&volumes->lock);
}

void volumes_list(struct volumes *volumes, struct volume_list *ret_list)
{
	(void)pthread_mutex_lock(&volumes->lock);
	ret_list->count = volumes->count;
	ret_list->items = xcalloc(volumes->count + 1, sizeof(*ret_list->items));
	for (size_t i = 0; i < volumes->count; i++)
		ret_list->items[i] = volume_ref(volumes->rows[i].volume);
	(void)pthread_mutex_unlock(&volumes->lock);
}

void volume_list_done(struct volume_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		volume_unref(list->items[i]);
	free(list->items);
	*list = (struct volume_list){ 0 };
}

size_t volumes_count_users(struct volumes *volumes, const char *name)
{
	const struct volume_row *row;
	size_t count;

	(void)pthread_mutex_lock(&volumes->lock);
	row = volumes_row(volumes, name);
	count = row ? row->users.count : 0;
	(void)pthread_mutex_unlock(&volumes->lock);
	return count;
}

/* ---- removing one ---- */

static int check_unused(const struct volume_row *row, const char *name, struct cay_error *err)
{
	_cleanup_buf_ struct buf list = { 0 };

	if (row->users.count == 0)
		return 0;
	for (size_t i = 0; i < row->users.count; i++)
		buf_printf(&list, "%s%s", i > 0 ? ", " : "", row->users.items[i]);
	return cay_error_set(err, CAY_CONFLICT, EBUSY, "remove %.300s: volume is in use - [%.600s]",
			     name, buf_text(&list));
}

/* Where it fails, the volume is as it was, or what it held is gone and it can be removed again. */
static int drop_row(struct volumes *volumes, const struct volume *volume, const char *doomed,
		    struct cay_error *err)
{
	struct database *database = volumes->daemon->database;
	struct cay_error ignored;
	int r = database_delete_volume(database, volume->name, err);

	/* A full disk has no room to note that something goes, until it is gone. */
	if (r < 0 && err->code == CAY_NO_SPACE && remove_tree(doomed, &ignored) == 0) {
		cay_error_clear(err);
		r = database_delete_volume(database, volume->name, err);
	}
	if (r < 0 && rename(doomed, volume->directory) < 0 && errno != ENOENT)
		log_error("volume %s: renaming %s back: %s", volume->name, doomed,
			  errno_text(errno));
	return r;
}

/* With the lock held: its name is free then, what it held is at `doomed`. */
static int detach(struct volumes *volumes, struct volume_row *row, const char *doomed,
		  struct volume **ret_volume, struct cay_error *err)
{
	const struct volume *volume = row->volume;
	/* Nothing that is mounted there may be taken for the volume's own. */
	int r = volume_unmount(volume->mountpoint, err);

	if (r == 0 && rename(volume->directory, doomed) < 0 && errno != ENOENT)
		r = cay_error_errno(err, errno, "renaming %s", volume->directory);
	if (r == 0)
		r = drop_row(volumes, volume, doomed, err);
	if (r < 0)
		return cay_error_prefix(err, "remove %s", volume->name);
	*ret_volume = volumes_take_out(volumes, row);
	return 0;
}

int volumes_remove(struct volumes *volumes, const char *name, struct cay_error *err)
{
	_cleanup_volume_ struct volume *volume = NULL;
	_cleanup_free_ char *doomed = NULL;
	struct cay_error rest = { 0 };
	struct volume_row *row;
	char id[ID_SIZE];
	int r;

	id_make(id);
	doomed = xasprintf("%s/" VOLUME_REMOVING "%s", volumes->directory, id);
	(void)pthread_mutex_lock(&volumes->lock);
	row = volumes_row(volumes, name);
	r = row ? check_unused(row, name, err) : no_such(name, err);
	if (r == 0)
		r = detach(volumes, row, doomed, &volume, err);
	(void)pthread_mutex_unlock(&volumes->lock);
	if (r < 0)
		return r;
	if (remove_tree(doomed, &rest) < 0)
		log_warning("volume %s: %s", name, rest.message); /* the next daemon tries again */
	volume_emit(volumes, volume, "destroy", NULL);
	return 0;
}
