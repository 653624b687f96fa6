/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An attempt has a folder for all that it makes, ".new-" and an id, so that
 * whoever comes after a crash knows it, and finds the shims by it. Two VMs
 * boot and warm themselves up in it one after the other, as those that wait in
 * the pool do. What two QEMUs, each at other addresses, have translated to the
 * same is good for a third.
 */
#include "daemon/recording.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "daemon/launch-warm.h"
#include "daemon/shim.h"
#include "image/program.h"
#include "sandbox/template.h"

#include <errno.h>
#include <sys/stat.h>

#define NEW_PREFIX ".new-"
enum { END_MS = 3000 /* for VMs whose daemon was killed */ };

struct attempt {
	struct daemon *daemon;
	struct recording *recording;
	const struct sandbox_config *like;
	const char *key;
	char *directory;
	struct image_disk image; /* of the program that they warm up with */
};

void recording_key(const struct sandbox_config *config, char ret_key[TRANSLATIONS_KEY_SIZE])
{
	_cleanup_free_ char *shape = sandbox_translations_shape(config);
	char digest[DIGEST_SIZE];

	digest_of(shape, strlen(shape), digest);
	memcpy(ret_key, digest_hex(digest), TRANSLATIONS_KEY_SIZE);
}

/* ---- one VM ---- */

static int begin(struct recording *recording, const struct member *member, struct cay_error *err)
{
	int r = 0;

	(void)pthread_mutex_lock(recording->lock);
	if (recording->is_cancelled)
		r = cay_error_set(err, CAY_CANCELLED, ECANCELED, "it was given up");
	else
		recording->member = member;
	(void)pthread_mutex_unlock(recording->lock);
	return r;
}

/* The failure of a VM that was ended from elsewhere is no failure. */
static int end(struct recording *recording, int r, struct cay_error *err)
{
	(void)pthread_mutex_lock(recording->lock);
	recording->member = NULL;
	if (recording->is_cancelled)
		r = cay_error_set(err, CAY_CANCELLED, ECANCELED, "it was given up");
	(void)pthread_mutex_unlock(recording->lock);
	return r;
}

static int record(struct attempt *attempt, const char *path, struct cay_error *err)
{
	_cleanup_(sandbox_config_free_p) struct sandbox_config *config =
		launch_copy_machine(attempt->like);
	_cleanup_(shim_state_free_p) Cay__Shim__V1__StateResponse *state = NULL;
	struct member *member;
	int r;

	config->recording = xstrdup(path);
	r = member_new(attempt->daemon, attempt->directory, config, attempt->key, &attempt->image,
		       &member, err);
	if (r < 0)
		return r;
	r = begin(attempt->recording, member, err);
	if (r == 0)
		r = member_wait_warm(member, &state, err);
	r = end(attempt->recording, r, err);
	if (r < 0)
		member_kill(member);
	member_drop(member);
	return r;
}

void recording_cancel(struct recording *recording)
{
	recording->is_cancelled = true;
	if (recording->member)
		member_kill(recording->member);
}

/* ---- the whole ---- */

static int prepare(struct attempt *attempt, struct cay_error *err)
{
	const struct daemon_options *options = &attempt->daemon->options;
	_cleanup_free_ char *image = path_join(attempt->directory, "image");

	if (mkdir(attempt->directory, 0700) < 0)
		return cay_error_errno(err, errno, "making %s", attempt->directory);
	return program_image_make(image, options->layer_worker, options->warm_program,
				  &attempt->image, err);
}

static int keep(const struct attempt *attempt, const char *made, const char *path,
		struct cay_error *err)
{
	char now[TRANSLATIONS_KEY_SIZE];
	int r = 0;

	recording_key(attempt->like, now);
	if (strcmp(now, attempt->key) != 0)
		return cay_error_set(err, CAY_CONFLICT, ESTALE,
				     "the kernel, the initramfs or QEMU has changed meanwhile");
	(void)pthread_mutex_lock(attempt->recording->lock); /* who removes a damaged one has it */
	if (rename(made, path) < 0)
		r = cay_error_errno(err, errno, "renaming %s", made);
	(void)pthread_mutex_unlock(attempt->recording->lock);
	return r < 0 ? r : file_sync_parent(path, err);
}

int recording_make(struct daemon *daemon, struct recording *recording, const char *directory,
		   const char *key, const struct sandbox_config *like,
		   struct translations_counts *ret_counts, struct cay_error *err)
{
	struct attempt attempt = { daemon, recording, like, key, NULL, { 0 } };
	_cleanup_free_ char *first = NULL, *second = NULL, *made = NULL;
	_cleanup_free_ char *path = path_join(directory, key);
	struct cay_error left = { 0 };
	char id[ID_SIZE];
	int r;

	id_make(id);
	attempt.directory = xasprintf("%s/" NEW_PREFIX "%s", directory, id);
	first = path_join(attempt.directory, "first");
	second = path_join(attempt.directory, "second");
	made = path_join(attempt.directory, "made");
	r = launch_check_space(directory, err);
	if (r == 0)
		r = prepare(&attempt, err);
	if (r == 0)
		r = record(&attempt, first, err);
	if (r == 0)
		r = record(&attempt, second, err);
	if (r == 0)
		r = translations_merge(first, second, made, ret_counts, err);
	if (r == 0)
		r = keep(&attempt, made, path, err);
	if (remove_tree(attempt.directory, &left) < 0)
		log_warning("%s", left.message);
	image_disk_done(&attempt.image);
	free(attempt.directory);
	return r;
}

void recording_clear(const char *directory)
{
	_cleanup_free_ char *prefix = path_join(directory, NEW_PREFIX);

	shim_destroy_all(prefix, END_MS);
}
