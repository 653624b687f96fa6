/* SPDX-License-Identifier: Apache-2.0 */
/* A container's files on their way to a client, which believes what comes from a daemon. */
#include "daemon/copy.h"

#include "base/alloc.h"
#include "base/file.h"
#include "daemon/mount-point.h"
#include "daemon/shim.h"
#include "tar/pass.h"

#include <errno.h>

enum { OUT_SIZE = 64 * 1024 }; /* what goes to a client at once */

/* An archive on its way from a guest, which may send anything, to a client. */
struct out {
	struct rpc_stream *stream;
	struct str arrived; /* what of the last message is not read yet */
	bool failed;        /* the guest's call, not what it sent */
	struct buf ready;   /* for the client */
	const struct image_writer *writer;
};

/* The next of the guest's bytes: 1, 0 at their end, or -errno. */
static int fetch(struct out *out, struct cay_error *err)
{
	const ProtobufCMessage *message;
	int r = 1;

	while (out->arrived.length == 0 && (r = rpc_stream_next(out->stream, &message, err)) > 0) {
		const Cay__Vminitd__V1__CopyData *piece =
			(const Cay__Vminitd__V1__CopyData *)message;

		out->arrived = (struct str){ (const char *)piece->data.data, piece->data.len };
	}
	out->failed = r < 0;
	return r;
}

static ssize_t take(void *user, void *data, size_t size, struct cay_error *err)
{
	struct out *out = user;
	size_t taken = 0;

	while (taken < size) {
		int r = fetch(out, err);
		size_t n;

		if (r < 0)
			return r;
		if (r == 0)
			break;
		n = MIN(size - taken, out->arrived.length);
		memcpy((char *)data + taken, out->arrived.data, n);
		out->arrived = (struct str){ out->arrived.data + n, out->arrived.length - n };
		taken += n;
	}
	return (ssize_t)taken;
}

static int flush(struct out *out, struct cay_error *err)
{
	int r = out->ready.length > 0
		? out->writer->write(out->ready.data, out->ready.length, out->writer->user, err)
		: 0;

	buf_clear(&out->ready);
	return r;
}

/* Headers and small files go out many at a time. */
static int put(void *user, const void *data, size_t size, struct cay_error *err)
{
	struct out *out = user;

	buf_append(&out->ready, data, size);
	return out->ready.length < OUT_SIZE ? 0 : flush(out, err);
}

/* The end of the client's archive waits for the guest's word that it was one. */
static int finish(struct out *out, struct cay_error *err)
{
	int r = fetch(out, err);

	if (r > 0)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG, "there is data behind its end");
	return r < 0 ? r : flush(out, err);
}

static int pass_on(struct out *out, const char *as, struct cay_error *err)
{
	_cleanup_(tar_reader_free_p) struct tar_reader *reader = tar_reader_new(take, out);
	_cleanup_(tar_writer_free_p) struct tar_writer *writer = tar_writer_new(put, out);
	int r = tar_pass(reader, writer, as, err);

	if (r == 0)
		r = finish(out, err);
	if (r < 0 && !out->failed && err->code == CAY_CORRUPT)
		return cay_error_prefix(err, "what the container's VM sent is refused");
	return r;
}

/* A layer is read by who reads those of foreign images. */
static int pass_raw(struct out *out, struct cay_error *err)
{
	int r;

	while ((r = fetch(out, err)) > 0) {
		r = out->writer->write(out->arrived.data, out->arrived.length, out->writer->user,
				       err);
		if (r < 0)
			return r;
		out->arrived.length = 0;
	}
	return r;
}

/* `as` is how tar_pass() takes it; NULL: nothing is looked at. */
static int stream_out(struct files_use *use, const char *method, const ProtobufCMessage *request,
		      const char *as, const struct image_writer *writer, int gone_fd,
		      struct cay_error *err)
{
	_cleanup_rpc_client_ struct rpc_client *client = NULL;
	_cleanup_rpc_stream_ struct rpc_stream *stream = NULL;
	struct out out = { .writer = writer };
	int r = shim_connect(use->container, &client, err);

	if (r == 0)
		r = rpc_stream_open(client, &cay__vminitd__v1__vminitd__descriptor, method, request,
				    gone_fd, &stream, err);
	out.stream = stream;
	if (r == 0)
		r = as ? pass_on(&out, as, err) : pass_raw(&out, err);
	buf_done(&out.ready);
	return r;
}

char *copy_archive_name(const char *path)
{
	_cleanup_free_ char *absolute = xasprintf("/%s", path), *clean = mount_path_clean(absolute);
	struct str rest = str_from(path), last = { 0 };

	while (rest.length > 0) {
		struct str part = str_split(rest, '/', &rest);

		if (part.length > 0)
			last = part;
	}
	if (str_equals(last, "."))
		return xstrdup(".");
	return xstrdup(strcmp(clean, "/") == 0 ? clean : path_last(clean));
}

int copy_out(struct files_use *use, const char *path, const struct image_writer *writer,
	     int gone_fd, struct cay_error *err)
{
	Cay__Vminitd__V1__CopyOutRequest request = CAY__VMINITD__V1__COPY_OUT_REQUEST__INIT;
	_cleanup_free_ char *name = copy_archive_name(path);

	request.container_id = use->container->id;
	request.path = (char *)path;
	request.as = name;
	return stream_out(use, "CopyOut", &request.base, name, writer, gone_fd, err);
}

int copy_export(struct files_use *use, bool layer, const struct image_writer *writer, int gone_fd,
		struct cay_error *err)
{
	Cay__Vminitd__V1__ExportRootRequest request = CAY__VMINITD__V1__EXPORT_ROOT_REQUEST__INIT;

	request.container_id = use->container->id;
	request.layer = layer;
	return stream_out(use, "ExportRoot", &request.base, layer ? NULL : "", writer, gone_fd,
			  err);
}
