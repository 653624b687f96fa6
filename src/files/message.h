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
	/* What one READ or WRITE carries at most, and the rest of its message. */
	MESSAGE_DATA_MAX = 1 << 20,
	MESSAGE_MAX = MESSAGE_DATA_MAX + (64 << 10),
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
	const void *data; /* what is written, an attribute's value, the nodes to forget */
	size_t size;      /* of data */
};

/*
 * Checks `size` bytes, at an address for uint64_t, and fills in pointers into them. -EPROTO: not
 * even its header is right, so nothing that follows can be trusted. For all else the header is good
 * and the request is answered with the result: -ENOSYS for an operation that is not ours,
 * -ENAMETOOLONG, -EINVAL. Both leave only ret_message->header behind.
 */
int message_parse(const void *bytes, size_t size, struct message *ret_message);
