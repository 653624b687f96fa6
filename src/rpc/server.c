/* SPDX-License-Identifier: Apache-2.0 */
/* The server's side of a request's beginning: its header fields judged, its method found. */
#include "rpc/rpc-internal.h"

#include "base/clock.h"

#include <errno.h>

/* The service of "/package.Service/Method", and where the method's name begins. */
static const struct rpc_service *find_service(const struct rpc_conn *conn, const char *path,
					      const char **ret_method)
{
	for (size_t i = 0; i < conn->options.service_count; i++) {
		const struct rpc_service *service = &conn->options.services[i];
		const char *name = service->descriptor->name;
		size_t length = strlen(name);

		if (path[0] == '/' && strncmp(path + 1, name, length) == 0 &&
		    path[1 + length] == '/') {
			*ret_method = path + 1 + length + 1;
			return service;
		}
	}
	return NULL;
}

static const struct rpc_method *find_method(const struct rpc_service *service, const char *name)
{
	for (size_t i = 0; i < service->method_count; i++)
		if (strcmp(service->methods[i].name, name) == 0)
			return &service->methods[i];
	return NULL;
}

/* A fault that is answered at once; false when the head is good. */
static bool refuse_head(struct rpc_call *call, const struct rpc_head *head)
{
	if (head->too_large)
		call_fault(call, CAY_TOO_LARGE, "the request's headers are over their limit");
	else if (!head->post)
		call_refuse(call, "405");
	else if (!head->grpc)
		call_refuse(call, "415");
	else if (head->encoded)
		call_fault(call, CAY_UNSUPPORTED, "compressed messages are not supported");
	else if (head->timeout_ms < 0)
		call_fault(call, CAY_INVALID, "grpc-timeout is malformed");
	else
		return false;
	return true;
}

static void begin_method(struct rpc_call *call, const char *method_name)
{
	const ProtobufCMethodDescriptor *descriptor;

	call->method = find_method(call->service, method_name);
	if (!call->method) {
		call_fault(call, CAY_UNSUPPORTED, "no such method");
		return;
	}
	descriptor = protobuf_c_service_descriptor_get_method_by_name(call->service->descriptor,
								      call->method->name);
	assert(descriptor);
	call->input_type = descriptor->input;
	if (call->method->client_streams) {
		call->begun = true;
		call->method->begin(call, NULL, call->service->user);
	}
}

static void begin(struct rpc_call *call, const struct rpc_head *head)
{
	struct rpc_conn *conn = call->conn;
	const char *method_name;

	if (refuse_head(call, head))
		return;
	if (head->timeout_ms) {
		call->deadline = clock_monotonic_ms() + head->timeout_ms;
		conn_arm_timer(conn);
	}
	call->service = find_service(conn, head->path, &method_name);
	if (call->service) {
		begin_method(call, method_name);
	} else if (conn->options.fallback) {
		call->begun = true;
		conn->options.fallback(call, head->path, conn->options.user);
	} else {
		call_fault(call, CAY_UNSUPPORTED, "no such service");
	}
}

void server_begin(struct rpc_call *call)
{
	begin(call, call->head);
	call_free_head(call);
}

void server_request(struct rpc_call *call, const ProtobufCMessage *request)
{
	call->begun = true;
	call->method->begin(call, request, call->service->user);
}
