/* SPDX-License-Identifier: Apache-2.0 */
/* The guest as a machine: clock, entropy, kernel settings, file systems, its end. */
#pragma once

#include "base/error.h"

#include <stdbool.h>

enum { MACHINE_ENTROPY_MAX = 64 * 1024 };

int machine_set_time(int64_t unix_ns, bool only_forward, struct cay_error *err);
/* Adds the bytes, credits them in full, and reseeds, so that clones of one template part ways. */
int machine_add_entropy(const void *data, size_t size, struct cay_error *err);
/* Sets a kernel parameter by its name in sysctl(8)'s form, '.' and '/' exchanged where needed. */
int machine_set_sysctl(const char *name, const char *value, struct cay_error *err);
int machine_unmount(const char *target, bool lazy, struct cay_error *err);

/* These three wait for the disk. */
int machine_freeze(const char *target, struct cay_error *err);
int machine_thaw(const char *target, struct cay_error *err);
int machine_trim(const char *target, uint64_t *ret_bytes, struct cay_error *err);

/* Makes every file system of a disk read-only after flushing it. Waits for the disks. */
void machine_settle_disks(void);
/* Restarts or, as the host asks QEMU, ends the machine. Does not return. */
_Noreturn void machine_reboot(void);
/* Lets go of memory that holds nothing but copies: caches, the heap's rest. Failures are logged. */
void machine_shrink(void);
