/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads of server.h. Those that have nothing to do wait for the guest's
 * kick, which wakes one of them, the one that has worked last. It takes one
 * request, acts on it and answers it; a kick that comes meanwhile wakes the
 * next. Then it looks for what comes next before it waits again. So a request
 * costs one wake, or none, and up to seven slow ones delay nobody: with eight
 * under way the rest waits, but for locks, which have threads of their own.
 *
 * FORGET and INTERRUPT have no answers. They are given back in silence, which
 * spares the guest an interrupt for each: it finds them with the next answer
 * in that queue, or some time later when there is none.
 */
#include "files/server.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/thread.h"
#include "files/connection.h"
#include "files/device.h"

#include <errno.h>
#include <stdalign.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum {
	WORKERS = 8, /* messages that are acted on at once */
	STACK_SIZE = 128 << 10,
	SILENCE_MS = 2,
};

struct server {
	struct device device;
	struct connection connection;
	bool walled;
	pthread_mutex_t failure_lock;
	struct cay_error failure; /* the first one */
};

/* What one thread works with. */
struct worker {
	struct server *server;
	struct identity identity;
	struct device_request request;
	bool silent; /* something was given back in silence */
	alignas(16) uint8_t message[MESSAGE_MAX];
	alignas(16) uint8_t answer[ANSWER_MAX];
};

/* Where the header of an answer goes: the first bytes that a chain has room for. */
struct place {
	struct iovec items[sizeof(struct fuse_out_header)];
	struct pieces pieces;
};

static void find_place(struct place *place, const struct pieces *writable)
{
	place->pieces =
		(struct pieces){ place->items, MIN(writable->count, ARRAY_SIZE(place->items)), 0 };
	for (size_t i = 0; i < place->pieces.count; i++) {
		place->items[i] = writable->items[i];
		place->pieces.size += writable->items[i].iov_len;
	}
	pieces_cut(&place->pieces, sizeof(struct fuse_out_header));
}

/* How much was written: all of the header, or nothing where there is no room for it. */
static uint32_t put_header(const struct place *place, uint64_t unique, int error, size_t size)
{
	const struct fuse_out_header header = {
		.len = (uint32_t)(sizeof(header) + size),
		.error = error,
		.unique = unique,
	};

	if (place->pieces.size < sizeof(header))
		return 0;
	(void)pieces_write(&place->pieces, &header, sizeof(header));
	return header.len;
}

/* A request that waits for a lock, after its worker has left it. */
struct later {
	struct device *device;
	struct guest_memory *memory;
	uint64_t unique;
	unsigned int queue;
	uint16_t head;
	struct place place;
};

static struct later *make_later(struct worker *worker, const struct place *place, uint64_t unique)
{
	struct later *later = xmalloc(sizeof(*later));

	*later = (struct later){
		.device = &worker->server->device,
		.memory = guest_memory_ref(worker->request.memory),
		.unique = unique,
		.queue = worker->request.queue,
		.head = worker->request.chain.head,
	};
	find_place(&later->place, &place->pieces);
	return later;
}

static void drop_later(struct later *later)
{
	if (later)
		guest_memory_unref(later->memory);
	free(later);
}

static void answer_later(void *token, int error)
{
	struct later *later = token;

	device_give_later(later->device, later->queue, later->memory, later->head,
			  put_header(&later->place, later->unique, error, 0));
	free(later);
}

/* The message, copied from the guest's memory but for what a WRITE brings. */
static int read_message(struct worker *worker, struct request *ret_request)
{
	const struct fuse_in_header *header = (const struct fuse_in_header *)worker->message;
	struct pieces *readable = &worker->request.chain.readable;
	struct request request = { .bytes = worker->message, .size = readable->size };

	request.held = pieces_read(readable, worker->message, MESSAGE_WRITE_HEAD);
	if (request.held < sizeof(*header))
		return -EPROTO;
	if (header->opcode == FUSE_WRITE) {
		request.written = *readable;
		pieces_skip(&request.written, request.held);
	} else if (request.size > MESSAGE_MAX) {
		return -EPROTO;
	} else {
		/* Not its beginning, which may be another by now. */
		pieces_skip(readable, request.held);
		request.held += pieces_read(readable, worker->message + request.held,
					    request.size - request.held);
	}
	*ret_request = request;
	return 0;
}

static void give(struct worker *worker, uint32_t length, bool silent)
{
	device_give(&worker->server->device, &worker->request, length, silent);
	/* The other queue's answers don't tell of it. */
	worker->silent = worker->silent || silent;
}

static void reply(struct worker *worker, const struct place *place, struct answer *answer,
		  uint64_t unique)
{
	if (answer->error == 0 && answer->size > answer->room.size) {
		answer->error = -EIO; /* it asked for more than there is room for */
		answer->size = 0;
	}
	if (!answer->placed)
		(void)pieces_write(&answer->room, answer->data, answer->size);
	give(worker, put_header(place, unique, answer->error, answer->size), false);
}

static int act(struct worker *worker)
{
	const struct fuse_in_header *header = (const struct fuse_in_header *)worker->message;
	struct answer answer = { .data = worker->answer, .room = worker->request.chain.writable };
	struct later *later = NULL;
	struct request request;
	struct place place;
	int r = read_message(worker, &request);

	if (r < 0) {
		give(worker, 0, false);
		return r;
	}
	find_place(&place, &answer.room);
	pieces_skip(&answer.room, sizeof(struct fuse_out_header));
	if (header->opcode == FUSE_SETLKW)
		answer.token = later = make_later(worker, &place, header->unique);
	r = connection_handle(&worker->server->connection, &worker->identity, &request, &answer);
	if (r == 0 && answer.later) {
		device_leave(&worker->server->device, &worker->request);
		return 0;
	}
	drop_later(later);
	if (r < 0 || answer.silent)
		give(worker, 0, r == 0);
	else
		reply(worker, &place, &answer, header->unique);
	return r;
}

static void fail(struct server *server, int error, const char *what)
{
	(void)pthread_mutex_lock(&server->failure_lock);
	if (server->failure.err == 0)
		(void)cay_error_errno(&server->failure, error, "%s", what);
	(void)pthread_mutex_unlock(&server->failure_lock);
}

static int work_off(struct worker *worker, unsigned int queue)
{
	struct device *device = &worker->server->device;
	int r;

	while ((r = device_take(device, queue, &worker->request)) == 1) {
		r = act(worker);
		if (r < 0)
			break;
		if (queue == DEVICE_REQUESTS)
			device_look_for(device, queue);
	}
	return r;
}

static int serve(struct worker *worker)
{
	struct device *device = &worker->server->device;
	int r = 0;

	while (r == 0) {
		int event = device_wait(device, worker->silent ? SILENCE_MS : -1);

		if (event == -ETIMEDOUT) {
			device_tell(device);
			worker->silent = false;
			continue;
		}
		if (event < 0)
			return event == -ECANCELED ? 0 : event;
		for (unsigned int i = 0; r == 0 && i < DEVICE_QUEUES; i++)
			if (event == (int)i || event == DEVICE_QUEUES)
				r = work_off(worker, i);
	}
	return r;
}

static void *work(void *argument)
{
	struct server *server = argument;
	struct worker *worker = mmap(NULL, sizeof(*worker), PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int r;

	if (worker == MAP_FAILED) {
		r = -ENOMEM;
	} else {
		worker->server = server;
		r = identity_init(&worker->identity, server->walled);
		if (r == 0)
			r = serve(worker);
		(void)munmap(worker, sizeof(*worker));
	}
	if (r < 0)
		fail(server, r, r == -EPROTO ? "the guest's queue" : "serving");
	/* What is wrong for one is the end for all, and for who hears QEMU. */
	device_stop(&server->device);
	(void)shutdown(server->device.socket, SHUT_RDWR);
	return NULL;
}

static int run(struct server *server, struct cay_error *err)
{
	pthread_t workers[WORKERS];
	size_t count = 0;
	int r = 0;

	for (; r == 0 && count < WORKERS; count += r == 0)
		r = thread_start(STACK_SIZE, work, server, &workers[count]);
	if (r != 0)
		r = cay_error_errno(err, r, "starting threads");
	else
		r = device_serve(&server->device, err);
	/* QEMU learns of the end at once, also where a thread hangs in the host's storage. */
	(void)shutdown(server->device.socket, SHUT_RDWR);
	device_stop(&server->device);
	for (size_t i = 0; i < count; i++)
		(void)pthread_join(workers[i], NULL);
	connection_interrupt_all(&server->connection);
	/* What ended the threads is the reason for the rest. */
	if (server->failure.err != 0) {
		*err = server->failure;
		r = -server->failure.err;
	}
	return r;
}

static void settle(void *user)
{
	struct server *server = user;

	connection_interrupt_all(&server->connection);
}

int server_run(int fd, const struct share_list *list, bool walled, struct cay_error *err)
{
	struct server server = { .walled = walled };
	int r = fd_set_nonblocking(fd, false);

	if (r < 0)
		return cay_error_errno(err, r, "the socket to QEMU");
	(void)pthread_mutex_init(&server.failure_lock, NULL);
	r = device_init(&server.device, fd, settle, &server, err);
	if (r == 0) {
		r = connection_init(&server.connection, list, walled, answer_later, err);
		if (r == 0) {
			r = run(&server, err);
			connection_done(&server.connection);
		}
		device_done(&server.device);
	}
	(void)pthread_mutex_destroy(&server.failure_lock);
	return r;
}
