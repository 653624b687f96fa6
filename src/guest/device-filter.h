/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules about devices of the OCI resources as a BPF program of the kind
 * BPF_PROG_TYPE_CGROUP_DEVICE, which the kernel asks at each open and mknod.
 */
#pragma once

#include "guest/oci.h"

#include <linux/bpf.h>

/* Instructions for each rule, at most, and around them. */
enum { DEVICE_FILTER_PER_RULE = 8, DEVICE_FILTER_FIXED = 12 };

/*
 * Translates the rules, of which a later one goes before an earlier, and those of the devices that
 * every container has, which go before all. What no rule speaks of is denied. Returns the number
 * of instructions written; `program` has room for DEVICE_FILTER_FIXED and DEVICE_FILTER_PER_RULE
 * for each rule, device_filter_builtin_count() included.
 */
size_t device_filter_build(const struct oci_device_rule *rules, size_t count,
			   struct bpf_insn *program);
size_t device_filter_builtin_count(void);

/* Whether the rules allow everything, so that no program is needed. */
bool device_filter_allows_all(const struct oci_device_rule *rules, size_t count);

/* Whether they come to the same as those of the devices that every container has, alone. */
bool device_filter_is_plain(const struct oci_device_rule *rules, size_t count);

/* Loads the program: a descriptor, to be attached to any number of groups, or -errno. */
int device_filter_load(const struct oci_device_rule *rules, size_t count);

/*
 * Attaches the program to the group; *filter_fd, the one attached before (or -1), is replaced.
 * Rules that allow everything detach it. `plain_fd` is a program that was loaded for no rules, or
 * -1; it stays the caller's.
 */
int device_filter_attach(int cgroup_fd, const struct oci_device_rule *rules, size_t count,
			 int plain_fd, int *filter_fd, struct cay_error *err);
