/* SPDX-License-Identifier: Apache-2.0 */
/* What /info tells of the machine and of the programs that VMs are made with. */
#pragma once

#include <stdint.h>

/* All results are the caller's to free; "" for what can't be found out. */

/* "Debian GNU/Linux 12 (bookworm)" and "12", from os-release(5). */
char *host_info_system(void);
char *host_info_system_version(void);
char *host_info_kernel(void);
/* "7.2.22", by running the program. Blocks for some 30 ms. */
char *host_info_qemu(const char *program);
/* "6.1.0-cay": what the kernel's image says of itself. */
char *host_info_guest_kernel(const char *path);
/* "amd64", as Go and OCI name it. */
char *host_info_architecture(void);

uint64_t host_info_memory(void);
