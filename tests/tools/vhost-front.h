/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What QEMU and a guest's driver are to cay-files, for tests without either:
 * memory in a memfd, two virtqueues in it, and the messages that announce
 * them. Each message has a slot of that memory, which its answer comes into.
 */
#pragma once

#include "base/file.h"
#include "files/message.h"
#include "files/vhost-message.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum {
	FRONT_QUEUES = 2,
	FRONT_HIPRIO = 0,
	FRONT_REQUESTS = 1,
	FRONT_SLOTS = 256, /* descriptors of a queue, and messages under way */
	FRONT_QUEUE_BYTES = 64 << 10,
	FRONT_AVAIL_AT = 16 << 10,
	FRONT_USED_AT = 32 << 10,
	FRONT_ROOM = MESSAGE_DATA_MAX + (64 << 10), /* for a message, and for its answer */
	FRONT_SLOT_BYTES = 2 * FRONT_ROOM + 4096,
	FRONT_SIZE = FRONT_QUEUES * (FRONT_QUEUE_BYTES + FRONT_SLOTS * FRONT_SLOT_BYTES),
};

#define FRONT_GUEST UINT64_C(0x100000)    /* where the memory is for the guest */
#define FRONT_USER  UINT64_C(0x7f0000000) /* and for QEMU */

struct front_queue {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t used_seen;
	unsigned int kicks;
	int kick_fd, call_fd;
	bool taken[FRONT_SLOTS];
};

struct front {
	int socket, memory_fd;
	uint8_t *memory;
	struct front_queue queues[FRONT_QUEUES];
};

/* Sends a message with descriptors; false when nobody is there. */
static inline cay_unused bool front_say(const struct front *front, uint32_t request,
					const void *body, uint32_t size, const int *fds,
					size_t fd_count)
{
	const uint32_t header[3] = { request, VHOST_VERSION, size };
	struct iovec parts[2] = { { (void *)header, sizeof(header) }, { (void *)body, size } };
	union {
		char bytes[CMSG_SPACE(16 * sizeof(int))];
		struct cmsghdr header;
	} control = { 0 };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };

	if (fd_count > 0) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(fd_count * sizeof(int)),
						   .cmsg_level = SOL_SOCKET,
						   .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
	}
	return sendmsg(front->socket, &message, MSG_NOSIGNAL) == (ssize_t)(sizeof(header) + size);
}

static inline cay_unused bool front_say_number(const struct front *front, uint32_t request,
					       uint64_t number)
{
	return front_say(front, request, &number, sizeof(number), NULL, 0);
}

static inline cay_unused bool front_say_state(const struct front *front, uint32_t request,
					      unsigned int index, unsigned int number)
{
	const struct vhost_vring_state state = { index, number };

	return front_say(front, request, &state, sizeof(state), NULL, 0);
}

static inline cay_unused bool front_say_eventfd(const struct front *front, uint32_t request,
						uint64_t index, int fd)
{
	return front_say(front, request, &index, sizeof(index), &fd, 1);
}

/* The number or state in the next answer, as a number. */
static inline cay_unused bool front_hear(const struct front *front, uint64_t *ret_number)
{
	struct vhost_message message;

	if (vhost_receive(front->socket, &message) != 1)
		return false;
	*ret_number = message.number;
	return true;
}

static inline cay_unused bool front_say_memory(const struct front *front)
{
	const struct {
		uint32_t count, padding;
		struct vhost_region region;
	} body = { 1, 0, { FRONT_GUEST, FRONT_SIZE, FRONT_USER, 0 } };

	return front_say(front, VHOST_SET_MEM_TABLE, &body, sizeof(body), &front->memory_fd, 1);
}

/* Lets a queue run from an index of its available ring on. */
static inline cay_unused bool front_start_queue(const struct front *front, unsigned int index,
						uint16_t base)
{
	const struct front_queue *queue = &front->queues[index];
	const uint64_t at = FRONT_USER + index * FRONT_QUEUE_BYTES;
	const struct vhost_vring_addr addresses = {
		.index = index,
		.desc_user_addr = at,
		.avail_user_addr = at + FRONT_AVAIL_AT,
		.used_user_addr = at + FRONT_USED_AT,
	};

	return front_say_state(front, VHOST_SET_VRING_NUM, index, FRONT_SLOTS) &&
		front_say_state(front, VHOST_SET_VRING_BASE, index, base) &&
		front_say(front, VHOST_SET_VRING_ADDR, &addresses, sizeof(addresses), NULL, 0) &&
		front_say_eventfd(front, VHOST_SET_VRING_CALL, index, queue->call_fd) &&
		front_say_eventfd(front, VHOST_SET_VRING_KICK, index, queue->kick_fd);
}

/* The memory and the queues' places in it, nothing said yet. -errno. */
static inline cay_unused int front_make(struct front *front, int socket)
{
	*front = (struct front){ .socket = socket };
	front->memory_fd = memfd_create("guest", MFD_CLOEXEC);
	if (front->memory_fd < 0 || ftruncate(front->memory_fd, FRONT_SIZE) < 0)
		return -errno;
	front->memory =
		mmap(NULL, FRONT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, front->memory_fd, 0);
	if (front->memory == MAP_FAILED)
		return -errno;
	for (size_t i = 0; i < FRONT_QUEUES; i++) {
		struct front_queue *queue = &front->queues[i];
		uint8_t *at = front->memory + i * FRONT_QUEUE_BYTES;

		queue->desc = (struct vring_desc *)at;
		queue->avail = (struct vring_avail *)(at + FRONT_AVAIL_AT);
		queue->used = (struct vring_used *)(at + FRONT_USED_AT);
		queue->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		queue->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (queue->kick_fd < 0 || queue->call_fd < 0)
			return -errno;
	}
	return 0;
}

/* All that QEMU says until the device works; false when the other side has gone. */
static inline cay_unused bool front_start(const struct front *front)
{
	const uint64_t features = UINT64_C(1) << VIRTIO_F_VERSION_1 |
		UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC | UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX;
	uint64_t offered;

	return front_say(front, VHOST_GET_FEATURES, NULL, 0, NULL, 0) &&
		front_hear(front, &offered) && (offered & features) == features &&
		front_say(front, VHOST_SET_OWNER, NULL, 0, NULL, 0) &&
		front_say_number(front, VHOST_SET_FEATURES, features) && front_say_memory(front) &&
		front_start_queue(front, FRONT_HIPRIO, 0) &&
		front_start_queue(front, FRONT_REQUESTS, 0);
}

static inline cay_unused void front_done(struct front *front)
{
	(void)munmap(front->memory, FRONT_SIZE);
	(void)close(front->memory_fd);
	(void)close(front->socket);
	for (size_t i = 0; i < FRONT_QUEUES; i++) {
		(void)close(front->queues[i].kick_fd);
		(void)close(front->queues[i].call_fd);
	}
}

/* A slot's memory: its table of descriptors, its message, its answer. */
static inline cay_unused uint64_t front_slot_at(unsigned int queue, unsigned int slot)
{
	return FRONT_QUEUES * (uint64_t)FRONT_QUEUE_BYTES +
		((uint64_t)queue * FRONT_SLOTS + slot) * FRONT_SLOT_BYTES;
}

static inline cay_unused struct vring_desc *front_table(const struct front *front,
							unsigned int queue, unsigned int slot)
{
	return (struct vring_desc *)(front->memory + front_slot_at(queue, slot));
}

static inline cay_unused uint8_t *front_message(const struct front *front, unsigned int queue,
						unsigned int slot)
{
	return front->memory + front_slot_at(queue, slot) + 4096;
}

static inline cay_unused uint8_t *front_answer(const struct front *front, unsigned int queue,
					       unsigned int slot)
{
	return front_message(front, queue, slot) + FRONT_ROOM;
}

static inline cay_unused int front_find_slot(const struct front *front, unsigned int queue)
{
	for (int i = 0; i < FRONT_SLOTS; i++)
		if (!front->queues[queue].taken[i])
			return i;
	return -1;
}

/* Whether the device has asked to be told of the one that was just made available. */
static inline cay_unused bool front_must_kick(const struct front_queue *queue)
{
	const uint16_t *event = (const uint16_t *)&queue->used->ring[FRONT_SLOTS];

	return vring_need_event(__atomic_load_n(event, __ATOMIC_SEQ_CST), queue->avail->idx,
				(uint16_t)(queue->avail->idx - 1));
}

/* Makes a descriptor of the ring available, whatever it says, and kicks where that is asked for. */
static inline cay_unused void front_offer(struct front *front, unsigned int index, uint16_t head)
{
	struct front_queue *queue = &front->queues[index];
	const uint64_t one = 1;

	queue->avail->ring[queue->avail->idx % FRONT_SLOTS] = head;
	__atomic_store_n(&queue->avail->idx, (uint16_t)(queue->avail->idx + 1), __ATOMIC_SEQ_CST);
	if (!front_must_kick(queue))
		return;
	queue->kicks++;
	(void)!write(queue->kick_fd, &one, sizeof(one));
}

/* Sends what is in a slot's message, with room for an answer where there is to be one. */
static inline cay_unused void front_send(struct front *front, unsigned int queue, unsigned int slot,
					 uint32_t size, uint32_t room)
{
	const uint64_t at = FRONT_GUEST + front_slot_at(queue, slot);
	struct vring_desc *table = front_table(front, queue, slot);

	table[0] = (struct vring_desc){ at + 4096, size, room ? VRING_DESC_F_NEXT : 0, 1 };
	table[1] = (struct vring_desc){ at + 4096 + FRONT_ROOM, room, VRING_DESC_F_WRITE, 0 };
	front->queues[queue].desc[slot] = (struct vring_desc){ at, (room ? 2 : 1) * sizeof(*table),
							       VRING_DESC_F_INDIRECT, 0 };
	front->queues[queue].taken[slot] = true;
	front_offer(front, queue, (uint16_t)slot);
}

/* The next slot that was given back, which is free then; -1: none is. */
static inline cay_unused int front_take(struct front *front, unsigned int index,
					uint32_t *ret_length)
{
	struct front_queue *queue = &front->queues[index];
	const struct vring_used_elem *element = &queue->used->ring[queue->used_seen % FRONT_SLOTS];

	/* From now on we want to be told of the next one. */
	queue->avail->ring[FRONT_SLOTS] = queue->used_seen;
	if (__atomic_load_n(&queue->used->idx, __ATOMIC_SEQ_CST) == queue->used_seen)
		return -1;
	queue->used_seen++;
	queue->avail->ring[FRONT_SLOTS] = queue->used_seen;
	if (element->id >= FRONT_SLOTS || !queue->taken[element->id])
		return -1;
	queue->taken[element->id] = false;
	*ret_length = element->len;
	return (int)element->id;
}

/* The same, waiting for it; -1: the other side has gone. */
static inline cay_unused int front_receive(struct front *front, unsigned int index,
					   uint32_t *ret_length)
{
	struct front_queue *queue = &front->queues[index];
	uint64_t count;
	int slot;

	while ((slot = front_take(front, index, ret_length)) < 0) {
		struct pollfd wait[2] = { { .fd = queue->call_fd, .events = POLLIN },
					  { .fd = front->socket, .events = POLLIN } };

		(void)poll(wait, 2, -1);
		if (wait[1].revents) /* it says nothing but what it is asked for */
			return front_take(front, index, ret_length);
		(void)!read(queue->call_fd, &count, sizeof(count));
	}
	return slot;
}
