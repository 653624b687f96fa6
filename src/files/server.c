/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads of server.h. Those that have nothing to do wait for the socket
 * to become readable; the kernel wakes one of them, and only when that one has
 * taken a message the next (EPOLLONESHOT). So a message is read, acted on and
 * answered by one thread that is woken once, and slow ones delay nobody.
 */
#include "files/server.h"

#include "base/alloc.h"
#include "base/file.h"
#include "files/session.h"

#include <endian.h>
#include <errno.h>
#include <stdalign.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum {
	WORKERS = 8, /* messages that are acted on at once */
	STACK_SIZE = 128 << 10,
};

struct frame {
	uint32_t size, share;
};

struct server {
	int fd, epoll_fd;
	bool walled;
	struct session *sessions;
	size_t count;
	struct session_totals totals;
	struct lock_answers answers;
	pthread_mutex_t write_lock;
	pthread_mutex_t failure_lock;
	struct cay_error failure; /* the first one */
};

/* What one thread works with: a message, and its reply as it is sent. */
struct buffers {
	alignas(16) uint8_t message[MESSAGE_MAX];
	struct {
		struct frame frame;
		struct fuse_out_header header;
		uint8_t data[MESSAGE_DATA_MAX];
	} reply;
};
static_assert(offsetof(struct buffers, reply.data) ==
		      offsetof(struct buffers, reply) + sizeof(struct frame) +
			      sizeof(struct fuse_out_header),
	      "a reply has no holes");

/* A reader that went away is noticed by who reads from it. */
static void send_frame(struct server *server, const void *frame, size_t size)
{
	(void)pthread_mutex_lock(&server->write_lock);
	(void)write_full(server->fd, frame, size);
	(void)pthread_mutex_unlock(&server->write_lock);
}

static void set_header(struct frame *frame, struct fuse_out_header *header, uint32_t share,
		       uint64_t unique, int error, size_t size)
{
	const uint32_t length = (uint32_t)(sizeof(*header) + size);

	*header = (struct fuse_out_header){ .len = length, .error = error, .unique = unique };
	*frame = (struct frame){ htole32(length), htole32(share) };
}

static void answer_later(void *user, unsigned int share, uint64_t unique, int error)
{
	struct {
		struct frame frame;
		struct fuse_out_header header;
	} reply;

	set_header(&reply.frame, &reply.header, share, unique, error, 0);
	send_frame(user, &reply, sizeof(reply));
}

/* 1 and a whole message, 0 at the end of the stream. */
static int receive(struct server *server, struct frame *frame, struct buffers *buffers)
{
	ssize_t n = recv(server->fd, frame, sizeof(*frame), MSG_WAITALL);

	if (n < 0 && errno == ECONNRESET)
		return 0;
	if (n <= 0)
		return n < 0 ? -errno : 0;
	frame->size = le32toh(frame->size);
	frame->share = le32toh(frame->share);
	if (n != (ssize_t)sizeof(*frame) || frame->size > MESSAGE_MAX ||
	    frame->share >= server->count)
		return -EPROTO;
	n = read_full(server->fd, buffers->message, frame->size);
	if (n < 0)
		return (int)n;
	return n == (ssize_t)frame->size ? 1 : 0;
}

static int act(struct server *server, struct identity *identity, const struct frame *frame,
	       struct buffers *buffers)
{
	struct answer answer = { .data = buffers->reply.data };
	uint64_t unique;
	int r = session_handle(&server->sessions[frame->share], identity, buffers->message,
			       frame->size, &unique, &answer);

	if (r < 0 || answer.silent)
		return r;
	set_header(&buffers->reply.frame, &buffers->reply.header, frame->share, unique,
		   answer.error, answer.size);
	send_frame(server, &buffers->reply,
		   offsetof(struct buffers, reply.data) - offsetof(struct buffers, reply) +
			   answer.size);
	return 0;
}

static void fail(struct server *server, int error, const char *what)
{
	(void)pthread_mutex_lock(&server->failure_lock);
	if (server->failure.err == 0)
		(void)cay_error_errno(&server->failure, error, "%s", what);
	(void)pthread_mutex_unlock(&server->failure_lock);
}

/* Lets the next thread wait for the next message, or see that there will be none. */
static void pass_on(struct server *server)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT };

	(void)epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, server->fd, &event);
}

static int serve(struct server *server, struct identity *identity, struct buffers *buffers)
{
	for (;;) {
		struct epoll_event event;
		struct frame frame;
		int r;

		if (epoll_wait(server->epoll_fd, &event, 1, -1) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		r = receive(server, &frame, buffers);
		if (r <= 0)
			return r;
		pass_on(server);
		r = act(server, identity, &frame, buffers);
		if (r < 0)
			return r;
	}
}

static void *work(void *argument)
{
	struct server *server = argument;
	struct identity identity;
	struct buffers *buffers = mmap(NULL, sizeof(*buffers), PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int r;

	if (buffers == MAP_FAILED) {
		r = -ENOMEM;
	} else {
		r = identity_init(&identity, server->walled);
		if (r == 0)
			r = serve(server, &identity, buffers);
		(void)munmap(buffers, sizeof(*buffers));
	}
	if (r < 0)
		fail(server, r, r == -EPROTO ? "the guest's stream" : "serving");
	/* What is wrong for one is the end for all. */
	(void)shutdown(server->fd, SHUT_RDWR);
	pass_on(server);
	return NULL;
}

static int run_workers(struct server *server, struct cay_error *err)
{
	pthread_t workers[WORKERS];
	pthread_attr_t attributes;
	size_t count = 0;
	int r = 0;

	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
	for (; r == 0 && count < WORKERS; count += r == 0)
		r = pthread_create(&workers[count], &attributes, work, server);
	(void)pthread_attr_destroy(&attributes);
	if (r != 0)
		(void)shutdown(server->fd, SHUT_RDWR);
	for (size_t i = 0; i < count; i++)
		(void)pthread_join(workers[i], NULL);
	if (r != 0)
		return cay_error_errno(err, r, "starting threads");
	if (server->failure.err != 0)
		*err = server->failure;
	return -server->failure.err;
}

static int open_sessions(struct server *server, const struct share_list *list,
			 struct cay_error *err)
{
	int r = 0;

	server->sessions = xcalloc(list->count, sizeof(*server->sessions));
	for (; r == 0 && server->count < list->count; server->count += r == 0)
		r = session_init(&server->sessions[server->count], &list->shares[server->count],
				 (unsigned int)server->count, server->walled, &server->totals,
				 &server->answers, err);
	return r;
}

static void close_sessions(struct server *server)
{
	lock_answers_done(&server->answers);
	for (size_t i = 0; i < server->count; i++)
		session_done(&server->sessions[i]);
	free(server->sessions);
	(void)pthread_mutex_destroy(&server->write_lock);
	(void)pthread_mutex_destroy(&server->failure_lock);
}

int server_run(int fd, const struct share_list *list, bool walled, struct cay_error *err)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT };
	_cleanup_close_ int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct server server = { .fd = fd, .epoll_fd = epoll_fd, .walled = walled };
	int r;

	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ||
	    fd_set_nonblocking(fd, false) < 0)
		return cay_error_errno(err, errno, "the guest's stream");
	(void)pthread_mutex_init(&server.write_lock, NULL);
	(void)pthread_mutex_init(&server.failure_lock, NULL);
	session_totals_init(&server.totals);
	lock_answers_init(&server.answers, answer_later, &server);
	r = open_sessions(&server, list, err);
	if (r == 0)
		r = run_workers(&server, err);
	close_sessions(&server);
	return r;
}
