/* SPDX-License-Identifier: Apache-2.0 */
/* One call with one request and one response to vminitd, with a single callback for its outcome. */
#pragma once

#include "rpc/rpc.h"

/*
 * `done` comes exactly once: with the response, which is valid during the callback only, and err
 * NULL; or with response NULL and why it failed. When the connection is lost that is
 * CAY_UNAVAILABLE or CAY_CANCELLED. `done` may be NULL.
 */
void sandbox_call(struct rpc_conn *conn, const char *method, const ProtobufCMessage *request,
		  int64_t deadline_ms,
		  void (*done)(const ProtobufCMessage *response, const struct cay_error *err,
			       void *user),
		  void *user);
