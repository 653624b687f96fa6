// SPDX-License-Identifier: Apache-2.0
/*
 * Root in a guest who takes the device of the shared files from the kernel and
 * drives it himself: its registers by /dev/mem, queues and messages in pages
 * of his own, whose physical addresses he knows. Needs a container that has
 * the guest's devices (--privileged).
 *
 *   speak
 *	a line of hexadecimal digits is a FUSE message for the host; what comes
 *	back is printed so, or "closed" when nothing does for some seconds
 *   flood NODE COUNT
 *	has the host open this node so often, and prints how often it did and how
 *	often it refused
 *   ring KIND
 *	gives the host a queue that no driver would make (see `kinds`)
 *   race NODE SECONDS
 *	sends requests while another thread changes them
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define DRIVER       "/sys/bus/virtio/drivers/virtiofs/"
#define MMIO_BASE    0xfeb00000 /* of QEMU's microvm: eight slots of 512 bytes */
#define MMIO_SLOT    512
#define MMIO_SLOTS   8
#define MAGIC        0x74726976
#define QUEUE_SIZE   128 /* so that each part of a queue fits into a page */
#define PAGE         4096
#define IN_PAGES     18 /* of a message for the host */
#define OUT_PAGES    34 /* of its answer */
#define BATCH        (QUEUE_SIZE / 2)
#define WAIT_SECONDS 10
#define STATUS_BEGIN 3  /* acknowledge, driver */
#define STATUS_CHECK 11 /* and features are settled */
#define STATUS_READY 15 /* and the driver is */

struct page {
	uint8_t *data;
	uint64_t address; /* as the device sees it */
};

struct queue {
	struct page desc, avail, used;
	uint16_t seen; /* of the used ring */
};

static volatile uint8_t *registers;
static struct queue queues[2]; /* 0: FORGET and INTERRUPT, 1: requests */
static struct page in_pages[IN_PAGES], out_pages[OUT_PAGES], batch_pages[2 * BATCH];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void say(const char *text)
{
	puts(text);
	fflush(stdout);
}

static uint32_t get(unsigned int at)
{
	return *(volatile uint32_t *)(registers + at);
}

static void put(unsigned int at, uint32_t value)
{
	*(volatile uint32_t *)(registers + at) = value;
}

static void put_address(unsigned int at, uint64_t value)
{
	put(at, (uint32_t)value);
	put(at + 4, (uint32_t)(value >> 32));
}

/* ---- taking the device ---- */

static uint64_t physical(const void *data)
{
	static int fd = -1;
	uint64_t entry;

	if (fd < 0 && (fd = open("/proc/self/pagemap", O_RDONLY)) < 0)
		fail("pagemap");
	if (pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)data / PAGE * 8)) != 8)
		fail("reading pagemap");
	return (entry & ((1ULL << 55) - 1)) * PAGE;
}

static struct page page_new(void)
{
	void *data = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED, -1, 0);

	if (data == MAP_FAILED)
		fail("memory");
	memset(data, 0, PAGE);
	return (struct page){ data, physical(data) };
}

/* The program lies on a share: nothing of it can be read once the kernel has lost its device. */
static void unbind(void)
{
	DIR *directory = opendir(DRIVER);
	struct dirent *entry;
	int fd = open(DRIVER "unbind", O_WRONLY);

	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
		fail("mlockall");
	if (!directory || fd < 0)
		fail(DRIVER);
	while ((entry = readdir(directory)))
		if (strncmp(entry->d_name, "virtio", 6) == 0 &&
		    write(fd, entry->d_name, strlen(entry->d_name)) < 0)
			fail("unbind");
	close(fd);
	closedir(directory);
}

static void map_registers(void)
{
	uint8_t *all;
	int fd;

	(void)unlink("/tmp/mem");
	if (mknod("/tmp/mem", S_IFCHR | 0600, makedev(1, 1)) < 0 ||
	    (fd = open("/tmp/mem", O_RDWR | O_SYNC)) < 0)
		fail("/dev/mem");
	all = mmap(NULL, MMIO_SLOT * MMIO_SLOTS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, MMIO_BASE);
	if (all == MAP_FAILED)
		fail("mapping /dev/mem");
	for (int i = 0; i < MMIO_SLOTS; i++) {
		registers = all + (ptrdiff_t)i * MMIO_SLOT;
		if (get(VIRTIO_MMIO_MAGIC_VALUE) == MAGIC &&
		    get(VIRTIO_MMIO_DEVICE_ID) == VIRTIO_ID_FS)
			return;
	}
	fprintf(stderr, "no such device\n");
	exit(1);
}

static void start_queue(unsigned int index, uint64_t desc, uint64_t avail, uint64_t used)
{
	put(VIRTIO_MMIO_QUEUE_SEL, index);
	put(VIRTIO_MMIO_QUEUE_NUM, QUEUE_SIZE);
	put_address(VIRTIO_MMIO_QUEUE_DESC_LOW, desc);
	put_address(VIRTIO_MMIO_QUEUE_AVAIL_LOW, avail);
	put_address(VIRTIO_MMIO_QUEUE_USED_LOW, used);
	put(VIRTIO_MMIO_QUEUE_READY, 1);
}

static void begin_device(void)
{
	put(VIRTIO_MMIO_STATUS, 0);
	put(VIRTIO_MMIO_STATUS, STATUS_BEGIN);
	put(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	put(VIRTIO_MMIO_DRIVER_FEATURES, 1U << VIRTIO_RING_F_INDIRECT_DESC);
	put(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	put(VIRTIO_MMIO_DRIVER_FEATURES, 1); /* VIRTIO_F_VERSION_1 */
	put(VIRTIO_MMIO_STATUS, STATUS_CHECK);
}

static void reset_pages(struct queue *queue)
{
	memset(queue->desc.data, 0, PAGE);
	memset(queue->avail.data, 0, PAGE);
	memset(queue->used.data, 0, PAGE);
	((struct vring_avail *)queue->avail.data)->flags = VRING_AVAIL_F_NO_INTERRUPT;
	queue->seen = 0;
}

static void start_device(void)
{
	begin_device();
	for (unsigned int i = 0; i < 2; i++) {
		reset_pages(&queues[i]);
		start_queue(i, queues[i].desc.address, queues[i].avail.address,
			    queues[i].used.address);
	}
	put(VIRTIO_MMIO_STATUS, STATUS_READY);
}

static void take_device(void)
{
	for (int i = 0; i < 2; i++)
		queues[i] = (struct queue){ page_new(), page_new(), page_new(), 0 };
	for (int i = 0; i < IN_PAGES; i++)
		in_pages[i] = page_new();
	for (int i = 0; i < OUT_PAGES; i++)
		out_pages[i] = page_new();
	for (int i = 0; i < 2 * BATCH; i++)
		batch_pages[i] = page_new();
	unbind();
	map_registers();
	start_device();
}

/* ---- queues ---- */

static void describe(struct queue *queue, unsigned int index, uint64_t address, uint32_t length,
		     uint16_t flags, uint16_t next)
{
	struct vring_desc *desc = (struct vring_desc *)queue->desc.data + index;

	*(volatile uint64_t *)&desc->addr = address;
	*(volatile uint32_t *)&desc->len = length;
	*(volatile uint16_t *)&desc->flags = flags;
	*(volatile uint16_t *)&desc->next = next;
}

static void offer(struct queue *queue, uint16_t head)
{
	struct vring_avail *avail = (struct vring_avail *)queue->avail.data;

	avail->ring[avail->idx % QUEUE_SIZE] = head;
	__sync_synchronize();
	*(volatile uint16_t *)&avail->idx = (uint16_t)(avail->idx + 1);
}

static void kick(unsigned int index)
{
	__sync_synchronize();
	put(VIRTIO_MMIO_QUEUE_NOTIFY, index);
}

/* Waits until so many more were used; false after WAIT_SECONDS. */
static bool wait_used(struct queue *queue, uint16_t count)
{
	const volatile struct vring_used *used = (struct vring_used *)queue->used.data;
	const time_t end = time(NULL) + WAIT_SECONDS;

	while ((uint16_t)(used->idx - queue->seen) < count) {
		if (time(NULL) > end)
			return false;
		sched_yield();
	}
	queue->seen = (uint16_t)(queue->seen + count);
	__sync_synchronize();
	return true;
}

/* ---- speaking ---- */

/* One message in pages that a chain names one by one, then those for the answer. */
static void send_message(struct queue *queue, const uint8_t *data, size_t size)
{
	unsigned int count = 0;

	for (size_t at = 0; at < size; at += PAGE, count++) {
		const size_t part = size - at < PAGE ? size - at : PAGE;

		memcpy(in_pages[count].data, data + at, part);
		describe(queue, count, in_pages[count].address, (uint32_t)part, VRING_DESC_F_NEXT,
			 (uint16_t)(count + 1));
	}
	for (unsigned int i = 0; i < OUT_PAGES; i++, count++) {
		memset(out_pages[i].data, 0, sizeof(struct fuse_out_header));
		describe(queue, count, out_pages[i].address, PAGE,
			 VRING_DESC_F_WRITE | (i + 1 < OUT_PAGES ? VRING_DESC_F_NEXT : 0),
			 (uint16_t)(count + 1));
	}
	offer(queue, 0);
	kick(1);
}

static void print_answer(void)
{
	struct fuse_out_header header;

	memcpy(&header, out_pages[0].data, sizeof(header));
	if (header.len > OUT_PAGES * PAGE)
		header.len = sizeof(header);
	for (uint32_t i = 0; i < header.len; i++)
		printf("%02x", out_pages[i / PAGE].data[i % PAGE]);
	say("");
}

static int speak(void)
{
	struct queue *queue = &queues[1];
	char *line = NULL;
	size_t room = 0;

	say("ready");
	while (getline(&line, &room, stdin) > 0) {
		const size_t length = strspn(line, "0123456789abcdef") / 2;
		static uint8_t data[IN_PAGES * PAGE];

		if (length > sizeof(data))
			fail("a long message");
		for (size_t i = 0; i < length; i++) {
			char digits[3] = { line[2 * i], line[2 * i + 1], '\0' };

			data[i] = (uint8_t)strtoul(digits, NULL, 16);
		}
		send_message(queue, data, length);
		if (!wait_used(queue, 1)) {
			say("closed");
			return 0;
		}
		print_answer();
	}
	return 0;
}

/* ---- opening without end ---- */

static uint32_t fill(uint8_t *at, uint32_t opcode, uint64_t node, const void *body, size_t size)
{
	static uint64_t unique = 2;
	struct fuse_in_header header = {
		.len = (uint32_t)(sizeof(header) + size),
		.opcode = opcode,
		.unique = unique += 2,
		.nodeid = node,
	};

	memcpy(at, &header, sizeof(header));
	memcpy(at + sizeof(header), body, size);
	return header.len;
}

/* Message and answer `number` of a batch. */
static void batch_add(struct queue *queue, unsigned int number, uint32_t opcode, uint64_t node,
		      const void *body, size_t size)
{
	const struct page *in = &batch_pages[2 * number], *out = &batch_pages[2 * number + 1];
	const uint32_t length = fill(in->data, opcode, node, body, size);

	describe(queue, 2 * number, in->address, length, VRING_DESC_F_NEXT,
		 (uint16_t)(2 * number + 1));
	describe(queue, 2 * number + 1, out->address, PAGE, VRING_DESC_F_WRITE, 0);
	offer(queue, (uint16_t)(2 * number));
}

static int batch_error(unsigned int number)
{
	struct fuse_out_header header;

	memcpy(&header, batch_pages[2 * number + 1].data, sizeof(header));
	return header.error;
}

static void greet(struct queue *queue)
{
	const struct fuse_init_in init = { .major = 7, .minor = 38, .max_readahead = 65536 };

	batch_add(queue, 0, FUSE_INIT, 0, &init, sizeof(init));
	kick(1);
	if (!wait_used(queue, 1) || batch_error(0) != 0)
		fail("init");
}

static int flood(uint64_t node, long count)
{
	const struct fuse_open_in open_in = { .flags = O_RDONLY };
	struct queue *queue = &queues[1];
	struct fuse_entry_out entry;
	long opened = 0, refused = 0;

	greet(queue);
	batch_add(queue, 0, FUSE_LOOKUP, node, "file", 5);
	kick(1);
	if (!wait_used(queue, 1) || batch_error(0) != 0)
		fail("lookup");
	memcpy(&entry, batch_pages[1].data + sizeof(struct fuse_out_header), sizeof(entry));
	for (long sent = 0; sent < count;) {
		uint16_t number = 0;

		for (; number < BATCH && sent < count; number++, sent++)
			batch_add(queue, number, FUSE_OPEN, entry.nodeid, &open_in,
				  sizeof(open_in));
		kick(1);
		if (!wait_used(queue, number))
			fail("no answer");
		for (uint16_t i = 0; i < number; i++) {
			if (batch_error(i) < 0)
				refused++;
			else
				opened++;
		}
	}
	printf("%ld %ld\n", opened, refused);
	return 0;
}

/* ---- queues that no driver would make ---- */

static uint32_t a_message(void)
{
	return fill(in_pages[0].data, FUSE_GETATTR, FUSE_ROOT_ID, &(struct fuse_getattr_in){ 0 },
		    sizeof(struct fuse_getattr_in));
}

/* The chain 0, 1: a message and room for its answer. */
static void ordinary(struct queue *queue)
{
	describe(queue, 0, in_pages[0].address, a_message(), VRING_DESC_F_NEXT, 1);
	describe(queue, 1, out_pages[0].address, PAGE, VRING_DESC_F_WRITE, 0);
}

static void ring_loop(struct queue *queue)
{
	ordinary(queue);
	describe(queue, 1, in_pages[1].address, 16, VRING_DESC_F_NEXT, 0);
	offer(queue, 0);
}

static void ring_self(struct queue *queue)
{
	describe(queue, 0, in_pages[0].address, a_message(), VRING_DESC_F_NEXT, 0);
	offer(queue, 0);
}

static void ring_next(struct queue *queue)
{
	ordinary(queue);
	describe(queue, 0, in_pages[0].address, a_message(), VRING_DESC_F_NEXT, 0xffff);
	offer(queue, 0);
}

static void ring_head(struct queue *queue)
{
	ordinary(queue);
	offer(queue, 0xffff);
}

static void ring_index(struct queue *queue)
{
	ordinary(queue);
	*(volatile uint16_t *)&((struct vring_avail *)queue->avail.data)->idx = 40000;
}

static void ring_address(struct queue *queue)
{
	ordinary(queue);
	describe(queue, 0, 1ULL << 45, 56, VRING_DESC_F_NEXT, 1);
	offer(queue, 0);
}

static void ring_answer_address(struct queue *queue)
{
	ordinary(queue);
	describe(queue, 1, MMIO_BASE, PAGE, VRING_DESC_F_WRITE, 0);
	offer(queue, 0);
}

static void ring_wrap(struct queue *queue)
{
	ordinary(queue);
	describe(queue, 0, UINT64_MAX - 16, 56, VRING_DESC_F_NEXT, 1);
	offer(queue, 0);
}

static void ring_length(struct queue *queue)
{
	ordinary(queue);
	describe(queue, 0, in_pages[0].address, UINT32_MAX, VRING_DESC_F_NEXT, 1);
	offer(queue, 0);
}

static void ring_answer_length(struct queue *queue)
{
	ordinary(queue);
	describe(queue, 1, out_pages[0].address, UINT32_MAX, VRING_DESC_F_WRITE, 0);
	offer(queue, 0);
}

static void ring_empty(struct queue *queue)
{
	describe(queue, 0, in_pages[0].address, 0, 0, 0);
	offer(queue, 0);
}

static void ring_order(struct queue *queue)
{
	describe(queue, 0, out_pages[0].address, PAGE, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	describe(queue, 1, in_pages[0].address, a_message(), 0, 0);
	offer(queue, 0);
}

static void ring_many(struct queue *queue)
{
	for (uint16_t i = 0; i < QUEUE_SIZE; i++)
		describe(queue, i, in_pages[0].address, i == 0 ? a_message() : PAGE,
			 i + 1 < QUEUE_SIZE ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1));
	for (int i = 0; i < QUEUE_SIZE; i++)
		offer(queue, 0);
}

/* A table of `length` bytes in the first page of answers, whose entries lead to each other. */
static void indirect(struct queue *queue, uint64_t address, uint32_t length, uint16_t flags)
{
	struct vring_desc *table = (struct vring_desc *)out_pages[0].data;

	(void)a_message();
	for (int i = 0; i < PAGE / (int)sizeof(*table); i++)
		table[i] = (struct vring_desc){
			.addr = in_pages[0].address,
			.len = 56,
			.flags = flags,
			.next = (uint16_t)((i + 1) % (PAGE / (int)sizeof(*table))),
		};
	describe(queue, 0, address, length, VRING_DESC_F_INDIRECT, 0);
	offer(queue, 0);
}

static void ring_table_loop(struct queue *queue)
{
	indirect(queue, out_pages[0].address, PAGE, VRING_DESC_F_NEXT);
}

static void ring_table_nested(struct queue *queue)
{
	indirect(queue, out_pages[0].address, PAGE, VRING_DESC_F_INDIRECT);
}

static void ring_table_odd(struct queue *queue)
{
	indirect(queue, out_pages[0].address, 17, 0);
}

static void ring_table_length(struct queue *queue)
{
	indirect(queue, out_pages[0].address, UINT32_MAX - 15, VRING_DESC_F_NEXT);
}

static void ring_table_address(struct queue *queue)
{
	indirect(queue, 1ULL << 45, PAGE, VRING_DESC_F_NEXT);
}

static void ring_table_chained(struct queue *queue)
{
	indirect(queue, out_pages[0].address, PAGE, 0);
	describe(queue, 0, out_pages[0].address, PAGE, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT,
		 1);
}

/* Where the queue itself is: nowhere, in a device, over the end of memory. */
static void place_queue(uint64_t address)
{
	begin_device();
	for (unsigned int i = 0; i < 2; i++)
		start_queue(i, address, address, address);
	put(VIRTIO_MMIO_STATUS, STATUS_READY);
}

static void ring_nowhere(struct queue *queue)
{
	(void)queue;
	place_queue(1ULL << 45);
}

static void ring_in_device(struct queue *queue)
{
	(void)queue;
	place_queue(MMIO_BASE);
}

static void ring_storm(struct queue *queue)
{
	(void)queue;
	for (int i = 0; i < 20000; i++)
		kick((unsigned int)i % 2);
}

static void ring_resets(struct queue *queue)
{
	for (int i = 0; i < 50; i++) {
		ordinary(queue);
		offer(queue, 0);
		kick(1);
		start_device();
	}
}

static const struct {
	const char *name;
	void (*make)(struct queue *queue);
} kinds[] = {
	{ "loop", ring_loop },
	{ "self", ring_self },
	{ "next", ring_next },
	{ "head", ring_head },
	{ "index", ring_index },
	{ "address", ring_address },
	{ "answer-address", ring_answer_address },
	{ "wrap", ring_wrap },
	{ "length", ring_length },
	{ "answer-length", ring_answer_length },
	{ "empty", ring_empty },
	{ "order", ring_order },
	{ "many", ring_many },
	{ "table-loop", ring_table_loop },
	{ "table-nested", ring_table_nested },
	{ "table-odd", ring_table_odd },
	{ "table-length", ring_table_length },
	{ "table-address", ring_table_address },
	{ "table-chained", ring_table_chained },
	{ "nowhere", ring_nowhere },
	{ "in-device", ring_in_device },
	{ "storm", ring_storm },
	{ "resets", ring_resets },
};

/* Prints whether the host still answers an ordinary message on a device that was reset. */
static int ring(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, name) != 0)
			continue;
		kinds[i].make(&queues[1]);
		kick(1);
		kick(0);
		usleep(300000); /* for a wrong thing to happen; nothing waits for it */
		start_device();
		greet(&queues[1]);
		say("answered");
		return 0;
	}
	fprintf(stderr, "no such kind\n");
	return 2;
}

/* ---- changing what is being read ---- */

static void *change(void *argument)
{
	unsigned int seed = 1;

	(void)argument;
	for (;;) {
		const int number = rand_r(&seed) % BATCH;
		volatile struct fuse_in_header *header = (void *)batch_pages[2 * number].data;
		volatile struct vring_desc *desc =
			(struct vring_desc *)queues[1].desc.data + 2 * number;

		switch (rand_r(&seed) % 5) {
		case 0:
			header->len = (uint32_t)rand_r(&seed) % 200;
			break;
		case 1:
			header->opcode = (uint32_t)rand_r(&seed) % 50;
			break;
		case 2:
			header->nodeid = (uint64_t)(rand_r(&seed) % 4) << 48 | 1;
			break;
		case 3:
			desc->len = (uint32_t)rand_r(&seed) % 200;
			break;
		default:
			batch_pages[2 * number].data[40 + rand_r(&seed) % 60] =
				(uint8_t)rand_r(&seed);
		}
	}
	return NULL;
}

static int race(uint64_t node, long seconds)
{
	const time_t end = time(NULL) + seconds;
	struct queue *queue = &queues[1];
	pthread_t thread;
	long answered = 0;

	greet(queue);
	if (pthread_create(&thread, NULL, change, NULL) != 0)
		fail("thread");
	while (time(NULL) < end) {
		for (unsigned int i = 0; i < BATCH; i++)
			batch_add(queue, i, FUSE_LOOKUP, node, "file\0file\0file", 15);
		kick(1);
		if (!wait_used(queue, BATCH))
			break; /* it was ended for what it was sent */
		answered += BATCH;
	}
	printf("%ld\n", answered);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr,
			"usage: share-ring speak | flood NODE COUNT | ring KIND | race NODE SECONDS\n");
		return 2;
	}
	take_device();
	if (argc == 2 && strcmp(argv[1], "speak") == 0)
		return speak();
	if (argc == 4 && strcmp(argv[1], "flood") == 0)
		return flood(strtoull(argv[2], NULL, 10), strtol(argv[3], NULL, 10));
	if (argc == 3 && strcmp(argv[1], "ring") == 0)
		return ring(argv[2]);
	if (argc == 4 && strcmp(argv[1], "race") == 0)
		return race(strtoull(argv[2], NULL, 10), strtol(argv[3], NULL, 10));
	return 2;
}
