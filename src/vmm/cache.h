/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fact about this host that was costly to find out, kept in a file together
 * with all it depends on, so that it is found out again when that changes.
 */
#pragma once

#include "base/buf.h"

/* Names this boot of the host and its kernel, for the beginning of a key. */
void cache_host_key(struct buf *key);
/* Adds a file's path, size and time of change: another version of it is another key. */
void cache_file_key(struct buf *key, const char *path);

/* The value kept under this very key; the caller frees. NULL where there is none. */
char *cache_read(const char *path, const char *key);
/* Failure is logged and costs only time. */
void cache_write(const char *path, const char *key, const char *value);
