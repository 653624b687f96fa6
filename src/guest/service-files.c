/* SPDX-License-Identifier: Apache-2.0 */
/* Methods that copy a container's files. */
#include "guest/service.h"

#include "guest/container-internal.h"
#include "guest/copy-job.h"

#include "base/alloc.h"

#include <errno.h>
#include <string.h>

/* Where the container's own mounts are seen. */
static int live_place(const struct container *container, struct copy_place *ret_place,
		      struct cay_error *err)
{
	int fd = container->files_fd >= 0 ? container->files_fd
		: container->init         ? proc_pidfd(container->init)
					  : -1;

	if (fd < 0 ||
	    (container->state != CONTAINER_CREATED && container->state != CONTAINER_RUNNING))
		return cay_error_set(err, CAY_CONFLICT, EINVAL, "container %s is not running",
				     container->id);
	*ret_place = (struct copy_place){ .namespace_fd = fd };
	return 0;
}

/* Where its root is seen by itself, or the layers it is made of. */
static int root_place(const struct container *container, bool layers, struct copy_place *ret_place,
		      struct cay_error *err)
{
	if (container->state == CONTAINER_CREATING || container->state == CONTAINER_DELETING)
		return cay_error_set(err, CAY_CONFLICT, EINVAL, "container %s is not there",
				     container->id);
	if (layers && (!container->upper || !container->lower))
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "the root of container %s is no overlay", container->id);
	*ret_place = (struct copy_place){ .namespace_fd = -1,
					  .root = layers ? NULL : container->root_path,
					  .trusted = true };
	return 0;
}

/* The container of a call; without one the call is answered. */
static struct container *find(struct guest *guest, struct rpc_call *call, const char *id)
{
	struct cay_error err = { 0 };
	struct container *container = container_find(guest, id, &err);

	if (!container)
		rpc_call_finish(call, &err);
	return container;
}

enum view {
	VIEW_LIVE,   /* as the container sees its files */
	VIEW_ROOT,   /* its root, without what is mounted in it */
	VIEW_LAYERS, /* what the root is made of */
};

/* Starts the job in its place; NULL where that failed and the call is answered. */
static struct copy_job *start(struct container *container, struct rpc_call *call, enum view view,
			      struct copy_job_spec *spec)
{
	struct cay_error err = { 0 };
	struct copy_job *job = NULL;
	int r = view == VIEW_LIVE ? live_place(container, &spec->place, &err)
				  : root_place(container, view == VIEW_LAYERS, &spec->place, &err);

	if (r == 0)
		r = copy_job_start(container, call, spec, &job, &err);
	if (r < 0) {
		rpc_call_finish(call, &err);
		return NULL;
	}
	return job;
}

/* ---- StatPath ---- */

static bool deliver_stat(struct rpc_call *call, struct buf *data, bool ended)
{
	Cay__Vminitd__V1__StatPathResponse response = CAY__VMINITD__V1__STAT_PATH_RESPONSE__INIT;
	struct copy_stat stat;

	if (!ended || data->length != sizeof(stat))
		return true;
	memcpy(&stat, data->data, sizeof(stat));
	response.name = stat.name;
	response.size = stat.size;
	response.mode = stat.mode;
	response.mtime_ns = stat.mtime_ns;
	response.link_target = stat.link_target;
	return rpc_call_send(call, &response.base);
}

void service_stat_path(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Cay__Vminitd__V1__StatPathRequest *stat =
		(const Cay__Vminitd__V1__StatPathRequest *)message;
	struct container *container = find(user, call, stat->container_id);
	const struct copy_request request = { .path = stat->path };
	struct copy_job_spec spec = { .run = copy_stat,
				      .request = &request,
				      .deliver = deliver_stat };

	if (container)
		(void)start(container, call, VIEW_LIVE, &spec);
}

/* ---- archives out ---- */

static bool deliver_data(struct rpc_call *call, struct buf *data, bool ended)
{
	Cay__Vminitd__V1__CopyData message = CAY__VMINITD__V1__COPY_DATA__INIT;
	bool more;

	(void)ended;
	if (data->length == 0)
		return true;
	message.data = (ProtobufCBinaryData){ data->length, (uint8_t *)data->data };
	more = rpc_call_send(call, &message.base);
	buf_clear(data);
	return more;
}

void service_copy_out(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Cay__Vminitd__V1__CopyOutRequest *out =
		(const Cay__Vminitd__V1__CopyOutRequest *)message;
	struct container *container = find(user, call, out->container_id);
	const struct copy_request request = { .path = out->path, .as = out->as };
	struct copy_job_spec spec = { .run = copy_out,
				      .request = &request,
				      .deliver = deliver_data };

	if (container)
		(void)start(container, call, VIEW_LIVE, &spec);
}

void service_export_root(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Cay__Vminitd__V1__ExportRootRequest *export =
		(const Cay__Vminitd__V1__ExportRootRequest *)message;
	struct container *container = find(user, call, export->container_id);
	struct copy_request request = { 0 };
	struct copy_job_spec spec = { .run = export->layer ? copy_layer : copy_root,
				      .request = &request,
				      .deliver = deliver_data };

	if (!container)
		return;
	request.upper = container->upper;
	request.lower = container->lower;
	(void)start(container, call, export->layer ? VIEW_LAYERS : VIEW_ROOT, &spec);
}

/* ---- Changes ---- */

static bool deliver_changes(struct rpc_call *call, struct buf *data, bool ended)
{
	bool more = true;
	size_t at = 0;

	(void)ended;
	while (at < data->length) {
		Cay__Vminitd__V1__Change change = CAY__VMINITD__V1__CHANGE__INIT;
		char *record = data->data + at;
		const char *end = memchr(record, '\0', data->length - at);

		if (!end)
			break;
		change.kind = (uint32_t)(record[0] - '0');
		change.path = record + 1;
		more = rpc_call_send(call, &change.base);
		at += (size_t)(end + 1 - record);
	}
	buf_consume(data, at);
	return more;
}

void service_changes(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Cay__Vminitd__V1__ChangesRequest *changes =
		(const Cay__Vminitd__V1__ChangesRequest *)message;
	struct container *container = find(user, call, changes->container_id);
	struct copy_request request = { 0 };
	struct copy_job_spec spec = { .run = copy_changes,
				      .request = &request,
				      .deliver = deliver_changes };

	if (!container)
		return;
	request.upper = container->upper;
	request.lower = container->lower;
	(void)start(container, call, VIEW_LAYERS, &spec);
}

/* ---- CopyIn ---- */

/* The first message names the container and the path. */
static void on_first_message(struct rpc_call *call, const ProtobufCMessage *message,
			     const uint8_t *data, size_t size, void *user)
{
	static const Cay__Vminitd__V1__CopyInResponse response =
		CAY__VMINITD__V1__COPY_IN_RESPONSE__INIT;
	const Cay__Vminitd__V1__CopyInInput *input = (const Cay__Vminitd__V1__CopyInInput *)message;
	struct container *container = find(user, call, input->container_id);
	struct copy_request request = { .path = input->path,
					.no_overwrite_dir_nondir = input->no_overwrite_dir_nondir };
	struct copy_job_spec spec = {
		.run = copy_in, .request = &request, .input = true, .reply = &response.base
	};
	struct copy_job *job;

	(void)data;
	(void)size;
	if (!container)
		return;
	if (input->copy_uidgid)
		request.user = container->user;
	job = start(container, call, VIEW_LIVE, &spec);
	if (job)
		copy_job_feed(job, input->data.data, input->data.len);
}

static void on_early_half_close(struct rpc_call *call, void *user)
{
	struct cay_error err = { 0 };

	(void)user;
	(void)cay_error_set(&err, CAY_INVALID, EINVAL,
			    "the first message must name a container and a path");
	rpc_call_finish(call, &err);
}

void service_copy_in(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	static const struct rpc_call_events events = { .on_message = on_first_message,
						       .on_half_close = on_early_half_close };

	(void)message; /* it comes as the first message */
	rpc_call_set_events(call, &events, user);
}
