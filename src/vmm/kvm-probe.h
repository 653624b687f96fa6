/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quick half of finding out whether KVM works: a virtual CPU in 64-bit mode
 * that runs a few instructions which hosts that only emulate one in software
 * stumble over. Passing proves little; failing proves that KVM is of no use.
 */
#pragma once

#include "base/error.h"

enum { KVM_PROBE_MS = 500 };

/*
 * 0 when the instructions ran. Works in a child process, which is killed after KVM_PROBE_MS. Absent
 * or forbidden /dev/kvm and everything else is CAY_UNSUPPORTED with the reason.
 */
int kvm_probe(struct cay_error *err);
