/* SPDX-License-Identifier: Apache-2.0 */
/* Calls whose answers are awaited on the side. */
#include "cli/pending.h"

void pending_done(struct pending *pending)
{
	for (size_t i = 0; i < PENDING_MAX; i++)
		call_free(pending->calls[i]);
}

const struct call *pending_add(struct pending *pending, struct call *call)
{
	struct call *oldest = pending->calls[0];

	for (size_t i = 0; i < PENDING_MAX; i++) {
		if (pending->calls[i])
			continue;
		pending->calls[i] = call;
		return NULL;
	}
	call_free(oldest);
	for (size_t i = 0; i + 1 < PENDING_MAX; i++)
		pending->calls[i] = pending->calls[i + 1];
	pending->calls[PENDING_MAX - 1] = call;
	return oldest;
}

void pending_watch(const struct pending *pending, struct pollfd *polls)
{
	for (size_t i = 0; i < PENDING_MAX; i++)
		polls[i] = (struct pollfd){
			.fd = pending->calls[i] ? call_fd(pending->calls[i]) : -1,
			.events = POLLIN,
		};
}

void pending_serve(struct pending *pending, const struct pollfd *polls,
		   void (*ended)(void *context, const struct call *call, int result), void *context)
{
	for (size_t i = 0; i < PENDING_MAX; i++) {
		struct call *call = pending->calls[i];
		int r;

		/* A signal served before this may have put another call into the place. */
		if (!call || !polls[i].revents || polls[i].fd != call_fd(call))
			continue;
		r = call_pump(call, NULL);
		if (r == 0)
			continue;
		ended(context, call, r);
		call_free(call);
		pending->calls[i] = NULL;
	}
}
