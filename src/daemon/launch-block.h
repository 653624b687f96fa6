/* SPDX-License-Identifier: Apache-2.0 */
/* A block volume becomes a disk of the VM that is about to be started. */
#pragma once

#include "daemon/container.h"
#include "daemon/volumes.h"
#include "sandbox/config.h"

/* The image's disk and the scratch, which come before. */
enum { LAUNCH_DISKS_OWN = 2 };

/*
 * Adds the volume's disk to `config`, and its mount in the guest to `target`, unless another mount
 * point of the container has added it already. From here until volumes_leave() the volume is this
 * container's alone: where another runs with it, that is CAY_CONFLICT and names it. The caller
 * frees *ret_guest_source, the directory in the guest that the container's own bind mount takes.
 */
int launch_block(const struct container *container, const struct mount_point *point,
		 const struct volume *volume, struct sandbox_config *config,
		 struct sandbox_container *target, char **ret_guest_source, struct cay_error *err);
