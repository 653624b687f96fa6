/* SPDX-License-Identifier: Apache-2.0 */
/* Unary calls to vminitd. */
#include "sandbox/call.h"

#include "base/alloc.h"

#include "vminitd.pb-c.h"

#include <errno.h>

struct unary {
	void (*done)(const ProtobufCMessage *response, const struct cay_error *err, void *user);
	void *user;
	bool answered;
};

static void on_message(struct rpc_call *call, const ProtobufCMessage *message, const uint8_t *data,
		       size_t size, void *user)
{
	struct unary *unary = user;

	if (unary->answered || !message)
		return;
	unary->answered = true;
	if (unary->done)
		unary->done(message, NULL, unary->user);
}

static void on_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct unary *unary = user;
	struct cay_error silent = { 0 };

	if (!unary->answered && unary->done) {
		if (status->code == CAY_OK) {
			(void)cay_error_set(&silent, CAY_INTERNAL, EPROTO,
					    "the guest answered without a response");
			status = &silent;
		}
		unary->done(NULL, status, unary->user);
	}
	free(unary);
}

void sandbox_call(struct rpc_conn *conn, const char *method, const ProtobufCMessage *request,
		  int64_t deadline_ms,
		  void (*done)(const ProtobufCMessage *response, const struct cay_error *err,
			       void *user),
		  void *user)
{
	static const struct rpc_call_events events = { .on_message = on_message, .on_end = on_end };
	struct unary *unary = xmalloc(sizeof(*unary));

	*unary = (struct unary){ .done = done, .user = user };
	(void)rpc_call_new(conn, &cay__vminitd__v1__vminitd__descriptor, method, request,
			   deadline_ms, &events, unary);
}
