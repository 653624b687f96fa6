/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of virtqueue.h. Each field of the guest's is read once, into a copy that is checked. */
#include "files/virtqueue.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* Of a ring that the guest writes at the same time. */
static uint16_t load(const uint16_t *at)
{
	return le16toh(__atomic_load_n(at, __ATOMIC_ACQUIRE));
}

static void store(uint16_t *at, uint16_t value)
{
	__atomic_store_n(at, htole16(value), __ATOMIC_RELEASE);
}

/* The guest's "used_event" behind the available ring, and our "avail_event" behind the used one. */
static uint16_t *used_event(const struct virtqueue *queue)
{
	return &queue->avail->ring[queue->size];
}

static uint16_t *avail_event(const struct virtqueue *queue)
{
	return (uint16_t *)&queue->used->ring[queue->size];
}

int virtqueue_place(struct virtqueue *queue, const struct guest_memory *memory)
{
	const uint64_t size = queue->size;
	const struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;

	if (size == 0 || size > VIRTQUEUE_SIZE_MAX || (size & (size - 1)) != 0)
		return -EINVAL;
	desc = guest_memory_at_user(memory, queue->desc_address, size * sizeof(*desc),
				    VRING_DESC_ALIGN_SIZE);
	avail = guest_memory_at_user(memory, queue->avail_address,
				     sizeof(*avail) + (size + 1) * sizeof(uint16_t),
				     VRING_AVAIL_ALIGN_SIZE);
	used = guest_memory_at_user(memory, queue->used_address,
				    sizeof(*used) + size * sizeof(used->ring[0]) + sizeof(uint16_t),
				    VRING_USED_ALIGN_SIZE);
	if (!desc || !avail || !used)
		return -EFAULT;
	queue->memory = memory;
	queue->desc = desc;
	queue->avail = avail;
	queue->used = used;
	return 0;
}

void virtqueue_begin(struct virtqueue *queue, uint16_t next_avail)
{
	queue->next_avail = queue->next_used = next_avail;
	queue->told = false;
}

static void add_piece(struct chain *chain, bool writable, uint8_t *bytes, uint64_t length)
{
	struct pieces *pieces = writable ? &chain->writable : &chain->readable;

	pieces->items[pieces->count++] = (struct iovec){ bytes, length };
	pieces->size += length;
	if (!writable)
		chain->writable.items = pieces->items + pieces->count;
}

/* What one descriptor names, which may lie in more than one region. */
static int add_descriptor(const struct virtqueue *queue, const struct vring_desc *desc,
			  struct chain *chain)
{
	const bool writable = desc->flags & VRING_DESC_F_WRITE;
	uint64_t address = desc->addr, left = desc->len;

	if (!writable && chain->writable.count > 0)
		return -EPROTO;
	while (left > 0) {
		uint64_t length;
		uint8_t *bytes = guest_memory_at(queue->memory, address, left, &length);

		if (!bytes || chain->readable.count + chain->writable.count == CHAIN_MAX)
			return -EPROTO;
		add_piece(chain, writable, bytes, length);
		address += length;
		left -= length;
	}
	return 0;
}

/* Descriptors as they stand in a table: in the ring, or in one that a descriptor points to. */
struct table {
	const struct vring_desc *ring; /* or NULL, and then: */
	const struct guest_memory *memory;
	uint64_t address;
	uint32_t count;
};

static int fetch(const struct table *table, uint32_t index, struct vring_desc *ret_desc)
{
	struct vring_desc desc;
	const void *at = table->ring ? &table->ring[index] : NULL;
	uint64_t length;

	if (!at) {
		at = guest_memory_at(table->memory, table->address + index * sizeof(desc),
				     sizeof(desc), &length);
		if (!at || length < sizeof(desc))
			return -EPROTO;
	}
	memcpy(&desc, at, sizeof(desc));
	/* What is checked is what was copied: the compiler must not read the guest's again. */
	atomic_signal_fence(memory_order_seq_cst);
	*ret_desc = (struct vring_desc){
		.addr = le64toh(desc.addr),
		.len = le32toh(desc.len),
		.flags = le16toh(desc.flags),
		.next = le16toh(desc.next),
	};
	return 0;
}

static int walk(const struct virtqueue *queue, struct table *table, uint32_t index,
		struct chain *chain)
{
	struct vring_desc desc;
	int r = 0;

	/* A chain that visits more than there are goes in circles. */
	for (uint32_t visited = 0; r == 0 && visited < table->count; visited++) {
		r = index < table->count ? fetch(table, index, &desc) : -EPROTO;
		if (r < 0)
			return r;
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			/* Alone, as a driver may not go on behind it, and not within another. */
			if (!queue->indirect || visited > 0 || !table->ring ||
			    (desc.flags & VRING_DESC_F_NEXT) || desc.len % sizeof(desc) != 0 ||
			    desc.len / sizeof(desc) > CHAIN_MAX ||
			    desc.addr > UINT64_MAX - desc.len)
				return -EPROTO;
			*table = (struct table){ NULL, queue->memory, desc.addr,
						 desc.len / (uint32_t)sizeof(desc) };
			return walk(queue, table, 0, chain);
		}
		r = add_descriptor(queue, &desc, chain);
		if (r == 0 && !(desc.flags & VRING_DESC_F_NEXT))
			return 0;
		index = desc.next;
	}
	return -EPROTO;
}

bool virtqueue_has_more(const struct virtqueue *queue)
{
	return load(&queue->avail->idx) != queue->next_avail;
}

int virtqueue_take(struct virtqueue *queue, struct chain *chain)
{
	struct table table = { .ring = queue->desc, .count = queue->size };
	uint16_t available = (uint16_t)(load(&queue->avail->idx) - queue->next_avail);
	uint16_t head;
	int r;

	if (available == 0)
		return 0;
	if (available > queue->size)
		return -EPROTO;
	head = load(&queue->avail->ring[queue->next_avail % queue->size]);
	chain->head = head;
	chain->readable = chain->writable = (struct pieces){ .items = chain->items };
	r = walk(queue, &table, head, chain);
	if (r < 0)
		return r;
	queue->next_avail++;
	return 1;
}

bool virtqueue_ask(struct virtqueue *queue)
{
	if (queue->event_index)
		store(avail_event(queue), queue->next_avail);
	else
		store(&queue->used->flags, 0);
	/* The guest writes its index and then reads this: one of us sees the other's. */
	atomic_thread_fence(memory_order_seq_cst);
	return virtqueue_has_more(queue);
}

void virtqueue_spare(struct virtqueue *queue)
{
	if (queue->event_index)
		store(avail_event(queue), (uint16_t)(queue->next_avail - 1)); /* is past */
	else
		store(&queue->used->flags, VRING_USED_F_NO_NOTIFY);
}

void virtqueue_give(struct virtqueue *queue, uint16_t head, uint32_t length)
{
	struct vring_used_elem *element = &queue->used->ring[queue->next_used % queue->size];

	*element = (struct vring_used_elem){ htole32(head), htole32(length) };
	store(&queue->used->idx, ++queue->next_used);
}

bool virtqueue_must_tell(struct virtqueue *queue)
{
	const uint16_t before = queue->told_used;
	const bool told = queue->told;

	/* What was given back is there before the guest's wish is looked at. */
	atomic_thread_fence(memory_order_seq_cst);
	if (!queue->event_index)
		return !(load(&queue->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
	queue->told_used = queue->next_used;
	queue->told = true;
	return !told || vring_need_event(load(used_event(queue)), queue->next_used, before);
}
