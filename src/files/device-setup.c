/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What QEMU says about the device: a table of its messages, with how large
 * each is and how many descriptors may come with it. A queue runs from when
 * its eventfd for kicks is there (and it is enabled) until QEMU asks how far
 * it has come, which is answered when nothing is under way any more.
 */
#include "files/device-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <sys/epoll.h>

#define BIT(number) (UINT64_C(1) << (number))

static const uint64_t features_offered = BIT(VIRTIO_F_VERSION_1) |
	BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) |
	BIT(VHOST_F_PROTOCOL_FEATURES);
static const uint64_t protocol_features_offered =
	BIT(VHOST_PROTOCOL_F_MQ) | BIT(VHOST_PROTOCOL_F_REPLY_ACK);

/* A handler's result for a message that was answered with what is in its body now. */
enum { ANSWERED = 1 };

/* How long QEMU, which waits for us, is kept by a request that hangs in the host's storage. */
enum { STOP_SECONDS = 5 };

/*
 * Anything else may be written to or waited for in ways that we don't know, and a full counter
 * would keep who signals it. QEMU makes its eventfds this way.
 */
static bool is_eventfd(int fd)
{
	static const char expected[] = "anon_inode:[eventfd]";
	char name[12], target[sizeof(expected)];
	int flags = fcntl(fd, F_GETFL);
	ssize_t n;

	if (flags < 0 || !(flags & O_NONBLOCK))
		return false;
	(void)snprintf(name, sizeof(name), "%d", fd);
	n = readlinkat(AT_FDCWD, name, target, sizeof(target));
	return n == sizeof(expected) - 1 && memcmp(target, expected, sizeof(expected) - 1) == 0;
}

/* Takes the message's one descriptor; -1 where there is none, as its number says. */
static int take_eventfd(struct vhost_message *message, int *ret_fd)
{
	const bool none = message->number & VHOST_VRING_NO_FD;

	if (message->fd_count != (none ? 0 : 1))
		return -EPROTO;
	if (!none && !is_eventfd(message->fds[0]))
		return -EPROTO;
	*ret_fd = none ? -1 : TAKE_FD(message->fds[0]);
	return 0;
}

static struct device_queue *queue_at(struct device *device, uint64_t number)
{
	return number < DEVICE_QUEUES ? &device->queues[number] : NULL;
}

static int start(struct device *device, struct device_queue *queue)
{
	int r = 0;

	if (queue->running || !queue->enabled || queue->kick_fd < 0)
		return 0;
	(void)pthread_mutex_lock(&queue->lock);
	queue->ring.event_index = device->features & BIT(VIRTIO_RING_F_EVENT_IDX);
	queue->ring.indirect = device->features & BIT(VIRTIO_RING_F_INDIRECT_DESC);
	if (!device->memory || virtqueue_place(&queue->ring, device->memory) < 0)
		r = -EPROTO;
	if (r == 0) {
		guest_memory_unref(queue->memory);
		queue->memory = guest_memory_ref(device->memory);
		virtqueue_begin(&queue->ring, queue->base);
		queue->running = true;
	}
	(void)pthread_mutex_unlock(&queue->lock);
	if (r == 0)
		r = device_watch_kick(device, (unsigned int)(queue - device->queues));
	/* It may have been kicked long since. */
	if (r == 0)
		device_wake(device);
	return r;
}

/* With the queue's lock held, which is let go meanwhile. */
static int await_idle(struct device_queue *queue)
{
	struct timespec until;
	int r = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += STOP_SECONDS;
	while (queue->busy > 0 && r != ETIMEDOUT)
		r = pthread_cond_clockwait(&queue->idle, &queue->lock, CLOCK_MONOTONIC, &until);
	return queue->busy > 0 ? -ETIMEDOUT : 0;
}

/*
 * Takes nothing more, and returns when all that was taken has been given back. -ETIMEDOUT where
 * that takes too long: the memory is still in use then, and the device at its end.
 */
static int stop(struct device *device, struct device_queue *queue)
{
	bool settle;
	int r;

	if (!queue->running)
		return 0;
	(void)epoll_ctl(device->epoll_fd, EPOLL_CTL_DEL, queue->kick_fd, NULL);
	(void)pthread_mutex_lock(&queue->lock);
	queue->running = false;
	r = await_idle(queue);
	settle = queue->later > 0;
	(void)pthread_mutex_unlock(&queue->lock);
	if (r < 0)
		return r;
	/* Who waits in the other queue goes on waiting. */
	if (settle)
		device->settle(device->user);
	(void)pthread_mutex_lock(&queue->lock);
	queue->base = queue->ring.next_avail;
	queue->untold = 0;
	guest_memory_unref(TAKE_PTR(queue->memory));
	(void)pthread_mutex_unlock(&queue->lock);
	return 0;
}

static int get_features(struct device *device, struct vhost_message *message)
{
	message->number = features_offered;
	return ANSWERED;
}

static int set_features(struct device *device, struct vhost_message *message)
{
	if (message->number & ~features_offered)
		return -EPROTO;
	device->features = message->number;
	/* Without a message for it there is nothing to wait for. */
	for (size_t i = 0; i < DEVICE_QUEUES; i++)
		if (!device->queues[i].running)
			device->queues[i].enabled =
				!(message->number & BIT(VHOST_F_PROTOCOL_FEATURES));
	return 0;
}

static int get_protocol_features(struct device *device, struct vhost_message *message)
{
	message->number = protocol_features_offered;
	return ANSWERED;
}

static int set_protocol_features(struct device *device, struct vhost_message *message)
{
	if (message->number & ~protocol_features_offered)
		return -EPROTO;
	device->protocol_features = message->number;
	return 0;
}

static int get_queue_count(struct device *device, struct vhost_message *message)
{
	message->number = DEVICE_QUEUES;
	return ANSWERED;
}

static int nothing_to_do(struct device *device, struct vhost_message *message)
{
	return 0;
}

static int map_regions(const struct vhost_message *message, struct guest_memory *memory)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < message->memory.count; i++) {
		const struct vhost_region *region = &message->memory.regions[i];

		r = guest_memory_map(memory, region->guest, region->user, region->size,
				     region->offset, message->fds[i]);
	}
	return r;
}

/* Running queues go on in the new memory; what was taken from them stays mapped as it was. */
static int move_queue(struct device_queue *queue, struct guest_memory *memory)
{
	int r = 0;

	(void)pthread_mutex_lock(&queue->lock);
	if (queue->memory) {
		r = virtqueue_place(&queue->ring, memory);
		if (r == 0) {
			guest_memory_unref(queue->memory);
			queue->memory = guest_memory_ref(memory);
		}
	}
	(void)pthread_mutex_unlock(&queue->lock);
	return r;
}

static int set_memory(struct device *device, struct vhost_message *message)
{
	struct guest_memory *memory;
	int r;

	if (message->memory.count > VHOST_REGIONS_MAX || message->memory.count != message->fd_count)
		return -EPROTO;
	memory = guest_memory_new();
	r = map_regions(message, memory);
	for (size_t i = 0; r == 0 && i < DEVICE_QUEUES; i++)
		r = move_queue(&device->queues[i], memory);
	if (r < 0) {
		guest_memory_unref(memory);
		return r;
	}
	guest_memory_unref(device->memory);
	device->memory = memory;
	return 0;
}

static int set_queue_size(struct device *device, struct vhost_message *message)
{
	struct device_queue *queue = queue_at(device, message->state.index);

	if (!queue || queue->running || message->state.num > VIRTQUEUE_SIZE_MAX)
		return -EPROTO;
	queue->ring.size = (uint16_t)message->state.num;
	return 0;
}

static int set_queue_addresses(struct device *device, struct vhost_message *message)
{
	struct device_queue *queue = queue_at(device, message->addresses.index);

	if (!queue || queue->running || message->addresses.flags != 0)
		return -EPROTO;
	queue->ring.desc_address = message->addresses.desc_user_addr;
	queue->ring.avail_address = message->addresses.avail_user_addr;
	queue->ring.used_address = message->addresses.used_user_addr;
	return 0;
}

static int set_queue_base(struct device *device, struct vhost_message *message)
{
	struct device_queue *queue = queue_at(device, message->state.index);

	if (!queue || queue->running || message->state.num > UINT16_MAX)
		return -EPROTO;
	queue->base = (uint16_t)message->state.num;
	return 0;
}

static int get_queue_base(struct device *device, struct vhost_message *message)
{
	struct device_queue *queue = queue_at(device, message->state.index);
	int r;

	if (!queue)
		return -EPROTO;
	r = stop(device, queue);
	if (r < 0)
		return r;
	cay_close_p(&queue->kick_fd);
	queue->kick_fd = -1;
	message->state.num = queue->base;
	return ANSWERED;
}

static int set_queue_kick(struct device *device, struct vhost_message *message)
{
	struct device_queue *queue = queue_at(device, message->number & VHOST_VRING_INDEX_MASK);
	int fd, r;

	if (!queue || queue->running)
		return -EPROTO;
	r = take_eventfd(message, &fd);
	if (r < 0)
		return r;
	cay_close_p(&queue->kick_fd);
	queue->kick_fd = fd;
	/* Without one the rings would have to be looked at all the time. */
	return fd < 0 ? -EPROTO : start(device, queue);
}

static int set_queue_call(struct device *device, struct vhost_message *message)
{
	struct device_queue *queue = queue_at(device, message->number & VHOST_VRING_INDEX_MASK);
	int fd, r;

	if (!queue)
		return -EPROTO;
	r = take_eventfd(message, &fd);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&queue->lock);
	cay_close_p(&queue->call_fd);
	queue->call_fd = fd;
	(void)pthread_mutex_unlock(&queue->lock);
	return 0;
}

static int set_queue_enabled(struct device *device, struct vhost_message *message)
{
	struct device_queue *queue = queue_at(device, message->state.index);

	if (!queue || message->state.num > 1)
		return -EPROTO;
	queue->enabled = message->state.num == 1;
	if (queue->enabled)
		return start(device, queue);
	return stop(device, queue);
}

static const struct known_message {
	int (*handle)(struct device *device, struct vhost_message *message);
	uint32_t size;
	size_t fds_max;
} messages[] = {
	[VHOST_GET_FEATURES] = { get_features, 0, 0 },
	[VHOST_SET_FEATURES] = { set_features, sizeof(uint64_t), 0 },
	[VHOST_SET_OWNER] = { nothing_to_do, 0, 0 },
	[VHOST_RESET_OWNER] = { nothing_to_do, 0, 0 },
	/* Its size goes by the number of regions. */
	[VHOST_SET_MEM_TABLE] = { set_memory, 0, VHOST_FDS_MAX },
	[VHOST_SET_VRING_NUM] = { set_queue_size, sizeof(struct vhost_vring_state), 0 },
	[VHOST_SET_VRING_ADDR] = { set_queue_addresses, sizeof(struct vhost_vring_addr), 0 },
	[VHOST_SET_VRING_BASE] = { set_queue_base, sizeof(struct vhost_vring_state), 0 },
	[VHOST_GET_VRING_BASE] = { get_queue_base, sizeof(struct vhost_vring_state), 0 },
	[VHOST_SET_VRING_KICK] = { set_queue_kick, sizeof(uint64_t), 1 },
	[VHOST_SET_VRING_CALL] = { set_queue_call, sizeof(uint64_t), 1 },
	/* We end instead of telling of errors. */
	[VHOST_SET_VRING_ERR] = { nothing_to_do, sizeof(uint64_t), 1 },
	[VHOST_GET_PROTOCOL_FEATURES] = { get_protocol_features, 0, 0 },
	[VHOST_SET_PROTOCOL_FEATURES] = { set_protocol_features, sizeof(uint64_t), 0 },
	[VHOST_GET_QUEUE_NUM] = { get_queue_count, 0, 0 },
	[VHOST_SET_VRING_ENABLE] = { set_queue_enabled, sizeof(struct vhost_vring_state), 0 },
};

static bool has_its_size(const struct vhost_message *message)
{
	if (message->header.request != VHOST_SET_MEM_TABLE)
		return message->header.size == messages[message->header.request].size;
	return message->header.size >= offsetof(struct vhost_message, memory.regions) -
			offsetof(struct vhost_message, memory) &&
		message->memory.count <= VHOST_REGIONS_MAX &&
		message->header.size ==
		2 * sizeof(uint32_t) + message->memory.count * sizeof(struct vhost_region);
}

int device_handle(struct device *device, struct vhost_message *message)
{
	const uint32_t request = message->header.request;
	uint32_t size = message->header.size;
	int r;

	if (request >= ARRAY_SIZE(messages) || !messages[request].handle ||
	    message->fd_count > messages[request].fds_max || !has_its_size(message))
		return -EPROTO;
	r = messages[request].handle(device, message);
	if (r < 0)
		return r;
	if (r == ANSWERED)
		return vhost_reply(device->socket, message, size > 0 ? size : sizeof(uint64_t));
	if (!(message->header.flags & VHOST_NEED_REPLY) ||
	    !(device->protocol_features & BIT(VHOST_PROTOCOL_F_REPLY_ACK)))
		return 0;
	message->number = 0; /* success */
	return vhost_reply(device->socket, message, sizeof(uint64_t));
}

int device_serve(struct device *device, struct cay_error *err)
{
	struct vhost_message message;
	int r;

	do {
		r = vhost_receive(device->socket, &message);
		if (r == 1) {
			r = device_handle(device, &message);
			if (r < 0)
				(void)cay_error_errno(err, r, "QEMU's message %u",
						      message.header.request);
			else
				r = 1;
		} else if (r < 0) {
			(void)cay_error_errno(err, r, "QEMU's messages");
		}
		vhost_message_done(&message);
	} while (r == 1);
	return r == -EPIPE ? 0 : r;
}
