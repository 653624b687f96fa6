/* SPDX-License-Identifier: Apache-2.0 */
/* Unix stream sockets at paths of any length, and descriptors sent through one. */
#pragma once

#include "base/error.h"

#include <sys/types.h>

/*
 * Listens, without blocking; the socket file is made with this mode and owned by who makes it. An
 * old one at the path is replaced, whether somebody listens there or not; anything else stays and
 * is CAY_EXISTS. The descriptor, or -errno.
 */
int unix_listen(const char *path, mode_t mode, struct cay_error *err);
/* Connects; waits a few seconds at most, where the listener's queue is full. */
int unix_connect(const char *path, struct cay_error *err);
/* Connects without waiting: a non-blocking socket or -errno, -EAGAIN where the queue is full. */
int unix_try_connect(const char *path);

/* Sends one message, with a descriptor where `fd` is one; 0 or -errno. */
int unix_send_fd(int socket, const void *data, size_t size, int fd);
/*
 * Receives one message without waiting: its size, 0 at the end, or -errno. *ret_fd is the
 * descriptor that came with it (CLOEXEC), or -1.
 */
ssize_t unix_receive_fd(int socket, void *data, size_t size, int *ret_fd);
