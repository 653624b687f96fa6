/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's side of cay-layer. What comes back from a worker is foreign
 * too: its status is one short line, parsed strictly and shown with what is
 * not printable replaced.
 */
#include "image/worker.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

enum { STATUS_MAX = 1536, CANCEL_POLL_MS = 100, FIRST_FD = 3 };
enum { PROGRESS_CPU_MS = 1000 }; /* what a worker must use meanwhile to be waited for anew */

bool worker_is_cancelled(const struct worker_cancel *cancel)
{
	return cancel && cancel->cancelled && cancel->cancelled(cancel->user);
}

int worker_cancelled(struct cay_error *err)
{
	return cay_error_set(err, CAY_CANCELLED, ECANCELED, "cancelled");
}

/* How long it has been computing: nobody needs a right to know that. */
static int64_t cpu_ms(pid_t pid)
{
	struct timespec used;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) < 0)
		return 0;
	return (int64_t)used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

/*
 * To be called after each CANCEL_POLL_MS of waiting: whether to go on. RLIMIT_CPU ends a worker
 * that computes for ever; one that a hostile layer has taken over could sleep instead. The pauses
 * are counted and not read from a clock, so that no worker is blamed for a daemon that was stopped.
 */
static int wait_on(struct worker *worker, const struct worker_cancel *cancel, struct cay_error *err)
{
	const int64_t used = cpu_ms(worker->pid);

	if (worker_is_cancelled(cancel))
		return worker_cancelled(err);
	worker->waited_ms += CANCEL_POLL_MS;
	if (used - worker->cpu_ms >= PROGRESS_CPU_MS) {
		worker->cpu_ms = used;
		worker->waited_ms = 0;
	}
	if (worker->waited_ms < worker->stall_ms)
		return 0;
	return cay_error_set(err, CAY_TIMEOUT, ETIMEDOUT,
			     "its worker stood still for %u s and was ended: the host's disk does "
			     "not answer, or the data is hostile; try again",
			     worker->stall_ms / 1000);
}

static void reap(struct worker *worker, int *ret_status)
{
	if (process_wait(worker->pid, ret_status) < 0)
		*ret_status = 0; /* someone else reaped it; its status line decides */
	worker->pid = 0;
}

void worker_done(struct worker *worker)
{
	int status;

	if (worker->pid > 0) {
		(void)kill(worker->pid, SIGKILL); /* not yet reaped: the pid is its own */
		reap(worker, &status);
	}
	if (worker->data_path)
		(void)unlink(worker->data_path);
	if (worker->index_path)
		(void)unlink(worker->index_path);
	free(worker->data_path);
	free(worker->index_path);
	cay_close_p(&worker->status);
	cay_close_p(&worker->input);
	*worker = (struct worker)WORKER_INIT;
}

/* `fds` are given out from FIRST_FD on, the status pipe in front of them. */
static int start(struct worker *worker, const struct worker_program *program, const char *mode,
		 const char *count, int input, const int *fds, size_t fd_count,
		 struct cay_error *err)
{
	_cleanup_free_ struct process_fd *table = xcalloc(fd_count + 2, sizeof(*table));
	_cleanup_close_ int reader = -1, writer = -1;
	_cleanup_strv_ struct strv argv = { 0 };
	int pipe_fds[2], r;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return cay_error_errno(err, errno, "starting %s", program->path);
	reader = pipe_fds[0];
	writer = pipe_fds[1];
	strv_add(&argv, program->path);
	strv_add(&argv, mode);
	if (count)
		strv_add(&argv, count);
	struct process_spec spec = { .argv = &argv, .fds = table, .new_session = true };

	table[spec.fd_count++] = (struct process_fd){ writer, FIRST_FD };
	for (size_t i = 0; i < fd_count; i++)
		table[spec.fd_count++] = (struct process_fd){ fds[i], FIRST_FD + 1 + (int)i };
	if (input >= 0)
		table[spec.fd_count++] = (struct process_fd){ input, STDIN_FILENO };
	worker->stall_ms = program->stall_ms ? program->stall_ms : WORKER_STALL_MS;
	r = process_spawn(&spec, &worker->pid, err);
	if (r == 0)
		worker->status = TAKE_FD(reader);
	return r;
}

/* Waits for the status pipe's end; what was written to it is in `status`. */
static int read_status(struct worker *worker, const struct worker_cancel *cancel,
		       char status[STATUS_MAX], struct cay_error *err)
{
	size_t length = 0;

	for (;;) {
		struct pollfd wait = { .fd = worker->status, .events = POLLIN };
		ssize_t n;

		if (poll(&wait, 1, CANCEL_POLL_MS) <= 0) {
			int r = wait_on(worker, cancel, err);

			if (r < 0)
				return r;
			continue;
		}
		n = read(worker->status, status + length, STATUS_MAX - 1 - length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		length += (size_t)n;
	}
	while (length > 0 && status[length - 1] == '\n')
		length--;
	status[length] = '\0';
	for (size_t i = 0; i < length; i++)
		if (status[i] < ' ' || status[i] > '~')
			status[i] = '?';
	return 0;
}

/* Why a worker without a last word has ended. */
static int tell_death(int wait_status, struct cay_error *err)
{
	const int signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;

	switch (signal) {
	case SIGXCPU:
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG, "it takes too much time to unpack");
	case SIGXFSZ:
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG, "it is too large when unpacked");
	case SIGKILL: /* not its data's fault, as far as one can tell */
		return cay_error_set(err, CAY_NO_SPACE, ENOMEM,
				     "its worker was killed: the host is short of memory, or "
				     "somebody else did it");
	case SIGSYS:
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "its worker was stopped by its sandbox: the data is hostile "
				     "or cay has a bug");
	default:
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "its worker died (exit status %d): out of memory, or the data "
				     "made it crash",
				     process_exit_code(wait_status));
	}
}

static int tell_error(const char *status, struct cay_error *err)
{
	struct str rest, code_text, number_text;
	uint64_t code, number;

	(void)str_split(str_from(status), ' ', &rest);
	code_text = str_split(rest, ' ', &rest);
	number_text = str_split(rest, ' ', &rest);
	if (str_to_u64(code_text, CAY_CODE_COUNT - 1, &code) < 0 || code == CAY_OK ||
	    str_to_u64(number_text, 4096, &number) < 0)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG, "its worker spoke nonsense");
	return cay_error_set(err, (enum cay_code)code, (int)number, "%.*s", (int)rest.length,
			     rest.data);
}

/* Reads the status line and reaps the worker: 0 with an "ok" line in `status`. */
static int end(struct worker *worker, const struct worker_cancel *cancel, char status[STATUS_MAX],
	       struct cay_error *err)
{
	int wait_status, r = read_status(worker, cancel, status, err);

	if (r < 0)
		return r;
	/* It ends by itself, or has closed the pipe to stay on without being waited for. */
	(void)kill(worker->pid, SIGKILL);
	reap(worker, &wait_status);
	if (starts_with(status, "error "))
		return tell_error(status, err);
	if (!starts_with(status, "ok") || wait_status != 0)
		return tell_death(wait_status, err);
	return 0;
}

int worker_start_layer(struct worker *worker, const struct worker_program *program,
		       const struct content *content, int blob_fd, struct cay_error *err)
{
	_cleanup_close_ int data = -1, index = -1, ours = -1, theirs = -1;
	int pair[2], r;

	data = content_temporary(content, &worker->data_path, err);
	if (data < 0)
		return data;
	index = content_temporary(content, &worker->index_path, err);
	if (index < 0)
		return index;
	if (blob_fd < 0) {
		/* Not a pipe: MSG_NOSIGNAL spares the daemon SIGPIPE when the worker dies. */
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
			return cay_error_errno(err, errno, "starting %s", program->path);
		ours = pair[0];
		theirs = pair[1];
		(void)shutdown(theirs, SHUT_WR); /* of no use to it */
	}
	const int fds[] = { data, index };

	r = start(worker, program, "layer", NULL, blob_fd < 0 ? theirs : blob_fd, fds,
		  ARRAY_SIZE(fds), err);
	worker->input = TAKE_FD(ours);
	return r;
}

int worker_feed(struct worker *worker, const void *data, size_t size,
		const struct worker_cancel *cancel, struct cay_error *err)
{
	const char *at = data;

	while (size > 0) {
		struct pollfd wait = { .fd = worker->input, .events = POLLOUT };
		ssize_t n = send(worker->input, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			at += n;
			size -= (size_t)n;
		} else if (errno == EAGAIN) {
			int r = poll(&wait, 1, CANCEL_POLL_MS) == 0 ? wait_on(worker, cancel, err)
								    : 0;

			if (r < 0)
				return r;
		} else if (errno != EINTR) {
			char status[STATUS_MAX];
			int r = end(worker, cancel, status, err);

			/* It has ended before its input: its last word says why. */
			return r < 0 ? r
				     : cay_error_set(err, CAY_CORRUPT, EBADMSG,
						     "its worker ended too early");
		}
	}
	return 0;
}

/* "ok <diff id> <bytes> <blocks>": the daemon needs the first alone. */
static int check_diff_id(const char *status, const char *diff_id, struct cay_error *err)
{
	struct str rest, word;

	(void)str_split(str_from(status), ' ', &rest);
	word = str_split(rest, ' ', &rest);
	if (diff_id && !str_equals(word, digest_hex(diff_id)))
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "decompressed it is sha256:%.64s and not %s as its image "
				     "says",
				     word.data, diff_id);
	return 0;
}

int worker_finish_layer(struct worker *worker, const struct content *content,
			const char *blob_digest, const char *diff_id,
			const struct worker_cancel *cancel, struct cay_error *err)
{
	_cleanup_free_ char *data = content_data_path(content, blob_digest);
	_cleanup_free_ char *index = content_index_path(content, blob_digest);
	char status[STATUS_MAX];
	int r;

	cay_close_p(&worker->input);
	worker->input = -1;
	r = end(worker, cancel, status, err);
	if (r == 0)
		r = check_diff_id(status, diff_id, err);
	if (r < 0)
		return r;
	if (worker->lasting) {
		char *paths[] = { worker->data_path, worker->index_path };
		const struct strv both = { .items = paths, .count = ARRAY_SIZE(paths) };

		r = content_sync_files(&both, err);
		if (r < 0)
			return r;
	}
	/* The index last: it is what says that the layer is there. */
	if (rename(worker->data_path, data) < 0 || rename(worker->index_path, index) < 0)
		return cay_error_errno(err, errno, "writing %s", index);
	free(TAKE_PTR(worker->data_path));
	free(TAKE_PTR(worker->index_path));
	return 0;
}

/* Opens a file for reading and takes its path; the descriptor or -errno. */
static int open_stored(char *path, struct cay_error *err)
{
	_cleanup_free_ char *taken = path;
	int fd = open(taken, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? cay_error_errno(err, errno, "opening %s", taken) : fd;
}

int worker_check_layer(const struct worker_program *program, const struct content *content,
		       const char *blob_digest, const char *diff_id,
		       const struct worker_cancel *cancel, struct cay_error *err)
{
	_cleanup_(worker_done) struct worker worker = WORKER_INIT;
	_cleanup_close_ int blob = -1, data = -1, index = -1;
	char status[STATUS_MAX];
	int r = blob = open_stored(content_blob_path(content, blob_digest), err);

	if (r >= 0)
		r = data = open_stored(content_data_path(content, blob_digest), err);
	if (r >= 0)
		r = index = open_stored(content_index_path(content, blob_digest), err);
	if (r >= 0)
		r = start(&worker, program, "check", NULL, blob, (const int[]){ data, index }, 2,
			  err);
	if (r >= 0)
		r = end(&worker, cancel, status, err);
	return r < 0 ? r : check_diff_id(status, diff_id, err);
}

static void close_all(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		cay_close_p(&fds[i]);
	free(fds);
}

int worker_merge(const struct worker_program *program, const struct content *content,
		 char *const *blob_digests, size_t count, const char *path,
		 const struct worker_cancel *cancel, struct cay_error *err)
{
	_cleanup_free_ char *temporary = NULL, *count_text = xasprintf("%zu", count);
	_cleanup_(worker_done) struct worker worker = WORKER_INIT;
	int *fds = xcalloc(2 * count + 1, sizeof(*fds));
	size_t opened = 0;
	char status[STATUS_MAX];
	int r = content_temporary(content, &temporary, err);

	if (r >= 0)
		fds[opened++] = r;
	for (size_t i = 0; r >= 0 && i < 2 * count; i++) {
		const char *digest = blob_digests[i < count ? i : i - count];

		r = open_stored(i < count ? content_index_path(content, digest)
					  : content_data_path(content, digest),
				err);
		if (r >= 0)
			fds[opened++] = r;
	}
	if (r >= 0)
		r = start(&worker, program, "merge", count_text, -1, fds, opened, err);
	close_all(fds, opened);
	if (r >= 0)
		r = end(&worker, cancel, status, err);
	/* Its image may be known already: a power cut must not leave half of it under its name. */
	if (r >= 0)
		r = content_sync_file(temporary, err);
	if (r >= 0 && rename(temporary, path) < 0)
		r = cay_error_errno(err, errno, "writing %s", path);
	if (r < 0 && temporary)
		(void)unlink(temporary);
	return MIN(r, 0);
}

int worker_start_archive(struct worker *worker, const struct worker_program *program,
			 int archive_fd, int *ret_frames, struct cay_error *err)
{
	_cleanup_close_ int reader = -1, writer = -1;
	int pipe_fds[2], r;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return cay_error_errno(err, errno, "starting %s", program->path);
	reader = pipe_fds[0];
	writer = pipe_fds[1];
	(void)fcntl(writer, F_SETPIPE_SZ, 1 << 20); /* fewer switches; any size works */
	r = start(worker, program, "archive", NULL, archive_fd, &writer, 1, err);
	if (r == 0)
		*ret_frames = TAKE_FD(reader);
	return r;
}

int worker_start_unpack(struct worker *worker, const struct worker_program *program, int input_fd,
			int *ret_fd, struct cay_error *err)
{
	_cleanup_close_ int ours = -1, theirs = -1;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return cay_error_errno(err, errno, "starting %s", program->path);
	ours = pair[0];
	theirs = pair[1];
	(void)shutdown(ours, SHUT_WR); /* of no use to it */
	r = start(worker, program, "unpack", NULL, input_fd, &theirs, 1, err);
	if (r == 0)
		*ret_fd = TAKE_FD(ours);
	return r;
}

int worker_finish(struct worker *worker, const struct worker_cancel *cancel, struct cay_error *err)
{
	char status[STATUS_MAX];

	return end(worker, cancel, status, err);
}
