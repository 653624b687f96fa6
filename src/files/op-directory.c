/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories read: entries as the host's kernel gives them, some kilobytes
 * ahead for an open directory. A position is the host's own, so it stays right
 * however the directory changes meanwhile.
 */
#include "files/operation.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <string.h>
#include <sys/syscall.h>

enum { LISTING_SIZE = 16 << 10 };

/* As getdents64(2) writes them. */
struct host_entry {
	uint64_t inode;
	int64_t next; /* the position behind it */
	unsigned short length;
	unsigned char type;
	char name[];
};

struct listing {
	uint64_t next; /* the position of what is at `at` */
	size_t at, end;
	alignas(8) char bytes[LISTING_SIZE];
};

/* Goes to a position of the guest's: mostly the one that is next anyway. */
static int go_to(struct handle *handle, uint64_t position)
{
	struct listing *listing = handle->listing;

	if (!listing) {
		listing = calloc(1, sizeof(*listing));
		if (!listing)
			return -ENOMEM;
		handle->listing = listing;
	} else if (position != 0 && listing->next == position) {
		return 0;
	}
	/* The beginning is always read anew: rewinddir(3) shows what has come since. */
	listing->at = listing->end = 0;
	listing->next = position;
	return lseek(handle->fd, (off_t)position, SEEK_SET) < 0 ? -errno : 0;
}

/* 1 and the entry that is next, 0 at the end. */
static int peek(struct handle *handle, const struct host_entry **ret_entry)
{
	struct listing *listing = handle->listing;

	if (listing->at == listing->end) {
		long n =
			syscall(SYS_getdents64, handle->fd, listing->bytes, sizeof(listing->bytes));

		if (n <= 0)
			return n < 0 ? -errno : 0;
		listing->at = 0;
		listing->end = (size_t)n;
	}
	*ret_entry = (const struct host_entry *)(listing->bytes + listing->at);
	return 1;
}

static bool is_dot(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

static void fill_entry(const struct call *call, const struct host_entry *entry, size_t length,
		       struct fuse_dirent *ret)
{
	const uint64_t device = call->node->key.device;

	ret->ino = session_inode(call->session, device, entry->inode);
	/* What is above the root is none of the guest's business. */
	if (call->node->id == FUSE_ROOT_ID && is_dot(entry->name))
		ret->ino = session_inode(call->session, device, call->node->key.inode);
	ret->off = (uint64_t)entry->next;
	ret->namelen = (uint32_t)length;
	ret->type = entry->type;
	memcpy(ret->name, entry->name, length);
}

/* The node goes with the entry; where there is none (any more), its number is 0. */
static void fill_node(struct call *call, int directory, const struct host_entry *entry,
		      struct fuse_entry_out *ret)
{
	struct node *node;
	struct statx stat;

	/* Where the guest may keep nothing, it would have to ask for each once more. */
	if (!call->session->share->cached || is_dot(entry->name) ||
	    call_enter(call, directory, entry->name, &node, &stat) < 0)
		return;
	session_fill_entry(call->session, node, &stat, ret);
	node_put(&call->session->nodes, node);
}

static int fill_listing(struct call *call, struct handle *handle, bool plus, size_t room)
{
	const size_t before = plus ? sizeof(struct fuse_entry_out) : 0;
	struct listing *listing = handle->listing;
	const struct host_entry *entry = NULL;
	int r;

	for (;;) {
		uint8_t *out = call->answer->data + call->answer->size;
		size_t length, size;

		r = peek(handle, &entry);
		if (r <= 0)
			break;
		length = strlen(entry->name);
		size = FUSE_DIRENT_ALIGN(before + FUSE_NAME_OFFSET + length);
		if (call->answer->size + size > room)
			return 0;
		memset(out, 0, size);
		if (plus)
			fill_node(call, handle->fd, entry, (struct fuse_entry_out *)out);
		fill_entry(call, entry, length, (struct fuse_dirent *)(out + before));
		call->answer->size += size;
		listing->at += entry->length;
		listing->next = (uint64_t)entry->next;
	}
	/* An error behind some entries is told when the guest asks for what follows them. */
	return r < 0 && call->answer->size == 0 ? r : 0;
}

static int read_directory(struct call *call, bool plus)
{
	const struct fuse_read_in *in = call->message->in;
	struct handle *handle = handle_get(&call->session->handles, in->fh, true);
	int r;

	if (!handle)
		return -EBADF;
	(void)pthread_mutex_lock(&handle->lock);
	r = go_to(handle, in->offset);
	if (r == 0)
		r = fill_listing(call, handle, plus, MIN(in->size, (uint32_t)ANSWER_MAX));
	(void)pthread_mutex_unlock(&handle->lock);
	handle_put(&call->session->handles, handle);
	return r;
}

int op_readdir(struct call *call)
{
	return read_directory(call, false);
}

int op_readdirplus(struct call *call)
{
	return read_directory(call, true);
}
