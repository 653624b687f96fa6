/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls that serving takes; any other ends the process. */
#pragma once

#include "base/error.h"

/* For the whole process from here on, threads made later included; no_new_privs must be set. */
int filter_enter(struct cay_error *err);
