/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest's kernel and console say, in a file of bounded size: at
 * BOOT_LOG_MAX it becomes "<path>.1" and a new one begins, so a guest that
 * floods its console costs at most twice that. A full disk loses lines and
 * nothing else.
 */
#pragma once

#include "base/buf.h"

enum { BOOT_LOG_MAX = 1024 * 1024, BOOT_LOG_TAIL = 2048 };

struct boot_log {
	char *path;
	int fd;
	size_t size;
	struct buf tail; /* the last BOOT_LOG_TAIL bytes, for error messages */
};

/* Begins an empty file; one that can't be made is logged and then only the tail is kept. */
void boot_log_init(struct boot_log *log, const char *path);
void boot_log_append(struct boot_log *log, const void *data, size_t size);
/* The last lines in one line of printable ASCII, for a person; the caller frees. */
char *boot_log_last_lines(const struct boot_log *log);
void boot_log_done(struct boot_log *log);
