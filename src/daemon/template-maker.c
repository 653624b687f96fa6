/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything of a template that is being made has a name that begins with
 * ".new-": the directory, the configuration of its shim, what that has to say.
 * So whoever comes after a crash knows it, and finds the process by it.
 */
#include "daemon/template-maker.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "daemon/containers.h"
#include "daemon/launch-warm.h"
#include "daemon/recorder.h"
#include "daemon/shim.h"
#include "daemon/templates-internal.h"
#include "vmm/template.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define NEW_PREFIX ".new-"
enum { MAKE_MS = 300000 /* a host that is very busy */ };

/* One attempt; all paths are its own. */
struct attempt {
	struct daemon *daemon;
	struct template_maker *maker;
	char id[ID_SIZE];
	char *directory, *config_path, *log_path, *run_directory;
};

static void attempt_done(struct attempt *attempt)
{
	const char *const paths[] = { attempt->directory, attempt->config_path, attempt->log_path,
				      attempt->run_directory };
	struct cay_error err = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (remove_tree(paths[i], &err) < 0)
			log_warning("%s", err.message);
	shim_remove_cgroup(attempt->id);
	free(attempt->directory);
	free(attempt->config_path);
	free(attempt->log_path);
	free(attempt->run_directory);
}

static int prepare(struct attempt *attempt, const struct sandbox_config *like,
		   struct cay_error *err)
{
	struct daemon *daemon = attempt->daemon;
	_cleanup_(sandbox_config_free_p) struct sandbox_config *config = launch_copy_machine(like);
	_cleanup_free_ char *document = NULL;
	const struct launch_warm warm = {
		.id = attempt->id,
		.run_directory = attempt->run_directory,
		.uid = geteuid() == 0 ? containers_choose_uid(daemon->containers) : 0,
		.directory = attempt->directory,
	};

	launch_as_template(config, &warm);
	recorder_choose(daemon->recorder, config);
	document = sandbox_config_print(config);
	if (mkdir(attempt->directory, 0700) < 0)
		return cay_error_errno(err, errno, "making %s", attempt->directory);
	if (mkdir(attempt->run_directory, 0700) < 0)
		return cay_error_errno(err, errno, "making %s", attempt->run_directory);
	return file_write_volatile(attempt->config_path, document, strlen(document), 0600, err);
}

/* ---- the process ---- */

static int spawn(struct attempt *attempt, bool background, struct cay_error *err)
{
	const struct shim_program program = {
		.config_path = attempt->config_path,
		.log_path = attempt->log_path,
		.leash_fd = -1,
		.is_child = true,
		.background = background,
	};
	struct template_maker *maker = attempt->maker;
	pid_t pid;
	int r;

	(void)pthread_mutex_lock(maker->lock);
	r = maker->is_cancelled ? cay_error_set(err, CAY_CANCELLED, ECANCELED, "it was given up")
				: shim_execute(&attempt->daemon->options, &program, &pid, err);
	if (r == 0)
		maker->pid = pid;
	(void)pthread_mutex_unlock(maker->lock);
	return r;
}

/* True when it has ended by itself in time. It is not reaped: its pid stays its own. */
static bool wait_ended(pid_t pid)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
	const int64_t deadline = clock_monotonic_ms() + MAKE_MS;

	for (;;) {
		const int64_t left = deadline - clock_monotonic_ms();

		if (left <= 0)
			return false;
		if (poll(&poll_fd, 1, (int)left) > 0)
			return true;
	}
}

static int wait_made(struct attempt *attempt, struct cay_error *err)
{
	struct template_maker *maker = attempt->maker;
	_cleanup_free_ char *words = NULL;
	const pid_t pid = maker->pid; /* this thread alone changes it */
	const bool in_time = wait_ended(pid);
	bool is_cancelled;
	int status = 0;

	(void)pthread_mutex_lock(maker->lock);
	if (!in_time)
		(void)kill(pid, SIGKILL);
	maker->pid = 0;
	is_cancelled = maker->is_cancelled;
	(void)pthread_mutex_unlock(maker->lock);
	(void)process_wait(pid, &status); /* a child of ours, which nobody else waits for */
	if (is_cancelled)
		return cay_error_set(err, CAY_CANCELLED, ECANCELED, "it was given up");
	if (!in_time)
		return cay_error_set(err, CAY_TIMEOUT, ETIMEDOUT,
				     "the VM was not frozen within %d s", MAKE_MS / 1000);
	if (process_exit_code(status) == 0)
		return 0;
	words = shim_last_words(attempt->log_path);
	return cay_error_set(err, CAY_INTERNAL, EIO, "%s", words);
}

void template_maker_cancel(struct template_maker *maker)
{
	maker->is_cancelled = true;
	if (maker->pid > 0)
		(void)kill(maker->pid, SIGKILL); /* its VM goes with it */
}

/* ---- the whole ---- */

static int keep(const struct attempt *attempt, const char *directory, const char *key,
		const struct sandbox_config *like, struct cay_error *err)
{
	char now[TEMPLATE_KEY_SIZE];
	_cleanup_free_ char *path = path_join(directory, key);
	struct template template = TEMPLATE_NONE;
	int r = template_open(attempt->directory, &template, err);

	if (r < 0)
		return r;
	template_close(&template);
	r = templates_key(like, now, NULL, err);
	if (r < 0)
		return r;
	if (strcmp(now, key) != 0)
		return cay_error_set(err, CAY_CONFLICT, ESTALE,
				     "the kernel, the initramfs or QEMU has changed meanwhile");
	/* One that is there was not found fit to be used. */
	r = remove_tree(path, err);
	if (r < 0)
		return r;
	if (rename(attempt->directory, path) < 0)
		return cay_error_errno(err, errno, "renaming %s", attempt->directory);
	return file_sync_parent(path, err);
}

int template_make(struct daemon *daemon, struct template_maker *maker, const char *directory,
		  const char *key, const struct sandbox_config *like, bool background,
		  struct cay_error *err)
{
	struct attempt attempt = { .daemon = daemon, .maker = maker };
	int r;

	id_make(attempt.id);
	attempt.directory = xasprintf("%s/" NEW_PREFIX "%s", directory, attempt.id);
	attempt.config_path = xasprintf("%s.json", attempt.directory);
	attempt.log_path = xasprintf("%s.log", attempt.directory);
	attempt.run_directory = path_join(daemon->options.run, attempt.id);
	r = launch_check_space(directory, err);
	if (r == 0)
		r = prepare(&attempt, like, err);
	if (r == 0)
		r = spawn(&attempt, background, err);
	if (r == 0)
		r = wait_made(&attempt, err);
	if (r == 0)
		r = keep(&attempt, directory, key, like, err);
	attempt_done(&attempt);
	return r;
}

void template_maker_clear(const char *directory)
{
	_cleanup_free_ char *prefix = path_join(directory, NEW_PREFIX);
	DIR *entries = opendir(directory);
	const struct dirent *entry;

	shim_destroy_all(prefix, 0);
	while (entries && (entry = readdir(entries))) {
		_cleanup_free_ char *path = path_join(directory, entry->d_name);
		struct cay_error err = { 0 };

		if (starts_with(entry->d_name, NEW_PREFIX) && remove_tree(path, &err) < 0)
			log_warning("%s", err.message);
	}
	if (entries)
		(void)closedir(entries);
}
