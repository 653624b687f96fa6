/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of code that QEMU's emulator has translated (TCG), for later QEMUs that
 * run the same guest: most of a start is translation. A QEMU with a recording's
 * descriptor writes what it translates there (preload/record.c); two recordings
 * become a finished file; a QEMU with that takes blocks from it instead of
 * translating them (preload/store.c). The format is in translations-format.h.
 *
 * A finished file says something about code, and nothing about any guest: where
 * a block is used its guest's bytes are compared. Files belong to the user that
 * cay runs as, and nobody else can read or write them; QEMU gets descriptors.
 */
#pragma once

#include "vmm/vm.h"

#include "base/error.h"

/*
 * What translations for this machine depend on, as a text: QEMU, kernel, initramfs and the library
 * `preload` by path, size and time of change, the host's processor, and the format. Looks at files,
 * and at nothing that they hold. The caller frees.
 */
char *translations_shape(const struct vm_machine *machine);

struct translations_counts {
	size_t kept, differing; /* blocks */
	uint64_t bytes;         /* of the whole file */
};

/*
 * Makes a finished file at `output`, which is not there yet, of the blocks that are in both
 * recordings (paths) and the same: 0400, synced. The recordings are of two processes that lay at
 * different addresses, so that what depends on those is not kept. CAY_UNSUPPORTED where they hold
 * nothing that can be kept: this QEMU is not one that can be recorded. Blocks.
 */
int translations_merge(const char *first, const char *second, const char *output,
		       struct translations_counts *ret_counts, struct cay_error *err);

/*
 * Opens a finished file for reading after a look at what costs little: owner, mode, size, head.
 * Returns the descriptor; CAY_NOT_FOUND where there is none, CAY_CORRUPT where it is damaged.
 */
int translations_open(const char *path, struct cay_error *err);
