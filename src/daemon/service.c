/* SPDX-License-Identifier: Apache-2.0 */
/* The listening socket and systemd's protocols. */
#include "daemon/service.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { LISTEN_FDS_START = 3, BACKLOG = 512 };

int service_listen_fd(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	uint64_t number;
	int result = -1;

	if (pid && count && parse_u64(pid, INT32_MAX, &number) == 0 && (pid_t)number == getpid() &&
	    parse_u64(count, INT32_MAX, &number) == 0 && number >= 1 &&
	    fd_set_cloexec(LISTEN_FDS_START, true) == 0)
		result = LISTEN_FDS_START;
	/* Shims must not take these for their own. */
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	return result;
}

static int make_address(const char *path, struct sockaddr_un *address, struct cay_error *err)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address->sun_path))
		return cay_error_set(err, CAY_INVALID, ENAMETOOLONG,
				     "the socket's path is over %zu bytes: %s",
				     sizeof(address->sun_path) - 1, path);
	memcpy(address->sun_path, path, strlen(path));
	return 0;
}

static bool answers(const struct sockaddr_un *address)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
}

static int make_parent(const char *path, struct cay_error *err)
{
	_cleanup_free_ char *directory = xstrndup(path, (size_t)(path_last(path) - path));

	return make_dirs(directory, 0700, err);
}

int service_listen(const char *path, int *ret_fd, struct cay_error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;
	mode_t mask;
	int r;

	if (fd < 0)
		return cay_error_errno(err, errno, "making a socket");
	r = make_address(path, &address, err);
	if (r == 0)
		r = make_parent(path, err);
	if (r < 0)
		return r;
	if (answers(&address))
		return cay_error_set(err, CAY_CONFLICT, EADDRINUSE,
				     "something else serves on %s already", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return cay_error_errno(err, errno, "removing the old socket %s", path);
	mask = umask(0177);
	r = bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	(void)umask(mask);
	if (r < 0)
		return cay_error_errno(err, r, "binding %s", path);
	if (listen(fd, BACKLOG) < 0)
		return cay_error_errno(err, errno, "listening on %s", path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

void service_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;
	struct cay_error ignored;

	if (!path || (path[0] != '/' && path[0] != '@') || fd < 0 ||
	    make_address(path, &address, &ignored) < 0)
		return;
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
}
