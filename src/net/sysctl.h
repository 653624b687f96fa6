/* SPDX-License-Identifier: Apache-2.0 */
/* The network's kernel settings under /proc/sys/net, of the calling thread's namespace. */
#pragma once

#include "base/error.h"

/*
 * Reads or writes a number. The path below /proc/sys/net is made of a directory, a link's name
 * and a file: "ipv6/conf", "eth0", "accept_ra". CAY_NOT_FOUND where the kernel lacks it, as it
 * does all of ipv6 where that is turned off.
 */
int sysctl_read(const char *directory, const char *link, const char *file, int *ret_value,
		struct cay_error *err);
/* Writes only where it differs: /proc/sys may be read-only and right already. */
int sysctl_write(const char *directory, const char *link, const char *file, int value,
		 struct cay_error *err);
