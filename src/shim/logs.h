/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's log in the form of docker's json-file driver: one JSON object
 * a line, {"log":"…\n","stream":"stdout","time":"…"}, one for each line of
 * output. A line longer than LOG_LINE_MAX is written in pieces of that size,
 * of which only the last ends in "\n"; so is output that ends without one. A
 * byte that is not part of valid UTF-8 becomes U+FFFD.
 *
 * A file that has reached max_size is renamed to "<path>.1" (what was .1 to .2
 * and so on, max_files in all) before the next write; with max_files of 1 it is
 * emptied.
 *
 * A disk that is full never stops a container: what does not fit is dropped,
 * counted, and logged once.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOG_LINE_MAX = 16 * 1024 };

enum log_stream { LOG_STDOUT, LOG_STDERR, LOG_STREAM_COUNT };

struct logs;

/* Opens the file, which is appended to if it is there. max_size 0: no limit. */
int logs_open(const char *path, uint64_t max_size, unsigned int max_files, struct logs **ret_logs,
	      struct cay_error *err);
/* Writes the whole lines that have come together; blocks on the disk's cache at most. */
void logs_append(struct logs *logs, enum log_stream stream, const void *data, size_t size);
/* Writes what came without a newline at its end. */
void logs_flush(struct logs *logs);
/* Entries that could not be written so far. */
uint64_t logs_dropped(const struct logs *logs);
/* Flushes first; NULL is allowed. */
void logs_close(struct logs *logs);
DEFINE_CLEANUP(struct logs *, logs_close);
