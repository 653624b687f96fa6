/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between a client's hijacked connection and a process's standard streams: the
 * Attach call of a shim on one side, docker's raw or multiplexed stream on the
 * other. What one side does not take is not read from the other, so memory is
 * bounded.
 */
#pragma once

#include "base/buf.h"
#include "daemon/container.h"
#include "rpc/sync.h"

/* Docker's multiplexed stream: each piece has a head of eight bytes. */
enum frame_stream { FRAME_STDIN, FRAME_STDOUT, FRAME_STDERR };
void frame_append(struct buf *out, enum frame_stream stream, const void *data, size_t size);

/* The keys that leave a terminal attached: bytes, none meaning there are no such keys. */
enum { DETACH_KEYS_MAX = 32 };
struct detach_keys {
	unsigned char bytes[DETACH_KEYS_MAX];
	size_t count;
};
/* "ctrl-p,ctrl-q", "a", "ctrl-[,q"; NULL or "" gives docker's default. */
int detach_keys_parse(const char *text, struct detach_keys *ret_keys, struct cay_error *err);

struct stream_options {
	const char *container_id, *exec_id; /* exec_id "": the first process */
	bool in, out, err;                  /* the streams wanted */
	bool raw;                           /* a terminal's: no frames; detach keys count */
	struct detach_keys keys;
	int socket;              /* the client's, blocking; borrowed */
	const struct buf *extra; /* what it sent already; NULL: nothing */
	int gone_fd;             /* readable when the client is gone */
	/*
	 * Called once, on the first answer: every byte from now on will come. It may start calls on
	 * the client's connection. May be NULL.
	 */
	void (*on_ready)(void *user);
	const bool *stop; /* ends the copying once true; NULL: nothing does */
	void *user;
};

enum stream_end {
	STREAM_ENDED,    /* the process's last byte was sent, or `stop` */
	STREAM_GONE,     /* the client is not there any more, or does not read */
	STREAM_DETACHED, /* the client typed the keys */
};

/* Runs until one side ends. A call that fails is an error; what came before it was sent. */
int stream_run(struct rpc_client *client, const struct stream_options *options,
	       enum stream_end *ret_end, struct cay_error *err);
