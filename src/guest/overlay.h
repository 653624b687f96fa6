/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands in an overlay's upper directory (Documentation/filesystems/
 * overlayfs.rst): files that were changed or made, whiteouts for those that
 * were deleted, a mark on directories that hide what the lower one has.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

bool overlay_is_whiteout(const struct stat *st);
/* Of a directory, by its descriptor; trusted attributes must be visible. */
bool overlay_is_opaque(int fd);
/*
 * Whether the path (without a slash before) is one of those that every container gets at its start
 * if its image has not: what is mounted there is none of the container's files. docker has them in
 * a layer of their own, below the container's.
 */
bool overlay_is_mount_point(const char *path, const struct stat *st);
/* What the lower directory has at the path: false where that is nothing. */
bool overlay_lower(int lower_fd, const char *path, struct stat *ret_st);
