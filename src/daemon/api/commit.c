/* SPDX-License-Identifier: Apache-2.0 */
/* An image of what a container has become: POST /commit. */
#include "image/commit.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/api/api.h"
#include "daemon/api/image-import.h"
#include "daemon/containers.h"
#include "daemon/copy.h"
#include "daemon/daemon.h"
#include "daemon/lifecycle.h"

#include <errno.h>

struct commit {
	struct files_use use;
	struct http_request *request;
};

static int produce(const struct image_writer *writer, void *user, struct cay_error *err)
{
	struct commit *commit = user;

	return copy_export(&commit->use, true, writer, http_request_gone_fd(commit->request), err);
}

static bool is_cancelled(void *user)
{
	const struct commit *commit = user;

	return http_request_gone(commit->request);
}

static void ignore_progress(const struct image_progress *progress, void *user)
{
}

/* What docker notes as the maker of the layer: the container's command. */
static char *created_by(const struct container *container)
{
	struct buf text = { 0 };
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(container->request->config, "Cmd"), i, item) {
		if (i > 0)
			buf_putc(&text, ' ');
		buf_puts(&text, json_string_value(item));
	}
	return buf_steal(&text);
}

/* True where it was paused here. One that does not run, or is paused, stands still already. */
static bool pause_for_commit(struct container *container, struct cay_error *err)
{
	struct cay_error why = { 0 };

	if (container_pause(container, &why) == 0)
		return true;
	if (why.code != CAY_CONFLICT)
		*err = why;
	return false;
}

static void resume_after_commit(struct container *container)
{
	struct cay_error err = { 0 };

	if (container_resume(container, &err) < 0 && err.code != CAY_CONFLICT)
		log_warning("container %.12s: going on after a commit: %s", container->id,
			    err.message);
}

static void tell(struct container *container, const struct image *image, const char *comment,
		 const char *name)
{
	_cleanup_free_ char *familiar = name ? image_reference_familiar(name) : xstrdup("");
	json_t *extra = json_object();

	json_set_string(extra, "comment", comment ? comment : "");
	json_set_string(extra, "imageID", image->id);
	json_set_string(extra, "imageRef", familiar);
	api_emit_tag(container->daemon, image, name);
	container_emit(container, "commit", extra);
}

static int make_image(struct container *container, struct commit *commit, const char *name,
		      const json_t *config, struct image **ret_image, struct cay_error *err)
{
	const struct http_request *request = commit->request;
	const struct image_progress_sink sink = { ignore_progress, is_cancelled, commit };
	_cleanup_free_ char *by = created_by(container);
	const struct image_commit what = {
		.parent = container->image_id,
		.name = name,
		.author = http_query(request, "author"),
		.comment = http_query(request, "comment"),
		.created_by = by,
		.config = config,
		.produce = produce,
		.user = commit,
	};
	bool paused = false;
	int r;

	if (http_query_bool(request, "pause", true))
		paused = pause_for_commit(container, err);
	if (err->code != CAY_OK)
		return -err->err;
	r = files_use_open(container, &commit->use, err);
	if (r == 0)
		r = image_store_commit(container->daemon->images, &what, &sink, ret_image, err);
	files_use_close(&commit->use);
	if (paused)
		resume_after_commit(container);
	return r;
}

static int post_commit(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	_cleanup_(image_free_p) struct image *image = NULL;
	_cleanup_json_ json_t *config = NULL;
	_cleanup_strv_ struct strv changes = {};
	_cleanup_free_ char *name = NULL;
	struct commit commit = { .request = request };
	const char *id = http_query(request, "container");
	json_t *body;
	int r = http_body_json(request, &body, err);

	if (r == 0)
		r = api_new_image_name(request, &name, err);
	if (r == 0)
		r = containers_find(daemon->containers, id ? id : "", &container, err);
	http_query_all(request, "changes", &changes);
	if (r == 0)
		r = request_commit_config(body, container->request->config, &changes, &config, err);
	if (r == 0)
		r = make_image(container, &commit, name, config, &image, err);
	if (r < 0)
		return r;
	tell(container, image, http_query(request, "comment"), name);
	return http_reply_json(request, 201, json_pack("{s:s}", "Id", image->id));
}

const struct http_route api_commit_routes[] = {
	{ "POST", "/commit", post_commit },
	{},
};
