/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon as a whole: its parts opened in order, its socket, its end. */
#include "daemon/daemon.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "daemon/api/api.h"
#include "daemon/containers.h"
#include "daemon/damaged.h"
#include "daemon/database.h"
#include "daemon/events.h"
#include "daemon/exec.h"
#include "daemon/host.h"
#include "daemon/networks.h"
#include "daemon/pool.h"
#include "daemon/quiet.h"
#include "daemon/recorder.h"
#include "daemon/recover.h"
#include "daemon/service.h"
#include "daemon/supervisor.h"
#include "daemon/templates.h"
#include "daemon/volumes.h"
#include "image/scratch.h"
#include "image/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/file.h>

enum { SUPERVISORS_END_MS = 10000 };

/*
 * Takes a file's lock and writes our pid into it. The lock lives as long as the process; the file
 * stays, since removing it would let a third daemon lock another file of the same name.
 */
static int lock_file(const char *path, const char *what, int *ret_fd, struct cay_error *err)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char pid[32] = "";
	ssize_t n;

	if (fd < 0)
		return cay_error_errno(err, errno, "opening %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return cay_error_errno(err, errno, "locking %s", path);
		n = pread(fd, pid, sizeof(pid) - 1, 0);
		pid[MAX(n, 0)] = '\0';
		pid[strspn(pid, "0123456789")] = '\0';
		return cay_error_set(err, CAY_CONFLICT, EBUSY,
				     "another cayd, process %s, uses %s already",
				     pid[0] ? pid : "(unknown)", what);
	}
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite_full(fd, pid, (size_t)n, 0) < 0)
		return cay_error_errno(err, errno ? errno : EIO, "writing %s", path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int lock_directories(struct daemon *daemon, struct cay_error *err)
{
	_cleanup_free_ char *root_lock = path_join(daemon->options.root, "cayd.lock");
	_cleanup_free_ char *run_lock = path_join(daemon->options.run, "cayd.pid");
	int r = make_dirs(daemon->options.root, 0700, err);

	if (r == 0)
		r = make_dirs(daemon->options.run, 0700, err);
	if (r == 0)
		r = lock_file(root_lock, daemon->options.root, &daemon->root_lock_fd, err);
	if (r == 0)
		r = lock_file(run_lock, daemon->options.run, &daemon->run_lock_fd, err);
	return r;
}

static int open_parts(struct daemon *daemon, struct cay_error *err)
{
	_cleanup_free_ char *database_path = path_join(daemon->options.root, "cay.db");
	const struct image_store_options images = {
		.root = daemon->options.root,
		.worker = daemon->options.layer_worker,
		.insecure_registries = &daemon->options.insecure_registries,
		.registry_mirrors = &daemon->options.registry_mirrors,
		.registry_certs = &daemon->options.certs_folders,
		.parallel_layers = daemon->options.max_downloads,
		.parallel_uploads = daemon->options.max_uploads,
	};
	int r = database_open(database_path, &daemon->database, err);

	if (r == 0)
		r = database_root_id(daemon->database, daemon->id, err);
	if (r == 0)
		r = image_store_open(&images, &daemon->images, err);
	if (r == 0)
		r = scratch_prepare(daemon->options.root, err);
	if (r < 0)
		return r;
	daemon->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (daemon->stop_fd < 0)
		return cay_error_errno(err, errno, "making an eventfd");
	daemon->events = events_new();
	daemon->containers = containers_new();
	daemon->damaged = damaged_new();
	daemon->execs = execs_new();
	daemon->host = host_new(&daemon->options);
	daemon->quiet = quiet_new();
	/* Processes that the last daemon left on their way are ended before anything is taken up.
	 */
	r = recorder_open(daemon, &daemon->recorder, err);
	if (r == 0)
		r = templates_open(daemon, &daemon->templates, err);
	return r < 0 ? r : pool_open(daemon, &daemon->pool, err);
}

int daemon_open(struct daemon_options *options, struct daemon **ret_daemon, struct cay_error *err)
{
	struct daemon *daemon = xcalloc(1, sizeof(*daemon));
	int r;

	daemon->options = *options;
	*options = (struct daemon_options){ 0 };
	daemon->root_lock_fd = daemon->run_lock_fd = daemon->stop_fd = -1;
	daemon->started_ns = clock_now_ns();
	r = lock_directories(daemon, err);
	if (r == 0)
		r = open_parts(daemon, err);
	if (r == 0)
		r = volumes_open(daemon, &daemon->volumes, err);
	if (r == 0)
		r = networks_open(daemon, &daemon->networks, err);
	if (r == 0)
		r = recover_containers(daemon, err);
	if (r == 0)
		volumes_settle(daemon->volumes);
	if (r == 0)
		r = networks_start(daemon->networks, err);
	if (r < 0) {
		daemon_close(daemon);
		return r;
	}
	recorder_start(daemon->recorder);
	templates_start(daemon->templates);
	pool_start(daemon->pool);
	*ret_daemon = daemon;
	return 0;
}

int daemon_serve(struct daemon *daemon, struct cay_error *err)
{
	const char *path = daemon->options.host + strlen("unix://");
	int fd = service_listen_fd(), r = 0;

	if (fd < 0)
		r = service_listen(path, &fd, err);
	if (r < 0)
		return r;
	r = http_server_start(daemon, fd, api_tables, API_TABLE_COUNT, &daemon->server, err);
	if (r < 0)
		return r;
	service_notify("READY=1");
	log_info("serving on %s", daemon->options.host);
	return 0;
}

void daemon_close(struct daemon *daemon)
{
	if (!daemon)
		return;
	if (daemon->server) {
		service_notify("STOPPING=1");
		http_server_stop(daemon->server);
		(void)unlink(daemon->options.host +
			     strlen("unix://")); /* a stale one does no harm */
	}
	if (daemon->stop_fd >= 0)
		fd_wake(daemon->stop_fd);
	recorder_stop(daemon->recorder);
	templates_stop(daemon->templates);
	pool_stop(daemon->pool);
	if (!supervisors_wait(daemon, SUPERVISORS_END_MS)) {
		/* They use the parts below; the process ends in a moment anyway. */
		log_warning("ending while containers are being started");
		return;
	}
	pool_free(daemon->pool);
	templates_free(daemon->templates);
	recorder_free(daemon->recorder);
	quiet_free(daemon->quiet);
	networks_free(daemon->networks);
	volumes_free(daemon->volumes);
	host_free(daemon->host);
	execs_free(daemon->execs);
	containers_free(daemon->containers);
	damaged_free(daemon->damaged);
	if (daemon->events)
		events_free(daemon->events);
	if (daemon->images)
		image_store_close(daemon->images);
	database_close(daemon->database);
	cay_close_p(&daemon->stop_fd);
	cay_close_p(&daemon->run_lock_fd);
	cay_close_p(&daemon->root_lock_fd);
	daemon_options_done(&daemon->options);
	free(daemon);
}
