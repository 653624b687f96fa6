/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call that copies files, and the child that does it. Between the two is a
 * pipe each way: neither side can make the other hold more than a pipe and one
 * message, however slow it is. A caller that gives up has the child killed; a
 * container that is deleted does not go before its children have.
 */
#pragma once

#include "guest/copy.h"
#include "rpc/rpc.h"

#include <sys/queue.h>

struct container;
struct copy_job;
TAILQ_HEAD(copy_job_list, copy_job);

enum { COPY_JOBS_MAX = 32 }; /* in a guest, at a time */

struct copy_job_spec {
	copy_function *run;
	const struct copy_request *request; /* used only until copy_job_start() returns */
	struct copy_place place;
	bool input; /* the caller sends data, by copy_job_feed() */
	/*
	 * Sends what the child has written, as far as it is whole, and consumes it; `ended`: there
	 * is no more. What rpc_call_send() returned. NULL: the child writes nothing.
	 */
	bool (*deliver)(struct rpc_call *call, struct buf *data, bool ended);
	/* Sent at the end where all went well, or NULL. */
	const ProtobufCMessage *reply;
};

/* Takes over the call's events, and finishes it: when the child has ended, or at once (-errno). */
int copy_job_start(struct container *container, struct rpc_call *call,
		   const struct copy_job_spec *spec, struct copy_job **ret_job,
		   struct cay_error *err);
/* Data for the child. The call is paused while the child has not taken all of it. */
void copy_job_feed(struct copy_job *job, const void *data, size_t size);
/* Kills the child; its end follows. */
void copy_jobs_kill(struct copy_job_list *jobs);
