/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shares: trees of the host's, served by cay-files there. The guest's kernel
 * speaks with it by a virtio device: virtiofs, with all shares of the machine
 * as the entries "0", "1", … of its root. That is mounted once where only
 * vminitd looks, and each share bound from there to where it is wanted.
 */
#pragma once

#include "base/error.h"
#include "base/strv.h"

struct guest;

/* The type of a mount that is a share. */
#define SHARE_TYPE "share"
enum { SHARES_MAX = 128 };

/* vminitd: mounts the device's file system if it is not yet. Does not wait for the host. */
int shares_open(struct guest *guest, struct cay_error *err);

/*
 * A child of vminitd, in the guest's mount namespace: mounts the share whose number is `source` on
 * `target`, which is made: a directory, or a file by the option "file", the only one there is.
 * Waits for the host.
 */
int share_mount(const char *source, const char *target, const struct strv *options,
		struct cay_error *err);

/*
 * The host serves no share any more: what waits for it fails, and every later access does with
 * ENOTCONN. May block, so it is a child's work too.
 */
int shares_end(struct cay_error *err);
