/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cayd's socket, its own or one that systemd made for it, and word to systemd
 * of how it is doing (the protocols of sd_listen_fds(3) and sd_notify(3)).
 */
#pragma once

#include "base/error.h"

/* The listening socket systemd passed, CLOEXEC, or -1 where there is none. Call once. */
int service_listen_fd(void);

/*
 * Listens on a unix socket, mode 0600, in a directory that is made with mode 0700 where it is
 * missing. A socket left by a daemon that ended is replaced, one that answers is CAY_CONFLICT.
 */
int service_listen(const char *path, int *ret_fd, struct cay_error *err);

/* "READY=1"; does nothing where nobody asked for it. */
void service_notify(const char *state);
