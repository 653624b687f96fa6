/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts shares of cay-files on this machine, through its own /dev/fuse, as a
 * guest's kernel would: fuse-mount CAY-FILES [FLAGS SOURCE TARGET]… -- COMMAND …
 *
 * The mounts are in a mount namespace of the command's; its exit status is
 * this program's. What passes is one message after the other, in frames.
 */
#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { MESSAGE_MAX = (1 << 20) + (64 << 10), SHARES = 16 };

struct frame {
	uint32_t size, share;
};

struct relay {
	int stream;
	int devices[SHARES];
	size_t count;
	pthread_mutex_t lock;
};

struct direction {
	struct relay *relay;
	uint32_t share;
};

/* From the kernel to cay-files, a thread a mount. */
static void *forward(void *argument)
{
	const struct direction *direction = argument;
	struct relay *relay = direction->relay;
	uint8_t *buffer = xmalloc(sizeof(struct frame) + MESSAGE_MAX);

	for (;;) {
		ssize_t n = read(relay->devices[direction->share], buffer + sizeof(struct frame),
				 MESSAGE_MAX);

		if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
			continue;
		if (n <= 0)
			break; /* ENODEV: it was unmounted */
		*(struct frame *)buffer = (struct frame){ (uint32_t)n, direction->share };
		(void)pthread_mutex_lock(&relay->lock);
		(void)write_full(relay->stream, buffer, sizeof(struct frame) + (size_t)n);
		(void)pthread_mutex_unlock(&relay->lock);
	}
	free(buffer);
	return NULL;
}

/* From cay-files to the kernel. */
static void *backward(void *argument)
{
	struct relay *relay = argument;
	uint8_t *buffer = xmalloc(MESSAGE_MAX);
	struct frame frame;

	while (read_full(relay->stream, &frame, sizeof(frame)) == (ssize_t)sizeof(frame) &&
	       frame.size <= MESSAGE_MAX && frame.share < relay->count &&
	       read_full(relay->stream, buffer, frame.size) == (ssize_t)frame.size)
		/* ENOENT: whoever asked was interrupted */
		(void)!write(relay->devices[frame.share], buffer, frame.size);
	for (size_t i = 0; i < relay->count; i++)
		(void)close(relay->devices[i]);
	free(buffer);
	return NULL;
}

static void mount_share(struct relay *relay, const char *target)
{
	struct stat st;
	char options[128];
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0 || stat(target, &st) < 0)
		die("/dev/fuse or %s: %s", target, errno_text(errno));
	(void)snprintf(options, sizeof(options),
		       "fd=%d,rootmode=%o,user_id=0,group_id=0,allow_other,default_permissions", fd,
		       st.st_mode & S_IFMT);
	relay->devices[relay->count++] = fd;
	if (mount("cay", target, "fuse", MS_NOSUID | MS_NODEV, options) < 0)
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

int main(int argc, char **argv)
{
	static struct relay relay = { .lock = PTHREAD_MUTEX_INITIALIZER };
	static struct direction directions[SHARES];
	_cleanup_strv_ struct strv server = { 0 };
	struct cay_error err = { 0 };
	struct strv command = { 0 };
	int pair[2], at = 2, status;
	pthread_t thread;
	pid_t pid;

	log_init("fuse-mount", LOG_LEVEL_INFO);
	(void)signal(SIGPIPE, SIG_IGN);
	if (argc < 7 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		die("usage: fuse-mount CAY-FILES [FLAGS SOURCE TARGET]… -- COMMAND …, as root");
	strv_add(&server, argv[1]);
	for (at = 2; at + 3 < argc && strcmp(argv[at], "--") != 0; at += 3) {
		strv_add(&server, "--share");
		strv_add(&server, argv[at]);
		strv_add(&server, argv[at + 1]);
	}
	start_server(&server, pair[1]);
	(void)close(pair[1]);
	relay.stream = pair[0];
	for (int i = 2; i < at; i += 3)
		mount_share(&relay, argv[i + 2]);
	(void)pthread_create(&thread, NULL, backward, &relay);
	for (size_t i = 0; i < relay.count; i++) {
		directions[i] = (struct direction){ &relay, (uint32_t)i };
		(void)pthread_create(&thread, NULL, forward, &directions[i]);
	}
	for (int i = at + 1; i < argc; i++)
		strv_add(&command, argv[i]);
	const struct process_fd streams[] = { { 0, 0 }, { 1, 1 }, { 2, 2 } };

	if (process_spawn(&(struct process_spec){ .argv = &command, .fds = streams, .fd_count = 3 },
			  &pid, &err) < 0 ||
	    process_wait(pid, &status) < 0)
		die("%s", err.message);
	for (int i = 2; i < at; i += 3)
		(void)umount2(argv[i + 2], MNT_DETACH);
	return process_exit_code(status);
}
