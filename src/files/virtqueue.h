/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One split virtqueue, the device's side: what the guest has made available is
 * taken as chains of checked pieces of memory, and given back used. Formats:
 * <linux/virtio_ring.h>, Virtual I/O Device 1.1, 2.6; little-endian.
 *
 * Pure; callers see to it that one thread at a time is in here. Everything in
 * the rings is the guest's: an index, length or address that can't be right is
 * -EPROTO, and no chain or ring of the guest's is followed without end.
 */
#pragma once

#include "files/guest-memory.h"

#include <linux/virtio_ring.h>

enum {
	VIRTQUEUE_SIZE_MAX = 1024,
	/* Pieces of a chain: as many as preadv2(2) takes, IOV_MAX. */
	CHAIN_MAX = 1024,
};

struct virtqueue {
	/* set by whoever has the device */
	uint16_t size;                                      /* a power of two */
	uint64_t desc_address, avail_address, used_address; /* in QEMU */
	bool event_index, indirect;                         /* as negotiated */

	/* set by virtqueue_place() */
	const struct guest_memory *memory;
	const struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;

	uint16_t next_avail; /* of the ring's, not yet taken */
	uint16_t next_used;
	uint16_t told_used; /* as of the last notification */
	bool told;          /* there was one */
};

/* One request's memory: what the guest has written, and where it waits for the answer. */
struct chain {
	uint16_t head;
	struct pieces readable, writable;
	struct iovec items[CHAIN_MAX];
};

/*
 * Finds the rings in `memory`, which stays the caller's. -EINVAL: a size that is none; -EFAULT:
 * they are not there. The queue goes on where it was.
 */
int virtqueue_place(struct virtqueue *queue, const struct guest_memory *memory);
/* Begins at an index of the available ring, with nothing used but what was taken before. */
void virtqueue_begin(struct virtqueue *queue, uint16_t next_avail);

/* 1 and the next chain, 0 where there is none, -EPROTO. */
int virtqueue_take(struct virtqueue *queue, struct chain *chain);
/* Whether there is something to take; the guest may change it at any time. */
bool virtqueue_has_more(const struct virtqueue *queue);
/*
 * Asks the guest to notify of the next chain. True: there is one already, of which it may not have
 * notified.
 */
bool virtqueue_ask(struct virtqueue *queue);
/* Somebody looks at the queue: the guest need not notify. A notification may still come. */
void virtqueue_spare(struct virtqueue *queue);

/* Gives a chain back with `length` bytes written into it. */
void virtqueue_give(struct virtqueue *queue, uint16_t head, uint32_t length);
/* Whether the guest wants to be told of what was given back since the last time it was. */
bool virtqueue_must_tell(struct virtqueue *queue);
