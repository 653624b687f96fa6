/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One FUSE message of the guest, checked: its length, the structure that its
 * operation has, and every name in it. Pure; nothing here knows files.
 * Format: <linux/fuse.h>, protocol 7.31 and later, little-endian as its sender.
 */
#pragma once

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	MESSAGE_DATA_MAX = 1 << 20, /* what one READ or WRITE carries */
	/* Any other message, and a WRITE without what is written. */
	MESSAGE_MAX = 96 << 10,
	MESSAGE_WRITE_HEAD = sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in),
	MESSAGE_NAME_MAX = 255,    /* a name in a directory, as NAME_MAX */
	MESSAGE_TARGET_MAX = 4095, /* what a symbolic link says, as PATH_MAX with its NUL */
	MESSAGE_XATTR_NAME_MAX = 255,
	MESSAGE_XATTR_MAX = 64 << 10, /* XATTR_SIZE_MAX */
};

struct message {
	const struct fuse_in_header *header;
	const void *in; /* the operation's structure, or NULL where it has none */
	/* Names of directory entries, of extended attributes, a link's target; NULL: none. */
	const char *name, *second_name;
	const void *data; /* an attribute's value, the nodes to forget; NULL for what is written */
	size_t size;      /* of data, or of what is written */
};

/*
 * Checks a message of `size` bytes and fills in pointers into it. The first `held` of them are at
 * `bytes`, an address for uint64_t: all of it, but of a WRITE only MESSAGE_WRITE_HEAD. -EPROTO: not
 * even its header is right, so nothing that follows can be trusted. For all else the header is good
 * and the request is answered with the result: -ENOSYS for an operation that is not ours,
 * -ENAMETOOLONG, -EINVAL. Both leave only ret_message->header behind.
 */
int message_parse(const void *bytes, size_t held, size_t size, struct message *ret_message);
