/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets. sun_path holds 107 bytes, too few for some run directories, so
 * a longer path is reached through its open directory.
 */
#include "base/unix.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { BACKLOG = 1024, CONNECT_SECONDS = 5 };

/* The address of `path`. *ret_directory must stay open while it is used; -1 where it isn't needed.
 */
static int make_address(const char *path, struct sockaddr_un *address, int *ret_directory,
			struct cay_error *err)
{
	const char *name = path_last(path);
	_cleanup_free_ char *parent = xstrndup(path, (size_t)(name - path));
	_cleanup_close_ int directory = -1;
	int length;

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) < sizeof(address->sun_path)) {
		(void)snprintf(address->sun_path, sizeof(address->sun_path), "%s", path);
		*ret_directory = -1;
		return 0;
	}
	directory = open(*parent ? parent : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return cay_error_errno(err, errno, "opening the directory of %s", path);
	length = snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s",
			  directory, name);
	if (length < 0 || (size_t)length >= sizeof(address->sun_path))
		return cay_error_set(err, CAY_INVALID, ENAMETOOLONG,
				     "the socket's name is too long: %s", path);
	*ret_directory = TAKE_FD(directory);
	return 0;
}

static int open_socket(int flags, struct cay_error *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	return fd >= 0 ? fd : cay_error_errno(err, errno, "making a socket");
}

/* A socket that another run has left behind gives way; anything else stays. */
static int remove_old(const char *path, struct cay_error *err)
{
	struct stat st;

	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		return cay_error_errno(err, errno, "looking at %s", path);
	}
	if (!S_ISSOCK(st.st_mode))
		return cay_error_set(err, CAY_EXISTS, EEXIST, "%s is there and is no socket", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return cay_error_errno(err, errno, "removing %s", path);
	return 0;
}

int unix_listen(const char *path, mode_t mode, struct cay_error *err)
{
	_cleanup_close_ int directory = -1, fd = -1;
	struct sockaddr_un address;
	int r;

	r = make_address(path, &address, &directory, err);
	if (r < 0)
		return r;
	fd = open_socket(SOCK_NONBLOCK, err);
	if (fd < 0)
		return fd;
	r = remove_old(path, err);
	if (r < 0)
		return r;
	/* The file is made with the mode of the socket: at no time may others connect. */
	if (fchmod(fd, mode) < 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return cay_error_errno(err, errno, "listening on %s", path);
	return TAKE_FD(fd);
}

int unix_try_connect(const char *path)
{
	_cleanup_close_ int directory = -1, fd = -1;
	struct sockaddr_un address;
	int r = make_address(path, &address, &directory, NULL);

	if (r < 0)
		return r;
	fd = open_socket(SOCK_NONBLOCK, NULL);
	if (fd < 0)
		return fd;
	return connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno
										   : TAKE_FD(fd);
}

int unix_connect(const char *path, struct cay_error *err)
{
	/* A listener whose queue is full makes connect() wait for this long at most. */
	const struct timeval patience = { .tv_sec = CONNECT_SECONDS };
	_cleanup_close_ int directory = -1, fd = -1;
	struct sockaddr_un address;
	int r;

	r = make_address(path, &address, &directory, err);
	if (r < 0) {
		if (r == -ENOENT && err)
			err->code = CAY_UNAVAILABLE;
		return r;
	}
	fd = open_socket(0, err);
	if (fd < 0)
		return fd;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		r = cay_error_errno(err, errno, "connecting to %s", path);
		if (err && (r == -ENOENT || r == -EAGAIN))
			err->code = CAY_UNAVAILABLE;
		return r;
	}
	return TAKE_FD(fd);
}

/* ---- descriptors on their way ---- */

union rights {
	char data[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

int unix_send_fd(int socket, const void *data, size_t size, int fd)
{
	struct iovec part = { .iov_base = (void *)data, .iov_len = size };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
	union rights control = { 0 };
	struct cmsghdr *rights;

	if (fd >= 0) {
		header.msg_control = control.data;
		header.msg_controllen = sizeof(control.data);
		rights = CMSG_FIRSTHDR(&header);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
	}
	return sendmsg(socket, &header, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

ssize_t unix_receive_fd(int socket, void *data, size_t size, int *ret_fd)
{
	struct iovec part = { .iov_base = data, .iov_len = size };
	union rights control;
	struct msghdr header = { .msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control.data,
				 .msg_controllen = sizeof(control.data) };
	const struct cmsghdr *rights;
	ssize_t n;

	*ret_fd = -1;
	do {
		n = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	rights = CMSG_FIRSTHDR(&header);
	if (rights && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS &&
	    rights->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(rights), sizeof(*ret_fd));
	return n;
}
