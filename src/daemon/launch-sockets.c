/* SPDX-License-Identifier: Apache-2.0 */
/* The unix sockets of a container's sandbox. */
#include "daemon/launch-sockets.h"

#include "base/alloc.h"
#include "base/file.h"
#include "daemon/daemon.h"
#include "daemon/host-path.h"
#include "daemon/spec.h"
#include "sandbox/socket-file.h"

#include <errno.h>

static int add(struct sandbox_config *config, const struct sandbox_socket *socket,
	       struct cay_error *err)
{
	if (config->socket_count == SANDBOX_SOCKETS_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG,
				     "a container can have %d unix sockets, no more",
				     SANDBOX_SOCKETS_MAX);
	config->sockets =
		xreallocarray(config->sockets, config->socket_count + 1, sizeof(*config->sockets));
	config->sockets[config->socket_count++] = *socket;
	return 0;
}

int launch_socket_add(struct sandbox_config *config, const struct container *container,
		      const char *source, const struct stat *status, char **ret_guest_source,
		      struct cay_error *err)
{
	_cleanup_free_ char *name = xasprintf("socket%zu", config->socket_count);
	struct sandbox_socket socket = {
		.mode = status->st_mode & 0777,
		.uid = status->st_uid,
		.gid = status->st_gid,
	};
	int r;

	socket.host_path = xstrdup(source);
	socket.guest_path = spec_guest_path(container->id, name);
	r = add(config, &socket, err);
	if (r < 0) {
		free(socket.host_path);
		free(socket.guest_path);
		return r;
	}
	*ret_guest_source = xstrdup(socket.guest_path);
	return 0;
}

/* A path without links; the caller frees. */
static int find_host_path(const struct container *container, const struct request_socket *published,
			  char **ret_path, struct cay_error *err)
{
	const char *name = path_last(published->host);
	_cleanup_free_ char *directory =
		xstrndup(published->host, (size_t)(name - published->host));
	_cleanup_free_ char *now = mount_path_resolve(directory);
	int r = now ? host_path_check(container->daemon, "the directory of a published socket,",
				      "the container was made", directory, published->resolved, now,
				      err)
		    : cay_error_errno(err, errno, "publishing the socket %s: its directory",
				      published->host);

	if (r == 0)
		*ret_path = path_join(now, name);
	return r;
}

int launch_published_sockets(struct sandbox_config *config, const struct container *container,
			     struct cay_error *err)
{
	const struct request *request = container->request;

	for (size_t i = 0; i < request->publish_socket_count; i++) {
		const struct request_socket *published = &request->publish_sockets[i];
		struct sandbox_socket socket = { .publish = true, .mode = 0600 };
		int r = find_host_path(container, published, &socket.host_path, err);

		if (r < 0)
			return r;
		socket.guest_path = xstrdup(published->container);
		socket.container_id = xstrdup(container->id);
		r = add(config, &socket, err);
		if (r < 0) {
			free(socket.host_path);
			free(socket.guest_path);
			free(socket.container_id);
			return r;
		}
	}
	return 0;
}

void launch_sweep_sockets(const struct container *container)
{
	const struct request *request = container->request;

	/* Of a container that only its directory tells of, nothing is known. */
	for (size_t i = 0; request && i < request->publish_socket_count; i++) {
		_cleanup_free_ char *path = NULL;
		struct cay_error ignored; /* the next start says it */

		if (find_host_path(container, &request->publish_sockets[i], &path, &ignored) == 0)
			socket_file_sweep(path);
	}
}
