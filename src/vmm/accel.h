/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether guests run with KVM or with TCG. /dev/kvm can open, create VMs and
 * still run no guest (nested hosts), so the answer comes from running one:
 * first a page of instructions (kvm-probe.h), then cay's own kernel under QEMU
 * until vminitd answers on the channel.
 */
#pragma once

#include "vmm/cmdline.h"

#include "base/error.h"

#include <sys/types.h>

/* How long the real guest may take; it is up in a fraction of that where KVM works. */
enum { ACCEL_PROBE_MS = 3000 };

struct vmm_accel_options {
	const char
		*cache_path; /* remembers the answer for this boot of the host; NULL: nobody does */
	const char *qemu;    /* as in struct vm_machine */
	const char *kernel, *initramfs;
	const char *jail_directory; /* an existing directory for the guest that is tried */
	uid_t uid;                  /* its QEMU's user; 0: ours */
};

/*
 * Always finds an answer; ret_reason says in one line what it rests on and is freed by the caller.
 * Blocks for a few milliseconds where the answer is remembered or KVM fails at once, for at most
 * KVM_PROBE_MS + ACCEL_PROBE_MS in all. Forks: call it while the process has one thread, or from
 * any thread that can stand the other ones' locks being held in a child that only makes system
 * calls.
 */
void vmm_accel_detect(const struct vmm_accel_options *options, enum vmm_accel *ret_accel,
		      char **ret_reason);
