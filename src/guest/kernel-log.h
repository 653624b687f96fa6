/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's messages as text. */
#pragma once

#include "base/buf.h"
#include "rpc/rpc.h"

struct guest;

/*
 * Appends one record of /dev/kmsg as dmesg shows it: "[    1.234567] text\n". What the kernel
 * escaped (\xNN) stays so, continuation lines with their key=value pairs are left out. A record
 * that is none adds nothing. Source: Documentation/ABI/testing/dev-kmsg.
 */
void kernel_log_format(const char *record, size_t size, struct buf *out);

/* Serves a KernelLog call. */
void kernel_log_serve(struct guest *guest, struct rpc_call *call, bool follow);
