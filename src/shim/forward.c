/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls for the guest's own service: each becomes a call on the guest's
 * connection, messages packed as they are, either side slowed down when the
 * other does not keep up.
 */
#include "shim/shim.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <errno.h>

struct forward {
	struct rpc_call *client, *guest; /* NULL once ended */
};

static void release(struct forward *forward)
{
	if (!forward->client && !forward->guest)
		free(forward);
}

static void pass_on(struct rpc_call *from, struct rpc_call *to, const void *data, size_t size)
{
	if (to && !rpc_call_send_raw(to, data, size))
		rpc_call_pause(from);
}

static void on_client_message(struct rpc_call *call, const ProtobufCMessage *message,
			      const uint8_t *data, size_t size, void *user)
{
	struct forward *forward = user;

	pass_on(call, forward->guest, data, size);
}

static void on_guest_message(struct rpc_call *call, const ProtobufCMessage *message,
			     const uint8_t *data, size_t size, void *user)
{
	struct forward *forward = user;

	pass_on(call, forward->client, data, size);
}

static void on_client_half_close(struct rpc_call *call, void *user)
{
	struct forward *forward = user;

	if (forward->guest)
		rpc_call_half_close(forward->guest);
}

static void on_client_writable(struct rpc_call *call, void *user)
{
	struct forward *forward = user;

	if (forward->guest)
		rpc_call_resume(forward->guest);
}

static void on_guest_writable(struct rpc_call *call, void *user)
{
	struct forward *forward = user;

	if (forward->client)
		rpc_call_resume(forward->client);
}

static void on_client_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct forward *forward = user;

	forward->client = NULL;
	if (forward->guest)
		rpc_call_cancel(forward->guest); /* nobody waits for it any more */
	release(forward);
}

static void on_guest_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct forward *forward = user;

	forward->guest = NULL;
	if (forward->client)
		rpc_call_finish(forward->client, status->code == CAY_OK ? NULL : status);
	release(forward);
}

void forward_begin(struct rpc_call *call, const char *path, void *user)
{
	static const struct rpc_call_events client_events = {
		.on_message = on_client_message,
		.on_half_close = on_client_half_close,
		.on_writable = on_client_writable,
		.on_end = on_client_end,
	};
	static const struct rpc_call_events guest_events = {
		.on_message = on_guest_message,
		.on_writable = on_guest_writable,
		.on_end = on_guest_end,
	};
	struct shim *shim = user;
	struct rpc_conn *conn = sandbox_conn(shim->sandbox);
	struct forward *forward;
	int64_t deadline_ms = rpc_call_deadline_ms(call);
	struct cay_error err = { 0 };

	if (!starts_with(path, "/cay.vminitd.v1.Vminitd/")) {
		(void)cay_error_set(&err, CAY_UNSUPPORTED, ENOSYS, "no such method: %s", path);
		rpc_call_finish(call, &err);
		return;
	}
	if (!conn) {
		shim_no_guest(shim, &err);
		rpc_call_finish(call, &err);
		return;
	}
	forward = xcalloc(1, sizeof(*forward));
	forward->client = call;
	forward->guest = rpc_call_new_raw(conn, path, MAX(deadline_ms, 0), &guest_events, forward);
	rpc_call_set_events(call, &client_events, forward);
}
