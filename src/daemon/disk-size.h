/* SPDX-License-Identifier: Apache-2.0 */
/* The size that a client gives a disk: docker's spelling, and the limits of our disks. */
#pragma once

#include "base/error.h"

#include <stdint.h>

/*
 * Reads "10g", "1.5 GiB" and so on. `what` is whose size it is, for the error of one that no disk
 * has: below EXT4_SIZE_MIN or above EXT4_DISK_SIZE.
 */
int disk_size_parse(const char *what, const char *text, uint64_t *ret_bytes, struct cay_error *err);
