/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root file system of a container as the OCI configuration describes it:
 * mounts, devices, masked and read-only paths, and the change into it.
 */
#pragma once

#include "guest/oci.h"

/*
 * Builds everything in and on config->root_path and makes it the root of this process, which runs
 * in the container's new mount namespace and still sees the guest's /proc at /proc. With
 * `want_terminal`, opens a new pseudo-terminal of the container's own devpts and makes its other
 * end /dev/console: *ret_terminal is the master (else -1).
 */
int rootfs_enter(const struct oci_config *config, bool want_terminal, int *ret_terminal,
		 struct cay_error *err);

/*
 * The same for a container without processes: of the mounts only what is bound, as docker has it
 * when it copies files.
 */
int rootfs_enter_files(const struct oci_config *config, struct cay_error *err);

/*
 * Opens a new pseudo-terminal of the devpts at /dev/pts below `root_fd`, whatever the container has
 * put there in the meantime: a descriptor of the master.
 */
int terminal_open(int root_fd, struct cay_error *err);
