/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest kernel's image tells of the kernel. */
#pragma once

#include <stdbool.h>

/*
 * Whether the kernel knows the parameter lapic_khz=, which one of cay's patches adds: without it
 * the kernel must calibrate the local APIC's timer against an emulated one, which must then be
 * there. Reads the whole file, some 20 MB; one that can't be read counts as not knowing.
 */
bool kernel_knows_lapic_khz(const char *path);
