/* SPDX-License-Identifier: Apache-2.0 */
/* The queues of device.h at work: threads that wait, take and give back. */
#include "files/device-internal.h"

#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

/* What an event of the epoll descriptor is about, beside the queues' numbers. */
enum { EVENT_MORE = DEVICE_QUEUES, EVENT_STOP };

/* Requests that are given back in silence before the guest is told of them. */
enum { UNTOLD_MAX = 64 };

/*
 * How long a queue is looked at: an emulated processor takes some tens of microseconds from an
 * answer to the next request. The guest looks for answers in the same way.
 */
enum {
	LOOK_US = 100,
	LOOK_VAIN_MAX = 4, /* so often in vain, one after the other, and it is not worth it */
	LOOK_AGAIN = 64,   /* so many requests later it is tried again */
};

static int watch(const struct device *device, int fd, uint32_t events, uint32_t what)
{
	struct epoll_event event = { .events = EPOLLIN | events, .data.u32 = what };

	return epoll_ctl(device->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int device_init(struct device *device, int socket, void (*settle)(void *user), void *user,
		struct cay_error *err)
{
	int r = 0;

	*device = (struct device){
		.socket = socket,
		.epoll_fd = epoll_create1(EPOLL_CLOEXEC),
		.more_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.settle = settle,
		.user = user,
	};
	for (size_t i = 0; i < DEVICE_QUEUES; i++) {
		struct device_queue *queue = &device->queues[i];

		(void)pthread_mutex_init(&queue->lock, NULL);
		(void)pthread_cond_init(&queue->idle, NULL);
		queue->kick_fd = queue->call_fd = -1;
		queue->enabled = true;
	}
	if (device->epoll_fd < 0 || device->more_fd < 0 || device->stop_fd < 0)
		r = -errno;
	if (r == 0)
		r = watch(device, device->more_fd, EPOLLET, EVENT_MORE);
	if (r == 0)
		r = watch(device, device->stop_fd, 0, EVENT_STOP);
	if (r < 0)
		device_done(device);
	return r < 0 ? cay_error_errno(err, r, "the device's events") : 0;
}

void device_done(struct device *device)
{
	for (size_t i = 0; i < DEVICE_QUEUES; i++) {
		struct device_queue *queue = &device->queues[i];

		cay_close_p(&queue->kick_fd);
		cay_close_p(&queue->call_fd);
		guest_memory_unref(queue->memory);
		(void)pthread_mutex_destroy(&queue->lock);
		(void)pthread_cond_destroy(&queue->idle);
	}
	guest_memory_unref(device->memory);
	cay_close_p(&device->epoll_fd);
	cay_close_p(&device->more_fd);
	cay_close_p(&device->stop_fd);
}

void device_stop(struct device *device)
{
	fd_wake(device->stop_fd);
}

void device_wake(struct device *device)
{
	fd_wake(device->more_fd);
}

int device_watch_kick(struct device *device, unsigned int queue)
{
	return watch(device, device->queues[queue].kick_fd, EPOLLET, queue);
}

int device_wait(struct device *device, int timeout_ms)
{
	struct epoll_event event;
	int n = epoll_wait(device->epoll_fd, &event, 1, timeout_ms);

	if (n == 0)
		return -ETIMEDOUT;
	if (n < 0)
		return errno == EINTR ? DEVICE_QUEUES : -errno;
	return event.data.u32 == EVENT_STOP ? -ECANCELED : (int)event.data.u32;
}

/* With the queue's lock held. */
static int take(struct device *device, struct device_queue *queue, struct chain *chain)
{
	int r;

	if (!queue->running)
		return 0;
	do
		r = virtqueue_take(&queue->ring, chain);
	while (r == 0 && !queue->looked_at && virtqueue_ask(&queue->ring));
	if (r <= 0)
		return r;
	/*
	 * What comes now wakes another thread. So does what is there already: of that the guest has
	 * not told, and won't, as long as nobody asks it to.
	 */
	if (!queue->looked_at && (virtqueue_has_more(&queue->ring) || virtqueue_ask(&queue->ring)))
		device_wake(device);
	return 1;
}

/* With the queue's lock held. */
static bool is_worth_looking(struct device_queue *queue)
{
	if (!queue->running || queue->looked_at)
		return false;
	if (queue->vain_looks < LOOK_VAIN_MAX)
		return true;
	if (++queue->unlooked < LOOK_AGAIN)
		return false;
	queue->unlooked = 0;
	return true;
}

/* With the queue's lock held, which is let go meanwhile, for others to give back what they took. */
static bool look(struct device_queue *queue)
{
	const int64_t end_us = clock_monotonic_us() + LOOK_US;

	while (queue->running && !virtqueue_has_more(&queue->ring)) {
		if (clock_monotonic_us() >= end_us)
			return false;
		(void)pthread_mutex_unlock(&queue->lock);
		/* The guest's processor may wait for this one. */
		(void)sched_yield();
		(void)pthread_mutex_lock(&queue->lock);
	}
	return true;
}

void device_look_for(struct device *device, unsigned int number)
{
	struct device_queue *queue = &device->queues[number];

	(void)pthread_mutex_lock(&queue->lock);
	if (is_worth_looking(queue)) {
		virtqueue_spare(&queue->ring);
		queue->looked_at = true;
		queue->vain_looks = look(queue) ? 0 : queue->vain_looks + 1;
		queue->looked_at = false;
	}
	(void)pthread_mutex_unlock(&queue->lock);
}

int device_take(struct device *device, unsigned int number, struct device_request *request)
{
	struct device_queue *queue = &device->queues[number];
	int r;

	(void)pthread_mutex_lock(&queue->lock);
	r = take(device, queue, &request->chain);
	if (r == 1) {
		queue->busy++;
		request->queue = number;
		request->memory = guest_memory_ref(queue->memory);
	}
	(void)pthread_mutex_unlock(&queue->lock);
	return r;
}

/* With the queue's lock held. */
static void tell(struct device_queue *queue)
{
	queue->untold = 0;
	if (virtqueue_must_tell(&queue->ring) && queue->call_fd >= 0)
		fd_wake(queue->call_fd);
}

static void leave(struct device_queue *queue)
{
	if (--queue->busy == 0)
		(void)pthread_cond_broadcast(&queue->idle);
}

void device_give(struct device *device, struct device_request *request, uint32_t length,
		 bool silent)
{
	struct device_queue *queue = &device->queues[request->queue];

	(void)pthread_mutex_lock(&queue->lock);
	virtqueue_give(&queue->ring, request->chain.head, length);
	if (!silent || ++queue->untold == UNTOLD_MAX)
		tell(queue);
	leave(queue);
	(void)pthread_mutex_unlock(&queue->lock);
	guest_memory_unref(request->memory);
}

void device_tell(struct device *device)
{
	for (size_t i = 0; i < DEVICE_QUEUES; i++) {
		struct device_queue *queue = &device->queues[i];

		(void)pthread_mutex_lock(&queue->lock);
		if (queue->untold > 0 && queue->memory)
			tell(queue);
		(void)pthread_mutex_unlock(&queue->lock);
	}
}

void device_leave(struct device *device, struct device_request *request)
{
	struct device_queue *queue = &device->queues[request->queue];

	(void)pthread_mutex_lock(&queue->lock);
	queue->later++;
	leave(queue);
	(void)pthread_mutex_unlock(&queue->lock);
	guest_memory_unref(request->memory);
}

void device_give_later(struct device *device, unsigned int number, struct guest_memory *memory,
		       uint16_t head, uint32_t length)
{
	struct device_queue *queue = &device->queues[number];

	(void)pthread_mutex_lock(&queue->lock);
	queue->later--;
	virtqueue_give(&queue->ring, head, length);
	tell(queue);
	(void)pthread_mutex_unlock(&queue->lock);
	guest_memory_unref(memory);
}
