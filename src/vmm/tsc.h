/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rate of the host's time stamp counter, which under TCG is the guest's
 * clock: an error in it is how fast the guest's clock drifts.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>

/*
 * From what the kernel or the processor says, else measured, which blocks for TSC_MEASURE_MS the
 * first time after a boot of the host; then remembered in the file `cache_path` (NULL: not).
 */
enum { TSC_MEASURE_MS = 1200 };
int vmm_tsc_khz(const char *cache_path, uint32_t *ret_khz, struct cay_error *err);
