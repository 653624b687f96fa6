/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device as QEMU and the guest's driver set it up: memory, two queues, and
 * the eventfds by which each side wakes the other. One thread hears QEMU's
 * messages; others take requests and give them back.
 *
 * QEMU is as foreign as the guest. What it hands over must be an eventfd, or a
 * plain file for memory; what makes no sense is -EPROTO and the end.
 */
#pragma once

#include "base/error.h"
#include "files/vhost-message.h"
#include "files/virtqueue.h"

#include <pthread.h>

enum {
	DEVICE_HIPRIO, /* FORGET and INTERRUPT, without answers */
	DEVICE_REQUESTS,
	DEVICE_QUEUES,
};

struct device_queue {
	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t idle;  /* `busy` has become 0 */
	struct virtqueue ring;
	struct guest_memory *memory; /* in which the ring lies; NULL: nowhere */
	uint16_t base;               /* where it begins to run */
	bool enabled, running;
	int kick_fd, call_fd;
	unsigned int busy;       /* requests that threads are working on */
	unsigned int untold;     /* given back in silence */
	bool looked_at;          /* by a thread that takes what comes, see device_look_for() */
	unsigned int vain_looks; /* in which nothing came, one after the other */
	unsigned int unlooked;   /* requests since those became too many */
	int later;               /* left, and not given back yet; below 0 in between */
};

struct device {
	int socket;
	int epoll_fd;         /* on the kicks and `more_fd`, edge by edge, and on `stop_fd` */
	int more_fd, stop_fd; /* eventfds of our own */
	uint64_t features, protocol_features;
	struct guest_memory *memory;
	struct device_queue queues[DEVICE_QUEUES];
	/* No thread works on a queue any more: lets what it answers later be answered now. */
	void (*settle)(void *user);
	void *user;
};

/* The socket stays the caller's. The working directory must be /proc/self/fd. */
int device_init(struct device *device, int socket, void (*settle)(void *user), void *user,
		struct cay_error *err);
/* No other thread may be in here. */
void device_done(struct device *device);

/* Acts on one message of QEMU's: 0, or -errno for what ends the device. */
int device_handle(struct device *device, struct vhost_message *message);
/* Hears QEMU until it closes the socket (0), or a message is none. */
int device_serve(struct device *device, struct cay_error *err);
/* Ends every device_wait(), now and later. From any thread. */
void device_stop(struct device *device);

/* What a thread works on. The pieces of its chain stay mapped until it is given back or left. */
struct device_request {
	unsigned int queue;
	struct guest_memory *memory;
	struct chain chain;
};

/*
 * Waits until there may be something in a queue: its number, DEVICE_QUEUES for any of them,
 * -ETIMEDOUT, or -ECANCELED after device_stop(). A negative timeout is none.
 */
int device_wait(struct device *device, int timeout_ms);
/*
 * Takes a request: 1, 0 where there is none, -EPROTO. Before it returns with one, it has been seen
 * to that another thread learns of the next.
 */
int device_take(struct device *device, unsigned int queue, struct device_request *request);
/*
 * Gives a request back with `length` bytes written. In silence: the guest need not know at once; it
 * learns of it with the next one, by device_tell(), or when there are many.
 */
void device_give(struct device *device, struct device_request *request, uint32_t length,
		 bool silent);
void device_tell(struct device *device);

/*
 * Looks for the next request for a moment, in which the guest need not notify of it: who has been
 * answered often asks again at once, and to wait for that asleep takes longer than the work itself.
 * device_take() has to follow. One thread looks at a queue at a time, and next to none where
 * requests don't use to come in that time.
 */
void device_look_for(struct device *device, unsigned int queue);

/*
 * A request that is given back later, not by a thread that works: device_leave() ends the work on
 * it, device_give_later() is called once, even before that, with a reference to its memory.
 */
void device_leave(struct device *device, struct device_request *request);
void device_give_later(struct device *device, unsigned int queue, struct guest_memory *memory,
		       uint16_t head, uint32_t length);
