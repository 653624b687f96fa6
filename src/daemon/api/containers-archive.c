/* SPDX-License-Identifier: Apache-2.0 */
/* A container's files: HEAD, GET and PUT /containers/ID/archive, export, changes. */
#include "daemon/api/containers.h"

#include "base/clock.h"
#include "base/json.h"
#include "daemon/api/stream-writer.h"
#include "daemon/copy.h"
#include "daemon/lifecycle.h"

#include <errno.h>

enum { AGAIN_MS = 3000 }; /* for a container that is started and stopped all the time */

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

static bool was_cut(struct http_request *request, const struct files_use *use, int r,
		    const struct cay_error *err)
{
	return r < 0 && !http_request_gone(request) && copy_was_cut(use, err);
}

static int word_cut(const struct files_use *use, struct cay_error *err)
{
	return cay_error_set(err, CAY_CONFLICT, ECANCELED,
			     "container %.12s has ended before all was copied: copy it again",
			     use->container->id);
}

/*
 * Whether a copy that has ended with *r is to be done once more, since its container has ended, of
 * which nothing in docker's copies shows. The use is closed then. Too late for that, *r says so.
 */
static bool is_for_again(struct http_request *request, struct files_use *use, int *r, bool begun,
			 int64_t began_ms, struct cay_error *err)
{
	if (!was_cut(request, use, *r, err))
		return false;
	if (begun || clock_monotonic_ms() - began_ms > AGAIN_MS) {
		*r = word_cut(use, err);
		return false;
	}
	cay_error_clear(err);
	files_use_close(use);
	return true;
}

/* Opens a use of the container's files, also on failure, and sets the header of what is there. */
static int begin(struct container *container, struct http_request *request, const char *path,
		 struct files_use *use, bool *told, struct cay_error *err)
{
	_cleanup_copy_stat_ struct copy_stat stat = { 0 };
	_cleanup_free_ char *header = NULL;
	int r = files_use_open(container, use, err);

	if (r == 0)
		r = copy_look(use, path, &stat, err);
	if (r < 0 || *told)
		return r;
	header = copy_stat_header(&stat);
	http_set_header(request, "X-Docker-Container-Path-Stat", header);
	*told = true;
	return 0;
}

static int find(struct daemon *daemon, struct http_request *request, const char **ret_path,
		struct container **ret_container, struct cay_error *err)
{
	int r = read_path(request, ret_path, err);

	return r < 0 ? r : api_find_container(daemon, request, ret_container, err);
}

int api_containers_archive_head(struct daemon *daemon, struct http_request *request,
				struct cay_error *err)
{
	const int64_t began_ms = clock_monotonic_ms();
	_cleanup_container_ struct container *container = NULL;
	_cleanup_files_use_ struct files_use use = { 0 };
	bool told = false;
	const char *path;
	int r = find(daemon, request, &path, &container, err);

	if (r < 0)
		return r;
	do
		r = begin(container, request, path, &use, &told, err);
	while (is_for_again(request, &use, &r, false, began_ms, err));
	return r < 0 ? word_missing(request, path, r, err) : http_reply_empty(request, 200);
}

int api_containers_archive_get(struct daemon *daemon, struct http_request *request,
			       struct cay_error *err)
{
	const int64_t began_ms = clock_monotonic_ms();
	_cleanup_container_ struct container *container = NULL;
	_cleanup_files_use_ struct files_use use = { 0 };
	struct stream_writer writer;
	bool told = false;
	const char *path;
	int r = find(daemon, request, &path, &container, err);

	if (r < 0)
		return r;
	stream_writer_init(&writer, request, "application/x-tar");
	do {
		const bool first = !told;

		r = begin(container, request, path, &use, &told, err);
		if (r == 0 && first)
			container_emit(container, "archive-path", NULL);
		if (r == 0)
			r = copy_out(&use, path, &writer.writer, http_request_gone_fd(request),
				     err);
	} while (is_for_again(request, &use, &r, writer.begun, began_ms, err));
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
	/* What a client has sent can't be had again. */
	if (was_cut(request, &use, r, err))
		r = word_cut(&use, err);
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
	const int64_t began_ms = clock_monotonic_ms();
	int r = api_find_container(daemon, request, &container, err);

	if (r < 0)
		return r;
	stream_writer_init(&writer, request, "application/octet-stream");
	do {
		r = files_use_open(container, &use, err);
		if (r == 0)
			r = copy_export(&use, false, &writer.writer, http_request_gone_fd(request),
					err);
	} while (is_for_again(request, &use, &r, writer.begun, began_ms, err));
	r = stream_writer_end(&writer, r);
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
	const int64_t began_ms = clock_monotonic_ms();
	int r = api_find_container(daemon, request, &container, err);

	if (r < 0)
		return r;
	do {
		r = files_use_open(container, &use, err);
		if (r == 0)
			r = copy_changes(&use, http_request_gone_fd(request), &changes, err);
	} while (is_for_again(request, &use, &r, false, began_ms, err));
	return r < 0 ? r : http_reply_json(request, 200, changes ? changes : json_null());
}
