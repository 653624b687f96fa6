/* SPDX-License-Identifier: Apache-2.0 */
/* A container's files: HEAD, GET and PUT /containers/ID/archive, export, changes. */
#include "daemon/api/containers.h"

#include "base/json.h"
#include "daemon/api/stream-writer.h"
#include "daemon/copy.h"
#include "daemon/lifecycle.h"

#include <errno.h>

static int read_path(const struct http_request *request, const char **ret_path,
		     struct cay_error *err)
{
	*ret_path = http_query(request, "path");
	if (!*ret_path || **ret_path == '\0')
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "bad parameter: path cannot be empty");
	return 0;
}

/* In docker's words, with the names that the client used. */
static int word_missing(const struct http_request *request, const char *path, int r,
			struct cay_error *err)
{
	if (r < 0 && err->code == CAY_NOT_FOUND && !starts_with(err->message, "No such container"))
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT,
				     "Could not find the file %s in container %s", path,
				     http_param(request, 0));
	return r;
}

/* Finds container and path, and sets the header that tells of it. */
static int begin(struct daemon *daemon, struct http_request *request, const char **ret_path,
		 struct files_use *ret_use, struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	_cleanup_copy_stat_ struct copy_stat stat = { 0 };
	_cleanup_free_ char *header = NULL;
	int r = read_path(request, ret_path, err);

	if (r == 0)
		r = api_find_container(daemon, request, &container, err);
	if (r == 0)
		r = copy_begin(container, *ret_path, ret_use, &stat, err);
	if (r < 0)
		return word_missing(request, *ret_path, r, err);
	header = copy_stat_header(&stat);
	http_set_header(request, "X-Docker-Container-Path-Stat", header);
	return 0;
}

int api_containers_archive_head(struct daemon *daemon, struct http_request *request,
				struct cay_error *err)
{
	_cleanup_files_use_ struct files_use use = { 0 };
	const char *path;
	int r = begin(daemon, request, &path, &use, err);

	return r < 0 ? r : http_reply_empty(request, 200);
}

int api_containers_archive_get(struct daemon *daemon, struct http_request *request,
			       struct cay_error *err)
{
	_cleanup_files_use_ struct files_use use = { 0 };
	struct stream_writer writer;
	const char *path;
	int r = begin(daemon, request, &path, &use, err);

	if (r < 0)
		return r;
	container_emit(use.container, "archive-path", NULL);
	stream_writer_init(&writer, request, "application/x-tar");
	r = copy_out(&use, path, &writer.writer, http_request_gone_fd(request), err);
	return word_missing(request, path, stream_writer_end(&writer, r), err);
}

int api_containers_archive_put(struct daemon *daemon, struct http_request *request,
			       struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	_cleanup_files_use_ struct files_use use = { 0 };
	struct copy_in what = {
		.no_overwrite_dir_nondir = http_query_bool(request, "noOverwriteDirNonDir", false),
		.copy_uidgid = http_query_bool(request, "copyUIDGID", false),
	};
	int r = read_path(request, &what.path, err);

	if (r == 0)
		r = api_find_container(daemon, request, &container, err);
	if (r == 0)
		r = files_use_open(container, &use, err);
	if (r == 0)
		r = http_body_fd(request, &what.fd, err);
	if (r == 0)
		r = copy_in(&use, &what, http_request_gone_fd(request), err);
	if (r < 0)
		return word_missing(request, what.path, r, err);
	container_emit(container, "extract-to-dir", NULL);
	return http_reply_empty(request, 200);
}

int api_containers_export(struct daemon *daemon, struct http_request *request,
			  struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	_cleanup_files_use_ struct files_use use = { 0 };
	struct stream_writer writer;
	int r = api_find_container(daemon, request, &container, err);

	if (r == 0)
		r = files_use_open(container, &use, err);
	if (r < 0)
		return r;
	stream_writer_init(&writer, request, "application/octet-stream");
	r = stream_writer_end(
		&writer,
		copy_export(&use, false, &writer.writer, http_request_gone_fd(request), err));
	if (r == 0)
		container_emit(container, "export", NULL);
	return r;
}

int api_containers_changes(struct daemon *daemon, struct http_request *request,
			   struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	_cleanup_files_use_ struct files_use use = { 0 };
	json_t *changes = NULL;
	int r = api_find_container(daemon, request, &container, err);

	if (r == 0)
		r = files_use_open(container, &use, err);
	if (r == 0)
		r = copy_changes(&use, http_request_gone_fd(request), &changes, err);
	return r < 0 ? r : http_reply_json(request, 200, changes ? changes : json_null());
}
