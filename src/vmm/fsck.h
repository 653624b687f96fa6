/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking the file system of a disk that a guest has written: e2fsck in a
 * jail of its own (jail.h), as the disk's owner, with a list of the system
 * calls it may make. The disk is in nobody's use meanwhile.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <sys/types.h>

struct fsck {
	const char *disk;           /* absolute path */
	const char *jail_directory; /* an existing directory that does not hold the disk */
	uid_t uid;                  /* the disk's owner; 0: the caller's user */
	uint64_t disk_size;
};

/*
 * Checks the whole file system and repairs what is safely repaired without anybody's advice
 * (e2fsck -f -p). 1: there was something, and it is mended; 0: it was sound. Else the error has
 * e2fsck's own last words, and the disk is as whole as it was. What e2fsck said goes to `report`.
 * Blocks for as long as the disk's metadata takes to read, FSCK_SECONDS_MAX of computing at most.
 */
int fsck_run(const struct fsck *fsck, struct buf *report, struct cay_error *err);
