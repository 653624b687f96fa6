/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shares of a sandbox as a device of its VM: virtiofs by vhost-user. A few
 * threads take the guest's requests from its memory, act on them and answer
 * there; while all of them wait for the disk, the guest has to wait as well.
 */
#pragma once

#include "base/error.h"
#include "files/share.h"

/*
 * Serves QEMU at the other end of the socket until it closes that (0), or until it or the guest
 * does what can't be right (-EPROTO). Blocks. `walled` as jail_enter() returned it.
 */
int server_run(int fd, const struct share_list *list, bool walled, struct cay_error *err);
