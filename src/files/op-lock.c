/* SPDX-License-Identifier: Apache-2.0 */
/* The messages about locks. */
#include "files/operation.h"

#include <errno.h>

int op_getlk(struct call *call)
{
	const struct fuse_lk_in *in = call->message->in;
	struct fuse_lk_out *out = call_reply(call, sizeof(*out));

	out->lk = in->lk;
	return lock_test(&call->session->locks, call->node, in->owner, &out->lk);
}

static int set(struct call *call, bool wait)
{
	const struct fuse_lk_in *in = call->message->in;
	struct handle *handle = NULL;
	struct lock_request request = {
		.node = call->node,
		.owner = in->owner,
		.lock = in->lk,
		.wait = wait,
		.unique = call->message->header->unique,
		.token = call->answer->token,
	};
	int r;

	if (in->lk_flags & FUSE_LK_FLOCK) {
		handle = handle_get(&call->session->handles, in->fh, false);
		if (!handle)
			return -EBADF;
		request.whole = handle;
	}
	r = lock_set(&call->session->locks, &request);
	handle_put(&call->session->handles, handle);
	if (r != -EINPROGRESS)
		return r;
	call->answer->later = true;
	return 0;
}

int op_setlk(struct call *call)
{
	return set(call, false);
}

int op_setlkw(struct call *call)
{
	return set(call, true);
}
