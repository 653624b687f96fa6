/* SPDX-License-Identifier: Apache-2.0 */
/* The beginning and the end of a mount in the guest. */
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
	FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_HANDLE_KILLPRIV_V2;
static const uint32_t wanted_cached =
	FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_CACHE_SYMLINKS;

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
	out->max_readahead = in->max_readahead;
	out->flags = in->flags & (wanted | (call->session->share->cached ? wanted_cached : 0));
	out->max_background = BACKGROUND_MAX;
	out->congestion_threshold = BACKGROUND_MAX * 3 / 4;
	out->max_write = MESSAGE_DATA_MAX;
	out->max_pages = PAGES_MAX;
	out->time_gran = 1;
	return 0;
}

int op_destroy(struct call *call)
{
	handle_close_all(&call->session->handles);
	lock_release_all(&call->session->locks);
	node_forget_all(&call->session->nodes);
	return 0;
}
