/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an earlier daemon left of volumes: rows and directories, which a crash
 * may have parted. Nothing that holds a file is ever taken for a rest, unless
 * its name says that it was being made or removed.
 */
#include "daemon/volumes-internal.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/database.h"
#include "daemon/volume-block.h"
#include "daemon/volume-options.h"

#include <dirent.h>
#include <errno.h>

static int load_row(const struct database_volume *row, void *user, struct cay_error *err)
{
	struct volumes *volumes = user;
	_cleanup_json_ json_t *document = NULL;
	struct volume *volume = NULL;
	struct cay_error fault = { 0 };

	/* One bad row must not keep all the others from their users. */
	if (!name_is_valid(row->name) ||
	    json_parse(row->document, strlen(row->document), "the stored volume", &document,
		       &fault) < 0 ||
	    volume_new(volumes, row->name, json_object_get(document, "Options"),
		       json_object_get(document, "Labels"), &volume, &fault) < 0 ||
	    json_read_string(document, "BindResolved", &volume->bind_resolved, &fault) < 0) {
		log_error("volume %.64s in the database is damaged and left out: %s", row->name,
			  fault.message);
		return 0;
	}
	volume->created_ns = row->created_ns;
	volumes_insert(volumes, volume);
	return 0;
}

/* A row whose directory is gone was in the middle of its removal. */
static void drop_without_directory(struct volumes *volumes)
{
	for (size_t i = volumes->count; i-- > 0;) {
		struct volume *volume = volumes->rows[i].volume;
		struct cay_error err = { 0 };

		if (file_exists(volume->directory))
			continue;
		log_info("volume %s: finishing its removal", volume->name);
		if (database_delete_volume(volumes->daemon->database, volume->name, &err) < 0)
			log_error("volume %s: %s", volume->name, err.message);
		volume_unref(volumes_take_out(volumes, &volumes->rows[i]));
	}
}

/* True if there was nothing in it. */
static bool clear_empty(const char *directory)
{
	_cleanup_free_ char *data = path_join(directory, VOLUME_DATA);

	return (rmdir(data) == 0 || errno == ENOENT) && rmdir(directory) == 0;
}

static void adopt(struct volumes *volumes, const char *name, const char *directory)
{
	_cleanup_free_ char *disk = path_join(directory, VOLUME_DISK);
	_cleanup_json_ json_t *options = file_exists(disk) ? volume_block_options_of(disk) : NULL;
	_cleanup_volume_ struct volume *volume = NULL;
	struct cay_error err = { 0 };

	if (volume_new(volumes, name, options, NULL, &volume, &err) < 0) {
		log_warning("volume %s has no row in the database: %s", name, err.message);
		return;
	}
	volume->created_ns = clock_now_ns();
	if (volume_store(volumes, volume, &err) < 0) {
		log_error("volume %s: %s", name, err.message);
		return;
	}
	log_info("volume %s has no row in the database and gets a new one", name);
	volumes_insert(volumes, TAKE_PTR(volume));
}

static void settle_entry(struct volumes *volumes, const char *name)
{
	_cleanup_free_ char *directory = path_join(volumes->directory, name);
	_cleanup_free_ char *data = path_join(directory, VOLUME_DATA);
	struct cay_error err = { 0 };

	if (starts_with(name, VOLUME_MAKING) || starts_with(name, VOLUME_REMOVING)) {
		if (volume_unmount(data, &err) < 0 || remove_tree(directory, &err) < 0)
			log_warning("%s", err.message);
	} else if (name_is_valid(name) && !volumes_row(volumes, name) && !clear_empty(directory)) {
		adopt(volumes, name, directory);
	}
}

static int settle_directories(struct volumes *volumes, struct cay_error *err)
{
	DIR *directory = opendir(volumes->directory);
	struct dirent *entry;

	if (!directory)
		return cay_error_errno(err, errno, "opening %s", volumes->directory);
	while ((entry = readdir(directory)))
		settle_entry(volumes, entry->d_name);
	(void)closedir(directory);
	return 0;
}

int volumes_open(struct daemon *daemon, struct volumes **ret_volumes, struct cay_error *err)
{
	struct volumes *volumes = xcalloc(1, sizeof(*volumes));
	int r;

	volumes->daemon = daemon;
	volumes->directory = path_join(daemon->options.root, "volumes");
	(void)pthread_mutex_init(&volumes->lock, NULL);
	(void)pthread_mutex_init(&volumes->mounting, NULL);
	r = make_dirs(volumes->directory, 0701, err);
	if (r == 0)
		r = database_each_volume(daemon->database, load_row, volumes, err);
	if (r == 0) {
		drop_without_directory(volumes);
		r = settle_directories(volumes, err);
	}
	if (r < 0) {
		volumes_free(volumes);
		return r;
	}
	*ret_volumes = volumes;
	return 0;
}

void volumes_settle(struct volumes *volumes)
{
	(void)pthread_mutex_lock(&volumes->lock);
	for (size_t i = 0; i < volumes->count; i++) {
		const struct volume_row *row = &volumes->rows[i];
		struct cay_error err = { 0 };

		if (row->volume->kind == VOLUME_MOUNT && row->active.count == 0 &&
		    volume_unmount(row->volume->mountpoint, &err) < 0)
			log_warning("volume %s: %s", row->volume->name, err.message);
	}
	(void)pthread_mutex_unlock(&volumes->lock);
}
