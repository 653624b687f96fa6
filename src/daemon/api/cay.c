/* SPDX-License-Identifier: Apache-2.0 */
/* What the Docker Engine API has no words for, under /cay/v1/: the log of a VM's boot. */
#include "base/file.h"
#include "daemon/api/api.h"
#include "daemon/container.h"
#include "daemon/containers.h"
#include "daemon/daemon.h"

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

const struct http_route api_cay_routes[] = {
	{ "GET", "/cay/v1/containers/*/bootlog", get_boot_log },
	{},
};
