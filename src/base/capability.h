/* SPDX-License-Identifier: Apache-2.0 */
/* The names of the kernel's capabilities: a table that host and guest share. */
#pragma once

/* Capabilities of Linux 5.9 and later: 0 to CAPABILITY_COUNT - 1 of linux/capability.h. */
enum { CAPABILITY_COUNT = 41 };

/* "CHOWN" for 0: without its "CAP_", as capabilities(7) has them. */
extern const char *const capability_names[CAPABILITY_COUNT];
