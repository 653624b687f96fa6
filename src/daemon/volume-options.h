/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of docker's local volume driver: type, device, o. They say what
 * the host's kernel mounts on the volume's directory while a container uses it.
 */
#pragma once

#include "base/error.h"
#include "daemon/volumes.h"

/*
 * Checks them whole and tells the kind and, of a disk, the size. CAY_INVALID in docker's words; a
 * type that would have the host mount a file system made by others is CAY_UNSUPPORTED.
 */
int volume_options_check(const json_t *options, enum volume_kind *ret_kind, uint64_t *ret_size,
			 struct cay_error *err);

/* The directory that they bind, a path in them; NULL where they mount something else. */
const char *volume_options_bind_source(const json_t *options);

/*
 * Mounts it on `target`; blocks as long as the server of a network file system takes. `bind_fd` is
 * the directory to bind, or the -errno that opening it gave; not looked at for other mounts.
 */
int volume_options_mount(const json_t *options, int bind_fd, const char *target,
			 struct cay_error *err);

/* Something is mounted on this directory. */
bool volume_is_mounted(const char *path);
/* Takes away whatever is mounted on it; nothing is success. */
int volume_unmount(const char *path, struct cay_error *err);
