/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's memory and its virtqueue, all of it as the guest likes: every piece
 * of every chain lies within the memory, and there is an end to each. The input
 * is the ring's size and features, how often chains are taken, and the memory:
 * two regions with a hole between them.
 */
#include "base/alloc.h"
#include "files/virtqueue.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REGION = 4096, ROUNDS_MAX = 64 };

static volatile size_t sum; /* so that looking is not optimized away */

static void look(const struct guest_memory *memory, const struct pieces *pieces)
{
	size_t total = 0;

	for (size_t i = 0; i < pieces->count; i++) {
		uint8_t *at = pieces->items[i].iov_base;
		bool inside = false;

		for (size_t k = 0; k < memory->count; k++)
			inside = inside ||
				(at >= memory->regions[k].bytes &&
				 at + pieces->items[i].iov_len <=
					 memory->regions[k].bytes + REGION);
		if (!inside || pieces->items[i].iov_len == 0)
			__builtin_trap();
		/* The sanitizer looks as well. */
		sum += at[0] + at[pieces->items[i].iov_len - 1];
		total += pieces->items[i].iov_len;
	}
	if (total != pieces->size)
		__builtin_trap();
}

/* Cuts and skips as a request does, with sizes that the guest has chosen. */
static void take_apart(struct chain *chain, size_t size)
{
	uint8_t buffer[128];
	size_t before = chain->writable.size;

	sum += pieces_read(&chain->readable, buffer, sizeof(buffer));
	pieces_skip(&chain->writable, size);
	if (chain->writable.size != before - MIN(before, size))
		__builtin_trap();
	pieces_cut(&chain->writable, size);
	if (pieces_write(&chain->writable, buffer, sizeof(buffer)) >
	    MIN(sizeof(buffer), chain->writable.size))
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct chain chain;
	_cleanup_free_ uint8_t *first = xcalloc(1, REGION), *second = xcalloc(1, REGION);
	struct guest_memory memory = {
		.count = 2,
		.regions = { { 0x1000, 0x7000, REGION, first },
			     { 0x2000 + 0x1000 * (size > 0 && data[0] & 1), 0x9000, REGION,
			       second } },
	};
	struct virtqueue queue = { 0 };

	if (size < 8)
		return 0;
	queue.size = (uint16_t)(1U << (data[1] % 12));
	queue.event_index = data[0] & 2;
	queue.indirect = data[0] & 4;
	queue.desc_address = 0x7000;
	queue.avail_address = 0x9000 + data[2] * 2U;
	queue.used_address = 0x9800 + data[3] * 4U;
	memcpy(first, data + 8, MIN(size - 8, (size_t)REGION));
	if (size > 8 + REGION)
		memcpy(second, data + 8 + REGION, MIN(size - 8 - REGION, (size_t)REGION));
	if (virtqueue_place(&queue, &memory) < 0)
		return 0;
	virtqueue_begin(&queue, (uint16_t)(data[4] | data[5] << 8));
	for (unsigned int i = 0; i < ROUNDS_MAX; i++) {
		if (virtqueue_take(&queue, &chain) != 1)
			break;
		look(&memory, &chain.readable);
		look(&memory, &chain.writable);
		take_apart(&chain, data[6] * 8U);
		look(&memory, &chain.writable);
		sum += virtqueue_ask(&queue);
		virtqueue_give(&queue, chain.head, data[7]);
		sum += virtqueue_must_tell(&queue);
	}
	return 0;
}
