/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct guest, all the state vminitd has: the loop, the channel to the host,
 * the containers, and who listens for events. Everything runs on the one
 * thread of the loop; what may block runs in a forked child (guest/task.h, and
 * guest/launch.h for a container's processes).
 */
#pragma once

#include "guest/ahead.h"
#include "guest/events.h"
#include "guest/network.h"
#include "guest/sockets.h"

#include "base/error.h"

#include <stdbool.h>
#include <sys/queue.h>
#include <uv.h>

/* Everything vminitd keeps in the guest's file system is below this. */
#define GUEST_RUN "/run/cay"

struct channel;
struct container;
struct rpc_call;
struct rpc_service;
struct watch;

struct guest {
	uv_loop_t loop;
	struct watch *signals; /* a signalfd */
	const struct rpc_service *service;
	struct channel *channel;
	TAILQ_HEAD(container_list, container) containers;
	struct events events;
	struct ahead ahead;
	struct network_card_list cards;
	struct network_wait_list network_waits;
	struct sockets sockets;
	int64_t booted_us; /* on the monotonic clock */
	int proc_fd;       /* the guest's own /proc, which no container can replace */
	int pid_ns_fd;     /* the guest's first pid namespace, to come back to */
	bool shares_mounted;
	unsigned int copy_count; /* of children that copy files, of all containers */
	bool loopback_up;        /* and no container has run since */
	bool shutting_down;
	struct rpc_call *shutdown_call; /* the one to answer, or NULL */
};
