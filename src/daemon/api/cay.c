/* SPDX-License-Identifier: Apache-2.0 */
/* What the Docker Engine API has no words for, under /cay/v1/: the log of a VM's boot, the check of
 * an image.
 */
#include "base/file.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/container.h"
#include "daemon/containers.h"
#include "daemon/daemon.h"
#include "image/store.h"

#include <errno.h>

/* The shim keeps it smaller; a file of another size was not written by one. */
enum { BOOT_LOG_MAX = 4 * 1024 * 1024 };

static int get_boot_log(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	_cleanup_buf_ struct buf text = { 0 };
	int r = containers_find(daemon->containers, http_param(request, 0), &container, err);

	if (r < 0)
		return r;
	_cleanup_free_ char *path = container_path(container, "boot.log");
	if (!file_exists(path))
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT,
				     "container %s has no boot log: it was never started",
				     http_param(request, 0));
	r = file_read(path, BOOT_LOG_MAX, &text, err);
	if (r < 0)
		return r;
	return http_reply_text(request, 200, "text/plain; charset=utf-8", buf_text(&text));
}

static bool is_gone(void *user)
{
	return http_request_gone(user);
}

static int post_verify(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	const struct image_progress_sink sink = { .cancelled = is_gone, .user = request };
	struct image_verdict verdict;
	json_t *object, *items;
	int r;

	(void)http_request_gone(request); /* other threads ask as well */
	r = image_store_verify(daemon->images, http_param(request, 0), &sink, &verdict, err);
	if (r < 0)
		return r;
	items = json_array();
	for (size_t i = 0; i < verdict.count; i++) {
		const struct image_check *check = &verdict.checks[i];
		json_t *item = json_object();

		json_set_string(item, "Digest", check->digest);
		json_set_string(item, "Kind", check->kind);
		json_set_int(item, "Size", (int64_t)check->size);
		json_set_bool(item, "Ok", !check->problem);
		json_set_string(item, "Problem", check->problem ? check->problem : "");
		json_array_append_new(items, item);
	}
	object = json_object();
	json_set_string(object, "Id", verdict.id);
	json_set_bool(object, "Ok", verdict.ok);
	json_set(object, "Items", items);
	image_verdict_done(&verdict);
	return http_reply_json(request, 200, object);
}

const struct http_route api_cay_routes[] = {
	{ "GET", "/cay/v1/containers/*/bootlog", get_boot_log },
	{ "POST", "/cay/v1/images/**/verify", post_verify },
	{},
};
