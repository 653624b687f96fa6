/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream to the guest: frames of a size and a share's number, both 32 bits
 * little-endian, then that many bytes: one FUSE message of the guest's, or one
 * reply of ours. A few threads take one message after the other; while all of
 * them wait for the disk nobody reads, so the guest has to wait as well.
 */
#pragma once

#include "base/error.h"
#include "files/share.h"

/*
 * Serves until the other side closes the socket (0), or sends what is no frame (-EPROTO). Blocks;
 * the calling thread does no file's work itself. `walled` as jail_enter() returned it.
 */
int server_run(int fd, const struct share_list *list, bool walled, struct cay_error *err);
