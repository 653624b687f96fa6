/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts shares of cay-files on this machine, through its own /dev/fuse, as a
 * guest's kernel would: fuse-mount CAY-FILES [FLAGS SOURCE TARGET]… -- COMMAND …
 *
 * The mounts are in a mount namespace of the command's; its exit status is
 * this program's. There is one FUSE mount, with the shares by their numbers in
 * it, which are bound to their targets as vminitd does it. What passes between
 * /dev/fuse and the virtqueues is one message after the other.
 */
#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "vhost-front.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

struct relay {
	struct front front;
	int device;
	pthread_mutex_t lock;  /* of the slots */
	pthread_cond_t change; /* one is free, or the server has ended */
	bool ended;
};

static unsigned int queue_of(uint32_t opcode)
{
	return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT
		? FRONT_HIPRIO
		: FRONT_REQUESTS;
}

/* A message into a slot of its own. */
static void pass_on(struct relay *relay, const void *message, size_t size)
{
	const struct fuse_in_header *header = message;
	const unsigned int queue = queue_of(header->opcode);
	uint32_t length;
	int slot;

	(void)pthread_mutex_lock(&relay->lock);
	while (queue == FRONT_HIPRIO && front_take(&relay->front, queue, &length) >= 0)
		;
	while ((slot = front_find_slot(&relay->front, queue)) < 0 && !relay->ended)
		(void)pthread_cond_wait(&relay->change, &relay->lock);
	if (slot >= 0) {
		memcpy(front_message(&relay->front, queue, (unsigned int)slot), message, size);
		front_send(&relay->front, queue, (unsigned int)slot, (uint32_t)size,
			   queue == FRONT_REQUESTS ? FRONT_ROOM : 0);
	}
	(void)pthread_mutex_unlock(&relay->lock);
}

/* From the kernel to cay-files. */
static void *forward(void *argument)
{
	struct relay *relay = argument;
	uint8_t *buffer = xmalloc(FRONT_ROOM);

	for (;;) {
		ssize_t n = read(relay->device, buffer, FRONT_ROOM);

		if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
			continue;
		if (n <= 0)
			break; /* ENODEV: it was unmounted */
		pass_on(relay, buffer, (size_t)n);
	}
	free(buffer);
	return NULL;
}

/* Waits for an answer; false when the server has ended. */
static bool await(struct relay *relay)
{
	const struct front *front = &relay->front;
	struct pollfd wait[2] = { { .fd = front->queues[FRONT_REQUESTS].call_fd, .events = POLLIN },
				  { .fd = front->socket, .events = POLLIN } };
	uint64_t count;

	(void)poll(wait, 2, -1);
	(void)!read(wait[0].fd, &count, sizeof(count));
	return !wait[1].revents;
}

/* From cay-files to the kernel. */
static void *backward(void *argument)
{
	struct relay *relay = argument;
	bool more = true;

	while (more) {
		uint32_t length = 0;
		int slot;

		(void)pthread_mutex_lock(&relay->lock);
		slot = front_take(&relay->front, FRONT_REQUESTS, &length);
		/* ENOENT: whoever asked was interrupted */
		if (slot >= 0)
			(void)!write(
				relay->device,
				front_answer(&relay->front, FRONT_REQUESTS, (unsigned int)slot),
				length);
		(void)pthread_cond_signal(&relay->change);
		(void)pthread_mutex_unlock(&relay->lock);
		if (slot < 0)
			more = await(relay);
	}
	(void)pthread_mutex_lock(&relay->lock);
	relay->ended = true;
	(void)close(relay->device);
	(void)pthread_cond_signal(&relay->change);
	(void)pthread_mutex_unlock(&relay->lock);
	return NULL;
}

/* The one mount, at a place that only this program sees. */
static void mount_all(struct relay *relay, const char *place)
{
	char options[128];

	relay->device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (relay->device < 0)
		die("/dev/fuse: %s", errno_text(errno));
	(void)snprintf(options, sizeof(options),
		       "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
		       relay->device);
	if (mount("cay", place, "fuse", MS_NODEV, options) < 0)
		die("mounting at %s: %s", place, errno_text(errno));
}

static void bind_share(const char *place, int number, const char *target)
{
	char source[128];

	(void)snprintf(source, sizeof(source), "%s/%d", place, number);
	if (mount(source, target, NULL, MS_BIND, NULL) < 0)
		die("mounting %s: %s", target, errno_text(errno));
}

static void start_server(const struct strv *argv, int stream)
{
	struct cay_error err = { 0 };
	int status[2];
	char text[512];
	ssize_t n;
	pid_t pid;

	if (pipe2(status, O_CLOEXEC) < 0)
		die("a pipe: %s", errno_text(errno));
	const struct process_fd fds[] = { { 2, 1 }, { 2, 2 }, { stream, 3 }, { status[1], 4 } };

	if (process_spawn(
		    &(struct process_spec){ .argv = argv, .fds = fds, .fd_count = ARRAY_SIZE(fds) },
		    &pid, &err) < 0)
		die("%s", err.message);
	(void)close(status[1]);
	n = read_full(status[0], text, sizeof(text));
	if (n != 0)
		die("%s: %.*s", argv->items[0], (int)n, text);
}

static int run_command(char **argv)
{
	const struct process_fd streams[] = { { 0, 0 }, { 1, 1 }, { 2, 2 } };
	_cleanup_strv_ struct strv command = { 0 };
	struct cay_error err = { 0 };
	int status;
	pid_t pid;

	for (; *argv; argv++)
		strv_add(&command, *argv);
	if (process_spawn(&(struct process_spec){ .argv = &command, .fds = streams, .fd_count = 3 },
			  &pid, &err) < 0 ||
	    process_wait(pid, &status) < 0)
		die("%s", err.message);
	return process_exit_code(status);
}

int main(int argc, char **argv)
{
	static struct relay relay = { .lock = PTHREAD_MUTEX_INITIALIZER,
				      .change = PTHREAD_COND_INITIALIZER };
	_cleanup_strv_ struct strv server = { 0 };
	char place[] = "/tmp/cay-fuse-XXXXXX";
	int pair[2], at, status;
	pthread_t thread;

	log_init("fuse-mount", LOG_LEVEL_INFO);
	(void)signal(SIGPIPE, SIG_IGN);
	if (argc < 7 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 || !mkdtemp(place))
		die("usage: fuse-mount CAY-FILES [FLAGS SOURCE TARGET]… -- COMMAND …, as root");
	strv_add(&server, argv[1]);
	for (at = 2; at + 3 < argc && strcmp(argv[at], "--") != 0; at += 3) {
		strv_add(&server, "--share");
		strv_add(&server, argv[at]);
		strv_add(&server, argv[at + 1]);
	}
	start_server(&server, pair[1]);
	(void)close(pair[1]);
	if (front_make(&relay.front, pair[0]) < 0 || !front_start(&relay.front))
		die("%s: starting the device", argv[1]);
	mount_all(&relay, place);
	(void)pthread_create(&thread, NULL, backward, &relay);
	(void)pthread_create(&thread, NULL, forward, &relay);
	for (int i = 2; i < at; i += 3)
		bind_share(place, (i - 2) / 3, argv[i + 2]);
	status = run_command(argv + at + 1);
	for (int i = 2; i < at; i += 3)
		(void)umount2(argv[i + 2], MNT_DETACH);
	(void)umount2(place, MNT_DETACH);
	(void)rmdir(place);
	return status;
}
