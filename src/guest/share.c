/* SPDX-License-Identifier: Apache-2.0 */
/* Mounting shares, and the beginning and the end of the relay. */
#include "guest/share.h"

#include "guest/guest.h"
#include "guest/relay.h"
#include "guest/task.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/unix.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { RELAY_FD = 3 };

/* Child: the relay has vminitd's namespaces and memory, and of its descriptors only its socket. */
static _Noreturn void run_child(int fd)
{
	if (fd != RELAY_FD && dup2(fd, RELAY_FD) < 0)
		_exit(1);
	(void)close_range(RELAY_FD + 1, ~0U, 0); /* Linux 5.9 */
	(void)prctl(PR_SET_NAME, "cay-relay", 0, 0, 0);
	relay_run(RELAY_FD);
}

int shares_open(struct guest *guest, struct cay_error *err)
{
	int pair[2], error;
	pid_t pid;

	if (guest->relay_pid > 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return cay_error_errno(err, errno, "making a socket");
	pid = task_fork();
	error = errno;
	if (pid == 0)
		run_child(pair[1]);
	(void)close(pair[1]);
	if (pid < 0) {
		(void)close(pair[0]);
		return cay_error_errno(err, error, "forking");
	}
	guest->relay_pid = pid;
	guest->relay_fd = pair[0];
	return 0;
}

void shares_reaped(struct guest *guest, pid_t pid)
{
	if (pid != guest->relay_pid)
		return;
	guest->relay_pid = 0;
	(void)close(TAKE_FD(guest->relay_fd));
}

static bool is_file(const struct strv *options)
{
	return strv_contains(options, "file");
}

static int make_target(const char *target, bool file, struct cay_error *err)
{
	_cleanup_free_ char *parent = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	if (!file)
		return make_dirs(target, 0755, err);
	parent = xstrndup(target, (size_t)(path_last(target) - target));
	r = make_dirs(parent, 0755, err);
	if (r < 0)
		return r;
	fd = open(target, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? cay_error_errno(err, errno, "making %s", target) : 0;
}

int share_mount(int relay_fd, const char *source, const char *target, const struct strv *options,
		struct cay_error *err)
{
	const bool file = is_file(options);
	_cleanup_close_ int fuse = -1;
	char data[128];
	uint64_t number;
	uint32_t relayed;
	int r;

	if (target[0] != '/')
		return cay_error_set(err, CAY_INVALID, EINVAL, "the target \"%s\" is not absolute",
				     target);
	if (parse_u64(source, SHARES_MAX - 1, &number) < 0 || options->count > (file ? 1U : 0U))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "mounting on %s: no share \"%s\" with such options", target,
				     source);
	r = make_target(target, file, err);
	if (r < 0)
		return r;
	fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fuse < 0)
		return cay_error_errno(err, errno, "opening /dev/fuse");
	/*
	 * Modes are the guest's kernel's to judge, for every user, set-id programs as on any of its
	 * disks; ids are the host's own. Devices of the host's numbers would be others of the
	 * guest's.
	 */
	(void)snprintf(data, sizeof(data),
		       "fd=%d,rootmode=%o,user_id=0,group_id=0,default_permissions,allow_other",
		       fuse, file ? S_IFREG : S_IFDIR);
	if (mount("cay-files", target, "fuse.cay", MS_NODEV, data) < 0)
		return cay_error_errno(err, errno, "mounting share %s on %s", source, target);
	relayed = (uint32_t)number;
	r = unix_send_fd(relay_fd, &relayed, sizeof(relayed), fuse);
	return r < 0 ? cay_error_errno(err, r, "reaching the relay of shared files") : 0;
}
