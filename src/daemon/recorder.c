/* SPDX-License-Identifier: Apache-2.0 */
/* Who is given translations, when they are made, and what becomes of bad ones. */
#include "daemon/recorder-internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "daemon/launch-warm.h"
#include "daemon/pool.h"
#include "daemon/quiet.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

enum {
	THREAD_STACK = 256 * 1024,
	RETRY_MS = 60 * 1000, /* after a failure, twice as long after each that follows */
	RETRY_MAX_MS = 60 * 60 * 1000,
	WAITED_FOR_MS = 30 * 1000, /* by what is made ahead */
	AGAIN_MS = 100,
	NICE_WORST = 19,
};

/* ---- starts ---- */

/* False where there can be none for this machine. */
static bool find_key(const struct recorder *recorder, const struct sandbox_config *config,
		     char ret_key[TRANSLATIONS_KEY_SIZE])
{
	if (!recorder->daemon->options.use_translations || strcmp(config->acceleration, "tcg") != 0)
		return false;
	recording_key(config, ret_key);
	return true;
}

/* With the lock held: the path of those of this key; NULL: there are none. The caller frees. */
static char *find(const struct recorder *recorder, const char *key)
{
	_cleanup_free_ char *path = path_join(recorder->directory, key);
	struct cay_error err = { 0 };
	_cleanup_close_ int fd = translations_open(path, &err);

	if (fd >= 0)
		return TAKE_PTR(path);
	if (err.code == CAY_CORRUPT) {
		log_error("the translations %.12s are damaged and removed: %s", key, err.message);
		if (remove_tree(path, &err) < 0)
			log_warning("%s", err.message);
	}
	return NULL;
}

/* With the lock held. */
static void want(struct recorder *recorder, const char *key)
{
	if (recorder->wanted_ms > 0 || strcmp(recorder->unsupported, key) == 0)
		return;
	recorder->wanted_ms = clock_monotonic_ms();
	fd_wake(recorder->wake_fd);
}

void recorder_choose(struct recorder *recorder, struct sandbox_config *config)
{
	char key[TRANSLATIONS_KEY_SIZE];

	if (!find_key(recorder, config, key))
		return;
	(void)pthread_mutex_lock(&recorder->lock);
	config->translations = find(recorder, key);
	if (!config->translations)
		want(recorder, key);
	(void)pthread_mutex_unlock(&recorder->lock);
}

int64_t recorder_left_ms(struct recorder *recorder, const struct sandbox_config *config)
{
	_cleanup_free_ char *path = NULL;
	char key[TRANSLATIONS_KEY_SIZE];
	bool is_awaited = false;

	if (!find_key(recorder, config, key))
		return 0;
	(void)pthread_mutex_lock(&recorder->lock);
	path = find(recorder, key);
	if (!path) {
		want(recorder, key);
		is_awaited = recorder->wanted_ms > 0 && recorder->failures == 0 &&
			clock_monotonic_ms() - recorder->wanted_ms < WAITED_FOR_MS;
	}
	(void)pthread_mutex_unlock(&recorder->lock);
	return is_awaited ? AGAIN_MS : 0;
}

/* ---- making ---- */

/* With the lock held. Told once, as long as it stays the same. */
static void note_failure(struct recorder *recorder, const struct cay_error *err)
{
	if (!recorder->fault || strcmp(recorder->fault, err->message) != 0)
		log_warning("there are no translations yet, VMs start without; it is tried "
			    "again later: %s",
			    err->message);
	replace_string(&recorder->fault, err->message);
	recorder->not_before_ms = clock_monotonic_ms() +
		clock_backoff_ms(recorder->failures++, RETRY_MS, RETRY_MAX_MS);
}

void recorder_conclude(struct recorder *recorder, const char *key, int r,
		       const struct cay_error *err)
{
	(void)pthread_mutex_lock(&recorder->lock);
	if (r < 0 && err->code == CAY_UNSUPPORTED) {
		log_info("there are no translations for this QEMU: %s", err->message);
		(void)snprintf(recorder->unsupported, sizeof(recorder->unsupported), "%s", key);
	}
	if (r == 0 || err->code == CAY_UNSUPPORTED) {
		recorder->wanted_ms = recorder->not_before_ms = 0;
		recorder->failures = 0;
		replace_string(&recorder->fault, NULL);
	} else if (err->code != CAY_CANCELLED) {
		note_failure(recorder, err);
	}
	(void)pthread_mutex_unlock(&recorder->lock);
}

/* All but what has this name ("": all but sound ones). VMs that use one have it open. */
static void sweep(const struct recorder *recorder, const char *kept)
{
	DIR *entries = opendir(recorder->directory);
	const struct dirent *entry;

	while (entries && (entry = readdir(entries))) {
		const char *name = entry->d_name;
		_cleanup_free_ char *path = NULL, *sound = NULL;
		struct cay_error err = { 0 };

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, kept) == 0)
			continue;
		if (kept[0] == '\0' && digest_hex_is_valid(name))
			sound = find(recorder, name);
		path = path_join(recorder->directory, name);
		if (!sound && remove_tree(path, &err) < 0)
			log_warning("%s", err.message);
	}
	if (entries)
		(void)closedir(entries);
}

/* The machine of most containers, as far as the pool's can be it. */
static int describe(struct recorder *recorder, struct sandbox_config **ret_config,
		    char ret_key[TRANSLATIONS_KEY_SIZE], struct cay_error *err)
{
	const struct launch_size usual = { 0 }, alone = { .without_network = true };
	_cleanup_(sandbox_config_free_p) struct sandbox_config *config = NULL;
	int r = launch_empty_machine(recorder->daemon, &usual, &config, err);

	if (r == 0 && !pool_can_serve(config)) {
		sandbox_config_free(TAKE_PTR(config));
		r = launch_empty_machine(recorder->daemon, &alone, &config, err);
	}
	if (r < 0)
		return r;
	recording_key(config, ret_key);
	*ret_config = TAKE_PTR(config);
	return 0;
}

static void make(struct recorder *recorder)
{
	_cleanup_(sandbox_config_free_p) struct sandbox_config *config = NULL;
	const int64_t begun = clock_monotonic_ms();
	char key[TRANSLATIONS_KEY_SIZE] = "";
	struct translations_counts counts;
	struct cay_error err = { 0 };
	int r = describe(recorder, &config, key, &err);

	if (r == 0)
		r = recording_make(recorder->daemon, &recorder->recording, recorder->directory, key,
				   config, &counts, &err);
	if (r == 0) {
		log_info("made the translations %.12s in %lld ms: %zu blocks, %llu MB", key,
			 (long long)(clock_monotonic_ms() - begun), counts.kept,
			 (unsigned long long)(counts.bytes / MIB));
		log_debug("%zu blocks were not the same in both VMs", counts.differing);
		sweep(recorder, key);
	}
	recorder_conclude(recorder, key, r, &err);
}

/* ---- the thread ---- */

/* In how many milliseconds to make them, -1: none are wanted. False: nothing is made any more. */
static bool look(struct recorder *recorder, int64_t *ret_left_ms)
{
	bool goes_on;

	(void)pthread_mutex_lock(&recorder->lock);
	goes_on = !recorder->recording.is_cancelled;
	*ret_left_ms = recorder->wanted_ms == 0
		? -1
		: MAX(recorder->not_before_ms - clock_monotonic_ms(),
		      quiet_left_ms(recorder->daemon->quiet, recorder->wanted_ms));
	(void)pthread_mutex_unlock(&recorder->lock);
	return goes_on;
}

static void *recorder_main(void *user)
{
	struct recorder *recorder = user;
	struct pollfd poll_fd = { .fd = recorder->wake_fd, .events = POLLIN };
	uint64_t count;
	int64_t left;

	(void)setpriority(PRIO_PROCESS, 0, NICE_WORST); /* this thread's alone, and its shims' */
	while (look(recorder, &left)) {
		if (left == 0)
			make(recorder);
		else if (poll(&poll_fd, 1, (int)MIN(left, INT32_MAX)) > 0)
			(void)!read(recorder->wake_fd, &count, sizeof(count)); /* readable */
	}
	return NULL;
}

/* ---- start and end ---- */

int recorder_open(struct daemon *daemon, struct recorder **ret_recorder, struct cay_error *err)
{
	struct recorder *recorder = xcalloc(1, sizeof(*recorder));
	int r;

	recorder->daemon = daemon;
	recorder->directory = path_join(daemon->options.root, "translations");
	(void)pthread_mutex_init(&recorder->lock, NULL);
	recorder->recording.lock = &recorder->lock;
	recorder->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = recorder->wake_fd < 0 ? cay_error_errno(err, errno, "making an eventfd")
				  : make_dirs(recorder->directory, 0700, err);
	if (r < 0) {
		recorder_free(recorder);
		return r;
	}
	recording_clear(recorder->directory);
	sweep(recorder, "");
	*ret_recorder = recorder;
	return 0;
}

void recorder_start(struct recorder *recorder)
{
	if (!recorder->daemon->options.use_translations)
		return;
	recorder->is_threaded =
		thread_start(THREAD_STACK, recorder_main, recorder, &recorder->thread) == 0;
	if (!recorder->is_threaded)
		log_warning("no thread for translations: none are made");
}

void recorder_stop(struct recorder *recorder)
{
	if (!recorder)
		return;
	(void)pthread_mutex_lock(&recorder->lock);
	recording_cancel(&recorder->recording);
	(void)pthread_mutex_unlock(&recorder->lock);
	fd_wake(recorder->wake_fd);
	if (recorder->is_threaded)
		(void)pthread_join(recorder->thread, NULL);
	recorder->is_threaded = false;
}

void recorder_free(struct recorder *recorder)
{
	if (!recorder)
		return;
	cay_close_p(&recorder->wake_fd);
	(void)pthread_mutex_destroy(&recorder->lock);
	free(recorder->fault);
	free(recorder->directory);
	free(recorder);
}
