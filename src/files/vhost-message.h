/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages by which QEMU tells where the guest's memory and queues are,
 * over a unix socket, with descriptors. Format: "Vhost-user Protocol" in
 * QEMU's documentation (docs/interop/vhost-user.rst), in the order of bytes of
 * this machine. Here is what its vhost-user-fs-device sends.
 */
#pragma once

#include <linux/vhost_types.h>
#include <stddef.h>
#include <stdint.h>

enum {
	VHOST_GET_FEATURES = 1,
	VHOST_SET_FEATURES = 2,
	VHOST_SET_OWNER = 3,
	VHOST_RESET_OWNER = 4,
	VHOST_SET_MEM_TABLE = 5,
	VHOST_SET_VRING_NUM = 8,
	VHOST_SET_VRING_ADDR = 9,
	VHOST_SET_VRING_BASE = 10,
	VHOST_GET_VRING_BASE = 11,
	VHOST_SET_VRING_KICK = 12,
	VHOST_SET_VRING_CALL = 13,
	VHOST_SET_VRING_ERR = 14,
	VHOST_GET_PROTOCOL_FEATURES = 15,
	VHOST_SET_PROTOCOL_FEATURES = 16,
	VHOST_GET_QUEUE_NUM = 17,
	VHOST_SET_VRING_ENABLE = 18,

	/* flags of a message */
	VHOST_VERSION = 1,
	VHOST_VERSION_MASK = 3,
	VHOST_REPLY = 1 << 2,
	VHOST_NEED_REPLY = 1 << 3,

	/* numbers of features and of protocol features */
	VHOST_F_PROTOCOL_FEATURES = 30,
	VHOST_PROTOCOL_F_MQ = 0,
	VHOST_PROTOCOL_F_REPLY_ACK = 3,

	/* in the number of SET_VRING_KICK, _CALL and _ERR */
	VHOST_VRING_INDEX_MASK = 0xff,
	VHOST_VRING_NO_FD = 1 << 8,

	VHOST_REGIONS_MAX = 8,
	VHOST_FDS_MAX = VHOST_REGIONS_MAX,
};

struct vhost_region {
	uint64_t guest, size, user, offset;
};

struct vhost_message {
	struct {
		uint32_t request, flags, size;
	} header;
	union {
		uint64_t number;
		struct vhost_vring_state state;
		struct vhost_vring_addr addresses;
		struct {
			uint32_t count, padding;
			struct vhost_region regions[VHOST_REGIONS_MAX];
		} memory;
		uint8_t bytes[8 + VHOST_REGIONS_MAX * sizeof(struct vhost_region)];
	};
	/* not on the wire: what came with it */
	int fds[VHOST_FDS_MAX];
	size_t fd_count;
};

/*
 * Waits for the next one: 1, 0 at the end of the socket, -EPROTO for what is no message, or another
 * -errno. Unused bytes of its body are 0. The descriptors in it are the caller's, as after any
 * call; see vhost_message_done().
 */
int vhost_receive(int fd, struct vhost_message *message);
/* Closes the descriptors that are left. */
void vhost_message_done(struct vhost_message *message);
/* Answers it with what is in its body, `size` bytes. */
int vhost_reply(int fd, const struct vhost_message *message, uint32_t size);
