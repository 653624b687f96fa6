/* SPDX-License-Identifier: Apache-2.0 */
/* From a container to the description of the sandbox that its shim starts. */
#pragma once

#include "daemon/container.h"
#include "sandbox/config.h"

/*
 * Finds out what is needed and blocks until the host's acceleration is known. On success the
 * container has its place on its networks, which networks_unplace() takes back.
 */
int launch_config(struct container *container, struct sandbox_config **ret_config,
		  struct cay_error *err);

/*
 * The same for a VM in which the container does not run and its files are worked on. It has no
 * network and nothing of the container's log or last run is touched.
 */
int launch_files_config(struct container *container, struct sandbox_config **ret_config,
			struct cay_error *err);
