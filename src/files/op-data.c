/* SPDX-License-Identifier: Apache-2.0 */
/* The contents of open files. */
#include "files/operation.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/uio.h>

/* What one request copies at most: others wait for the thread meanwhile. */
#define COPY_MAX (UINT64_C(128) * MIB)

/* Straight into the guest's memory. */
int op_read(struct call *call)
{
	const struct fuse_read_in *in = call->message->in;
	struct pieces *room = &call->answer->room;
	struct handle *handle;
	ssize_t n;

	if (in->size > MESSAGE_DATA_MAX || in->offset > INT64_MAX)
		return -EINVAL;
	handle = handle_get(&call->session->handles, in->fh, false);
	if (!handle)
		return -EBADF;
	pieces_cut(room, in->size);
	n = preadv2(handle->fd, room->items, (int)room->count, (off_t)in->offset, 0);
	call->answer->placed = n >= 0;
	call->answer->size = n < 0 ? 0 : (size_t)n;
	n = n < 0 ? -errno : 0;
	handle_put(&call->session->handles, handle);
	return (int)n;
}

/* And out of it. */
int op_write(struct call *call)
{
	const struct fuse_write_in *in = call->message->in;
	/* Appending is where the file ends now, whoever else writes it; see open_flags(). */
	const bool append = (in->flags & O_APPEND) && !(in->write_flags & FUSE_WRITE_CACHE);
	struct fuse_write_out *out;
	struct handle *handle;
	ssize_t n;

	if (in->offset > INT64_MAX)
		return -EINVAL; /* pwritev2() takes -1 for the descriptor's own position */
	handle = handle_get(&call->session->handles, in->fh, false);
	if (!handle)
		return -EBADF;
	identity_kill_set_ids(call->identity, in->write_flags & FUSE_WRITE_KILL_SUIDGID);
	n = pwritev2(handle->fd, call->written->items, (int)call->written->count, (off_t)in->offset,
		     append ? RWF_APPEND : 0);
	n = n < 0 ? -errno : n;
	handle_put(&call->session->handles, handle);
	if (n < 0)
		return (int)n;
	out = call_reply(call, sizeof(*out));
	out->size = (uint32_t)n;
	return 0;
}

int op_lseek(struct call *call)
{
	const struct fuse_lseek_in *in = call->message->in;
	struct handle *handle;
	off_t at;

	if (in->whence != SEEK_DATA && in->whence != SEEK_HOLE)
		return -EINVAL;
	handle = handle_get(&call->session->handles, in->fh, false);
	if (!handle)
		return -EBADF;
	/* The position is nobody's: reads and writes say theirs. */
	at = lseek(handle->fd, (off_t)in->offset, (int)in->whence);
	at = at < 0 ? -errno : at;
	handle_put(&call->session->handles, handle);
	if (at < 0)
		return (int)at;
	((struct fuse_lseek_out *)call_reply(call, sizeof(struct fuse_lseek_out)))->offset =
		(uint64_t)at;
	return 0;
}

int op_fallocate(struct call *call)
{
	const struct fuse_fallocate_in *in = call->message->in;
	struct handle *handle;
	int r;

	if (in->mode &
	    ~(uint32_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;
	handle = handle_get(&call->session->handles, in->fh, false);
	if (!handle)
		return -EBADF;
	/* Unlike a write it doesn't say whether set-id bits go: only root may keep them, then. */
	identity_kill_set_ids(call->identity, call->message->header->uid != 0);
	r = fallocate(handle->fd, (int)in->mode, (off_t)in->offset, (off_t)in->length);
	r = r < 0 ? -errno : 0;
	handle_put(&call->session->handles, handle);
	return r;
}

int op_copy_file_range(struct call *call)
{
	const struct fuse_copy_file_range_in *in = call->message->in;
	struct handle_table *handles = &call->session->handles;
	off_t from_at = (off_t)in->off_in, to_at = (off_t)in->off_out;
	struct handle *from, *to;
	ssize_t n = -EBADF;

	/* The guest copies itself then. */
	if (session_share_of(in->nodeid_out) != call->session->number)
		return -EXDEV;
	from = handle_get(handles, in->fh_in, false);
	to = handle_get(handles, in->fh_out, false);
	if (from && to) {
		identity_kill_set_ids(call->identity, call->message->header->uid != 0);
		n = copy_file_range(from->fd, &from_at, to->fd, &to_at, MIN(in->len, COPY_MAX), 0);
		n = n < 0 ? -errno : n;
	}
	handle_put(handles, from);
	handle_put(handles, to);
	if (n < 0)
		return (int)n;
	((struct fuse_write_out *)call_reply(call, sizeof(struct fuse_write_out)))->size =
		(uint32_t)n;
	return 0;
}
