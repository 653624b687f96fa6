/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts with options as OCI and mount(8) spell them, in the guest and in a
 * container's root, and paths that are resolved and made without leaving that
 * root whatever symbolic links an image holds.
 */
#pragma once

#include "base/mount-options.h"

/*
 * Mounts on `target`, an absolute path that exists (/proc/self/fd/N does as well). A bind mount is
 * asked for by the type "bind" or the option "bind" or "rbind". May block on a disk.
 */
int mount_do(const char *type, const char *source, const char *target,
	     const struct mount_options *options, struct cay_error *err);

/*
 * The same in the guest's own name space for the host: `target` is made if absent, as a file where
 * a file is bound, and so are the upperdir and workdir of an overlay.
 */
int mount_guest(const char *type, const char *source, const char *target,
		const struct strv *options, struct cay_error *err);

/*
 * Opens (O_PATH) what `path` names inside the root `root_fd`, with links resolved as if that root
 * were "/". A missing path is made where `make` says so: directories, with an empty file as the
 * last part for MOUNT_MAKE_FILE. Returns the descriptor or -errno.
 */
enum mount_make { MOUNT_MAKE_NOTHING, MOUNT_MAKE_DIRECTORY, MOUNT_MAKE_FILE };
int path_in_root(int root_fd, const char *path, enum mount_make make);

/* "/proc/self/fd/N", by which mount() reaches what a descriptor names. */
enum { FD_PATH_SIZE = 32 };
void fd_path(int fd, char ret_path[FD_PATH_SIZE]);

/* A mount that the OCI configuration or the host may name; its cgroup version is the guest's. */
const char *mount_kernel_type(const char *type);
