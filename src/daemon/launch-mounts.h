/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's binds and volumes at its start: the sources are looked at once
 * more, and become shares of the sandbox, contents for empty volumes, and the
 * bind mounts of the container.
 */
#pragma once

#include "daemon/container.h"
#include "daemon/spec.h"
#include "sandbox/config.h"

/*
 * Adds to `config` and its container `target`; the container's own mounts go to `mounts`, which
 * the caller ends with spec_mounts_done(). Volumes are in use from here on, also on failure, until
 * volumes_leave(). A container without binds and volumes gets nothing.
 */
int launch_mounts(const struct container *container, struct sandbox_config *config,
		  struct sandbox_container *target, struct spec_mounts *mounts,
		  struct cay_error *err);
