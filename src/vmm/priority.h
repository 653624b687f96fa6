/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much processor time a VM gets while others want some: a VM that is made
 * ready ahead must not slow down those that are in use.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * Lowers the process with all its threads; those that it makes later are the same. False, and
 * nothing has changed, where priority_restore() would not be allowed: then it stays as it is.
 */
bool priority_lower(pid_t pid);
/* As it was before, for all threads of it. One that has ended is no failure. */
void priority_restore(pid_t pid);
