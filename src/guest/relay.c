/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread a direction that never waits for the other: a thread for each
 * share takes the kernel's requests and writes them to the port, one thread
 * takes what the host answers and gives it to the kernel, which does not block.
 * So the host may answer while requests wait for room, and the other way.
 *
 * Threads that block in read() cost an access two system calls each way and
 * nothing else; polling would double them, and under TCG each counts. A write
 * to the port takes 32 KiB at a time, so a lock keeps frames whole.
 *
 * A page of the guest's that waits to be written through a share may be what
 * the kernel wants to free when it is short of memory: the relay is marked as
 * one that must not wait for that (PR_SET_IO_FLUSHER), and is no one the OOM
 * killer takes.
 */
#include "guest/relay.h"

#include "guest/port.h"
#include "guest/share.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/unix.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#define PORT_NAME "cay.files"

enum {
	PORT_WAIT_MS = 10 * 1000,
	STACK_SIZE = 64 * 1024,
	OOM_SCORE_NEVER = -1000,
};

struct relay {
	int port;
	pthread_mutex_t output; /* held for a whole frame that is written to the port */
	pthread_mutex_t table;
	int fuse[SHARES_MAX]; /* -1: not mounted */
};

struct reader {
	struct relay *relay;
	uint32_t share;
	int fuse;
};

ptrdiff_t relay_frame(const uint8_t *data, size_t size, uint32_t *ret_share)
{
	uint32_t header[2], length;

	if (size < RELAY_HEADER_SIZE)
		return 0;
	memcpy(header, data, sizeof(header));
	length = le32toh(header[0]);
	if (length < sizeof(struct fuse_out_header) || length > RELAY_PAYLOAD_MAX ||
	    le32toh(header[1]) >= SHARES_MAX)
		return -EPROTO;
	if (size < RELAY_HEADER_SIZE + (size_t)length)
		return 0;
	*ret_share = le32toh(header[1]);
	return (ptrdiff_t)(RELAY_HEADER_SIZE + (size_t)length);
}

/* Pages that are used only as far as messages are large. */
static uint8_t *buffer_new(void)
{
	void *buffer = mmap(NULL, RELAY_FRAME_MAX, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (buffer == MAP_FAILED)
		die("shared files: %s", errno_text(errno));
	return buffer;
}

/* ---- from the kernel to the host ---- */

static void put_header(uint8_t *frame, uint32_t size, uint32_t share)
{
	const uint32_t header[2] = { htole32(size), htole32(share) };

	memcpy(frame, header, sizeof(header));
}

static void send_frame(struct relay *relay, const uint8_t *frame, size_t size)
{
	int r;

	(void)pthread_mutex_lock(&relay->output);
	r = write_full(relay->port, frame, size);
	(void)pthread_mutex_unlock(&relay->output);
	if (r < 0)
		die("shared files: writing to the host: %s", errno_text(r));
}

static void forget(struct reader *reader)
{
	(void)pthread_mutex_lock(&reader->relay->table);
	reader->relay->fuse[reader->share] = -1;
	(void)close(reader->fuse);
	(void)pthread_mutex_unlock(&reader->relay->table);
	free(reader);
}

static void *read_requests(void *argument)
{
	struct reader *reader = argument;
	uint8_t *frame = buffer_new();

	for (;;) {
		ssize_t n = read(reader->fuse, frame + RELAY_HEADER_SIZE, RELAY_PAYLOAD_MAX);

		if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
			continue; /* ENOENT: its caller was killed meanwhile */
		if (n <= 0)
			break; /* it was unmounted */
		put_header(frame, (uint32_t)n, reader->share);
		send_frame(reader->relay, frame, RELAY_HEADER_SIZE + (size_t)n);
	}
	(void)munmap(frame, RELAY_FRAME_MAX);
	forget(reader);
	return NULL;
}

/* ---- from the host to the kernel ---- */

static void give_to_kernel(struct relay *relay, uint32_t share, const uint8_t *data, size_t size)
{
	struct fuse_out_header header;
	ssize_t n = 0;

	memcpy(&header, data, sizeof(header));
	/*
	 * A notification may wait for an inode that is locked by a request whose answer stands
	 * behind it. Nothing here depends on them.
	 */
	if (header.unique == 0)
		return;
	(void)pthread_mutex_lock(&relay->table);
	if (relay->fuse[share] >= 0)
		n = write(relay->fuse[share], data, size);
	(void)pthread_mutex_unlock(&relay->table);
	/* ENOENT: an answer that nobody waits for any more. ENODEV, EPERM: just unmounted. */
	if (n < 0 && errno == EINVAL)
		die("shared files: the host's answer to request %llu is none",
		    (unsigned long long)header.unique);
}

/* Gives away all whole frames; the rest is moved to the front. */
static size_t take_frames(struct relay *relay, uint8_t *data, size_t size)
{
	size_t at = 0;

	for (;;) {
		uint32_t share = 0;
		ptrdiff_t length = relay_frame(data + at, size - at, &share);

		if (length < 0)
			die("shared files: the host breaks the protocol");
		if (length == 0)
			break;
		give_to_kernel(relay, share, data + at + RELAY_HEADER_SIZE,
			       (size_t)length - RELAY_HEADER_SIZE);
		at += (size_t)length;
	}
	if (at > 0 && at < size)
		memmove(data, data + at, size - at);
	return size - at;
}

static void *read_answers(void *argument)
{
	struct relay *relay = argument;
	uint8_t *data = buffer_new();
	size_t size = 0;

	for (;;) {
		/* There is room: of a frame that is not whole less than RELAY_FRAME_MAX is here. */
		ssize_t n = read(relay->port, data + size, RELAY_FRAME_MAX - size);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			die("shared files: the host serves them no more");
		size = take_frames(relay, data, size + (size_t)n);
	}
}

/* ---- beginning ---- */

static bool host_is_there(int port)
{
	struct pollfd now = { .fd = port };

	return poll(&now, 1, 0) >= 0 && !(now.revents & POLLHUP);
}

/* The kernel learns of a port, its name and its other end one after the other. */
static int wait_for_port(void)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	const int64_t end = clock_monotonic_ms() + PORT_WAIT_MS;
	int port = -ENOENT;

	while (clock_monotonic_ms() < end) {
		if (port < 0)
			port = port_open(PORT_NAME, O_RDWR);
		if (port < 0 && port != -ENOENT)
			die("shared files: opening the port named " PORT_NAME ": %s",
			    errno_text(port));
		if (port >= 0 && host_is_there(port))
			return port;
		(void)nanosleep(&pause, NULL); /* a short sleep is tried again all the same */
	}
	die("shared files: the host does not serve them");
}

static void start_thread(void *(*run)(void *argument), void *argument)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int r = pthread_attr_init(&attributes);

	if (r == 0)
		r = pthread_attr_setstacksize(&attributes, STACK_SIZE);
	if (r == 0)
		r = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	if (r == 0)
		r = pthread_create(&thread, &attributes, run, argument);
	if (r != 0)
		die("shared files: starting a thread: %s", errno_text(r));
	(void)pthread_attr_destroy(&attributes);
}

static void spare_from_oom(void)
{
	_cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	char text[8];
	int length = snprintf(text, sizeof(text), "%d", OOM_SCORE_NEVER);

	if (fd < 0 || write_full(fd, text, (size_t)length) < 0)
		log_warning("shared files: the OOM killer may take their relay");
}

/* A share's number with its descriptor: false at the end of `control`. */
static bool take_share(struct relay *relay, int control)
{
	struct pollfd waiting = { .fd = control, .events = POLLIN };
	struct reader *reader;
	uint32_t share = 0;
	int fuse = -1;
	ssize_t n;

	if (poll(&waiting, 1, -1) < 0)
		return errno == EINTR;
	n = unix_receive_fd(control, &share, sizeof(share), &fuse);
	if (n == -EAGAIN)
		return true;
	if (n <= 0)
		return false;
	if (fuse < 0)
		return true;
	(void)pthread_mutex_lock(&relay->table);
	if (n != (ssize_t)sizeof(share) || share >= SHARES_MAX || relay->fuse[share] >= 0) {
		log_error("shared files: share %u is mounted already", share);
		(void)close(fuse);
		fuse = -1;
	} else {
		relay->fuse[share] = fuse;
	}
	(void)pthread_mutex_unlock(&relay->table);
	if (fuse < 0)
		return true;
	reader = malloc(sizeof(*reader));
	if (!reader)
		die("shared files: no memory");
	*reader = (struct reader){ relay, share, fuse };
	start_thread(read_requests, reader);
	return true;
}

_Noreturn void relay_serve(int port, int control)
{
	static struct relay relay = {
		.output = PTHREAD_MUTEX_INITIALIZER,
		.table = PTHREAD_MUTEX_INITIALIZER,
	};

	for (size_t i = 0; i < SHARES_MAX; i++)
		relay.fuse[i] = -1;
	relay.port = port;
	start_thread(read_answers, &relay);
	while (take_share(&relay, control))
		;
	_exit(0); /* vminitd is gone, and the guest with it */
}

_Noreturn void relay_run(int control)
{
	spare_from_oom();
	(void)prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0); /* Linux 5.6; without it only less robust */
	relay_serve(wait_for_port(), control);
}
