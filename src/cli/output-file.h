/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that a command writes for the user: it appears under its name when it
 * is whole, and leaves nothing when the command fails or a signal ends it. A
 * name that stands for something else than a file (a pipe, /dev/stdout) is
 * written to directly. One at a time, since a signal handler must find it.
 */
#pragma once

#include "base/error.h"

struct output_file {
	int fd;
	char *path;      /* where it is to be, symbolic links followed */
	char *temporary; /* where it is meanwhile; NULL: written to directly */
};

/* Opens it for writing; output_file_done() takes it away again unless it was finished. */
int output_file_open(const char *path, struct output_file *ret_file, struct cay_error *err);
/* Gives it its name, replacing what had it. */
int output_file_finish(struct output_file *file, struct cay_error *err);
void output_file_done(struct output_file *file);
#define _cleanup_output_file_ _cleanup_(output_file_done)
