/* SPDX-License-Identifier: Apache-2.0 */
/* A root file system as an image: POST /images/create with fromSrc. */
#include "daemon/api/image-import.h"

#include "base/alloc.h"
#include "base/json.h"
#include "daemon/api/image-json.h"
#include "daemon/api/progress.h"
#include "daemon/daemon.h"
#include "daemon/events.h"
#include "daemon/request.h"
#include "image/commit.h"

#include <errno.h>
#include <sys/socket.h>

enum { PIECE = 128 * 1024 };

int api_new_image_name(const struct http_request *request, char **ret_full, struct cay_error *err)
{
	const char *repository = http_query(request, "repo"), *tag = http_query(request, "tag");
	_cleanup_free_ char *name = NULL, *full = NULL;
	int r;

	*ret_full = NULL;
	if (!repository || !*repository)
		return 0;
	name = tag && *tag ? xasprintf("%s:%s", repository, tag) : xstrdup(repository);
	r = image_reference_normalize(name, &full, err);
	if (r < 0)
		return r;
	if (strchr(full, '@'))
		return cay_error_set(err, CAY_INVALID, EINVAL, "cannot import digest reference");
	*ret_full = TAKE_PTR(full);
	return 0;
}

void api_emit_tag(struct daemon *daemon, const struct image *image, const char *full)
{
	_cleanup_free_ char *familiar = full ? image_reference_familiar(full) : NULL;

	if (familiar)
		events_emit(daemon->events, "image", "tag", image->id,
			    image_attributes(image, familiar), 0);
}

/* From the client's socket, by way of decompression, to the store. */
struct import {
	struct http_request *request;
	struct image_store *images;
};

static int produce(const struct image_writer *writer, void *user, struct cay_error *err)
{
	const struct import *import = user;
	_cleanup_free_ char *piece = xmalloc(PIECE);
	struct image_unpacking *unpacking = NULL;
	struct cay_error why = { 0 };
	int body, fd, r = http_body_fd(import->request, &body, err);
	ssize_t n = 1;

	if (r == 0)
		r = image_unpack_begin(import->images, body, &unpacking, &fd, err);
	if (r < 0)
		return r;
	while (r == 0 && n > 0) {
		n = recv(fd, piece, PIECE, 0);
		if (n < 0 && errno != EINTR)
			r = cay_error_errno(err, errno, "reading the request's body");
		if (n > 0)
			r = writer->write(piece, (size_t)n, writer->user, err);
		else if (n < 0)
			n = 1;
	}
	if (r == 0 && http_request_gone(import->request))
		r = cay_error_set(err, CAY_CANCELLED, ECANCELED, "the client has gone");
	if (image_unpack_end(unpacking, r == 0, &why) < 0) {
		*err = why;
		r = -err->err;
	}
	return r;
}

static int import_image(struct daemon *daemon, struct api_progress *progress,
			struct image **ret_image, struct cay_error *err)
{
	const struct image_progress_sink sink = api_progress_sink(progress);
	const char *message = http_query(progress->request, "message");
	struct import import = { progress->request, daemon->images };
	_cleanup_free_ char *name = NULL, *platform = NULL;
	_cleanup_strv_ struct strv changes = {};
	_cleanup_json_ json_t *config = NULL;
	struct image_commit commit = {
		.comment = message && *message ? message : "Imported from -",
		.produce = produce,
		.user = &import,
	};
	int r = api_new_image_name(progress->request, &name, err);

	http_query_all(progress->request, "changes", &changes);
	if (r == 0)
		r = image_platform_argument(http_query(progress->request, "platform"), &platform,
					    err);
	if (r == 0)
		r = request_commit_config(NULL, NULL, &changes, &config, err);
	if (r < 0)
		return r;
	commit.name = name;
	commit.platform = platform;
	commit.config = config;
	r = image_store_commit(daemon->images, &commit, &sink, ret_image, err);
	if (r < 0)
		return r;
	events_emit(daemon->events, "image", "import", (*ret_image)->id,
		    image_attributes(*ret_image, (*ret_image)->id), 0);
	api_emit_tag(daemon, *ret_image, name);
	return 0;
}

int api_image_import(struct daemon *daemon, struct http_request *request, const char *source,
		     struct cay_error *err)
{
	_cleanup_(image_free_p) struct image *image = NULL;
	struct api_progress progress;
	int r;

	if (strcmp(source, "-") != 0)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "the daemon does not fetch %.128s: download it and import "
				     "the file",
				     source);
	api_progress_init(&progress, request, false);
	r = import_image(daemon, &progress, &image, err);
	if (r == 0)
		api_progress_status(&progress, image->id);
	return api_progress_end(&progress, r, err);
}
