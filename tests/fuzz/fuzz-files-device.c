/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU as a stranger: its messages, with descriptors of the right kind, of a
 * wrong one, or none, to a device at work. Each message is its number, two
 * bytes that say how long it is and what comes with it, and its body.
 */
#include "base/alloc.h"
#include "base/log.h"
#include "files/device.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGES_MAX = 64, MEMORY_SIZE = 64 << 10 };

static void settle(void *user)
{
}

static int make_fd(unsigned int kind)
{
	int fd;

	switch (kind % 4) {
	case 0:
		return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	case 1:
		fd = memfd_create("guest", MFD_CLOEXEC);
		if (ftruncate(fd, MEMORY_SIZE) < 0)
			die("a memfd");
		return fd;
	case 2:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	default:
		return open("/", O_PATH | O_CLOEXEC);
	}
}

/* Sizes and addresses that are too large to be met by chance are made smaller, mostly. */
static void tame(struct vhost_message *message)
{
	if (message->header.request != VHOST_SET_MEM_TABLE)
		return;
	message->memory.count %= VHOST_REGIONS_MAX + 2;
	for (size_t i = 0; i < VHOST_REGIONS_MAX; i++) {
		struct vhost_region *region = &message->memory.regions[i];

		region->size = region->size % 32 ? MEMORY_SIZE : region->size;
		region->offset = region->offset % 8 ? 0 : region->offset;
		region->user &= 0xffffff0000;
		region->guest &= 0xffffff0000;
	}
}

/* One message; what is left of the input. */
static size_t next_message(const uint8_t *data, size_t size, struct vhost_message *ret)
{
	size_t length = MIN((size_t)data[1], MIN(size - 3, sizeof(ret->bytes)));

	memset(ret, 0, sizeof(*ret));
	ret->header.request = data[0] % 20;
	ret->header.flags = VHOST_VERSION | (data[2] & VHOST_NEED_REPLY);
	ret->header.size = (uint32_t)length;
	memcpy(ret->bytes, data + 3, length);
	tame(ret);
	ret->fd_count = data[2] >> 4 & 7;
	for (size_t i = 0; i < ret->fd_count; i++)
		ret->fds[i] = make_fd(data[2] & 3);
	return size - 3 - length;
}

static void work(struct device *device)
{
	static struct device_request request;

	for (unsigned int i = 0; i < DEVICE_QUEUES; i++)
		for (unsigned int k = 0; k < 4 && device_take(device, i, &request) == 1; k++)
			device_give(device, &request, 0, k % 2);
	device_tell(device);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int home = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct cay_error err = { 0 };
	struct device device;
	int pair[2], r = 0;

	if (home < 0 || chdir("/proc/self/fd") < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
	    device_init(&device, pair[0], settle, NULL, &err) < 0)
		die("a device: %s", err.message);
	for (unsigned int i = 0; r == 0 && size > 3 && i < MESSAGES_MAX; i++) {
		struct vhost_message message;
		size_t left = next_message(data, size, &message);

		data += size - left;
		size = left;
		r = device_handle(&device, &message);
		vhost_message_done(&message);
		work(&device);
	}
	device_done(&device);
	(void)close(pair[0]);
	(void)close(pair[1]);
	return fchdir(home);
}
