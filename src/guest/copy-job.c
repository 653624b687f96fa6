/* SPDX-License-Identifier: Apache-2.0 */
/* A call that copies files, and the child that does it. */
#include "guest/copy-job.h"

#include "guest/container-internal.h"
#include "guest/descriptors.h"
#include "guest/guest.h"
#include "guest/task.h"

#include "base/alloc.h"
#include "base/file.h"
#include "rpc/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

enum { CHUNK = 64 * 1024 }; /* a pipe's capacity */

/* What the child says at its end, in one write to a pipe. */
struct answer {
	int result;
	struct cay_error err;
};
static_assert(sizeof(struct answer) <= 4096, "an answer is one write");

struct copy_job {
	TAILQ_ENTRY(copy_job) link;
	struct container *container;
	struct rpc_call *call; /* NULL once its caller has given up */
	struct watch *child;   /* its pidfd; NULL once it has ended */
	struct watch *input;   /* NULL when closed */
	struct watch *output;  /* NULL at its end */
	int answer_fd;
	bool held_up;        /* the call's queue is full */
	bool paused;         /* the call's input waits for `pending` to be written */
	bool input_ended;    /* the caller has sent its last */
	struct buf pending;  /* input that the child has not taken */
	struct buf received; /* output that is not whole */
	bool (*deliver)(struct rpc_call *call, struct buf *data, bool ended);
	const ProtobufCMessage *reply;
};

static void update(struct copy_job *job)
{
	if (job->output)
		watch_set(job->output, job->held_up ? 0 : UV_READABLE);
	if (job->input)
		watch_set(job->input, job->pending.length > 0 ? UV_WRITABLE : 0);
}

static void job_free(struct copy_job *job)
{
	struct container *container = job->container;

	TAILQ_REMOVE(&container->copies, job, link);
	container->guest->copy_count--;
	watch_close(job->child);
	watch_close(job->input);
	watch_close(job->output);
	if (job->answer_fd >= 0)
		(void)close(job->answer_fd);
	buf_done(&job->pending);
	buf_done(&job->received);
	free(job);
	if (container->state == CONTAINER_DELETING)
		container_destroy_step(container);
}

/* What the child has said; one that was killed has said nothing. */
static int read_answer(struct copy_job *job, struct cay_error *err)
{
	struct answer answer;

	if (read_full(job->answer_fd, &answer, sizeof(answer)) == (ssize_t)sizeof(answer)) {
		*err = answer.err;
		return answer.result;
	}
	if (job->container->state == CONTAINER_DELETING)
		return cay_error_set(err, CAY_CANCELLED, ECANCELED, "container %s was deleted",
				     job->container->id);
	return cay_error_set(err, CAY_INTERNAL, ECHILD, "the process that did the work died");
}

/* The child is gone and all it has written is on its way. */
static void finish_if_ended(struct copy_job *job)
{
	static const struct rpc_call_events no_events = { 0 };
	struct cay_error err = { 0 };
	struct rpc_call *call = job->call;

	if (job->child || job->output)
		return;
	if (call) {
		int r = read_answer(job, &err);

		rpc_call_set_events(call, &no_events, NULL);
		if (r == 0 && job->deliver)
			(void)job->deliver(call, &job->received, true);
		if (r == 0 && job->reply)
			(void)rpc_call_send(call, job->reply);
		rpc_call_finish(call, r < 0 ? &err : NULL);
	}
	job_free(job);
}

/* ---- output ---- */

static void on_output(struct watch *watch, int events, void *user)
{
	struct copy_job *job = user;
	ssize_t n = read(watch_fd(watch), buf_reserve(&job->received, CHUNK), CHUNK);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		job->received.length += (size_t)n;
		job->received.data[job->received.length] = '\0';
		if (!job->call || !job->deliver)
			buf_clear(&job->received);
		else if (!job->deliver(job->call, &job->received, false))
			job->held_up = true;
		update(job);
		return;
	}
	job->output = NULL;
	watch_close(watch);
	finish_if_ended(job);
}

static void on_writable(struct rpc_call *call, void *user)
{
	struct copy_job *job = user;

	(void)call;
	job->held_up = false;
	update(job);
}

/* ---- input ---- */

static void close_input(struct copy_job *job)
{
	buf_done(&job->pending);
	watch_close(TAKE_PTR(job->input));
}

static void write_pending(struct copy_job *job)
{
	while (job->input && job->pending.length > 0) {
		ssize_t n = write(watch_fd(job->input), job->pending.data, job->pending.length);

		if (n >= 0)
			buf_consume(&job->pending, (size_t)n);
		else if (errno == EAGAIN)
			break;
		else if (errno != EINTR)
			close_input(job); /* it has ended, or will; what it says tells why */
	}
	if (!job->input)
		buf_done(&job->pending);
	if (job->pending.length == 0) {
		if (job->paused && job->call) {
			job->paused = false;
			rpc_call_resume(job->call);
		}
		if (job->input_ended && job->input)
			close_input(job);
	}
	update(job);
}

static void on_input(struct watch *watch, int events, void *user)
{
	(void)watch;
	(void)events;
	write_pending(user);
}

void copy_job_feed(struct copy_job *job, const void *data, size_t size)
{
	if (!job->input || size == 0)
		return; /* no one reads it */
	buf_append(&job->pending, data, size);
	write_pending(job);
	if (job->pending.length > 0 && !job->paused && job->call) {
		job->paused = true;
		rpc_call_pause(job->call);
	}
}

static void on_message(struct rpc_call *call, const ProtobufCMessage *message, const uint8_t *data,
		       size_t size, void *user)
{
	const Cay__Vminitd__V1__CopyInInput *input = (const Cay__Vminitd__V1__CopyInInput *)message;

	(void)call;
	(void)data;
	(void)size;
	copy_job_feed(user, input->data.data, input->data.len);
}

static void on_half_close(struct rpc_call *call, void *user)
{
	struct copy_job *job = user;

	(void)call;
	job->input_ended = true;
	write_pending(job);
}

/* ---- ends ---- */

static void kill_child(struct copy_job *job)
{
	if (job->child)
		(void)syscall(SYS_pidfd_send_signal, watch_fd(job->child), SIGKILL, NULL, 0);
}

void copy_jobs_kill(struct copy_job_list *jobs)
{
	for (struct copy_job *job = TAILQ_FIRST(jobs); job; job = TAILQ_NEXT(job, link)) {
		kill_child(job);
		/* Whom the queue of its call has held up hears of the end now. */
		job->held_up = false;
		update(job);
	}
}

static void on_call_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct copy_job *job = user;

	(void)call;
	(void)status;
	job->call = NULL;
	job->held_up = false;
	kill_child(job);
	update(job);
}

static void on_child_end(struct watch *watch, int events, void *user)
{
	struct copy_job *job = user;

	(void)events;
	job->child = NULL;
	watch_close(watch);
	finish_if_ended(job);
}

/* ---- the child ---- */

/* Child: nothing of vminitd's is left but these. */
static _Noreturn void run_child(const struct guest *guest, const struct copy_job_spec *spec,
				int input, int output, int answer_fd)
{
	struct copy_child child = {
		.proc_fd = guest->proc_fd, .root_fd = -1, .in = input, .out = output
	};
	const int keep[] = { input, output, answer_fd, guest->proc_fd, spec->place.namespace_fd };
	struct answer answer = { 0 };

	descriptors_close_others(keep, ARRAY_SIZE(keep));
	answer.result = copy_child_enter(&child, &spec->place, &answer.err);
	if (answer.result == 0)
		answer.result = spec->run(&child, spec->request, &answer.err);
	_exit(write_full(answer_fd, &answer, sizeof(answer)) < 0);
}

struct pipes {
	int input[2], output[2], answer[2];
};

static void pipes_done(struct pipes *pipes)
{
	const int fds[] = { pipes->input[0],  pipes->input[1],  pipes->output[0],
			    pipes->output[1], pipes->answer[0], pipes->answer[1] };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
}

static int fork_child(const struct guest *guest, const struct copy_job_spec *spec,
		      struct pipes *pipes, struct cay_error *err)
{
	int error, pidfd;
	pid_t pid;

	if ((spec->input && pipe2(pipes->input, O_CLOEXEC) < 0) ||
	    pipe2(pipes->output, O_CLOEXEC) < 0 || pipe2(pipes->answer, O_CLOEXEC) < 0)
		return cay_error_errno(err, errno, "making a pipe");
	pid = task_fork();
	if (pid == 0)
		run_child(guest, spec, pipes->input[0], pipes->output[1], pipes->answer[1]);
	if (pid < 0)
		return cay_error_errno(err, errno, "forking");
	/* It is not reaped before the loop goes on, so the pid is still its own. */
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		error = errno;
		(void)kill(pid, SIGKILL);
		return cay_error_errno(err, error, "watching a process");
	}
	return pidfd;
}

static struct copy_job *job_new(struct container *container, struct rpc_call *call)
{
	struct copy_job *job = xcalloc(1, sizeof(*job));

	job->container = container;
	job->call = call;
	job->answer_fd = -1;
	TAILQ_INSERT_TAIL(&container->copies, job, link);
	container->guest->copy_count++;
	return job;
}

int copy_job_start(struct container *container, struct rpc_call *call,
		   const struct copy_job_spec *spec, struct copy_job **ret_job,
		   struct cay_error *err)
{
	static const struct rpc_call_events events = { .on_message = on_message,
						       .on_half_close = on_half_close,
						       .on_writable = on_writable,
						       .on_end = on_call_end };
	_cleanup_(pipes_done) struct pipes pipes = { { -1, -1 }, { -1, -1 }, { -1, -1 } };
	struct guest *guest = container->guest;
	struct copy_job *job;
	int pidfd;

	if (guest->copy_count >= COPY_JOBS_MAX)
		return cay_error_set(err, CAY_CONFLICT, EAGAIN,
				     "%d copies are running; try again when one has ended",
				     COPY_JOBS_MAX);
	pidfd = fork_child(guest, spec, &pipes, err);
	if (pidfd < 0)
		return pidfd;
	job = job_new(container, call);
	job->deliver = spec->deliver;
	job->reply = spec->reply;
	job->answer_fd = TAKE_FD(pipes.answer[0]);
	/* Pipes and pidfds can be polled. */
	(void)watch_new(&guest->loop, pidfd, on_child_end, job, &job->child);
	(void)watch_new(&guest->loop, TAKE_FD(pipes.output[0]), on_output, job, &job->output);
	if (spec->input)
		(void)watch_new(&guest->loop, TAKE_FD(pipes.input[1]), on_input, job, &job->input);
	watch_set(job->child, UV_READABLE);
	rpc_call_set_events(call, &events, job);
	update(job);
	*ret_job = job;
	return 0;
}
