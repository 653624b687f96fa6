/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sockets of a container that the host sees: HostConfig's PublishSockets,
 * which is cay's own.
 */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/json.h"
#include "daemon/request-internal.h"

#include <errno.h>
#include <limits.h>

static int check_socket_path(const char *path, struct cay_error *err)
{
	if (path[0] != '/')
		return cay_error_invalid(err, "\"%.300s\" is not an absolute path", path);
	if (strlen(path) >= PATH_MAX)
		return cay_error_invalid(err, "a path has at most %d bytes: \"%.300s\"",
					 PATH_MAX - 1, path);
	return 0;
}

int request_read_sockets(struct request *request, struct cay_error *err)
{
	json_t *list = json_object_get(request->host_config, "PublishSockets"), *item;
	size_t i;

	if (json_array_size(list) > REQUEST_MOUNTS_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG,
				     "a container can publish %d sockets, no more",
				     REQUEST_MOUNTS_MAX);
	request->publish_sockets =
		xcalloc(json_array_size(list) + 1, sizeof(*request->publish_sockets));
	json_array_foreach(list, i, item) {
		struct request_socket *published = &request->publish_sockets[i];
		struct str container,
			host = str_split(str_from(json_string_value(item)), ':', &container);
		int r;

		request->publish_socket_count++;
		published->host = str_dup(host);
		published->container = str_dup(container);
		r = check_socket_path(published->host, err);
		if (r == 0)
			r = check_socket_path(published->container, err);
		if (r < 0)
			return cay_error_prefix(err, "publishing a socket as HOST:CONTAINER");
	}
	return 0;
}

/* By their places in PublishSockets; "" is one that is not known. */
void request_print_sockets(const struct request *request, json_t *document)
{
	json_t *list;

	if (request->publish_socket_count == 0)
		return;
	list = json_array();
	for (size_t i = 0; i < request->publish_socket_count; i++) {
		const char *resolved = request->publish_sockets[i].resolved;

		(void)json_array_append_new(list, json_string(resolved ? resolved : ""));
	}
	json_set(document, "SocketDirectories", list);
}

int request_load_sockets(struct request *request, const json_t *document, struct cay_error *err)
{
	_cleanup_strv_ struct strv list = { 0 };
	int r = json_read_strv(document, "SocketDirectories", REQUEST_MOUNTS_MAX, &list, err);

	for (size_t i = 0; r == 0 && i < MIN(list.count, request->publish_socket_count); i++)
		if (list.items[i][0] != '\0')
			replace_string(&request->publish_sockets[i].resolved, list.items[i]);
	return r;
}
