/* SPDX-License-Identifier: Apache-2.0 */
/* Starting cayd in the background, and stopping the one that serves a socket. */
#include "cli/daemon.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
	READY_MS = 30000, /* a first start makes its folders and tries out KVM */
	LOCK_MS = 35000,  /* another starter's whole wait */
	STEP_MS = 10,
	PING_MS = 5000,
	LOG_TAIL_MAX = 1024 * 1024,
};

/* The first of the places where cayd may be; the caller frees. */
static char *find_program(void)
{
	static const char *const places[] = { "/cayd", "/../libexec/cay/cayd", "/../sbin/cayd" };
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0) {
		char *slash;

		self[n] = '\0';
		slash = strrchr(self, '/');
		if (slash)
			*slash = '\0';
		for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
			_cleanup_buf_ struct buf path = { 0 };

			buf_append(&path, self, strlen(self));
			buf_puts(&path, places[i]);
			if (access(path.data, X_OK) == 0)
				return buf_steal(&path);
		}
	}
	return xstrdup("cayd"); /* looked up in PATH */
}

/* Where the daemon of this user keeps its state. */
static int default_root(char **ret_root, struct cay_error *err)
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

	if (geteuid() == 0)
		*ret_root = xstrdup("/var/lib/cay");
	else if (data && *data == '/')
		*ret_root = path_join(data, "cay");
	else if (home && *home == '/')
		*ret_root = path_join(home, ".local/share/cay");
	else
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "HOME is not set; name the daemon's folder with --root");
	return 0;
}

static char *socket_directory(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash > path ? xstrndup(path, (size_t)(slash - path)) : xstrdup("/");
}

/* Held until the descriptor is closed; the daemon does not inherit it. */
static int take_lock(const char *run, struct cay_error *err)
{
	_cleanup_free_ char *path = path_join(run, "start.lock");
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int64_t deadline = clock_monotonic_ms() + LOCK_MS;

	if (fd < 0)
		return cay_error_errno(err, errno, "opening %s", path);
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return cay_error_errno(err, errno, "locking %s", path);
		if (clock_monotonic_ms() > deadline)
			return cay_error_set(err, CAY_TIMEOUT, ETIMEDOUT,
					     "another cay has been starting the daemon for %d s",
					     LOCK_MS / 1000);
		(void)poll(NULL, 0, STEP_MS);
	}
	return TAKE_FD(fd);
}

/* The last thing the daemon said. */
static int ended_early(const char *log_path, int log, off_t start, struct cay_error *err)
{
	_cleanup_buf_ struct buf text = { 0 };
	char *line, *end;

	(void)lseek(log, start, SEEK_SET);
	(void)fd_read(log, log_path, LOG_TAIL_MAX, &text, NULL);
	buf_putc(&text, '\0');
	end = text.data + strlen(text.data);
	while (end > text.data && end[-1] == '\n')
		*--end = '\0';
	line = strrchr(text.data, '\n');
	line = line ? line + 1 : text.data;
	return cay_error_set(err, CAY_UNAVAILABLE, ECHILD,
			     "the daemon ended as it started: %s (its log is %s)",
			     *line ? line : "it said nothing", log_path);
}

static int wait_ready(struct client *client, pid_t pid, const char *log_path, int log, off_t start,
		      struct cay_error *err)
{
	_cleanup_close_ int pidfd = pidfd_open(pid, 0);
	int64_t deadline = clock_monotonic_ms() + READY_MS;

	for (;;) {
		struct pollfd entry = { .fd = pidfd, .events = POLLIN };

		if (client_ping(client, PING_MS, NULL) == 0)
			return 0;
		if (pidfd < 0 || poll(&entry, 1, STEP_MS) > 0)
			return ended_early(log_path, log, start, err);
		if (clock_monotonic_ms() > deadline)
			return cay_error_set(err, CAY_TIMEOUT, ETIMEDOUT,
					     "the daemon was started but did not answer for %d s "
					     "(its log is %s)",
					     READY_MS / 1000, log_path);
	}
}

/* With the lock held. */
static int start_locked(struct client *client, const char *root, const char *run,
			const char *const *options, struct cay_error *err)
{
	_cleanup_free_ char *log_path = path_join(run, "cayd.log"), *program = find_program();
	_cleanup_close_ int log = -1;
	_cleanup_strv_ struct strv argv = { 0 };
	off_t start;
	pid_t pid;
	int r;

	log = open(log_path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (log < 0)
		return cay_error_errno(err, errno, "opening %s", log_path);
	start = lseek(log, 0, SEEK_END);
	strv_add(&argv, program);
	strv_add(&argv, "--root");
	strv_add(&argv, root);
	strv_add(&argv, "--run");
	strv_add(&argv, run);
	strv_add(&argv, "--host");
	strv_addf(&argv, "unix://%s", client->path);
	for (; options && *options; options++)
		strv_add(&argv, *options);
	const struct process_fd fds[] = { { log, STDOUT_FILENO }, { log, STDERR_FILENO } };
	const struct process_spec spec = {
		.argv = &argv, .fds = fds, .fd_count = ARRAY_SIZE(fds), .new_session = true
	};
	r = process_spawn_detached(&spec, &pid, err);
	if (r < 0)
		return cay_error_prefix(err, "the daemon does not run and can't be started");
	return wait_ready(client, pid, log_path, log, start, err);
}

int daemon_start(const struct daemon_place *place, struct cay_error *err)
{
	_cleanup_free_ char *root = xstrdup(place->root), *run = xstrdup(place->run);
	_cleanup_free_ char *socket_path = xstrdup(place->socket);
	_cleanup_close_ int lock = -1;
	struct client client = { .path = socket_path };
	int r = root ? 0 : default_root(&root, err);

	if (r < 0)
		return r;
	if (!run)
		run = socket_directory(place->socket);
	r = make_dirs(run, 0700, err);
	if (r < 0)
		return r;
	lock = take_lock(run, err);
	if (lock < 0)
		return lock;
	if (client_ping(&client, PING_MS, NULL) == 0)
		return 0;
	return start_locked(&client, root, run, place->options, err);
}

int daemon_start_default(struct client *client, struct cay_error *err)
{
	const struct daemon_place place = { .socket = client->path };

	return daemon_start(&place, err);
}

/* The process that called listen(): unix(7), SO_PEERCRED. */
static int find_listener(const struct client *client, pid_t *ret_pid, struct cay_error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct ucred peer;
	socklen_t size = sizeof(peer);

	memcpy(address.sun_path, client->path, strlen(client->path) + 1);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return cay_error_set(err, CAY_UNAVAILABLE, errno, "no daemon answers at unix://%s",
				     client->path);
	*ret_pid = peer.pid;
	return 0;
}

int daemon_find(const struct client *client, pid_t *ret_pid, struct cay_error *err)
{
	_cleanup_close_ int pidfd = -1;
	char link[64], program[4096];
	pid_t pid, again;
	ssize_t n;
	int r = find_listener(client, &pid, err);

	if (r < 0)
		return r;
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0)
		return cay_error_errno(err, errno, "looking at process %d", (int)pid);
	(void)snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	n = readlink(link, program, sizeof(program) - 1);
	program[MAX(n, 0)] = '\0';
	/* The pid could have been another's by the time of pidfd_open(); it listens still? */
	r = find_listener(client, &again, err);
	if (r < 0)
		return r;
	if (again != pid ||
	    (strcmp(path_last(program), "cayd") != 0 &&
	     strcmp(path_last(program), "cayd (deleted)") != 0))
		return cay_error_set(err, CAY_CONFLICT, EBUSY,
				     "process %d, which listens at unix://%s, is not cayd but %s",
				     (int)pid, client->path, *program ? program : "unknown");
	*ret_pid = pid;
	return TAKE_FD(pidfd);
}

int daemon_stop(int pidfd, int timeout_ms, struct cay_error *err)
{
	struct pollfd entry = { .fd = pidfd, .events = POLLIN };
	int64_t deadline = clock_monotonic_ms() + timeout_ms, left;

	if (pidfd_send_signal(pidfd, SIGTERM, NULL, 0) < 0 && errno != ESRCH)
		return cay_error_errno(err, errno, "stopping the daemon");
	while ((left = deadline - clock_monotonic_ms()) > 0)
		if (poll(&entry, 1, (int)left) > 0)
			return 0;
	return cay_error_set(err, CAY_TIMEOUT, ETIMEDOUT, "the daemon did not end within %d s",
			     timeout_ms / 1000);
}
