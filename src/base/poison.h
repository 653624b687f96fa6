/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions that nothing in cay may call: each has overrun a buffer, lost an
 * error or gone through a shell too often. The build includes this file in
 * every C file of ours, after the system's own headers were seen once.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC poison sprintf vsprintf strcpy strcat strtok atoi atol strerror system popen gets
