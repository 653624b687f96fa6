/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's files as a guest sees them, for copies, exports and commits.
 * Of one that runs they are asked of its own VM. One that does not run gets a
 * VM in which nothing of it runs: its disks, which hold what a guest wrote,
 * are mounted nowhere else.
 *
 *   none ──use──► booting ──► ready ──► ending ──► none
 *                    └───── failed ───────┴─────────▲
 *
 * Such a VM is there while it is used and for some seconds more, since copies
 * come in twos. It does not show: the container's status, its log and what is
 * known of its last run stay as they are. Its disks are written before it
 * ends. A start waits for that end, a removal does not and kills it. A thread
 * of its own owns it; a daemon that finds one of an earlier daemon ends it.
 */
#pragma once

#include "daemon/container.h"

struct files_vm;

/* One use of a container's files. All zeros when there is none. */
struct files_use {
	struct container *container; /* a reference */
	struct files_vm *vm;         /* NULL: its own VM, in which it runs */
	unsigned int exits;          /* then: the container's, by which its run is told */
};

/*
 * Makes the container's files reachable by shim_guest_call() and the like, and keeps them so until
 * files_use_close(), unless the container runs and ends, or is removed: calls are CAY_UNAVAILABLE
 * then. Blocks for as long as a VM takes to boot, and while a start is under way. A container that
 * is being removed is CAY_CONFLICT, one that is gone CAY_NOT_FOUND.
 */
int files_use_open(struct container *container, struct files_use *ret_use, struct cay_error *err);
void files_use_close(struct files_use *use);
#define _cleanup_files_use_ _cleanup_(files_use_close)

/*
 * After a change: writes the disks of a VM that ends soon, so that what a client was told is done
 * outlives the VM, however that ends. Nothing for one that runs: its disks are its own affair.
 */
int files_use_sync(struct files_use *use, struct cay_error *err);

/*
 * With the container's lock held, for who is about to change its status: waits until there is no
 * such VM, for uses that are under way too, but not for longer than the deadline (of the monotonic
 * clock): CAY_TIMEOUT then. With `kill` the VM is killed instead. Lets go of the lock meanwhile.
 * Until container->files_unwanted, which the caller counts up before and down after, is 0 again,
 * none is begun.
 */
int files_vm_wait_none(struct container *container, bool kill, const struct timespec *deadline,
		       struct cay_error *err);

/* Before anything else is done to the container: ends the one that an earlier daemon left. */
void files_vm_recover(struct container *container);
