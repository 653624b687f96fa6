/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's memory and its queue: pieces where they should be, and notifications when. */
#include "test.h"

#include "files/virtqueue.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

enum { SIZE = 4096, QUEUE = 8 };

static uint8_t first[SIZE] __attribute__((aligned(16)));
static uint8_t second[SIZE] __attribute__((aligned(16)));
static struct guest_memory memory;
static struct virtqueue queue;
static struct chain chain;

/* Two regions that are neighbours in the guest and nowhere else. */
static int start(void **state)
{
	memset(first, 0, sizeof(first));
	memset(second, 0, sizeof(second));
	memory = (struct guest_memory){
		.count = 2,
		.regions = { { 0x1000, 0x100000, SIZE, first },
			     { 0x2000, 0x200000, SIZE, second } },
	};
	queue = (struct virtqueue){
		.size = QUEUE,
		.desc_address = 0x100000,
		.avail_address = 0x100100,
		.used_address = 0x100200,
		.event_index = true,
		.indirect = true,
	};
	assert_int_equal(virtqueue_place(&queue, &memory), 0);
	virtqueue_begin(&queue, 0);
	return 0;
}

static void describe(unsigned int index, uint64_t address, uint32_t length, unsigned int flags,
		     unsigned int next)
{
	((struct vring_desc *)first)[index] =
		(struct vring_desc){ address, length, (uint16_t)flags, (uint16_t)next };
}

static void offer(unsigned int head)
{
	queue.avail->ring[queue.avail->idx++ % QUEUE] = (uint16_t)head;
}

static void want_used_event(uint16_t index)
{
	queue.avail->ring[QUEUE] = index;
}

static uint16_t avail_event(void)
{
	uint16_t event;

	memcpy(&event, &queue.used->ring[QUEUE], sizeof(event));
	return event;
}

static void test_pieces(void **state)
{
	char text[16] = { 0 };

	/* One that crosses from region to region, then one to write to. */
	describe(3, 0x2000 - 4, 8, VRING_DESC_F_NEXT, 5);
	describe(5, 0x2800, 100, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	describe(1, 0x2900, 50, VRING_DESC_F_WRITE, 0);
	memcpy(first + SIZE - 4, "ABCD", 4);
	memcpy(second, "EFGH", 4);
	offer(3);
	assert_int_equal(virtqueue_take(&queue, &chain), 1);
	assert_int_equal(chain.head, 3);
	assert_int_equal(chain.readable.count, 2);
	assert_int_equal(chain.readable.size, 8);
	assert_int_equal(pieces_read(&chain.readable, text, sizeof(text)), 8);
	assert_string_equal(text, "ABCDEFGH");
	assert_int_equal(chain.writable.count, 2);
	assert_int_equal(chain.writable.size, 150);
	pieces_skip(&chain.writable, 90);
	pieces_cut(&chain.writable, 12);
	assert_int_equal(chain.writable.size, 12);
	assert_int_equal(pieces_write(&chain.writable, "0123456789abcdef", 16), 12);
	assert_memory_equal(second + 0x800 + 90, "0123456789", 10);
	assert_memory_equal(second + 0x900, "ab\0", 3);
	assert_int_equal(virtqueue_take(&queue, &chain), 0);
}

static void test_indirect(void **state)
{
	struct vring_desc *table = (struct vring_desc *)(second + 0x100);

	table[0] = (struct vring_desc){ 0x2400, 10, VRING_DESC_F_NEXT, 2 };
	table[2] = (struct vring_desc){ 0x2500, 20, VRING_DESC_F_WRITE, 0 };
	describe(0, 0x2100, 3 * sizeof(*table), VRING_DESC_F_INDIRECT, 0);
	offer(0);
	assert_int_equal(virtqueue_take(&queue, &chain), 1);
	assert_int_equal(chain.readable.size, 10);
	assert_ptr_equal(chain.writable.items[0].iov_base, second + 0x500);
	/* Only where it was agreed on. */
	queue.indirect = false;
	offer(0);
	assert_int_equal(virtqueue_take(&queue, &chain), -EPROTO);
}

/* As many pieces as the kernel takes at once, and one more. */
static void test_many_pieces(void **state)
{
	static struct vring_desc table[CHAIN_MAX + 1];

	memory.regions[1] =
		(struct guest_region){ 0x10000, 0x200000, sizeof(table), (uint8_t *)table };
	for (unsigned int i = 0; i <= CHAIN_MAX; i++)
		table[i] = (struct vring_desc){ 0x1800, 1, VRING_DESC_F_NEXT, (uint16_t)(i + 1) };
	table[CHAIN_MAX - 1].flags = 0;
	describe(0, 0x10000, CHAIN_MAX * sizeof(*table), VRING_DESC_F_INDIRECT, 0);
	offer(0);
	assert_int_equal(virtqueue_take(&queue, &chain), 1);
	assert_int_equal(chain.readable.count, CHAIN_MAX);
	describe(0, 0x10000, sizeof(table), VRING_DESC_F_INDIRECT, 0);
	offer(0);
	assert_int_equal(virtqueue_take(&queue, &chain), -EPROTO);
}

/* Indexes run over 65535 as if nothing was. */
static void test_wrapping(void **state)
{
	describe(2, 0x2000, 4, 0, 0);
	virtqueue_begin(&queue, 65534);
	queue.avail->idx = 65534;
	queue.used->idx = 65534;
	want_used_event(65534);
	for (unsigned int i = 0; i < 4; i++) {
		offer(2);
		assert_int_equal(virtqueue_take(&queue, &chain), 1);
		virtqueue_give(&queue, chain.head, i);
		want_used_event((uint16_t)(65534 + i));
		assert_true(virtqueue_must_tell(&queue));
	}
	assert_int_equal(queue.used->idx, 2);
	assert_int_equal(queue.used->ring[1].len, 3);
	assert_int_equal(virtqueue_take(&queue, &chain), 0);
}

static void test_notifications(void **state)
{
	describe(2, 0x2000, 4, 0, 0);
	assert_false(virtqueue_ask(&queue));
	assert_int_equal(avail_event(), 0);
	offer(2);
	offer(2);
	offer(2);
	assert_int_equal(virtqueue_take(&queue, &chain), 1);
	assert_true(virtqueue_ask(&queue));
	assert_int_equal(avail_event(), 1);
	/* The guest wants to hear of the second, so not of the first, and once. */
	want_used_event(1);
	virtqueue_give(&queue, 2, 0);
	assert_true(virtqueue_must_tell(&queue)); /* the first time always */
	virtqueue_give(&queue, 2, 0);
	assert_true(virtqueue_must_tell(&queue));
	virtqueue_give(&queue, 2, 0);
	assert_false(virtqueue_must_tell(&queue));
	/* Two given back in one go, between which it is. */
	want_used_event(3);
	virtqueue_give(&queue, 2, 0);
	virtqueue_give(&queue, 2, 0);
	assert_true(virtqueue_must_tell(&queue));
	/* Without indexes there are flags. */
	queue.event_index = false;
	queue.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	assert_false(virtqueue_must_tell(&queue));
	queue.avail->flags = 0;
	assert_true(virtqueue_must_tell(&queue));
}

/* Whether the guest notifies of the next chain, having told of all before. */
static bool is_asked(void)
{
	const uint16_t index = queue.avail->idx;

	return vring_need_event(avail_event(), (uint16_t)(index + 1), index);
}

static void test_asking(void **state)
{
	describe(2, 0x2000, 4, 0, 0);
	for (unsigned int i = 0; i < 70000; i++) {
		assert_false(virtqueue_ask(&queue));
		assert_true(is_asked());
		virtqueue_spare(&queue);
		assert_false(is_asked());
		offer(2);
		assert_int_equal(virtqueue_take(&queue, &chain), 1);
	}
	queue.event_index = false;
	virtqueue_spare(&queue);
	assert_int_equal(queue.used->flags, VRING_USED_F_NO_NOTIFY);
	assert_false(virtqueue_ask(&queue));
	assert_int_equal(queue.used->flags, 0);
}

static void test_places(void **state)
{
	const uint16_t sizes[] = { 0, 3, 2048 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		queue.size = sizes[i];
		assert_int_equal(virtqueue_place(&queue, &memory), -EINVAL);
	}
	queue.size = QUEUE;
	queue.desc_address = 0x100008; /* 16 are asked for */
	assert_int_equal(virtqueue_place(&queue, &memory), -EFAULT);
	queue.desc_address = 0x100000;
	queue.used_address = 0x201000 - 8;
	assert_int_equal(virtqueue_place(&queue, &memory), -EFAULT);
	queue.used_address = 0x300000;
	assert_int_equal(virtqueue_place(&queue, &memory), -EFAULT);
	queue.used_address = UINT64_MAX - 3;
	assert_int_equal(virtqueue_place(&queue, &memory), -EFAULT);
}

static void test_mapping(void **state)
{
	struct guest_memory *mapped = guest_memory_new();
	int fd = memfd_create("guest", MFD_CLOEXEC), pipe_fds[2];
	uint64_t length;

	assert_int_equal(ftruncate(fd, 4 * SIZE), 0);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	assert_int_equal(guest_memory_map(mapped, 0, 0, 0, 0, fd), -EINVAL);
	assert_int_equal(guest_memory_map(mapped, 0, 0, SIZE, 100, fd), -EINVAL);
	assert_int_equal(guest_memory_map(mapped, UINT64_MAX - 100, 0, SIZE, 0, fd), -EINVAL);
	assert_int_equal(guest_memory_map(mapped, 0, UINT64_MAX - 100, SIZE, 0, fd), -EINVAL);
	assert_int_equal(guest_memory_map(mapped, 0, 0, GUEST_MEMORY_MAX + 1, 0, fd), -EINVAL);
	assert_int_equal(guest_memory_map(mapped, 0, 0, SIZE, 0, pipe_fds[0]), -EINVAL);
	assert_int_equal(guest_memory_map(mapped, 0, 0, SIZE, 0, -1), -EBADF);
	assert_int_equal(guest_memory_map(mapped, 0, 0, 4 * SIZE, SIZE, fd), -EINVAL);
	assert_null(guest_memory_at(mapped, 0, 1, &length));
	for (unsigned int i = 0; i < GUEST_REGIONS_MAX; i++)
		assert_int_equal(guest_memory_map(mapped, i * 2ULL * SIZE, 0, SIZE, SIZE, fd), 0);
	assert_int_equal(guest_memory_map(mapped, 0, 0, SIZE, 0, fd), -EINVAL);
	assert_int_equal(pwrite(fd, "x", 1, SIZE + 7), 1);
	assert_int_equal(*guest_memory_at(mapped, 2 * SIZE + 7, SIZE, &length), 'x');
	assert_int_equal(length, SIZE - 7);
	assert_null(guest_memory_at(mapped, 3 * SIZE, 1, &length));
	(void)guest_memory_ref(mapped);
	guest_memory_unref(mapped);
	assert_non_null(guest_memory_at(mapped, 0, 1, &length));
	guest_memory_unref(mapped);
	(void)close(fd);
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_pieces, start),
		cmocka_unit_test_setup(test_indirect, start),
		cmocka_unit_test_setup(test_many_pieces, start),
		cmocka_unit_test_setup(test_wrapping, start),
		cmocka_unit_test_setup(test_notifications, start),
		cmocka_unit_test_setup(test_asking, start),
		cmocka_unit_test_setup(test_places, start),
		cmocka_unit_test(test_mapping),
	};

	return cmocka_run_group_tests_name("files-virtqueue", tests, NULL, NULL);
}
