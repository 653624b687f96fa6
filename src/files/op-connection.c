/* SPDX-License-Identifier: Apache-2.0 */
/* The beginning and the end of a mount in the guest, and what is not about one share's files. */
#include "files/operation.h"

#include <errno.h>

enum {
	MINOR_MIN = 31, /* Linux 5.4 */
	PAGES_MAX = MESSAGE_DATA_MAX / 4096,
	/* Reads ahead and such that the guest has under way at once. */
	BACKGROUND_MAX = 64,
};

/*
 * What we make use of. Not FUSE_WRITEBACK_CACHE: the guest would then believe its own sizes and
 * times, and others' changes to the file be lost. Not FUSE_READDIRPLUS, where entries are valid for
 * no time: each would be asked for once more. Not FUSE_POSIX_ACL: the guest would ask for the list
 * of every directory on every path; those of the host still apply to what is made.
 */
static const uint32_t wanted = FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_ATOMIC_O_TRUNC |
	FUSE_BIG_WRITES | FUSE_DONT_MASK | FUSE_FLOCK_LOCKS | FUSE_AUTO_INVAL_DATA |
	FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_HANDLE_KILLPRIV_V2 |
	FUSE_SUBMOUNTS;
/* For shares that are cached; the others' listings then come without the entries' attributes. */
static const uint32_t wanted_cached = FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO;

static uint32_t flags_of(const struct connection *connection)
{
	return wanted | (connection->any_cached ? wanted_cached : 0) |
		/* What a link says never changes, but in /proc. */
		(connection->all_cached ? FUSE_CACHE_SYMLINKS : 0);
}

int op_init(struct call *call)
{
	const struct fuse_init_in *in = call->message->in;
	struct fuse_init_out *out = call_reply(call, sizeof(*out));

	out->major = FUSE_KERNEL_VERSION;
	out->minor = FUSE_KERNEL_MINOR_VERSION;
	if (in->major > FUSE_KERNEL_VERSION)
		return 0; /* it comes again with ours */
	if (in->major < FUSE_KERNEL_VERSION || in->minor < MINOR_MIN)
		return -EPROTO;
	/* A guest that was reset has not said that its mount before has ended. */
	(void)op_destroy(call);
	out->max_readahead = in->max_readahead;
	out->flags = in->flags & flags_of(call->connection);
	out->max_background = BACKGROUND_MAX;
	out->congestion_threshold = BACKGROUND_MAX * 3 / 4;
	out->max_write = MESSAGE_DATA_MAX;
	out->max_pages = PAGES_MAX;
	out->time_gran = 1;
	return 0;
}

int op_destroy(struct call *call)
{
	for (size_t i = 0; i < call->connection->count; i++)
		session_forget_all(&call->connection->sessions[i]);
	return 0;
}

static void forget(struct connection *connection, uint64_t id, uint64_t count)
{
	int64_t share = session_share_of(id);

	if (share >= 0 && share < (int64_t)connection->count)
		node_forget(&connection->sessions[share].nodes, session_local_id(id), count);
}

int op_forget(struct call *call)
{
	const struct fuse_forget_in *in = call->message->in;

	forget(call->connection, call->message->header->nodeid, in->nlookup);
	return 0;
}

int op_batch_forget(struct call *call)
{
	const struct fuse_forget_one *one = call->message->data;

	for (size_t i = 0; i < call->message->size / sizeof(*one); i++)
		forget(call->connection, one[i].nodeid, one[i].nlookup);
	return 0;
}

int op_interrupt(struct call *call)
{
	const struct fuse_interrupt_in *in = call->message->in;

	lock_interrupt(&call->connection->answers, in->unique);
	return 0;
}
