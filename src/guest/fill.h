/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling an empty volume with what a container's image has at its place, as
 * docker does: contents, owners, modes, times, extended attributes, and those
 * of the directory itself.
 */
#pragma once

#include "base/error.h"

/*
 * Copies `path`, resolved inside the root, into the volume whose root is `target`, unless that has
 * entries or the image has nothing there. Blocks for as long as that takes, and while another guest
 * fills the same volume. After a failure or a crash the volume counts as empty still.
 */
int fill_volume(int root_fd, const char *path, const char *target, struct cay_error *err);
