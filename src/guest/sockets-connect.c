/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting to a socket in a container's root. The root is that of the
 * container's first process, in whose mount namespace volumes and tmpfs are
 * seen too; the path is resolved in it by descriptor, and the socket is reached
 * through that descriptor, so that no link leads elsewhere and no path is too
 * long for sun_path.
 */
#include "guest/sockets-connect.h"

#include "guest/container.h"
#include "guest/guest.h"
#include "guest/mounts.h"
#include "guest/task.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { CONNECT_SECONDS = 10 };

struct target {
	int proc_fd;
	pid_t pid;
	const char *path;
};

static int find_socket(const struct target *target, struct cay_error *err)
{
	_cleanup_close_ int root = -1, fd = -1;
	char name[32];
	struct stat st;

	(void)snprintf(name, sizeof(name), "%d/root", (int)target->pid);
	root = openat(target->proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return cay_error_errno(err, errno, "opening the container's root");
	fd = path_in_root(root, target->path, MOUNT_MAKE_NOTHING);
	if (fd < 0)
		return cay_error_errno(err, fd, "finding %s in the container", target->path);
	if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
		return cay_error_set(err, CAY_CONFLICT, ENOTSOCK,
				     "%s is not a socket in the container", target->path);
	return TAKE_FD(fd);
}

/* Child. Its own end is the limit on the time this takes. */
static int run_connect(const void *input, uint64_t *ret_value, struct cay_error *err)
{
	const struct target *target = input;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int found = -1, fd = -1;

	(void)alarm(CONNECT_SECONDS);
	found = find_socket(target, err);
	if (found < 0)
		return found;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static_assert(sizeof(address.sun_path) >= FD_PATH_SIZE, "a descriptor's path fits");
	fd_path(found, address.sun_path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return cay_error_errno(err, errno, "connecting to %s in the container",
				       target->path);
	*ret_value = (uint64_t)TAKE_FD(fd);
	return 0;
}

int sockets_connect(const struct container *container, const char *path,
		    void (*done)(int result, uint64_t value, const struct cay_error *err,
				 void *user),
		    void *user, struct cay_error *err)
{
	struct guest *guest = container_guest(container);
	const struct target target = { guest->proc_fd, container_pid(container), path };

	if (path[0] != '/')
		return cay_error_set(err, CAY_INVALID, EINVAL, "%s is not an absolute path", path);
	if (target.pid <= 0)
		return cay_error_set(err, CAY_CONFLICT, ESRCH, "container %s is not running",
				     container_id(container));
	return task_open(guest, run_connect, &target, done, user, err);
}
