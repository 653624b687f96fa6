/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of a sandbox's shares: cay-files, which is started beside
 * QEMU and serves the guest by the guest's own memory, of which QEMU tells it
 * on a socket between the two (vhost-user).
 *
 * It tells by its status pipe that it is ready, or why it can't be; the
 * sandbox is ready no sooner. When it dies later, the VM goes on, and the guest
 * is told: nothing else would end what its processes wait for. Its shares then
 * give ENOTCONN.
 */
#include "sandbox/sandbox-internal.h"

#include "sandbox/call.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "vmm/cgroup.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum {
	SOCKET_FD = 3,
	STATUS_FD = 4,
	STATUS_MAX = 4096,
	END_TIMEOUT_MS = 10 * 1000,
	DEATH_TIMEOUT_MS = 2000
};

struct shares {
	pid_t pid; /* 0: reaped */
	int pidfd;
	int socket; /* QEMU's end, until QEMU has it */
	int status;
	struct buf text; /* what came by the status pipe */
	bool settled;    /* that is closed: it is ready or has failed */
	bool failed;
	int wait_status; /* once it is reaped */
	uv_poll_t status_poll, exit;
};

static void add_flag(struct buf *flags, bool on, const char *name)
{
	if (on)
		buf_printf(flags, ",%s", name);
}

void sandbox_files_arguments(const struct sandbox_config *config, struct strv *argv)
{
	strv_add(argv, config->files_program);
	for (size_t i = 0; i < config->share_count; i++) {
		const struct sandbox_share *share = &config->shares[i];
		struct buf flags = { 0 };

		buf_puts(&flags, share->read_only ? "ro" : "rw");
		add_flag(&flags, share->recursive, "rec");
		add_flag(&flags, share->slave, "slave");
		add_flag(&flags, share->cached, "cached");
		strv_add(argv, "--share");
		strv_take(argv, buf_steal(&flags));
		strv_add(argv, share->source);
	}
}

static int spawn(const struct sandbox_config *config, struct shares *shares, int socket, int status,
		 struct cay_error *err)
{
	const struct process_fd fds[] = {
		{ STDERR_FILENO, STDOUT_FILENO },
		{ STDERR_FILENO, STDERR_FILENO },
		{ socket, SOCKET_FD },
		{ status, STATUS_FD },
	};
	_cleanup_strv_ struct strv argv = { 0 };
	const struct process_spec spec = {
		.argv = &argv,
		.fds = fds,
		.fd_count = ARRAY_SIZE(fds),
	};
	int r;

	sandbox_files_arguments(config, &argv);
	r = process_spawn(&spec, &shares->pid, err);
	if (r < 0)
		return r;
	shares->pidfd = (int)syscall(SYS_pidfd_open, shares->pid, 0);
	return shares->pidfd < 0 ? cay_error_errno(err, errno, "watching cay-files") : 0;
}

/* Ends the process; it ends with its socket as well. */
static void end(struct shares *shares)
{
	struct pollfd exit = { .fd = shares->pidfd, .events = POLLIN };
	int status;

	if (shares->pid <= 0)
		return;
	(void)kill(shares->pid, SIGKILL); /* our child, not reaped yet */
	/* Not for ever: it may hang in a file system whose server has gone. */
	if (shares->pidfd < 0 || poll(&exit, 1, DEATH_TIMEOUT_MS) > 0)
		(void)process_wait(shares->pid, &status);
	else
		log_warning("cay-files %d does not end: it waits for a file system of the host's "
			    "and is left to init",
			    (int)shares->pid);
	shares->pid = 0;
}

static void shares_free(struct shares *shares)
{
	end(shares);
	cay_close_p(&shares->pidfd);
	cay_close_p(&shares->socket);
	cay_close_p(&shares->status);
	buf_done(&shares->text);
	free(shares);
}

int sandbox_open_shares(struct sandbox *sandbox, const struct sandbox_config *config,
			int *ret_socket, struct cay_error *err)
{
	_cleanup_close_ int theirs = -1, status = -1;
	struct shares *shares;
	int pair[2], pipe_fds[2], r;

	if (config->share_count == 0)
		return 0;
	shares = xcalloc(1, sizeof(*shares));
	shares->pidfd = shares->socket = shares->status = -1;
	sandbox->shares = shares;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return cay_error_errno(err, errno, "making a socket for cay-files");
	shares->socket = pair[0];
	theirs = pair[1];
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return cay_error_errno(err, errno, "making a pipe for cay-files");
	shares->status = pipe_fds[0];
	status = pipe_fds[1];
	r = spawn(config, shares, theirs, status, err);
	if (r == 0)
		*ret_socket = shares->socket;
	return r;
}

/* ---- while the VM runs ---- */

static void set_ended(const struct shares *shares, struct cay_error *why)
{
	(void)cay_error_set(why, CAY_INTERNAL, EIO, "cay-files ended with status %d",
			    process_exit_code(shares->wait_status));
}

/* The status pipe is closed. */
static void settle(struct sandbox *sandbox)
{
	struct shares *shares = sandbox->shares;
	const char *text = buf_text(&shares->text);
	struct cay_error why = { 0 };

	shares->settled = true;
	(void)uv_poll_stop(&shares->status_poll);
	if (shares->text.length > 0)
		(void)cay_error_set(&why, CAY_INTERNAL, EIO, "%.*s", (int)strcspn(text, "\n"),
				    text);
	else if (shares->pid == 0 && shares->wait_status != 0)
		set_ended(shares, &why);
	shares->failed = why.code != CAY_OK;
	if (shares->failed)
		sandbox_fail(sandbox, &why);
	else
		sandbox_part_ready(sandbox);
}

static void on_status(uv_poll_t *poll, int status, int events)
{
	struct sandbox *sandbox = poll->data;
	struct shares *shares = sandbox->shares;
	ssize_t n = read(shares->status, buf_reserve(&shares->text, STATUS_MAX), STATUS_MAX);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		shares->text.length += (size_t)n;
	if (n <= 0 || shares->text.length >= STATUS_MAX)
		settle(sandbox);
}

static void on_shares_ended(const ProtobufCMessage *response, const struct cay_error *err,
			    void *user)
{
	if (err)
		log_error("the guest can't end its shares, accesses may hang: %s", err->message);
}

static void on_files_exit(uv_poll_t *poll, int status, int events)
{
	struct sandbox *sandbox = poll->data;
	struct shares *shares = sandbox->shares;
	Cay__Vminitd__V1__EndSharesRequest request = CAY__VMINITD__V1__END_SHARES_REQUEST__INIT;
	struct cay_error why = { 0 };

	(void)uv_poll_stop(&shares->exit);
	(void)process_wait(shares->pid, &shares->wait_status); /* it has ended */
	shares->pid = 0;
	/* Status 0: its socket has ended, as QEMU has. */
	if (!shares->settled || sandbox->state >= ENDING || shares->wait_status == 0)
		return;
	set_ended(shares, &why);
	if (sandbox->awaited > 0 || !sandbox->conn) {
		shares->failed = true;
		sandbox_fail(sandbox, &why);
		return;
	}
	log_error("%s: what it shared is gone from the container until that is started again "
		  "(accesses fail with ENOTCONN)",
		  why.message);
	sandbox_call(sandbox->conn, "EndShares", &request.base, END_TIMEOUT_MS, on_shares_ended,
		     NULL);
}

bool sandbox_shares_failed(struct sandbox *sandbox)
{
	struct shares *shares = sandbox->shares;
	struct pollfd exit = { .events = POLLIN };

	if (!shares)
		return false;
	exit.fd = shares->pidfd;
	if (shares->pid > 0 && poll(&exit, 1, 0) > 0)
		on_files_exit(&shares->exit, 0, UV_READABLE);
	/* It has written before QEMU ended for want of it: one line, and the end. */
	for (int i = 0; !shares->settled && i < 2; i++)
		on_status(&shares->status_poll, 0, UV_READABLE);
	return shares->failed;
}

void sandbox_watch_shares(struct sandbox *sandbox)
{
	struct shares *shares = sandbox->shares;
	struct cay_error err = { 0 };

	if (!shares)
		return;
	cay_close_p(&shares->socket); /* QEMU has it: its end is then the connection's end */
	shares->socket = -1;
	sandbox->awaited++;
	sandbox_watch(sandbox, &shares->status_poll, shares->status, on_status);
	sandbox_watch(sandbox, &shares->exit, shares->pidfd, on_files_exit);
	/* What a guest makes it hold in memory counts as the guest's. */
	if (cgroup_attach(sandbox->config->id, shares->pid, &err) < 0)
		log_warning("cay-files is not in the VM's cgroup: %s", err.message);
}

void sandbox_unwatch_shares(struct sandbox *sandbox)
{
	if (!sandbox->shares)
		return;
	sandbox_close_handle(&sandbox->shares->status_poll);
	sandbox_close_handle(&sandbox->shares->exit);
}

void sandbox_close_shares(struct sandbox *sandbox)
{
	if (sandbox->shares)
		shares_free(TAKE_PTR(sandbox->shares));
}
