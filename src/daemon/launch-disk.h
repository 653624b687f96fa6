/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writable disks before they are given to a VM. A power cut or a lost host
 * leaves a journal, which mounting replays; only a disk in which the kernel
 * has met an error, or that it could not mount, is checked by e2fsck.
 */
#pragma once

#include "daemon/container.h"
#include "sandbox/config.h"

/*
 * Makes a disk fit for a start of `container`: owned by its VM's user, of its full virtual size,
 * checked and repaired where its superblock or a note of an earlier failure asks for it. What can't
 * be repaired is an error that tells where the data is. Nothing else uses the disk meanwhile.
 * `what` names it: "the volume db". Costs some 10 us where there is nothing to do.
 */
int launch_disk_check(const struct container *container, const char *what, const char *path,
		      struct cay_error *err);
/* The same for its writable layer; one that never reached the host's disk is made anew. */
int launch_disk_check_scratch(const struct container *container, const char *path,
			      struct cay_error *err);

/*
 * The guest's answer to the start was `err`: where it says that a disk could not be mounted, that
 * is noted for the next start, and said. Returns as cay_error_prefix().
 */
int launch_disk_note_failure(const struct sandbox_config *config, struct cay_error *err);
