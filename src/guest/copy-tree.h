/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of directory trees inside the guest, with all that stat() and
 * listxattr() tell of a file. Nothing is followed: neither in the source, which
 * is an image's, nor in the target, which others may write to meanwhile.
 */
#pragma once

#include "base/error.h"

/* Copies what is in the directory `source` into the directory `target`. */
int copy_tree(int source, int target, struct cay_error *err);

/* Gives `target` the owner, mode, times and extended attributes of `source`; both are open for
 * reading, files or directories. */
int copy_attributes(int source, int target, struct cay_error *err);

/* A line in the kernel's log: standard error is a container's already where copies are made. */
void copy_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
