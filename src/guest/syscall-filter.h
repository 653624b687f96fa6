/* SPDX-License-Identifier: Apache-2.0 */
/* Loads the system call filter of a container into this process. */
#pragma once

#include "guest/oci.h"

/*
 * Builds the filter and loads it. What follows in this process must be allowed by it. Names of
 * system calls that libseccomp does not know are left out, as with runc. Needs CAP_SYS_ADMIN or
 * no_new_privs.
 */
int syscall_filter_load(const struct oci_seccomp *seccomp, struct cay_error *err);
