/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio-serial ports that lead to the host, by name. */
#pragma once

/*
 * Opens the port of this name: a descriptor with the given flags, or -errno; -ENOENT while the
 * kernel has not found it.
 */
int port_open(const char *name, int flags);
