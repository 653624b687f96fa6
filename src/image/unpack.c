/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressed tars that clients send: a worker decompresses them, so that what
 * reads them next has to know no format but tar.
 */
#include "image/store-internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

enum { MAGIC_MAX = 6, MAGIC_WAIT_MS = 10 };

struct image_unpacking {
	struct worker worker;
	int fd; /* our end of its output */
};

/* As many of the first bytes as come, without taking them. */
static ssize_t peek_magic(int fd, uint8_t magic[MAGIC_MAX])
{
	for (;;) {
		struct pollfd wait = { .fd = fd, .events = POLLIN | POLLRDHUP };
		ssize_t n;

		if (poll(&wait, 1, -1) < 0)
			continue;
		n = recv(fd, magic, MAGIC_MAX, MSG_PEEK | MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0 || n == MAGIC_MAX || wait.revents & (POLLRDHUP | POLLHUP))
			return n;
		(void)poll(NULL, 0, MAGIC_WAIT_MS); /* it is readable all the time */
	}
}

bool image_is_compressed(const void *data, size_t size)
{
	static const struct str magics[] = {
		STR("\x1f\x8b"),
		STR("\x28\xb5\x2f\xfd"),
		STR("BZh"),
		STR("\xfd"
		    "7zXZ"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
		if (size >= magics[i].length && memcmp(data, magics[i].data, magics[i].length) == 0)
			return true;
	return false;
}

int image_unpack_begin(struct image_store *store, int fd, struct image_unpacking **ret_unpacking,
		       int *ret_fd, struct cay_error *err)
{
	struct image_unpacking *unpacking;
	uint8_t magic[MAGIC_MAX];
	const ssize_t size = peek_magic(fd, magic);
	int r;

	*ret_unpacking = NULL;
	*ret_fd = fd;
	if (size <= 0 || !image_is_compressed(magic, (size_t)size))
		return 0;
	unpacking = xcalloc(1, sizeof(*unpacking));
	unpacking->worker = (struct worker)WORKER_INIT;
	r = worker_start_unpack(&unpacking->worker, &store->worker, fd, &unpacking->fd, err);
	if (r < 0) {
		free(unpacking);
		return r;
	}
	*ret_unpacking = unpacking;
	*ret_fd = unpacking->fd;
	return 0;
}

/* What follows the tar's end is decompressed, too: it may be what is broken. */
static void drain(int fd)
{
	char rest[4096];
	ssize_t n;

	do
		n = recv(fd, rest, sizeof(rest), 0);
	while (n > 0 || (n < 0 && errno == EINTR));
}

int image_unpack_end(struct image_unpacking *unpacking, bool complete, struct cay_error *err)
{
	char byte;
	int r = 0;

	if (!unpacking)
		return 0;
	if (complete)
		drain(unpacking->fd);
	/* One that goes on is of no use any more; one that has ended says whether it was whole. */
	if (recv(unpacking->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
		r = worker_finish(&unpacking->worker, NULL, err);
	if (r < 0 && err->code == CAY_CORRUPT)
		err->code = CAY_INVALID; /* what is broken is the client's */
	worker_done(&unpacking->worker);
	cay_close_p(&unpacking->fd);
	free(unpacking);
	return r;
}
