/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other disks for a machine that runs: each slot's device keeps its node, of
 * which the child is exchanged. To the guest nothing happens, as all disks
 * have one size; it must have nothing of the old ones in use or cached.
 */
#pragma once

#include "vmm/qmp.h"
#include "vmm/vm.h"

/*
 * Opens the disks, in the slots' order and as many as the machine has, and has QEMU take them in
 * place of its own; of these nothing is left there. `done` comes once, from the loop; with an
 * error it is unknown which disks the machine has. Blocks for opening files only. Once in the life
 * of a machine.
 */
int vm_swap_disks(struct qmp *qmp, const struct vm_disk *disks, size_t count,
		  void (*done)(const struct cay_error *err, void *user), void *user,
		  struct cay_error *err);
