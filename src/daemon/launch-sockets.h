/* SPDX-License-Identifier: Apache-2.0 */
/* The unix sockets of a container's sandbox: those it binds and those it publishes. */
#pragma once

#include "daemon/container.h"
#include "sandbox/config.h"

#include <sys/stat.h>

/*
 * The socket `source` of the host, which `status` is about, for the container. On success
 * *ret_guest_source is the guest's path of the socket that stands for it, to be bound where the
 * container has it; the caller frees.
 */
int launch_socket_add(struct sandbox_config *config, const struct container *container,
		      const char *source, const struct stat *status, char **ret_guest_source,
		      struct cay_error *err);

/* The sockets that the container publishes. */
int launch_published_sockets(struct sandbox_config *config, const struct container *container,
			     struct cay_error *err);

/* Removes what a sandbox that died without notice has left on the host of the latter. */
void launch_sweep_sockets(const struct container *container);
