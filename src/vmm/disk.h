/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's files, opened for QEMU: every one here, with this process's rights,
 * as QEMU itself could open none of them.
 */
#pragma once

#include "vmm/vm.h"

enum { DISK_FILES_MAX = VMM_EXTENTS_MAX + 1 };

struct disk_files {
	int fds[DISK_FILES_MAX]; /* the extents', then the VMDK descriptor's */
	size_t count;            /* 0: a placeholder without contents */
	bool vmdk, read_only;
	bool io_uring; /* works here for an ordinary user */
};
#define DISK_FILES_NONE ((struct disk_files){ .count = 0 })

/*
 * Opens them. In QEMU each is a descriptor set of its own, numbered from first_set on, of which
 * the last is the one to open.
 */
int disk_open(const struct vm_disk *disk, unsigned int first_set, struct disk_files *ret_files,
	      struct cay_error *err);
void disk_files_done(struct disk_files *files);
