/* SPDX-License-Identifier: Apache-2.0 */
/* What a forked child of vminitd keeps of its descriptors. */
#pragma once

#include <stddef.h>

/* Closes every descriptor above 2 but these; numbers below that, such as -1, stand for none. */
void descriptors_close_others(const int *keep, size_t count);
