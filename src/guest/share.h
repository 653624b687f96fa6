/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shares: trees of the host's, served by cay-files there in the language of
 * the kernel's FUSE file system. A process of vminitd's, the relay, carries the
 * messages between /dev/fuse and the port "cay.files"; it is forked when the
 * first share is mounted.
 */
#pragma once

#include "base/error.h"
#include "base/strv.h"

#include <sys/types.h>

struct guest;

/* The type of a mount that is a share. */
#define SHARE_TYPE "share"
enum { SHARES_MAX = 128 };

/* vminitd: forks the relay if it does not run. guest->relay_fd is then what share_mount() takes. */
int shares_open(struct guest *guest, struct cay_error *err);
/* A child has ended; where it was the relay, the next container with a share gets a new one. */
void shares_reaped(struct guest *guest, pid_t pid);

/*
 * A child of vminitd, in the guest's mount namespace: mounts the share whose number is `source` on
 * `target`, which is made: a directory, or a file by the option "file", the only one there is. Does
 * not wait for the host: what is wrong there shows at the first access.
 */
int share_mount(int relay_fd, const char *source, const char *target, const struct strv *options,
		struct cay_error *err);
